//! One request and its answer on their way through the proxy.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::sleep;

use super::Shared;
use super::config::{Fault, RequestLine};
use super::http::{Body, Head, read_head};
use super::rate::slice_bytes;

/// How often a request that must not be read from is looked at, to see whether its client has gone.
const GONE_CHECK: Duration = Duration::from_millis(25);

/// Why an exchange ended early.
#[derive(Debug)]
pub(super) enum Cut {
    /// The client, the server or the connection of either has gone.
    Gone,
    /// By a fault: the client's connection is to be reset.
    Reset,
}

impl From<io::Error> for Cut {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// A connection from a client and what was read ahead on it.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    pub(super) ahead: Vec<u8>,
}

/// A request being passed on.
pub(super) struct Exchange<'a> {
    pub(super) shared: &'a Shared,
    pub(super) line: &'a RequestLine,
    pub(super) id: u64,
    pub(super) fault: Option<Fault>,
}

impl Exchange<'_> {
    /// Passes the request to the server and its answer to the client. Answers whether the connection
    /// can be used again.
    pub(super) async fn run(
        &self,
        client: &mut Peer,
        server: &mut Option<Peer>,
        head: &Head,
    ) -> Result<bool, Cut> {
        let config = self.shared.config.borrow().clone();
        let delay_ms = match self.fault {
            Some(Fault::Delay { ms }) => {
                self.struck();
                ms
            }
            _ => 0,
        };
        let wait = Duration::from_millis(config.latency_ms.saturating_add(delay_ms));
        if !wait.is_zero() {
            let (read, _) = client.stream.split();
            tokio::select! {
                () = sleep(wait) => {}
                () = client_gone(&read) => return Err(Cut::Gone),
            }
        }
        if let Some(answer) = self.answer_instead(head) {
            return self.answer_by_itself(client, head, &answer).await;
        }
        let (client_read, mut client_write) = client.stream.split();
        self.wait_while_blocked(&client_read).await?;
        if server.is_none() {
            *server = Some(self.shared.connect().await?);
        }
        let Some(server) = server else {
            return Err(Cut::Gone);
        };
        let (mut server_read, mut server_write) = server.stream.split();
        server_write.write_all(&head.bytes).await?;

        let forwarded = AtomicBool::new(false);
        let mut upload = pin!(async {
            let mut reader = client_read;
            let body = head.request_body();
            let result = self.forward_body(&mut reader, &mut client.ahead, body, Some(&mut server_write));
            if let Err(cut) = result.await {
                return cut;
            }
            forwarded.store(true, Ordering::Relaxed);
            client_gone(&reader).await;
            Cut::Gone
        });
        let closes = tokio::select! {
            cut = &mut upload => return Err(cut),
            closes = self.pass_answer(&mut server_read, &mut server.ahead, &mut client_write) => closes?,
        };
        // The server may answer before the body has ended, and close: the client gets the answer only
        // if somebody goes on reading what it sends.
        until_forwarded(upload, &forwarded).await?;
        Ok(!closes && !head.closes())
    }

    /// Reads the body slice by slice and passes it on at the shared rate. Once the server has stopped
    /// reading, the rest is thrown away.
    async fn forward_body(
        &self,
        client: &mut ReadHalf<'_>,
        ahead: &mut Vec<u8>,
        mut body: Body,
        mut server: Option<&mut WriteHalf<'_>>,
    ) -> Result<(), Cut> {
        let mut passed = 0u64;
        let limit = match self.fault {
            Some(Fault::Reset { after_bytes } | Fault::Stall { after_bytes }) => Some(after_bytes),
            _ => None,
        };
        while !body.is_done() {
            if limit.is_some_and(|limit| passed >= limit) {
                return Err(self.strike(client).await);
            }
            self.wait_while_blocked(client).await?;
            let rate = self.shared.config.borrow().upload_bytes_per_second;
            let slice = slice_bytes(rate);
            if ahead.is_empty() && client.take(slice as u64).read_buf(ahead).await? == 0 {
                return Err(Cut::Gone);
            }
            let left = limit.map_or(u64::MAX, |limit| limit - passed);
            let length = ahead
                .len()
                .min(slice)
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let taken = body.take(&ahead[..length])?;
            if let Some(rate) = rate {
                self.shared.wait_for_rate(taken, rate).await;
            }
            if let Some(writer) = &mut server
                && self.write_counted(writer, &ahead[..taken]).await.is_err()
            {
                server = None;
            }
            ahead.drain(..taken);
            passed += taken as u64;
        }
        if limit.is_some() {
            return Err(self.strike(client).await);
        }
        Ok(())
    }

    async fn write_counted(&self, writer: &mut WriteHalf<'_>, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = writer.write(bytes).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.shared.log.forwarded(self.id, written as u64);
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Counts this request's fault.
    fn struck(&self) {
        if let Some(fault) = &self.fault {
            self.shared.log.struck(fault);
        }
    }

    /// The moment of a fault that comes in the middle of a body.
    async fn strike(&self, client: &ReadHalf<'_>) -> Cut {
        self.struck();
        if matches!(self.fault, Some(Fault::Stall { .. })) {
            client_gone(client).await;
            return Cut::Gone;
        }
        Cut::Reset
    }

    /// Passes the answer to the client, interim ones too. Answers whether the server closes afterwards.
    async fn pass_answer(
        &self,
        server: &mut ReadHalf<'_>,
        ahead: &mut Vec<u8>,
        client: &mut WriteHalf<'_>,
    ) -> Result<bool, Cut> {
        loop {
            let head = read_head(server, ahead).await?.ok_or(Cut::Gone)?;
            let interim = (100..200).contains(&head.status()) && head.status() != 101;
            let mut body = head.answer_body(&self.line.method);
            let mut left = u64::MAX;
            let mut head_length = head.bytes.len();
            match self.fault {
                Some(Fault::TruncateAnswer) if !interim => match head.content_length() {
                    Some(length) if length > 1 => left = length / 2,
                    _ => head_length /= 2,
                },
                Some(Fault::LoseAnswer) if !interim => head_length = 0,
                _ => {}
            }
            self.wait_unless_blocked().await;
            client.write_all(&head.bytes[..head_length]).await?;
            let whole_head = head_length == head.bytes.len();
            if whole_head && !interim {
                self.shared
                    .log
                    .update(self.id, |entry| entry.status = Some(head.status()));
            }
            while !body.is_done() {
                if ahead.is_empty() && server.read_buf(ahead).await? == 0 {
                    if matches!(body, Body::UntilClose) {
                        break;
                    }
                    return Err(Cut::Gone);
                }
                let taken = body.take(ahead)?;
                let shown = taken.min(usize::try_from(left).unwrap_or(usize::MAX));
                self.wait_unless_blocked().await;
                if whole_head {
                    client.write_all(&ahead[..shown]).await?;
                    left -= shown as u64;
                }
                ahead.drain(..taken);
            }
            if interim {
                continue;
            }
            return match self.fault {
                Some(Fault::LoseAnswer) => {
                    self.struck();
                    Err(Cut::Reset)
                }
                Some(Fault::TruncateAnswer) => {
                    self.struck();
                    Err(Cut::Gone)
                }
                _ => Ok(head.closes() || matches!(body, Body::UntilClose)),
            };
        }
    }

    async fn answer_by_itself(&self, client: &mut Peer, head: &Head, answer: &Answer) -> Result<bool, Cut> {
        let (mut read, mut write) = client.stream.split();
        self.wait_while_blocked(&read).await?;
        self.forward_body(&mut read, &mut client.ahead, head.request_body(), None)
            .await?;
        write.write_all(answer.text.as_bytes()).await?;
        self.struck();
        self.shared
            .log
            .update(self.id, |entry| entry.status = Some(answer.status));
        Ok(!head.closes())
    }

    fn answer_instead(&self, head: &Head) -> Option<Answer> {
        let (status, reason, code, message, cors) = match self.fault.as_ref()? {
            Fault::SlowDown => (
                503,
                "Slow Down",
                "SlowDown",
                "Please reduce your request rate.",
                true,
            ),
            Fault::ExpiredUrl { cors } => (403, "Forbidden", "AccessDenied", "Request has expired", *cors),
            Fault::Forbidden => (403, "Forbidden", "AccessDenied", "Access Denied", false),
            Fault::ErrorIn200 => (
                200,
                "OK",
                "InternalError",
                "We encountered an internal error.",
                true,
            ),
            _ => return None,
        };
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        );
        let allow = match (cors, head.header("origin")) {
            (true, Some(origin)) => {
                format!("access-control-allow-origin: {origin}\r\naccess-control-expose-headers: *\r\n")
            }
            _ => String::new(),
        };
        let text = format!(
            "HTTP/1.1 {status} {reason}\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n{allow}\r\n{xml}",
            xml.len(),
        );
        Some(Answer { status, text })
    }

    fn is_blocked(&self) -> bool {
        let config = self.shared.config.borrow();
        config
            .block
            .as_ref()
            .is_some_and(|filter| filter.matches(self.line))
    }

    async fn wait_unless_blocked(&self) {
        let mut changes = self.shared.config.subscribe();
        while self.is_blocked() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    async fn wait_while_blocked(&self, client: &ReadHalf<'_>) -> Result<(), Cut> {
        if !self.is_blocked() {
            return Ok(());
        }
        tokio::select! {
            () = self.wait_unless_blocked() => Ok(()),
            () = client_gone(client) => Err(Cut::Gone),
        }
    }
}

struct Answer {
    status: u16,
    text: String,
}

/// Resolves once the client has closed its end, even with bytes of it unread.
async fn client_gone(client: &ReadHalf<'_>) {
    loop {
        match client.ready(Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => sleep(GONE_CHECK).await,
            _ => return,
        }
    }
}

/// Drives the upload until its body has passed.
async fn until_forwarded<F>(mut upload: Pin<&mut F>, forwarded: &AtomicBool) -> Result<(), Cut>
where
    F: Future<Output = Cut>,
{
    poll_fn(|context| {
        if forwarded.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        match upload.as_mut().poll(context) {
            Poll::Ready(cut) => Poll::Ready(Err(cut)),
            Poll::Pending if forwarded.load(Ordering::Relaxed) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
