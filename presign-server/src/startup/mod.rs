//! What is asked of the bucket when the server starts: told with what to do, and nothing fails by it.

mod preflight;

use std::time::Duration;

use upload_storage::{BucketInspection, Lifecycle};

use preflight::{Preflight, Verdict};

/// How far this machine's clock may be from the store's before that is said. From 15 minutes on the
/// store refuses what was signed.
const CLOCK_SKEW_MAX: Duration = Duration::from_mins(5);

/// Headers that a part or a file sent by one PUT carries, as its signed URL demands; a browser asks the
/// store whether a page may send them.
const HEADERS_SENT: [&str; 4] = [
    "content-disposition",
    "content-type",
    "if-none-match",
    "x-amz-checksum-crc64nvme",
];

/// A day in seconds.
const DAY_SECONDS: u64 = 24 * 3600;

/// What to hold the bucket to.
#[derive(Debug, Clone)]
pub struct Expectations {
    /// Pages of these origins send parts.
    pub origins: Vec<String>,
    /// First part of every key.
    pub key_prefix: String,
    /// How long a session lives without a call.
    pub lease: Duration,
    /// Whether the bucket itself is to end what nobody has finished. The embedded store has no such
    /// rule: it is never without this server.
    pub lifecycle: bool,
}

/// What was found, for whoever runs the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Something will go wrong: what, and how to mend it.
    Warning(String),
    /// Something could not be found out.
    Note(String),
}

impl Finding {
    pub(crate) fn log(&self) {
        match self {
            Self::Warning(text) => tracing::warn!("{text}"),
            Self::Note(text) => tracing::info!("{text}"),
        }
    }
}

/// Asks the bucket, and its store as a browser would.
pub async fn inspect(bucket: &dyn BucketInspection, expected: &Expectations) -> Vec<Finding> {
    let mut findings = Vec::new();
    if expected.lifecycle {
        findings.extend(inspect_lifecycle(bucket, expected).await);
    }
    let preflight = match Preflight::new(bucket.public_url(&format!("{}/preflight", expected.key_prefix))) {
        Ok(preflight) => preflight,
        Err(error) => {
            findings.push(Finding::Note(format!("the bucket's CORS was not tried: {error}")));
            return findings;
        }
    };
    let mut skew = None;
    for origin in &expected.origins {
        let answer = preflight.send(origin, &HEADERS_SENT).await;
        skew = skew.or(answer.clock_skew());
        findings.extend(cors_finding(
            bucket.bucket(),
            &preflight.url,
            origin,
            &answer.verdict,
        ));
    }
    findings.extend(skew.and_then(clock_finding));
    findings
}

async fn inspect_lifecycle(bucket: &dyn BucketInspection, expected: &Expectations) -> Option<Finding> {
    let lease_days = expected.lease.as_secs().div_ceil(DAY_SECONDS);
    let fix = format!(
        "aws s3api put-bucket-lifecycle-configuration --bucket {} --lifecycle-configuration '{{\"Rules\":[{{\"ID\":\"holdfast\",\"Status\":\"Enabled\",\"Filter\":{{\"Prefix\":\"{}/\"}},\"AbortIncompleteMultipartUpload\":{{\"DaysAfterInitiation\":{}}}}}]}}' (it replaces the rules there are)",
        bucket.bucket(),
        expected.key_prefix,
        lease_days + 1
    );
    match bucket.lifecycle(&format!("{}/", expected.key_prefix)).await {
        Ok(Lifecycle::AbortsAfter { days }) if u64::from(days) >= lease_days => None,
        Ok(Lifecycle::AbortsAfter { days }) => Some(Finding::Warning(format!(
            "the bucket ends unfinished uploads after {days} days, sooner than their lease of {lease_days} days: uploads that are still wanted will be lost; lower --lease-seconds or mend it by: {fix}"
        ))),
        Ok(Lifecycle::Never) => Some(Finding::Warning(format!(
            "no lifecycle rule of the bucket ends unfinished uploads: parts that this server can't clean up, as after its sessions were lost, are paid for for ever; mend it by: {fix}"
        ))),
        Ok(Lifecycle::Unknown { reason }) => Some(Finding::Note(format!(
            "whether the bucket ends unfinished uploads by itself is not known: {reason}"
        ))),
        Err(error) => Some(Finding::Note(format!(
            "whether the bucket ends unfinished uploads by itself was not found out: {error}"
        ))),
    }
}

fn cors_finding(bucket: &str, url: &str, origin: &str, verdict: &Verdict) -> Option<Finding> {
    match verdict {
        Verdict::Allowed => None,
        Verdict::Unreachable(reason) => Some(Finding::Note(format!(
            "the bucket's CORS was not tried for pages of {origin}: {url} was not reached from here: {reason}"
        ))),
        Verdict::Refused(reason) => Some(Finding::Warning(format!(
            "pages of {origin} can't send parts to {url}: {reason}; mend it by: aws s3api put-bucket-cors --bucket {bucket} --cors-configuration '{{\"CORSRules\":[{{\"AllowedOrigins\":[\"{origin}\"],\"AllowedMethods\":[\"PUT\"],\"AllowedHeaders\":[\"*\"],\"MaxAgeSeconds\":7200}}]}}' (it replaces the rules there are)"
        ))),
    }
}

/// `ahead_seconds` is how far this machine's clock is ahead of the store's.
fn clock_finding(ahead_seconds: i64) -> Option<Finding> {
    let far = ahead_seconds.unsigned_abs();
    let direction = if ahead_seconds > 0 { "ahead of" } else { "behind" };
    (far > CLOCK_SKEW_MAX.as_secs()).then(|| {
        Finding::Warning(format!(
            "this machine's clock is {far} s {direction} the store's, and from 900 s on the store refuses what is signed here: set it by NTP"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_is_spoken_of_from_five_minutes_on() {
        assert_eq!(clock_finding(300), None);
        assert_eq!(clock_finding(-300), None);
        for (ahead, words) in [(301, "301 s ahead of"), (-3600, "3600 s behind")] {
            let Some(Finding::Warning(text)) = clock_finding(ahead) else {
                panic!("{ahead} s pass");
            };
            assert!(text.contains(words), "{text}");
        }
    }
}
