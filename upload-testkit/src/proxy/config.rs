//! What the proxy can be told at run time.

use serde::{Deserialize, Deserializer, Serialize};

use super::http::Head;
use super::log::now_ms;

/// Settings, all changeable while requests are in flight.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyConfig {
    /// Cap on request bodies in bytes a second, over all connections; without it unlimited.
    pub upload_bytes_per_second: Option<u64>,
    /// Wait in ms before each request is passed on.
    pub latency_ms: u64,
    /// Wait in ms before the first request of a new connection is read, as for a handshake.
    pub connection_latency_ms: u64,
    /// Requests that match stay open without moving a byte in either direction.
    pub block: Option<Filter>,
    /// Tried in order for each request; the first that strikes is used.
    pub faults: Vec<FaultRule>,
}

/// A change of settings: what is left out stays as it is, `null` switches off.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigPatch {
    /// See [`ProxyConfig::upload_bytes_per_second`].
    #[serde(default, deserialize_with = "present")]
    pub upload_bytes_per_second: Option<Option<u64>>,
    /// See [`ProxyConfig::latency_ms`].
    #[serde(default)]
    pub latency_ms: Option<u64>,
    /// See [`ProxyConfig::connection_latency_ms`].
    #[serde(default)]
    pub connection_latency_ms: Option<u64>,
    /// See [`ProxyConfig::block`].
    #[serde(default, deserialize_with = "present")]
    pub block: Option<Option<Filter>>,
    /// See [`ProxyConfig::faults`].
    #[serde(default)]
    pub faults: Option<Vec<FaultRule>>,
    /// Seed of the faults' dice, from this change on.
    #[serde(default)]
    pub seed: Option<u64>,
}

impl ConfigPatch {
    /// What is wrong with it, if anything.
    pub(super) fn problem(&self) -> Option<String> {
        if self.upload_bytes_per_second == Some(Some(0)) {
            return Some("uploadBytesPerSecond is 0; use at least 1, null for no cap, or block".to_owned());
        }
        let rules = self.faults.iter().flatten();
        rules
            .filter_map(|rule| rule.probability)
            .find(|p| !(0.0..=1.0).contains(p))
            .map(|p| format!("probability is {p}, outside 0 to 1"))
    }

    pub(super) fn apply(self, config: &mut ProxyConfig) {
        if let Some(rate) = self.upload_bytes_per_second {
            config.upload_bytes_per_second = rate;
        }
        if let Some(latency_ms) = self.latency_ms {
            config.latency_ms = latency_ms;
        }
        if let Some(latency_ms) = self.connection_latency_ms {
            config.connection_latency_ms = latency_ms;
        }
        if let Some(block) = self.block {
            config.block = block;
        }
        if let Some(faults) = self.faults {
            config.faults = faults;
        }
    }
}

/// Tells `null` from nothing at all.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Which requests are meant; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filter {
    /// Exact method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Text that the path contains (the query doesn't count).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_contains: Option<String>,
    /// Exact query parameter `partNumber`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_number: Option<u32>,
    /// Signed longer ago than so many seconds, by `X-Amz-Date` in the query and this machine's clock. A
    /// request without it never matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_older_than_seconds: Option<u64>,
}

impl Filter {
    pub(super) fn matches(&self, request: &RequestLine) -> bool {
        self.method.as_ref().is_none_or(|m| *m == request.method)
            && self
                .path_contains
                .as_ref()
                .is_none_or(|text| request.path.contains(text))
            && self.part_number.is_none_or(|n| request.part_number == Some(n))
            && self.url_older_than_seconds.is_none_or(|seconds| {
                request
                    .signed_ms
                    .is_some_and(|signed| now_ms() > signed.saturating_add(seconds.saturating_mul(1000)))
            })
    }
}

/// When a fault strikes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultRule {
    /// Which requests.
    #[serde(default, rename = "match")]
    pub filter: Filter,
    /// What happens to them.
    pub fault: Fault,
    /// How likely, 0 to 1; 1 where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Strikes so many times and then never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

/// What can go wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
#[non_exhaustive]
pub enum Fault {
    /// Passed on so much later.
    Delay {
        /// In ms.
        ms: u64,
    },
    /// 503 `SlowDown` instead of the server's answer; the body is read and thrown away.
    SlowDown,
    /// 403 `AccessDenied` "Request has expired", the body is read and thrown away.
    ExpiredUrl {
        /// With the header that lets a page of another origin see it.
        cors: bool,
    },
    /// 403 `AccessDenied` "Access Denied" without the header that lets a page of another origin see it,
    /// as a store answers to a policy; the body is read and thrown away.
    Forbidden,
    /// 200 with an `<Error>` of code `InternalError` as its body; nothing reaches the server.
    ErrorIn200,
    /// The connection is reset once so many bytes of the body have passed, or at its end.
    Reset {
        /// Bytes of the body.
        after_bytes: u64,
    },
    /// The server gets everything and answers; the client's connection is reset instead.
    LoseAnswer,
    /// The client gets the first half of the answer, then the end of the connection.
    TruncateAnswer,
    /// After so many bytes of the body nothing moves any more, until the client gives up.
    Stall {
        /// Bytes of the body.
        after_bytes: u64,
    },
}

impl Fault {
    /// Every name that [`Self::counted_as`] gives.
    pub(super) const COUNTED: [&'static str; 10] = [
        "delay",
        "slowDown",
        "expiredUrl",
        "expiredUrlWithoutCors",
        "forbidden",
        "errorIn200",
        "reset",
        "loseAnswer",
        "truncateAnswer",
        "stall",
    ];

    /// The kind's name; an expired URL that a page can't see is a kind of its own.
    pub(super) fn counted_as(&self) -> &'static str {
        match self {
            Self::ExpiredUrl { cors: false } => "expiredUrlWithoutCors",
            other => other.name(),
        }
    }

    /// The kind's name as in the configuration.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Delay { .. } => "delay",
            Self::SlowDown => "slowDown",
            Self::ExpiredUrl { .. } => "expiredUrl",
            Self::Forbidden => "forbidden",
            Self::ErrorIn200 => "errorIn200",
            Self::Reset { .. } => "reset",
            Self::LoseAnswer => "loseAnswer",
            Self::TruncateAnswer => "truncateAnswer",
            Self::Stall { .. } => "stall",
        }
    }
}

/// What a request is told apart by.
#[derive(Debug, Clone)]
pub(super) struct RequestLine {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) part_number: Option<u32>,
    pub(super) upload_id: Option<String>,
    /// When its URL was signed, ms since 1970.
    pub(super) signed_ms: Option<u64>,
}

impl RequestLine {
    pub(super) fn of(head: &Head) -> Self {
        let target = &head.start[1];
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        };
        Self {
            method: head.start[0].clone(),
            path: path.to_owned(),
            part_number: parameter("partNumber").and_then(|value| value.parse().ok()),
            upload_id: parameter("uploadId"),
            signed_ms: parameter("X-Amz-Date").and_then(|value| parse_amz_date(&value)),
        }
    }
}

/// ms since 1970 of `20260131T235959Z`, the one form that Signature Version 4 knows.
fn parse_amz_date(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('Z')?.replacen('T', "", 1);
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| digits[range].parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let seconds = number(8..10)? * 3600 + number(10..12)? * 60 + number(12..14)?;
    // Years begin in March here, so that the day that comes and goes is their last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year.checked_sub(1)?, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    Some((days.checked_sub(719_469)? * 86_400 + seconds) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amz_dates_are_read_across_leap_days_and_nothing_else_is() {
        for (text, seconds) in [
            ("19700101T000000Z", 0),
            ("20000229T120000Z", 951_825_600),
            ("20240301T000000Z", 1_709_251_200),
            ("20261231T235959Z", 1_798_761_599),
        ] {
            assert_eq!(parse_amz_date(text), Some(seconds * 1000), "{text}");
        }
        for text in ["", "20261231", "20261231T235959", "2026-12-31T23:59Z"] {
            assert_eq!(parse_amz_date(text), None, "{text}");
        }
    }
}
