//! One viewer's WebSocket, from its first message to its last.

use std::time::Duration;

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use axum::response::Response;
use futures::SinkExt as _;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use upload_protocol::{AllRuns, LiveMessage, RunSelection, SessionId, ViewerRequest};

use crate::events::{Audience, Subscription};
use crate::live::{Connection, Live};

/// Every run that a viewer may see.
const ALL: RunSelection = RunSelection::All(AllRuns::All);

/// Longest message of a viewer in bytes: a request has 60.
const REQUEST_LENGTH_BYTES_MAX: usize = 1024;

/// Most requests on one connection: each may have a whole history sent.
const REQUESTS_MAX: u32 = 1000;

/// Messages sent at once: some 20 KB.
const BATCH_LENGTH: usize = 100;

/// Bytes that wait to be taken by the network before sending waits too.
const WRITE_BUFFER_LENGTH_BYTES: usize = 32 * 1024;

/// Bytes that may wait at most; a batch fits several times over.
const WRITE_BUFFER_LENGTH_BYTES_MAX: usize = 1024 * 1024;

/// How long the good-bye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What one viewer watches.
#[derive(Debug)]
pub(super) struct Watching {
    live: Live,
    connection: Connection,
    subscription: Subscription,
    /// It follows everything for want of a choice: its first one replaces that.
    by_default: bool,
    requests: u32,
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The viewer has gone.
    Gone,
    /// The server closes, and says why.
    Closed(u16, &'static str),
}

impl Watching {
    /// Without a run in the URL, everything that the viewer may see.
    pub(super) fn new(
        live: Live,
        connection: Connection,
        audience: Audience,
        run: Option<SessionId>,
    ) -> Self {
        let mut subscription = live.uploads.events().subscribe(audience);
        // The first one always finds room.
        let _ = subscription.add(run.map_or(ALL, RunSelection::Run));
        Self {
            live,
            connection,
            subscription,
            by_default: run.is_none(),
            requests: 0,
        }
    }
}

/// Answers the upgrade; the viewer is served from then on.
pub(super) fn accept(upgrade: WebSocketUpgrade, watching: Watching) -> Response {
    upgrade
        .max_message_size(REQUEST_LENGTH_BYTES_MAX)
        .max_frame_size(REQUEST_LENGTH_BYTES_MAX)
        .write_buffer_size(WRITE_BUFFER_LENGTH_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_LENGTH_BYTES_MAX)
        .on_upgrade(move |socket| serve(socket, watching))
}

async fn serve(mut socket: WebSocket, mut watching: Watching) {
    let end = watch(&mut socket, &mut watching).await;
    if let End::Closed(code, reason) = end {
        tracing::debug!(code, reason, "a viewer is let go");
        let _ = timeout(CLOSE_TIMEOUT, say_goodbye(&mut socket, code, reason)).await;
    }
}

async fn watch(socket: &mut WebSocket, watching: &mut Watching) -> End {
    let limits = *watching.live.limits();
    let mut ping = interval(limits.ping_interval);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let too_old = Instant::now() + limits.connection_age_max;
    let mut heard = Instant::now();
    loop {
        tokio::select! {
            // What was received comes before what is to be sent: a pong must not wait behind messages.
            biased;
            () = watching.connection.stopped() => {
                return End::Closed(close_code::AWAY, "the server stops: connect again");
            }
            () = sleep_until(too_old) => {
                return End::Closed(close_code::AWAY, "the connection is old: connect again");
            }
            received = socket.recv() => {
                heard = Instant::now();
                match received {
                    Some(Ok(message)) => {
                        if let Err(end) = on_message(watching, &message) {
                            return end;
                        }
                    }
                    Some(Err(_)) | None => return End::Gone,
                }
            }
            _ = ping.tick() => {
                if heard.elapsed() > limits.silence_max {
                    return End::Closed(close_code::POLICY, "no pong came in time");
                }
                let ping = socket.send(Message::Ping(axum::body::Bytes::new()));
                if !matches!(timeout(limits.send_timeout, ping).await, Ok(Ok(()))) {
                    return End::Gone;
                }
            }
            messages = watching.subscription.next(BATCH_LENGTH) => {
                match timeout(limits.send_timeout, send(socket, &messages)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return End::Gone,
                    Err(_) => {
                        return End::Closed(close_code::AGAIN, "too slow: connect again, what is kept is sent anew");
                    }
                }
            }
        }
    }
}

async fn send(socket: &mut WebSocket, messages: &[LiveMessage]) -> Result<(), axum::Error> {
    for message in messages {
        let text = serde_json::to_string(message).map_err(axum::Error::new)?;
        socket.feed(Message::Text(text.into())).await?;
    }
    socket.flush().await
}

fn on_message(watching: &mut Watching, message: &Message) -> Result<(), End> {
    let text = match message {
        Message::Text(text) => text,
        Message::Binary(_) => {
            return Err(End::Closed(
                close_code::UNSUPPORTED,
                "binary messages are not read",
            ));
        }
        Message::Ping(_) | Message::Pong(_) => return Ok(()),
        Message::Close(_) => return Err(End::Gone),
    };
    watching.requests += 1;
    if watching.requests > REQUESTS_MAX {
        return Err(End::Closed(
            close_code::POLICY,
            "too many requests on one connection",
        ));
    }
    let Ok(request) = serde_json::from_str::<ViewerRequest>(text) else {
        let reason = r#"expected {"subscribe": …} or {"unsubscribe": …} with "*" or an upload session's id"#;
        return Err(End::Closed(close_code::INVALID, reason));
    };
    let by_default = std::mem::take(&mut watching.by_default);
    match request {
        ViewerRequest::Subscribe(runs) => {
            if by_default && runs != ALL {
                watching.subscription.remove(ALL);
            }
            let added = watching.subscription.add(runs);
            added.map_err(|_| End::Closed(close_code::POLICY, "too many runs: subscribe to \"*\""))
        }
        ViewerRequest::Unsubscribe(runs) => {
            watching.subscription.remove(runs);
            Ok(())
        }
    }
}

/// Says why, then waits for the other side to close as well, so that what was sent arrives.
async fn say_goodbye(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let close = CloseFrame {
        code,
        reason: reason.into(),
    };
    if socket.send(Message::Close(Some(close))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}
