//! What a client's uploads may be, and how far one user's may be less.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::key::is_client_prefix;

/// Content types in one list.
const CONTENT_TYPES_LENGTH_MAX: usize = 100;

/// What a client's uploads may be; `None` leaves it to the server's own policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientLimits {
    /// Folder of its keys, below the server's prefix; `None` for the client's name.
    pub key_prefix: Option<String>,
    /// Largest file in bytes.
    pub file_size_bytes_max: Option<u64>,
    /// Bytes of all its unfinished uploads together.
    pub bytes_in_flight_max: Option<u64>,
    /// Content types it may store; empty allows all.
    pub content_types: Vec<ContentPattern>,
}

/// A content type, or a family of them: `image/png`, `video/*`, `*/*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentPattern {
    /// `None` for any.
    kind: Option<String>,
    /// `None` for any.
    subtype: Option<String>,
}

/// Less than a client may: what a grant or a token says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Narrowing {
    /// Folder below the client's.
    pub key_prefix: Option<String>,
    /// Largest file in bytes.
    pub file_size_bytes_max: Option<u64>,
    /// Bytes of all the client's unfinished uploads together.
    pub bytes_in_flight_max: Option<u64>,
    /// Content types; empty leaves it to the client's list.
    pub content_types: Vec<ContentPattern>,
}

/// The text is no content type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no content type: write `image/png`, `video/*` or `*/*`")]
pub struct InvalidContentPattern(String);

impl ContentPattern {
    /// Whether it takes this content type, given as `type/subtype` without parameters.
    pub fn takes(&self, essence: &str) -> bool {
        essence.split_once('/').is_some_and(|(kind, subtype)| {
            let takes = |wished: Option<&str>, given: &str| {
                wished.is_none_or(|wished| wished.eq_ignore_ascii_case(given))
            };
            takes(self.kind.as_deref(), kind) && takes(self.subtype.as_deref(), subtype)
        })
    }

    /// Whether it takes everything that the other does.
    fn covers(&self, other: &Self) -> bool {
        let covers = |wide: &Option<String>, narrow: &Option<String>| wide.is_none() || wide == narrow;
        covers(&self.kind, &other.kind) && covers(&self.subtype, &other.subtype)
    }
}

impl FromStr for ContentPattern {
    type Err = InvalidContentPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid =
            || InvalidContentPattern(text.chars().filter(|char| !char.is_control()).take(80).collect());
        let plain = |text: &str| {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte);
            (1..=127).contains(&text.len()) && text.bytes().all(token)
        };
        let part = |text: &str| match text {
            "*" => Some(None),
            _ if plain(text) => Some(Some(text.to_ascii_lowercase())),
            _ => None,
        };
        let (kind, subtype) = text.split_once('/').ok_or_else(invalid)?;
        let pattern = Self {
            kind: part(kind).ok_or_else(invalid)?,
            subtype: part(subtype).ok_or_else(invalid)?,
        };
        if pattern.kind.is_none() && pattern.subtype.is_some() {
            return Err(invalid());
        }
        Ok(pattern)
    }
}

impl TryFrom<String> for ContentPattern {
    type Error = InvalidContentPattern;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ContentPattern> for String {
    fn from(pattern: ContentPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for ContentPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "*".to_owned());
        write!(f, "{}/{}", part(&self.kind), part(&self.subtype))
    }
}

impl ClientLimits {
    /// Whether a file of this content type may be stored. The type is that which the client names;
    /// none is `application/octet-stream`.
    pub fn takes_content_type(&self, named: &str) -> bool {
        let essence = named.split(';').next().unwrap_or_default().trim();
        let essence = if essence.is_empty() {
            crate::content::OCTET_STREAM
        } else {
            essence
        };
        self.content_types.is_empty() || self.content_types.iter().any(|pattern| pattern.takes(essence))
    }

    /// These limits and those together: of two numbers the smaller, of two lists what both allow, and
    /// the folder below.
    ///
    /// `None` when no content type is on both lists: nothing could be uploaded.
    pub fn narrowed(&self, client: &str, by: &Narrowing) -> Option<Self> {
        let smaller = |one: Option<u64>, other: Option<u64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let content_types = match (self.content_types.as_slice(), by.content_types.as_slice()) {
            (own, []) => own.to_vec(),
            ([], other) => other.to_vec(),
            (own, other) => {
                let both = common(own, other);
                if both.is_empty() {
                    return None;
                }
                both
            }
        };
        let key_prefix = match &by.key_prefix {
            Some(below) => Some(format!(
                "{}/{below}",
                self.key_prefix.as_deref().unwrap_or(client)
            )),
            None => self.key_prefix.clone(),
        };
        Some(Self {
            key_prefix,
            file_size_bytes_max: smaller(self.file_size_bytes_max, by.file_size_bytes_max),
            bytes_in_flight_max: smaller(self.bytes_in_flight_max, by.bytes_in_flight_max),
            content_types,
        })
    }

    /// Says what of `by` goes beyond these limits, which a grant may not ask for.
    pub(crate) fn exceeded_by(&self, by: &Narrowing) -> Option<String> {
        if let (Some(own), Some(asked)) = (self.file_size_bytes_max, by.file_size_bytes_max)
            && asked > own
        {
            return Some(format!(
                "fileSizeBytesMax {asked} is above the client's own {own} bytes"
            ));
        }
        if self.content_types.is_empty() {
            return None;
        }
        let covered = |asked: &ContentPattern| self.content_types.iter().any(|own| own.covers(asked));
        let asked = by.content_types.iter().find(|asked| !covered(asked))?;
        Some(format!(
            "content type `{asked}` is not among the client's own: {}",
            listed(&self.content_types)
        ))
    }
}

impl Narrowing {
    /// Reads what a grant or a token says.
    ///
    /// # Errors
    /// A sentence naming the field and its value.
    pub(crate) fn read(
        key_prefix: Option<&str>,
        file_size_bytes_max: Option<u64>,
        bytes_in_flight_max: Option<u64>,
        content_types: &[String],
    ) -> Result<Self, String> {
        if let Some(prefix) = key_prefix.filter(|prefix| !is_client_prefix(prefix)) {
            let shown: String = prefix
                .chars()
                .filter(|char| !char.is_control())
                .take(80)
                .collect();
            return Err(format!(
                "keyPrefix `{shown}` can't be used: expected letters, digits, `-` and `_`, with single slashes between, 256 bytes in all and 64 between two"
            ));
        }
        if content_types.len() > CONTENT_TYPES_LENGTH_MAX {
            return Err(format!(
                "{} content types are above the maximum of {CONTENT_TYPES_LENGTH_MAX}",
                content_types.len()
            ));
        }
        let patterns = content_types.iter().map(|text| text.parse::<ContentPattern>());
        Ok(Self {
            key_prefix: key_prefix.map(str::to_owned),
            file_size_bytes_max,
            bytes_in_flight_max,
            content_types: patterns
                .collect::<Result<_, _>>()
                .map_err(|error| error.to_string())?,
        })
    }
}

/// What both lists take: of two patterns one within the other, the inner one.
fn common(own: &[ContentPattern], other: &[ContentPattern]) -> Vec<ContentPattern> {
    let mut both: Vec<ContentPattern> = Vec::new();
    for (one, two) in own.iter().flat_map(|one| other.iter().map(move |two| (one, two))) {
        let inner = if one.covers(two) {
            two
        } else if two.covers(one) {
            one
        } else {
            continue;
        };
        if !both.contains(inner) {
            both.push(inner.clone());
        }
    }
    both
}

/// A list for a person.
pub(crate) fn listed(patterns: &[ContentPattern]) -> String {
    let patterns: Vec<String> = patterns.iter().map(ContentPattern::to_string).collect();
    patterns.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(list: &[&str]) -> Vec<ContentPattern> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn allowing(list: &[&str]) -> ClientLimits {
        ClientLimits {
            content_types: patterns(list),
            ..ClientLimits::default()
        }
    }

    fn by_types(list: &[&str]) -> Narrowing {
        Narrowing {
            content_types: patterns(list),
            ..Narrowing::default()
        }
    }

    #[test]
    fn pattern_takes_its_type_or_family_in_any_case_and_with_parameters() {
        let limits = allowing(&["video/*", "image/png"]);
        for taken in [
            "video/mp4",
            "VIDEO/MP4; codecs=\"avc1\"",
            "image/PNG",
            " image/png ;q=1",
        ] {
            assert!(limits.takes_content_type(taken), "{taken}");
        }
        for refused in [
            "image/jpeg",
            "text/html",
            "",
            "video",
            "videos/mp4",
            "application/octet-stream",
        ] {
            assert!(!limits.takes_content_type(refused), "{refused}");
        }
        assert!(allowing(&[]).takes_content_type("text/html"));
        assert!(allowing(&["*/*"]).takes_content_type("text/html"));
        assert!(allowing(&["application/octet-stream"]).takes_content_type(""));
    }

    #[test]
    fn what_is_no_pattern_is_refused_by_name() {
        for text in [
            "",
            "video",
            "*/png",
            "a/b/c",
            "video/mp4; x=y",
            "video/m*",
            "é/x",
            "/",
            "a/",
        ] {
            let error = text.parse::<ContentPattern>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn narrowing_takes_the_smaller_number_and_what_both_lists_allow() {
        let own = ClientLimits {
            key_prefix: None,
            file_size_bytes_max: Some(100),
            bytes_in_flight_max: None,
            content_types: patterns(&["video/*", "image/png"]),
        };
        let by = Narrowing {
            key_prefix: Some("users/7".to_owned()),
            file_size_bytes_max: Some(200),
            bytes_in_flight_max: Some(50),
            content_types: patterns(&["video/mp4", "image/*", "text/plain"]),
        };
        let narrowed = own.narrowed("acme", &by).unwrap();
        assert_eq!(narrowed.key_prefix.as_deref(), Some("acme/users/7"));
        assert_eq!(narrowed.file_size_bytes_max, Some(100));
        assert_eq!(narrowed.bytes_in_flight_max, Some(50));
        assert_eq!(listed(&narrowed.content_types), "video/mp4, image/png");
    }

    #[test]
    fn lists_with_nothing_in_common_allow_nothing_rather_than_everything() {
        assert_eq!(
            allowing(&["video/*"]).narrowed("acme", &by_types(&["image/*"])),
            None
        );
        let unlimited = allowing(&[]).narrowed("acme", &by_types(&["image/*"])).unwrap();
        assert!(!unlimited.takes_content_type("video/mp4"));
    }

    #[test]
    fn what_goes_beyond_the_clients_own_is_named() {
        let own = ClientLimits {
            file_size_bytes_max: Some(100),
            ..allowing(&["video/*"])
        };
        let larger = Narrowing {
            file_size_bytes_max: Some(101),
            ..Narrowing::default()
        };
        assert!(own.exceeded_by(&larger).unwrap().contains("101"));
        assert!(own.exceeded_by(&by_types(&["*/*"])).unwrap().contains("`*/*`"));
        assert_eq!(own.exceeded_by(&by_types(&["video/mp4", "video/*"])), None);
    }

    #[test]
    fn prefix_that_could_escape_is_refused() {
        for prefix in ["", "/a", "a/", "a//b", "..", "a/../b", "a.b", "a b", "é"] {
            assert!(
                Narrowing::read(Some(prefix), None, None, &[]).is_err(),
                "{prefix}"
            );
        }
        assert!(Narrowing::read(Some("users/7_x-y"), None, None, &[]).is_ok());
    }
}
