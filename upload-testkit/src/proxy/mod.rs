//! An HTTP/1.1 proxy in front of a server that makes the network as bad as a test needs it.
//!
//! It works on the connection's bytes and changes none of them, so signatures stay valid. It caps the
//! rate of uploads, holds requests open, injects faults, and logs each request with the exact number of
//! body bytes that the server's side of the connection has taken. It speaks no TLS. In front of several
//! servers it is their load balancer: each request goes to the next one that can be reached.
//!
//! Control is HTTP with JSON bodies: `GET /log`, `GET /in-flight`, `GET /stats`, `GET /config`, `POST
//! /config` with a [`ConfigPatch`], `POST /reset-log`.

mod config;
mod control;
mod exchange;
pub(crate) mod http;
mod log;
mod rate;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use self::config::{ConfigPatch, Fault, FaultRule, Filter, ProxyConfig};
pub use self::log::{LogEntry, ProxyStats};

pub(crate) use self::control::reply;

use self::config::RequestLine;
use self::exchange::{Cut, Exchange, Peer};
use self::http::{Head, read_head};
use self::log::{Log, now_ms};
use self::rate::Bucket;

/// Size in bytes of the sockets' buffers. Small, so that a client sees in its own progress what the
/// rate cap lets through.
const SOCKET_BUFFER_BYTES: u32 = 64 * 1024;

/// Where to listen and what to stand in front of.
#[derive(Debug, Clone)]
pub struct ProxyOptions {
    /// Address for clients; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The servers, at least one.
    pub targets: Vec<SocketAddr>,
    /// Address of the control API; port 0 takes a free one.
    pub control: SocketAddr,
}

/// A running proxy. It stops, and closes its connections, when dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    listen: SocketAddr,
    control: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Proxy {
    /// Listens on both addresses; it serves as soon as this returns.
    ///
    /// # Errors
    /// When an address can't be listened on.
    pub async fn start(options: &ProxyOptions) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(options.targets.clone()));
        let listener = listen(options.listen)?;
        let control_listener = TcpListener::bind(options.control).await?;
        let (listen, control) = (listener.local_addr()?, control_listener.local_addr()?);
        let serve = tokio::spawn(accept(
            listener,
            Arc::clone(&shared),
            |shared, stream| async move {
                connection(&shared, stream).await;
            },
        ));
        let serve_control = tokio::spawn(accept(
            control_listener,
            Arc::clone(&shared),
            |shared, stream| async move {
                control::connection(&shared, stream).await;
            },
        ));
        Ok(Self {
            shared,
            listen,
            control,
            tasks: [serve, serve_control],
        })
    }

    /// Where clients connect to.
    pub fn listen_addr(&self) -> SocketAddr {
        self.listen
    }

    /// Where the control API is.
    pub fn control_addr(&self) -> SocketAddr {
        self.control
    }

    /// Every request since the start or the last reset, in order.
    pub fn log(&self) -> Vec<LogEntry> {
        self.shared.log.entries()
    }

    /// The requests that have not ended.
    pub fn in_flight(&self) -> Vec<LogEntry> {
        self.shared.log.in_flight()
    }

    /// Sums over all requests since the start.
    pub fn stats(&self) -> ProxyStats {
        self.shared.log.stats()
    }

    /// Forgets the requests that have ended. Those in flight stay, with what they have sent so far.
    pub fn reset_log(&self) {
        self.shared.log.reset();
    }

    /// Changes settings at once, for requests in flight too.
    ///
    /// # Errors
    /// What is wrong with the patch; nothing is changed then.
    pub fn configure(&self, patch: ConfigPatch) -> Result<(), String> {
        self.shared.configure(patch)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    targets: Vec<SocketAddr>,
    /// Counts connections to servers.
    turn: AtomicUsize,
    config: watch::Sender<ProxyConfig>,
    bucket: Bucket,
    log: Log,
    dice: Mutex<fastrand::Rng>,
}

impl Shared {
    fn new(targets: Vec<SocketAddr>) -> Self {
        Self {
            targets,
            turn: AtomicUsize::new(0),
            config: watch::Sender::new(ProxyConfig::default()),
            bucket: Bucket::new(),
            log: Log::default(),
            dice: Mutex::new(fastrand::Rng::with_seed(0)),
        }
    }

    fn configure(&self, patch: ConfigPatch) -> Result<(), String> {
        if let Some(problem) = patch.problem() {
            return Err(problem);
        }
        if let Some(seed) = patch.seed {
            *self.dice.lock().unwrap_or_else(PoisonError::into_inner) = fastrand::Rng::with_seed(seed);
        }
        if patch.upload_bytes_per_second.is_some() {
            self.bucket.reset();
        }
        self.config.send_modify(|config| patch.apply(config));
        Ok(())
    }

    /// The fault that strikes this request, if any.
    fn draw_fault(&self, line: &RequestLine) -> Option<Fault> {
        if self.config.borrow().faults.is_empty() {
            return None;
        }
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let mut drawn = None;
        self.config.send_if_modified(|config| {
            let struck = config.faults.iter_mut().find(|rule| {
                rule.next != Some(0)
                    && rule.filter.matches(line)
                    && rule
                        .probability
                        .is_none_or(|probability| dice.f64() < probability)
            });
            if let Some(rule) = struck {
                drawn = Some(rule.fault.clone());
                rule.next = rule.next.map(|next| next - 1);
            }
            // Nobody needs to wake up for a count that went down.
            false
        });
        drawn
    }

    /// Connects to the next server in turn, or where it can't be reached to the one after it.
    async fn connect(&self) -> io::Result<Peer> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut refused = io::ErrorKind::NotConnected.into();
        for step in 0..self.targets.len() {
            let target = self.targets[turn.wrapping_add(step) % self.targets.len()];
            match Self::connect_to(target).await {
                Ok(peer) => return Ok(peer),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    async fn connect_to(target: SocketAddr) -> io::Result<Peer> {
        let socket = socket_for(target)?;
        socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
        let stream = socket.connect(target).await?;
        stream.set_nodelay(true)?;
        Ok(Peer {
            stream,
            ahead: Vec::new(),
        })
    }

    /// Waits until so many bytes may be sent, or the settings change.
    async fn wait_for_rate(&self, size_bytes: usize, bytes_per_second: u64) {
        let until = self.bucket.book(size_bytes, bytes_per_second);
        let mut changes = self.config.subscribe();
        let rate_changed = async {
            while self.config.borrow().upload_bytes_per_second == Some(bytes_per_second) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = rate_changed => {}
        }
    }
}

fn socket_for(address: SocketAddr) -> io::Result<TcpSocket> {
    if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket_for(address)?;
    socket.set_reuseaddr(true)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(1024)
}

async fn accept<S, F>(listener: TcpListener, shared: Arc<Shared>, serve: S)
where
    S: Fn(Arc<Shared>, TcpStream) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    // Dropped with this task, which ends the connections too.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                while connections.try_join_next().is_some() {}
                connections.spawn(serve(Arc::clone(&shared), stream));
            }
            // Out of file descriptors: some will be closed soon.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Serves one client's connection, with a connection of its own to the server.
async fn connection(shared: &Shared, stream: TcpStream) {
    // Without it the last slice of a body waits for an acknowledgement.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let handshake = Duration::from_millis(shared.config.borrow().connection_latency_ms);
    if !handshake.is_zero() {
        tokio::time::sleep(handshake).await;
    }
    let mut client = Peer {
        stream,
        ahead: Vec::new(),
    };
    let mut server: Option<Peer> = None;
    loop {
        let head = tokio::select! {
            head = read_head(&mut client.stream, &mut client.ahead) => head,
            () = closed_while_idle(server.as_ref()) => return,
        };
        let Ok(Some(head)) = head else { return };
        match request(shared, &mut client, &mut server, &head).await {
            Ok(true) => {}
            Ok(false) | Err(Cut::Gone) => return,
            Err(Cut::Reset) => {
                // Best effort: where it fails the connection is closed in the ordinary way.
                let _ = client.stream.set_zero_linger();
                return;
            }
        }
    }
}

async fn request(
    shared: &Shared,
    client: &mut Peer,
    server: &mut Option<Peer>,
    head: &Head,
) -> Result<bool, Cut> {
    let line = RequestLine::of(head);
    let fault = shared.draw_fault(&line);
    let id = shared.log.begin(LogEntry {
        id: 0,
        method: line.method.clone(),
        path: line.path.clone(),
        part_number: line.part_number,
        upload_id: line.upload_id.clone(),
        content_length: head.content_length(),
        body_bytes_forwarded: 0,
        status: None,
        start_ms: now_ms(),
        end_ms: None,
        cut_off: false,
        fault: fault.as_ref().map(Fault::name),
    });
    let exchange = Exchange {
        shared,
        line: &line,
        id,
        fault,
    };
    let result = exchange.run(client, server, head).await;
    if shared.targets.len() > 1 {
        // The next request is another server's turn.
        *server = None;
    }
    shared.log.update(id, |entry| {
        entry.end_ms = Some(now_ms());
        entry.cut_off = result.is_err();
    });
    result
}

/// Resolves when the server says anything without having been asked: that it closes.
async fn closed_while_idle(server: Option<&Peer>) {
    match server {
        Some(peer) => {
            let _ = peer.stream.readable().await;
        }
        None => std::future::pending().await,
    }
}
