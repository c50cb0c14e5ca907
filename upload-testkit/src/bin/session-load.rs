//! `session-load`: many sessions at once at a server on this machine, and how long its answers took.
//!
//! Each session is started and then asks for batches of part URLs, as an uploading page does; no byte
//! is sent to the store. Then the next session begins in its place.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use reqwest::{Client, Response, Url};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use upload_protocol::{Crc64Nvme, PartNumber, SignPartsResponse, StartResponse, UploadToken};
use uuid::Uuid;

/// Part size of the sessions, the smallest there is.
const PART_SIZE_BYTES: u64 = 5 << 20;

/// How long one answer may take before it counts as failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Keeps sessions going at a server on this machine, and tells how long its answers took.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The server, on a loopback address: `http://127.0.0.1:4000`.
    #[arg(long)]
    server: Url,
    /// Sessions at once.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    sessions: u32,
    /// How long to measure.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How long to run before measuring.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=60))]
    warm_up_seconds: u64,
    /// Mean pause of a session between an answer and its next call; 0 for none.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pause_ms: u64,
    /// Parts signed by one call.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    batch_parts: u32,
    /// Such calls of each session.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=10))]
    batches: u32,
    /// Most calls of all sessions together.
    #[arg(long, default_value_t = 1_000_000)]
    calls_max: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Call {
    Start,
    Parts,
}

/// What the calls of one kind came to.
#[derive(Debug, Default)]
struct Record {
    micros: Vec<u64>,
    failures: BTreeMap<String, u64>,
}

/// What all sessions share.
#[derive(Debug)]
struct Load {
    arguments: Arguments,
    client: Client,
    calls: AtomicU64,
    measured_from: Instant,
    end: Instant,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let loopback = matches!(
        arguments.server.host_str(),
        Some("127.0.0.1" | "[::1]" | "localhost")
    );
    if !loopback {
        return Err(format!(
            "{} is not on this machine: use a loopback address",
            arguments.server
        )
        .into());
    }
    let measured_from = Instant::now() + Duration::from_secs(arguments.warm_up_seconds);
    let load = Arc::new(Load {
        client: Client::builder().timeout(ANSWER_TIMEOUT).build()?,
        calls: AtomicU64::new(0),
        measured_from,
        end: measured_from + Duration::from_secs(arguments.seconds),
        arguments,
    });
    let mut sessions = JoinSet::new();
    for number in 0..load.arguments.sessions {
        sessions.spawn(keep_going(load.clone(), number));
    }
    let mut records = BTreeMap::<Call, Record>::new();
    while let Some(found) = sessions.join_next().await {
        for (call, record) in found? {
            let all = records.entry(call).or_default();
            all.micros.extend(record.micros);
            for (what, count) in record.failures {
                *all.failures.entry(what).or_default() += count;
            }
        }
    }
    let seconds = Instant::now().duration_since(measured_from).as_secs_f64();
    let told = |call| records.get(&call).map(|record| record.told(seconds));
    let report = json!({
        "sessions": load.arguments.sessions,
        "seconds": seconds,
        "start": told(Call::Start),
        "parts": told(Call::Parts),
    });
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

/// One session after another until the time is over.
async fn keep_going(load: Arc<Load>, number: u32) -> BTreeMap<Call, Record> {
    let mut records = BTreeMap::new();
    let mut random = fastrand::Rng::with_seed(number.into());
    // Not all in the same instant: people don't come so.
    load.pause(random.f64()).await;
    // Nor are all at the same place of their uploads.
    let mut batches = random.u32(0..=load.arguments.batches);
    while load.goes_on() {
        let Some(started) = load.start(&mut records).await else {
            load.pause(1.0).await;
            continue;
        };
        for batch in 0..batches {
            load.pause(0.5 + random.f64()).await;
            if load.goes_on() {
                load.sign(&mut records, &started, batch).await;
            }
        }
        batches = load.arguments.batches;
        load.pause(0.5 + random.f64()).await;
    }
    records
}

impl Load {
    fn goes_on(&self) -> bool {
        Instant::now() < self.end && self.calls.load(Ordering::Relaxed) < self.arguments.calls_max
    }

    /// So many mean pauses, cut at the end of the run.
    async fn pause(&self, share: f64) {
        let pause = Duration::from_millis(self.arguments.pause_ms).mul_f64(share);
        tokio::time::sleep(pause.min(self.end.saturating_duration_since(Instant::now()))).await;
    }

    async fn start(&self, records: &mut BTreeMap<Call, Record>) -> Option<StartResponse> {
        let parts = u64::from(self.arguments.batch_parts * self.arguments.batches);
        let body = json!({
            "fileName": "holiday 😀.mov",
            "sizeBytes": parts * PART_SIZE_BYTES,
            "contentType": "video/quicktime",
            "partSizeBytes": PART_SIZE_BYTES,
            "checksumAlgorithm": "CRC64NVME",
        });
        let request = self
            .client
            .post(self.url("/api/upload-sessions"))
            .header("idempotency-key", Uuid::new_v4().to_string())
            .json(&body);
        let answer = self.timed(records, Call::Start, request, 201).await?;
        let started = serde_json::from_slice(&answer);
        note(records, Call::Start, started)
    }

    async fn sign(&self, records: &mut BTreeMap<Call, Record>, started: &StartResponse, batch: u32) {
        let first = batch * self.arguments.batch_parts;
        let parts = (first..first + self.arguments.batch_parts).map(|index| {
            json!({
                "partNumber": PartNumber::from_index(index),
                "checksumCrc64nvme": Crc64Nvme(index.into()),
            })
        });
        let body = json!({ "parts": parts.collect::<Vec<_>>() });
        let path = format!("/api/upload-sessions/{}/parts", started.upload_session_id);
        let request = self
            .client
            .post(self.url(&path))
            .header(UploadToken::HEADER, started.token.expose())
            .json(&body);
        let Some(answer) = self.timed(records, Call::Parts, request, 200).await else {
            return;
        };
        // Reading them all would cost the machine as much as writing them costs the server.
        if batch == 0 {
            let signed: Option<SignPartsResponse> =
                note(records, Call::Parts, serde_json::from_slice(&answer));
            let count = signed.map_or(0, |signed| signed.parts.len());
            let expected = self.arguments.batch_parts as usize;
            if count != expected {
                let what = format!("{count} URLs for {expected} parts");
                failed(records, Call::Parts, what);
            }
        }
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.arguments.server.clone();
        url.set_path(path);
        url
    }

    /// Sends a call and takes its time until the whole answer is there.
    async fn timed(
        &self,
        records: &mut BTreeMap<Call, Record>,
        call: Call,
        request: reqwest::RequestBuilder,
        status_expected: u16,
    ) -> Option<Vec<u8>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        let answer = match request.send().await {
            Ok(response) => read(response).await,
            Err(error) => Err(error),
        };
        let took = begun.elapsed();
        match answer {
            Ok((status, body)) if status == status_expected => {
                if begun >= self.measured_from {
                    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                    records.entry(call).or_default().micros.push(micros);
                }
                Some(body)
            }
            Ok((status, body)) => {
                let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
                failed(records, call, format!("status {status} {}", problem["code"]));
                None
            }
            Err(error) => {
                failed(records, call, error.without_url().to_string());
                None
            }
        }
    }
}

impl Record {
    fn told(&self, seconds: f64) -> Value {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "numbers for a person")]
        let ms = |rank: usize| sorted.get(rank).map(|micros| *micros as f64 / 1000.0);
        let of_hundred =
            |percent: usize| ms((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)));
        #[expect(clippy::cast_precision_loss, reason = "numbers for a person")]
        let rate = sorted.len() as f64 / seconds;
        json!({
            "calls": sorted.len(),
            "callsPerSecond": rate,
            "p50Ms": of_hundred(50),
            "p99Ms": of_hundred(99),
            "maxMs": of_hundred(100),
            "failures": self.failures,
        })
    }
}

async fn read(response: Response) -> reqwest::Result<(u16, Vec<u8>)> {
    let status = response.status().as_u16();
    Ok((status, response.bytes().await?.into()))
}

/// What was read, or a failure noted.
fn note<T>(records: &mut BTreeMap<Call, Record>, call: Call, read: serde_json::Result<T>) -> Option<T> {
    read.map_err(|error| failed(records, call, format!("not the answer of the protocol: {error}")))
        .ok()
}

fn failed(records: &mut BTreeMap<Call, Record>, call: Call, what: String) {
    *records.entry(call).or_default().failures.entry(what).or_default() += 1;
}
