//! The question a browser asks before it lets a page send a part.
//! <https://fetch.spec.whatwg.org/#cors-preflight-fetch>

use std::time::{Duration, SystemTime};

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, DATE, ORIGIN,
};
use axum::http::{HeaderMap, HeaderName, Method};

use crate::clock::ms_since_epoch;

/// How long the store may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks about one URL.
#[derive(Debug)]
pub(super) struct Preflight {
    client: reqwest::Client,
    pub(super) url: String,
}

/// What came of asking.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// The store's time, ms since 1970, and this machine's when it came.
    times_ms: Option<(i64, i64)>,
}

/// Whether a page may send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    Refused(String),
    Unreachable(String),
}

impl Answer {
    /// Seconds that this machine's clock is ahead of the store's.
    pub(super) fn clock_skew(&self) -> Option<i64> {
        self.times_ms.map(|(theirs, ours)| (ours - theirs) / 1000)
    }
}

impl Preflight {
    pub(super) fn new(url: String) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { client, url })
    }

    /// As a page of `origin` that wants to PUT with these headers, lower-case and sorted.
    pub(super) async fn send(&self, origin: &str, headers: &[&str]) -> Answer {
        let request = self
            .client
            .request(Method::OPTIONS, &self.url)
            .header(ORIGIN, origin)
            .header(ACCESS_CONTROL_REQUEST_METHOD, "PUT")
            .header(ACCESS_CONTROL_REQUEST_HEADERS, headers.join(","));
        match request.send().await {
            Ok(response) => Answer {
                verdict: judge(response.status().as_u16(), response.headers(), origin, headers),
                times_ms: date(response.headers()).map(|theirs| (theirs, ms_since_epoch(SystemTime::now()))),
            },
            Err(error) => Answer {
                verdict: Verdict::Unreachable(error.without_url().to_string()),
                times_ms: None,
            },
        }
    }
}

fn judge(status: u16, answered: &HeaderMap, origin: &str, headers: &[&str]) -> Verdict {
    let refused = |reason: String| Verdict::Refused(format!("its answer to a preflight {reason}"));
    if !(200..300).contains(&status) {
        return refused(format!("has status {status}"));
    }
    let allowed_origin = text(answered, &ACCESS_CONTROL_ALLOW_ORIGIN);
    if allowed_origin != "*" && allowed_origin != origin {
        return refused(format!("allows the origin `{allowed_origin}`"));
    }
    let methods = text(answered, &ACCESS_CONTROL_ALLOW_METHODS);
    if !lists(&methods, "PUT") {
        return refused(format!("allows the methods `{methods}`"));
    }
    let allowed = text(answered, &ACCESS_CONTROL_ALLOW_HEADERS);
    match headers.iter().find(|header| !lists(&allowed, header)) {
        Some(header) => refused(format!("does not allow the header `{header}`")),
        None => Verdict::Allowed,
    }
}

/// All values of a header; stores say some of them line by line.
fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers.get_all(name).iter();
    let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    let joined = values.join(", ");
    joined.chars().take(200).collect()
}

fn lists(list: &str, wanted: &str) -> bool {
    let mut items = list.split(',').map(str::trim);
    items.any(|item| item == "*" || item.eq_ignore_ascii_case(wanted))
}

/// The header `Date`, to the second.
fn date(headers: &HeaderMap) -> Option<i64> {
    let text = headers.get(DATE)?.to_str().ok()?;
    let time = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()?;
    Some(time.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "https://app.example";

    fn judged(status: u16, answered: &[(HeaderName, &str)]) -> Verdict {
        let mut headers = HeaderMap::new();
        for (name, value) in answered {
            headers.append(name, value.parse().unwrap());
        }
        judge(
            status,
            &headers,
            PAGE,
            &["content-type", "x-amz-checksum-crc64nvme"],
        )
    }

    #[test]
    fn page_may_send_where_origin_method_and_every_header_are_allowed() {
        let origin = (ACCESS_CONTROL_ALLOW_ORIGIN, PAGE);
        let methods = (ACCESS_CONTROL_ALLOW_METHODS, "GET, PUT");
        let headers = (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "Content-Type, X-Amz-Checksum-Crc64nvme",
        );
        let all = [origin.clone(), methods.clone(), headers.clone()];
        assert_eq!(judged(200, &all), Verdict::Allowed);
        let star = |name: HeaderName| (name, "*");
        let stars = [
            star(ACCESS_CONTROL_ALLOW_ORIGIN),
            star(ACCESS_CONTROL_ALLOW_METHODS),
            star(ACCESS_CONTROL_ALLOW_HEADERS),
        ];
        assert_eq!(judged(204, &stars), Verdict::Allowed);
        let fewer = (ACCESS_CONTROL_ALLOW_HEADERS, "content-type");
        for (status, answered, word) in [
            (403, all.to_vec(), "status 403"),
            (200, vec![methods.clone(), headers.clone()], "origin"),
            (
                200,
                vec![origin.clone(), (ACCESS_CONTROL_ALLOW_METHODS, "GET"), headers],
                "`GET`",
            ),
            (200, vec![origin, methods, fewer], "x-amz-checksum-crc64nvme"),
        ] {
            match judged(status, &answered) {
                Verdict::Refused(reason) => assert!(reason.contains(word), "{reason}"),
                other => panic!("{word}: {other:?}"),
            }
        }
    }

    #[test]
    fn date_of_http_is_read() {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, "Sun, 22 Nov 2026 12:00:00 GMT".parse().unwrap());
        assert_eq!(date(&headers), Some(1_795_348_800_000));
        headers.insert(DATE, "yesterday".parse().unwrap());
        assert_eq!(date(&headers), None);
    }
}
