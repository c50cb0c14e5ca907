//! Measures session stores on this machine: calls a second, and memory a session in Redis.
//!
//! `cargo run -p upload-testkit --features session-store --bin session-stores`

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use presign_server::session::{Session, SessionState};
use presign_server::store::{
    Created, MemorySessionStore, REDIS_KEY_PREFIX_DEFAULT, RedisSessionStore, SessionStore,
    SqliteSessionStore, Versioned,
};
use upload_protocol::{Crc64Nvme, MultipartUploadId, PartLayout, UploadMode};
use upload_testkit::redis_server::RedisServer;
use upload_testkit::session_store::session;

/// What is measured with.
#[derive(Debug, Parser)]
struct Args {
    /// Sessions in each store
    #[arg(long, default_value_t = 10_000)]
    sessions: usize,
    /// Callers at once
    #[arg(long, default_value_t = 64)]
    callers: usize,
}

/// What `S3` answers as an upload's id, by its length.
const UPLOAD_ID_LENGTH: usize = 128;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{} sessions, {} callers at once; calls a second\n",
        args.sessions, args.callers
    )?;
    writeln!(
        out,
        "| store | create | get | update | create, one caller |\n|---|---|---|---|---|"
    )?;
    measure(&mut out, "memory", &args, Arc::new(MemorySessionStore::new())).await?;
    let folder = tempfile::tempdir()?;
    let sqlite = SqliteSessionStore::open(folder.path().join("sessions.db"))?;
    measure(&mut out, "SQLite, synced", &args, Arc::new(sqlite)).await?;
    for fsync in ["always", "everysec"] {
        let server = RedisServer::start_with(&["--appendfsync", fsync]);
        let name = format!("Redis, `appendfsync {fsync}`");
        measure(&mut out, &name, &args, open(&server)?).await?;
    }
    writeln!(out, "\n| session | JSON row | memory in Redis |\n|---|---|---|")?;
    for (name, of) in [("one PUT", single as fn() -> Session), ("multipart", multipart)] {
        let server = RedisServer::start();
        let store = open(&server)?;
        store.ready().await?;
        let before = used_bytes(&server);
        let kept = create_all(&store, of, args.sessions, args.callers).await;
        let each = used_bytes(&server).saturating_sub(before) / args.sessions;
        let row = server.ask(&format!("STRLEN {{holdfast}}:session:{}", kept[0].session.id));
        writeln!(out, "| {name} | {row} bytes | {each} bytes |")?;
    }
    Ok(())
}

async fn measure(
    out: &mut impl std::io::Write,
    name: &str,
    args: &Args,
    store: Arc<dyn SessionStore>,
) -> std::io::Result<()> {
    let a_second = |calls: usize, took: Duration| {
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let rate = calls as f64 / took.as_secs_f64();
        format!("{rate:.0}")
    };
    let begun = Instant::now();
    let kept = create_all(&store, multipart, args.sessions, args.callers).await;
    let create = a_second(kept.len(), begun.elapsed());
    let begun = Instant::now();
    each(
        &store,
        kept.clone(),
        args.callers,
        async |store, found: Versioned| {
            store
                .get(found.session.id)
                .await
                .expect("get")
                .expect("a session")
        },
    )
    .await;
    let get = a_second(kept.len(), begun.elapsed());
    let begun = Instant::now();
    each(
        &store,
        kept.clone(),
        args.callers,
        async |store, found: Versioned| {
            let mut next = found.session;
            next.state = SessionState::Sealed { crc: Crc64Nvme(7) };
            store.update(found.version, next).await.expect("update")
        },
    )
    .await;
    let update = a_second(kept.len(), begun.elapsed());
    let begun = Instant::now();
    let alone = create_all(&store, multipart, args.sessions / 20, 1).await;
    let one = a_second(alone.len(), begun.elapsed());
    writeln!(out, "| {name} | {create} | {get} | {update} | {one} |")
}

async fn create_all(
    store: &Arc<dyn SessionStore>,
    of: fn() -> Session,
    count: usize,
    callers: usize,
) -> Vec<Versioned> {
    let sessions: Vec<Session> = (0..count).map(|_| of()).collect();
    each(store, sessions, callers, async |store, session| {
        match store.create(session, Some(u64::MAX)).await.expect("create") {
            Created::New(kept) => kept,
            other => panic!("a new session: {other:?}"),
        }
    })
    .await
}

/// Does something for each, by so many callers at once.
async fn each<T, U>(
    store: &Arc<dyn SessionStore>,
    all: Vec<T>,
    callers: usize,
    call: impl AsyncFn(Arc<dyn SessionStore>, T) -> U,
) -> Vec<U> {
    use futures::StreamExt as _;
    futures::stream::iter(all)
        .map(|one| call(store.clone(), one))
        .buffer_unordered(callers)
        .collect()
        .await
}

fn multipart() -> Session {
    let session = session("acme");
    Session {
        multipart_upload_id: Some(MultipartUploadId("u".repeat(UPLOAD_ID_LENGTH))),
        key: format!("uploads/acme/2026-11-22/{}/holiday film.mp4", session.id),
        file_name: "holiday film.mp4".to_owned(),
        content_disposition: "attachment; filename=\"holiday film.mp4\"".to_owned(),
        content_type: "video/mp4".to_owned(),
        ..session
    }
}

fn single() -> Session {
    Session {
        mode: UploadMode::Single,
        multipart_upload_id: None,
        layout: PartLayout::from_parts(1 << 20, 8 << 20).expect("a valid layout"),
        state: SessionState::Sealed {
            crc: Crc64Nvme(u64::MAX),
        },
        ..multipart()
    }
}

fn open(server: &RedisServer) -> Result<Arc<dyn SessionStore>, Box<dyn std::error::Error>> {
    let store = RedisSessionStore::open(server.url().parse()?, REDIS_KEY_PREFIX_DEFAULT)?;
    Ok(Arc::new(store))
}

fn used_bytes(server: &RedisServer) -> usize {
    let info = server.ask("INFO memory");
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.and_then(|bytes| bytes.trim().parse().ok())
        .expect("memory in use")
}
