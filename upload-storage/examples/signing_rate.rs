//! How many part URLs one thread signs a second: `cargo run --release --example signing_rate`.

use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime};

use upload_protocol::{Crc64Nvme, MultipartUploadId, PartNumber};
use upload_storage::{BucketAddress, Credentials, PartToSign, SigningContext, sign_parts};

const BATCHES: u32 = 300;
const BATCH_LENGTH: u32 = 1000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "example");
    let now = SystemTime::now();
    let context = SigningContext::new(&credentials, "eu-central-1", now);
    let address = BucketAddress::of_aws("eu-central-1", "bucket");
    let id = MultipartUploadId("2~upload".to_owned());
    let parts: Vec<PartToSign> = (0..BATCH_LENGTH)
        .map(|index| PartToSign {
            part_number: PartNumber::from_index(index),
            size_bytes: 8 << 20,
            checksum_crc64nvme: Some(Crc64Nvme(index.into())),
        })
        .collect();
    let started = Instant::now();
    let mut length = 0;
    for _ in 0..BATCHES {
        let lifetime = Duration::from_hours(1);
        let key = "uploads/local/2026-11-22/file.mov";
        let signed = sign_parts(&context, &address, now, lifetime, key, &id, &parts)?;
        length += signed.iter().map(|part| part.url.expose().len()).sum::<usize>();
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = f64::from(BATCHES * BATCH_LENGTH) / seconds;
    writeln!(
        std::io::stdout(),
        "{rate:.0} URLs a second, {length} bytes in {seconds:.2} s"
    )?;
    Ok(())
}
