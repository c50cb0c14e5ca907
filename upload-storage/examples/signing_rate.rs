//! How many part URLs one core signs a second, as the server signs them: in batches, by
//! `ObjectStorage::presign_parts`, with checksums.
//!
//! `cargo run --release --example signing_rate [SECONDS [UNIX_TIME]]` prints one line of JSON. `sample`
//! is the URL of part 1 at that time, to be compared with another signer's.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime};

use upload_protocol::{Crc64Nvme, MultipartUploadId, PartNumber};
use upload_storage::{
    Credentials, ObjectStorage, PartToSign, S3Storage, S3StorageConfig, SharedCredentialsProvider,
};

const KEY: &str = "uploads/local/2026-11-22/6a0d4f0e-6f7f-4f0e-8d8e-0d8b3f0e6f7f/file.mov";
const LIFETIME: Duration = Duration::from_hours(1);
const BATCH_PARTS: u32 = 100;
const WARM_UP_BATCHES: u32 = 200;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds: f64 = arguments.next().map_or(Ok(3.0), |text| text.parse())?;
    let now = match arguments.next() {
        Some(unix_time) => SystemTime::UNIX_EPOCH + Duration::from_secs(unix_time.parse()?),
        None => SystemTime::now(),
    };
    let mut config = S3StorageConfig::new("bucket");
    config.region = Some("eu-central-1".to_owned());
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "example");
    config.credentials = Some(SharedCredentialsProvider::new(credentials));
    let storage = S3Storage::connect(config).await?;
    let id = MultipartUploadId("2~upload".to_owned());
    let parts: Vec<PartToSign> = (0..BATCH_PARTS)
        .map(|index| PartToSign {
            part_number: PartNumber::from_index(index),
            size_bytes: 8 << 20,
            checksum_crc64nvme: Some(Crc64Nvme(u64::from(index) + 1)),
        })
        .collect();
    let sign = async || storage.presign_parts(now, LIFETIME, KEY, &id, &parts).await;
    for _ in 0..WARM_UP_BATCHES {
        sign().await?;
    }
    let (started, mut batches) = (Clock::now(), 0_u32);
    while started.elapsed().0 < seconds {
        sign().await?;
        batches += 1;
    }
    let (wall, core) = started.elapsed();
    let urls = f64::from(batches) * f64::from(BATCH_PARTS);
    let sample = sign().await?;
    writeln!(
        std::io::stdout(),
        r#"{{"urlsPerSecond":{:.0},"urlsPerCoreSecond":{:.0},"sample":"{}"}}"#,
        urls / wall,
        urls / core,
        sample[0].url.expose()
    )?;
    Ok(())
}

/// A moment, and what this thread had used of a core until then.
struct Clock {
    at: Instant,
    on_core: Option<Duration>,
}

impl Clock {
    fn now() -> Self {
        Self {
            at: Instant::now(),
            on_core: time_on_core(),
        }
    }

    /// Seconds since then, by the clock and on the core. Where the system does not tell the latter, as
    /// if the thread had the core to itself.
    fn elapsed(&self) -> (f64, f64) {
        let wall = self.at.elapsed().as_secs_f64();
        let on_core = time_on_core().zip(self.on_core);
        let on_core = on_core.map_or(wall, |(now, then)| now.saturating_sub(then).as_secs_f64());
        (wall, on_core)
    }
}

/// <https://docs.kernel.org/scheduler/sched-stats.html>: the first number, in nanoseconds.
fn time_on_core() -> Option<Duration> {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = statistics.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}
