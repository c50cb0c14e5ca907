//! The canonical request: the exact text that both ends hash.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use upload_protocol::SignedHeader;
use upload_protocol::limits::KEY_LENGTH_BYTES_MAX;

use crate::error::StorageError;

/// What `SigV4` leaves as it is: letters, digits, `-`, `.`, `_`, `~`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The same for a key, whose slashes stay.
const ENCODED_IN_KEY: &AsciiSet = &ENCODED.remove(b'/');

/// A PUT to be signed.
#[derive(Debug, Clone, Copy)]
pub(super) struct PutRequest<'a> {
    /// Its own query parameters, encoded, sorted, each after `X-Amz-…` in the alphabet.
    pub(super) query: &'a str,
    /// Its exact length in bytes.
    pub(super) size_bytes: u64,
    /// Headers beside `content-length` and `host`.
    pub(super) headers: &'a [SignedHeader],
}

/// A key as it stands in a URL's path.
///
/// Refused: what an HTTP client would rewrite on the way (`.` and `..` segments), so that the
/// signature would fail in a way nobody understands.
pub(super) fn encode_key(key: &str) -> Result<String, StorageError> {
    let refused = |reason| StorageError::InvalidKey {
        length_bytes: key.len(),
        reason,
    };
    if key.is_empty() {
        return Err(refused("it is empty"));
    }
    if key.len() > KEY_LENGTH_BYTES_MAX {
        return Err(refused("it is too long"));
    }
    if key.chars().any(char::is_control) {
        return Err(refused("it has a control character"));
    }
    if key.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(refused("it has a `.` or `..` segment"));
    }
    Ok(utf8_percent_encode(key, ENCODED_IN_KEY).to_string())
}

/// A value as it stands in a URL's query.
pub(super) fn encode_query_value(value: &str) -> String {
    utf8_percent_encode(value, ENCODED).to_string()
}

/// Refuses a header that HTTP can't carry or that a client may change on the way: then the signature
/// would not fit.
pub(super) fn check_header(name: &str, value: &str) -> Result<(), StorageError> {
    let name_ok = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
    let value_ok = value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && value == value.trim()
        && !value.contains("  ");
    if name_ok && value_ok {
        Ok(())
    } else {
        Err(StorageError::InvalidHeader {
            name: name.chars().take(80).collect(),
        })
    }
}

/// Names of the headers that are signed, sorted, joined by `;`.
pub(super) fn signed_header_names(headers: &[SignedHeader]) -> String {
    let mut names: Vec<&str> = headers.iter().map(|header| header.name.as_str()).collect();
    names.extend(["content-length", "host"]);
    names.sort_unstable();
    names.join(";")
}

/// The canonical request of a PUT whose body is not hashed into the signature: its checksum header is.
pub(super) fn canonical_request(
    path: &str,
    query: &str,
    host: &str,
    put: &PutRequest<'_>,
    signed_names: &str,
) -> String {
    let size_bytes = put.size_bytes.to_string();
    let mut headers: Vec<(&str, &str)> = put
        .headers
        .iter()
        .map(|header| (header.name.as_str(), header.value.as_str()))
        .chain([("content-length", size_bytes.as_str()), ("host", host)])
        .collect();
    headers.sort_unstable();
    let mut text = String::with_capacity(path.len() + query.len() + 256);
    text.push_str("PUT\n");
    text.push_str(path);
    text.push('\n');
    text.push_str(query);
    text.push('\n');
    for (name, value) in headers {
        // Writing to a string never fails.
        let _ = writeln!(text, "{name}:{value}");
    }
    text.push('\n');
    text.push_str(signed_names);
    text.push_str("\nUNSIGNED-PAYLOAD");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_encoded_once_byte_by_byte() {
        assert_eq!(
            encode_key("a b/+~é😀%&=?#.txt").unwrap(),
            "a%20b/%2B~%C3%A9%F0%9F%98%80%25%26%3D%3F%23.txt"
        );
    }

    #[test]
    fn key_that_a_client_would_rewrite_is_refused() {
        let long = "k".repeat(1025);
        for key in ["", "a/../b", "./a", "a/.", "a\nb", "a\u{7f}", long.as_str()] {
            assert!(
                matches!(encode_key(key), Err(StorageError::InvalidKey { .. })),
                "{key:?}"
            );
        }
        assert!(encode_key(&"k".repeat(1024)).is_ok());
    }

    #[test]
    fn header_that_a_client_may_change_is_refused() {
        for (name, value) in [
            ("x-amz-meta-A", "v"),
            ("", "v"),
            ("a b", "v"),
            ("a", "é"),
            ("a", "v\r\nx: y"),
            ("a", " v"),
            ("a", "v  w"),
        ] {
            assert!(check_header(name, value).is_err(), "{name:?}: {value:?}");
        }
        assert!(check_header("x-amz-meta-a_1", "v w").is_ok());
    }
}
