//! Credentials and the signing key that one day makes of them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};
use upload_protocol::limits::PRESIGNED_URL_LIFETIME_SECONDS_MAX;

use super::canonical::{PutRequest, canonical_request, encode_query_value, signed_header_names};
use crate::address::BucketAddress;

/// Credentials and the signing key of one UTC day and region: what costs four hashes a URL when made
/// anew each time. Good for signing on that day only, see [`SigningContext::is_for`].
#[derive(Clone)]
pub struct SigningContext {
    access_key_id: String,
    session_token: Option<String>,
    credentials_end: Option<SystemTime>,
    day: String,
    scope: String,
    key: Vec<u8>,
}

impl SigningContext {
    /// The context of the day of `now`.
    pub fn new(credentials: &Credentials, region: &str, now: SystemTime) -> Self {
        let day = day(now);
        let key = generate_signing_key(credentials.secret_access_key(), now, region, "s3");
        Self {
            access_key_id: credentials.access_key_id().to_owned(),
            session_token: credentials.session_token().map(str::to_owned),
            credentials_end: credentials.expiry(),
            scope: format!("{day}/{region}/s3/aws4_request"),
            day,
            key: key.as_ref().to_vec(),
        }
    }

    /// Whether it can sign at `now`: the same day, and the credentials live at least `margin` longer.
    pub fn is_for(&self, now: SystemTime, margin: Duration) -> bool {
        self.day == day(now) && self.credentials_end.is_none_or(|end| now + margin < end)
    }

    /// What is the same for every URL of a batch, worked out once.
    pub(super) fn begin<'a>(
        &'a self,
        address: &'a BucketAddress,
        now: SystemTime,
        lifetime: Duration,
        path: &'a str,
    ) -> BatchSigning<'a> {
        let expires_in_seconds = self.expires_in_seconds(now, lifetime);
        let time = utc(now).strftime("%Y%m%dT%H%M%SZ").to_string();
        let credential = encode_query_value(&format!("{}/{}", self.access_key_id, self.scope));
        let mut query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={time}&X-Amz-Expires={expires_in_seconds}"
        );
        if let Some(token) = &self.session_token {
            query.push_str("&X-Amz-Security-Token=");
            query.push_str(&encode_query_value(token));
        }
        BatchSigning {
            context: self,
            address,
            path,
            query,
            time,
            expires_in_seconds,
        }
    }

    fn expires_in_seconds(&self, now: SystemTime, lifetime: Duration) -> u32 {
        let left = match self.credentials_end {
            Some(end) => end.duration_since(now).unwrap_or_default(),
            None => Duration::MAX,
        };
        let seconds = lifetime.min(left).as_secs();
        u32::try_from(seconds)
            .unwrap_or(u32::MAX)
            .clamp(1, PRESIGNED_URL_LIFETIME_SECONDS_MAX)
    }
}

impl fmt::Debug for SigningContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningContext")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// Signs URLs of one path at one time.
pub(super) struct BatchSigning<'a> {
    context: &'a SigningContext,
    address: &'a BucketAddress,
    path: &'a str,
    query: String,
    time: String,
    expires_in_seconds: u32,
}

impl BatchSigning<'_> {
    pub(super) fn expires_in_seconds(&self) -> u32 {
        self.expires_in_seconds
    }

    pub(super) fn put(&self, put: &PutRequest<'_>) -> String {
        let names = signed_header_names(put.headers);
        let query = format!(
            "{}&X-Amz-SignedHeaders={}&{}",
            self.query,
            names.replace(';', "%3B"),
            put.query
        );
        let request = canonical_request(self.path, &query, self.address.authority(), put, &names);
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{}\n{}\n{}",
            self.time,
            self.context.scope,
            hex(&Sha256::digest(request.as_bytes()))
        );
        let signature = calculate_signature(&self.context.key, to_sign.as_bytes());
        let origin = self.address.origin();
        format!("{origin}{}?{query}&X-Amz-Signature={signature}", self.path)
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn utc(now: SystemTime) -> jiff::Zoned {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let timestamp = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX);
    timestamp.to_zoned(TimeZone::UTC)
}

fn day(now: SystemTime) -> String {
    utc(now).strftime("%Y%m%d").to_string()
}
