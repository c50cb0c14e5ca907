//! The object's key: chosen here, never read from a client.

use upload_protocol::limits::KEY_LENGTH_BYTES_MAX;
use uuid::Uuid;

/// Name of a file that has none left after cleaning.
const NAMELESS: &str = "file";

/// Longest ending that is kept when a name is shortened, its dot included.
const EXTENSION_LENGTH_BYTES_MAX: usize = 32;

/// Longest client part of a key.
const CLIENT_LENGTH_BYTES_MAX: usize = 64;

/// `{prefix}/{client}/{date}/{uuid}/{fileName}`, at most 1,024 bytes: the name is shortened to fit,
/// its extension kept, and to the longest name that the store takes. The UUID makes it this session's
/// alone.
pub(crate) fn object_key(
    prefix: &str,
    client: &str,
    date: &str,
    uuid: Uuid,
    file_name: &str,
    name_length_bytes_max: usize,
) -> String {
    let prefix = if prefix.is_empty() {
        String::new()
    } else {
        format!("{prefix}/")
    };
    let folder = format!("{prefix}{}/{date}/{uuid}/", clean_client(client));
    let room = KEY_LENGTH_BYTES_MAX.saturating_sub(folder.len());
    let room = room.min(name_length_bytes_max);
    format!("{folder}{}", shorten(&clean_file_name(file_name), room))
}

/// The key that a pre-start hook chose, made of the planned one: `{client's folder}/{chosen
/// folder}/{uuid}/{chosen name}`. A choice that ends with a slash is a folder, and the file's name
/// stays. Prefixes and UUID always stay, so that the key is this session's alone, and its client's.
///
/// # Errors
/// A sentence, when it is no such path.
pub(crate) fn chosen_key(planned: &str, chosen: &str) -> Result<String, String> {
    let shown: String = chosen.chars().filter(|char| !is_unfit(*char)).take(80).collect();
    if chosen.len() > KEY_LENGTH_BYTES_MAX {
        return Err(format!(
            "key of {} bytes is above the {KEY_LENGTH_BYTES_MAX}-byte maximum",
            chosen.len()
        ));
    }
    let mut pieces = planned.rsplitn(4, '/');
    let (Some(name), Some(uuid), Some(_date), Some(base)) =
        (pieces.next(), pieces.next(), pieces.next(), pieces.next())
    else {
        return Err("the planned key is of another form".to_owned());
    };
    let (folder, chosen_name) = chosen.rsplit_once('/').unwrap_or(("", chosen));
    let segments = folder.split('/').filter(|_| chosen.contains('/'));
    for segment in segments.chain(Some(chosen_name).filter(|name| !name.is_empty())) {
        let fits = !segment.is_empty()
            && !segment.starts_with('.')
            && segment.trim() == segment
            && !segment.chars().any(|char| is_unfit(char) || char == '\\');
        if !fits {
            return Err(format!(
                "key `{shown}` has a segment that is empty, starts with a dot, has spaces at its ends or characters that no key may have"
            ));
        }
    }
    if chosen.is_empty() {
        return Err("the key is empty: leave it out".to_owned());
    }
    let folder = if folder.is_empty() {
        format!("{base}/{uuid}/")
    } else {
        format!("{base}/{folder}/{uuid}/")
    };
    let room = KEY_LENGTH_BYTES_MAX.saturating_sub(folder.len());
    let name = if chosen_name.is_empty() {
        shorten(name, room)
    } else {
        chosen_name.to_owned()
    };
    if name.is_empty() || name.len() > room {
        return Err(format!(
            "key `{shown}` is above the {KEY_LENGTH_BYTES_MAX}-byte maximum with what stands around it"
        ));
    }
    Ok(format!("{folder}{name}"))
}

/// A file name without what file systems, XML and terminals choke on: no control characters, no
/// slashes, no leading dots, no trailing dots or spaces, no invisible change of writing direction.
/// Everything else stays: letters of all scripts, spaces, emoji.
pub(crate) fn clean_file_name(name: &str) -> String {
    let name: String = name
        .chars()
        .filter(|char| !is_unfit(*char))
        .map(|char| if matches!(char, '/' | '\\') { '_' } else { char })
        .collect();
    let name = name.trim_start_matches(|char: char| char == '.' || char.is_whitespace());
    let name = name.trim_end_matches(|char: char| char == '.' || char.is_whitespace());
    if name.is_empty() {
        NAMELESS.to_owned()
    } else {
        name.to_owned()
    }
}

/// Whether a configured prefix can stand before every key.
pub(crate) fn is_prefix(prefix: &str) -> bool {
    prefix.len() <= 256
        && (prefix.is_empty()
            || prefix.split('/').all(|segment| {
                !segment.is_empty()
                    && !segment.starts_with('.')
                    && segment
                        .chars()
                        .all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char))
            }))
}

/// Whether a client's keys can stand in this folder below the server's own. No dots, so that it stands
/// in the key as it was said.
pub(crate) fn is_client_prefix(prefix: &str) -> bool {
    let fits = |segment: &str| segment.len() <= CLIENT_LENGTH_BYTES_MAX;
    !prefix.is_empty() && !prefix.contains('.') && is_prefix(prefix) && prefix.split('/').all(fits)
}

/// What stands before the date in a client's keys, as [`object_key`] takes it: all but the last folder,
/// and that one.
pub(crate) fn client_folder(prefix: &str, folder: &str) -> (String, String) {
    match folder.rsplit_once('/') {
        Some((above, last)) if prefix.is_empty() => (above.to_owned(), last.to_owned()),
        Some((above, last)) => (format!("{prefix}/{above}"), last.to_owned()),
        None => (prefix.to_owned(), folder.to_owned()),
    }
}

fn clean_client(client: &str) -> String {
    let clean = client.chars().map(|char| {
        if char.is_ascii_alphanumeric() || "-_".contains(char) {
            char
        } else {
            '_'
        }
    });
    let clean: String = clean.take(CLIENT_LENGTH_BYTES_MAX).collect();
    if clean.is_empty() { "_".to_owned() } else { clean }
}

/// Whether a character stays out of keys, and of text that a person is shown.
pub(crate) fn is_unfit(char: char) -> bool {
    char.is_control()
        // Text that reads backwards hides a file's true extension.
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(char, '\u{2028}' | '\u{2029}' | '\u{feff}')
        // No XML document can hold these, a store's list of its objects neither.
        || matches!(char, '\u{fffe}' | '\u{ffff}')
}

fn shorten(name: &str, room: usize) -> String {
    if name.len() <= room {
        return name.to_owned();
    }
    let extension = name.rfind('.').map_or("", |dot| &name[dot..]);
    let extension = if extension.len() <= EXTENSION_LENGTH_BYTES_MAX {
        extension
    } else {
        ""
    };
    let stem = &name[..name.len() - extension.len()];
    let mut end = room.saturating_sub(extension.len()).min(stem.len());
    while !stem.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{extension}", &stem[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn traversal_control_characters_and_leading_dots_do_not_reach_the_key() {
        for (name, clean) in [
            ("../../etc/passwd", "_.._etc_passwd"),
            ("..\\..\\boot.ini", "_.._boot.ini"),
            (".htaccess", "htaccess"),
            ("a\r\nSet-Cookie: x", "aSet-Cookie: x"),
            ("..", "file"),
            ("", "file"),
            ("   ", "file"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("name. . ", "name"),
        ] {
            assert_eq!(clean_file_name(name), clean, "{name:?}");
        }
    }

    #[test]
    fn letters_of_all_scripts_spaces_and_emoji_stay() {
        for name in ["Ünïcödé 😀👩‍👩‍👧.mov", "日本語 ファイル.txt", "a+b~c (1).tar.gz"]
        {
            assert_eq!(clean_file_name(name), name);
        }
    }

    #[test]
    fn key_follows_the_template() {
        let key = object_key(
            "uploads",
            "acme/eu",
            "2026-11-22",
            Uuid::nil(),
            "a.mov",
            KEY_LENGTH_BYTES_MAX,
        );
        assert_eq!(
            key,
            "uploads/acme_eu/2026-11-22/00000000-0000-0000-0000-000000000000/a.mov"
        );
        let key = object_key("", "c", "d", Uuid::nil(), "a", KEY_LENGTH_BYTES_MAX);
        assert!(key.starts_with("c/d/"));
    }

    #[test]
    fn key_that_a_hook_chose_keeps_the_clients_folder_and_the_uuid() {
        let planned = "uploads/acme/2026-11-22/uuid/a.mov";
        for (chosen, key) in [
            ("films/2026/", "uploads/acme/films/2026/uuid/a.mov"),
            ("films/b c.mov", "uploads/acme/films/uuid/b c.mov"),
            ("b.mov", "uploads/acme/uuid/b.mov"),
        ] {
            assert_eq!(chosen_key(planned, chosen).as_deref(), Ok(key));
        }
        let long = format!("{}/b", "x".repeat(1010));
        for chosen in [
            "",
            "/",
            "/a",
            "a//b",
            "../a",
            "a/..",
            "a/./b",
            ".a",
            "a/.b/",
            "a\nb",
            "a\\b",
            "a /b",
            "\u{202e}a",
            &long,
            &"x/".repeat(600),
        ] {
            assert!(chosen_key(planned, chosen).is_err(), "{chosen:?}");
        }
    }

    #[test]
    fn long_name_is_shortened_at_a_character_and_keeps_its_extension() {
        let name = format!("{}.mov", "😀".repeat(400));
        let key = |longest| object_key("p", "c", "d", Uuid::nil(), &name, longest);
        let whole = key(KEY_LENGTH_BYTES_MAX);
        assert!(whole.len() <= KEY_LENGTH_BYTES_MAX && whole.len() > KEY_LENGTH_BYTES_MAX - 4);
        assert!(whole.ends_with("😀.mov"));
        // A store that makes files of keys takes no longer name than its file system.
        let of_a_file = key(255);
        let name = of_a_file.rsplit('/').next().unwrap();
        assert!(
            name.len() <= 255 && name.len() > 251 && name.ends_with("😀.mov"),
            "{name}"
        );
    }

    #[test]
    fn prefix_that_could_escape_is_refused() {
        for prefix in ["/a", "a/", "a//b", "../a", "a/..", "a b", "é"] {
            assert!(!is_prefix(prefix), "{prefix}");
        }
        assert!(is_prefix("") && is_prefix("team/uploads_2.x"));
    }

    #[test]
    fn folder_of_a_client_stands_below_the_servers_prefix() {
        let folder_of = |prefix, folder| {
            let (above, last) = client_folder(prefix, folder);
            format!("{above} {}", clean_client(&last))
        };
        assert_eq!(folder_of("uploads", "acme"), "uploads acme");
        assert_eq!(folder_of("uploads", "a/b/c"), "uploads/a/b c");
        assert_eq!(folder_of("", "a/b"), "a b");
        for folder in ["", "/a", "a/", "a//b", "..", "a.b", "é", &"x".repeat(65)] {
            assert!(!is_client_prefix(folder), "{folder}");
        }
        assert!(is_client_prefix(&"x".repeat(64)) && is_client_prefix("a/b-c/d_e"));
    }

    proptest! {
        #[test]
        fn any_choice_of_a_hook_is_refused_or_stays_in_the_clients_folder(chosen in any::<String>()) {
            if let Ok(key) = chosen_key("p/c/d/uuid/name", &chosen) {
                prop_assert!(key.len() <= KEY_LENGTH_BYTES_MAX && key.starts_with("p/c/"));
                prop_assert!(key.contains("/uuid/") && !key.contains("//") && !key.contains("/."));
                prop_assert!(!key.chars().any(char::is_control) && !key.ends_with('/'));
            }
        }

        #[test]
        fn any_name_gives_a_key_that_fits_and_stays_in_its_folder(name in any::<String>()) {
            let key = object_key("p", "c", "d", Uuid::nil(), &name, KEY_LENGTH_BYTES_MAX);
            prop_assert!(key.len() <= KEY_LENGTH_BYTES_MAX);
            prop_assert_eq!(key.matches('/').count(), 4);
            prop_assert!(!key.chars().any(char::is_control));
            let last = key.rsplit('/').next().unwrap_or_default();
            prop_assert!(!last.is_empty() && !last.starts_with('.'));
        }
    }
}
