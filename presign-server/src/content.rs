//! How the object will be served: its content type, disposition and metadata.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use upload_protocol::limits::{CONTENT_TYPE_LENGTH_BYTES_MAX, METADATA_LENGTH_BYTES_MAX};

use crate::key::clean_file_name;

/// Content type of what nobody named, and of what would run as a page or script.
pub(crate) const OCTET_STREAM: &str = "application/octet-stream";

/// `attr-char` of <https://www.rfc-editor.org/rfc/rfc8187#section-3.2.1>.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The content type to store: the wished one in its plain form, or `application/octet-stream` where it
/// is empty or a browser would run it as a page or a script of the bucket's origin.
///
/// # Errors
/// A sentence, when it isn't a MIME type.
pub(crate) fn stored_content_type(wished: &str) -> Result<String, String> {
    let wished = wished.trim();
    if wished.is_empty() {
        return Ok(OCTET_STREAM.to_owned());
    }
    let shown: String = wished.chars().take(80).collect();
    if wished.len() > CONTENT_TYPE_LENGTH_BYTES_MAX {
        return Err(format!(
            "content type of {} bytes is above the {CONTENT_TYPE_LENGTH_BYTES_MAX}-byte maximum",
            wished.len()
        ));
    }
    let refused = || format!("content type `{shown}` is no MIME type: expected `type/subtype`");
    let mut pieces = wished.split(';').map(str::trim);
    let essence = pieces.next().unwrap_or_default().to_ascii_lowercase();
    let (kind, subtype) = essence.split_once('/').ok_or_else(refused)?;
    if !is_token(kind) || !is_token(subtype) {
        return Err(refused());
    }
    if is_dangerous(kind, subtype) {
        return Ok(OCTET_STREAM.to_owned());
    }
    let mut content_type = essence.clone();
    for parameter in pieces.filter(|piece| !piece.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or_else(refused)?;
        let quoted = value.len() >= 2 && value.starts_with('"') && value.ends_with('"');
        let inner = if quoted { &value[1..value.len() - 1] } else { value };
        if !is_token(name) || !inner.split(' ').all(is_token) || (!quoted && inner.contains(' ')) {
            return Err(refused());
        }
        content_type.push_str("; ");
        content_type.push_str(&name.to_ascii_lowercase());
        content_type.push('=');
        content_type.push_str(value);
    }
    Ok(content_type)
}

/// `attachment` with the file's name, plain and encoded.
/// <https://www.rfc-editor.org/rfc/rfc6266>
pub(crate) fn attachment(file_name: &str) -> String {
    let name = clean_file_name(file_name);
    let plain = plain_name(&name);
    let quoted = format!("attachment; filename=\"{plain}\"");
    if plain == name {
        return quoted;
    }
    format!(
        "{quoted}; filename*=UTF-8''{}",
        utf8_percent_encode(&name, ENCODED)
    )
}

/// Checks user metadata: what is accepted is stored and read back unchanged by every store.
///
/// # Errors
/// A sentence naming the entry.
pub(crate) fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), String> {
    let length: usize = metadata
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if length > METADATA_LENGTH_BYTES_MAX {
        return Err(format!(
            "metadata of {length} bytes is above the {METADATA_LENGTH_BYTES_MAX}-byte maximum"
        ));
    }
    for (name, value) in metadata {
        let shown: String = name.chars().filter(|char| !char.is_control()).take(80).collect();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(format!("metadata name `{shown}` has other than a-z, 0-9 and `-`"));
        }
        let printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !printable || value.trim() != value || value.contains("  ") {
            return Err(format!(
                "metadata `{shown}` has a value that no header carries unchanged: printable ASCII without spaces at its ends or in a row; encode the rest, for example by percent-encoding"
            ));
        }
    }
    Ok(())
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_dangerous(kind: &str, subtype: &str) -> bool {
    let script = subtype.contains("javascript") || subtype.contains("ecmascript") || subtype == "jscript";
    let markup = matches!(subtype, "html" | "xml" | "xsl" | "xslt" | "svg") || subtype.ends_with("+xml");
    let other = kind == "multipart" || subtype == "x-shockwave-flash" || subtype == "vbscript";
    script || markup || other || subtype.starts_with("xml-") || subtype.contains("html")
}

/// The name in ASCII for those who don't read the encoded one; single spaces, since signatures fold
/// them.
fn plain_name(name: &str) -> String {
    let ascii = name.chars().map(|char| match char {
        '"' | '\\' | '%' => '_',
        ' '..='~' => char,
        _ => '_',
    });
    let mut plain = String::with_capacity(name.len());
    for char in ascii {
        if !(char == ' ' && plain.ends_with(' ')) {
            plain.push(char);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn content_type_that_a_browser_would_run_is_stored_as_bytes() {
        for wished in [
            "text/html",
            "TEXT/HTML; charset=utf-8",
            "image/svg+xml",
            "application/xhtml+xml",
            "text/javascript",
            "application/x-javascript",
            "application/ecmascript",
            "text/xml",
            "application/xml",
            "application/atom+xml",
            "text/xsl",
            "multipart/x-mixed-replace",
            "",
        ] {
            assert_eq!(stored_content_type(wished).unwrap(), OCTET_STREAM, "{wished}");
        }
    }

    #[test]
    fn harmless_content_type_stays_in_its_plain_form() {
        for (wished, stored) in [
            ("video/quicktime", "video/quicktime"),
            ("Text/Plain;Charset=UTF-8", "text/plain; charset=UTF-8"),
            (
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ),
            (
                "video/mp4; codecs=\"avc1.42E01E\"",
                "video/mp4; codecs=\"avc1.42E01E\"",
            ),
        ] {
            assert_eq!(stored_content_type(wished).unwrap(), stored);
        }
    }

    #[test]
    fn what_is_no_mime_type_is_refused_by_name() {
        for wished in [
            "video",
            "a/b/c",
            "a/",
            "/b",
            "a b/c",
            "a/b; c",
            "text/plain\r\nx: y",
            "é/x",
        ] {
            assert!(stored_content_type(wished).is_err(), "{wished:?}");
        }
        assert!(
            stored_content_type(&format!("a/{}", "b".repeat(300)))
                .unwrap_err()
                .contains("255")
        );
    }

    #[test]
    fn disposition_carries_the_name_plain_and_encoded() {
        assert_eq!(attachment("a.mov"), "attachment; filename=\"a.mov\"");
        assert_eq!(
            attachment("naïve \"q\".txt"),
            "attachment; filename=\"na_ve _q_.txt\"; filename*=UTF-8''na%C3%AFve%20%22q%22.txt"
        );
        assert_eq!(
            attachment("a  b"),
            "attachment; filename=\"a b\"; filename*=UTF-8''a%20%20b"
        );
    }

    #[test]
    fn metadata_outside_a_header_is_refused_by_name() {
        let one =
            |name: &str, value: &str| check_metadata(&BTreeMap::from([(name.to_owned(), value.to_owned())]));
        assert!(one("album", "summer 26").is_ok());
        for (name, value) in [
            ("Album", "x"),
            ("", "x"),
            ("a b", "x"),
            ("a", "é"),
            ("a", "x\r\ny"),
            ("a", " x"),
        ] {
            assert!(one(name, value).is_err(), "{name:?}: {value:?}");
        }
        assert!(one("a", &"x".repeat(2048)).unwrap_err().contains("2049"));
    }

    proptest! {
        #[test]
        fn disposition_of_any_name_is_one_header(name in any::<String>()) {
            let value = attachment(&name);
            prop_assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            prop_assert!(!value.contains("  ") && value.trim() == value);
        }

        #[test]
        fn any_content_type_is_stored_safely_or_refused(wished in "\\PC{0,40}/?\\PC{0,40}") {
            if let Ok(stored) = stored_content_type(&wished) {
                prop_assert!(stored.bytes().all(|byte| matches!(byte, b' '..=b'~')));
                prop_assert!(!stored.contains("  ") && !stored.starts_with("text/html"));
            }
        }
    }
}
