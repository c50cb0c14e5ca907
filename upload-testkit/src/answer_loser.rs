//! A wire on which the answer to a call gets lost after the work was done.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A TCP proxy to a server on this machine. Told to lose the next answer, it waits for that answer's first
/// bytes and closes the connection instead of passing them on.
///
/// Its threads end with the connections they serve, and the listening one with the process.
#[derive(Debug)]
pub struct AnswerLoser {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    lose_next: AtomicBool,
    lost: AtomicUsize,
}

impl AnswerLoser {
    /// One in front of `127.0.0.1:port`.
    ///
    /// # Panics
    /// When no port is free.
    pub fn in_front_of(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::<Shared>::default();
        let serving = shared.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if let Ok(far) = TcpStream::connect(("127.0.0.1", port)) {
                    serve(&near, &far, &serving);
                }
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next answer that comes is lost, and its connection with it.
    pub fn lose_next_answer(&self) {
        self.shared.lose_next.store(true, Ordering::SeqCst);
    }

    /// Answers lost so far.
    pub fn answers_lost(&self) -> usize {
        self.shared.lost.load(Ordering::SeqCst)
    }
}

fn serve(near: &TcpStream, far: &TcpStream, shared: &Arc<Shared>) {
    let pair = || Some((near.try_clone().ok()?, far.try_clone().ok()?));
    if let Some((near, far)) = pair() {
        std::thread::spawn(move || pass(near, far, || false));
    }
    if let Some((near, far)) = pair() {
        let shared = shared.clone();
        std::thread::spawn(move || {
            pass(far, near, || {
                let lose = shared.lose_next.swap(false, Ordering::SeqCst);
                shared.lost.fetch_add(usize::from(lose), Ordering::SeqCst);
                lose
            });
        });
    }
}

/// Passes on what comes until `lose` says otherwise of something, then closes both ways.
fn pass(mut from: TcpStream, mut to: TcpStream, lose: impl Fn() -> bool) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        if lose() || to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    // Either may be closed already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
