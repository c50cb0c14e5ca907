//! Names of files in many scripts, and long ones.

use upload_protocol::limits::KEY_LENGTH_BYTES_MAX;

use super::check::Check;

const NAMES: &[&str] = &[
    "plain",
    "a b c+d~e.txt",
    "100% %2F %20.txt",
    "é 😀 (1) 'q' *!@$,;:=?#&.mov",
    "日本語/файл.txt",
    "  two  spaces ",
    "\"quoted\" <tag> `tick` \\back {brace} [bracket] |^.txt",
];

pub(super) async fn key_with_emoji_spaces_and_signs_is_the_key_of_one_object(check: &Check<'_>) {
    for (name, number) in NAMES.iter().zip(0_u8..) {
        let content = [number; 7];
        let sent = check.sent(name, &[&content]).await;
        assert_eq!(
            check.storage.find_multipart(&sent.key).await,
            Ok(vec![sent.id.clone()]),
            "{name}"
        );
        let completed = check.storage.complete(sent.whole()).await;
        completed.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    // Only now: one that was written over another would be gone.
    for (name, number) in NAMES.iter().zip(0_u8..) {
        check
            .assert_object_and_delete(&check.key(name), &[number; 7])
            .await;
    }
}

pub(super) async fn longest_keys_are_taken(check: &Check<'_>) {
    let room = KEY_LENGTH_BYTES_MAX - check.key("").len();
    let longest_name = room.min(check.can.key_segment_length_bytes_max);
    let deep = format!("{}/", "folder".repeat(20));
    let deep = deep.repeat(room / deep.len());
    let deep = format!("{deep}{}", "d".repeat(room - deep.len()));
    for name in ["n".repeat(longest_name), "é".repeat(longest_name / 2), deep] {
        let sent = check.sent(&name, &[b"abc"]).await;
        let completed = check.storage.complete(sent.whole()).await;
        completed.unwrap_or_else(|error| panic!("a key of {} bytes: {error}", sent.key.len()));
        check.assert_object_and_delete(&sent.key, b"abc").await;
    }
}
