//! kill -9 at any moment: what was answered is there, what was not is whole or absent.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, CompletedPart};

use crate::common::*;

const ROUNDS: u64 = 25;

/// The store as a process of its own, killed when dropped.
struct Process {
    child: Child,
    endpoint: String,
}

impl Process {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_embedded-s3"))
            .args(["--listen", "127.0.0.1:0", "--bucket", BUCKET, "--data-dir"])
            .arg(folder)
            .env("HOLDFAST_EMBEDDED_S3_ACCESS_KEY", ACCESS_KEY)
            .env("HOLDFAST_EMBEDDED_S3_SECRET_KEY", SECRET_KEY)
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let endpoint = loop {
            let line = lines.next().expect("it says where it listens").expect("utf-8");
            assert!(!line.contains("ERROR"), "{line}");
            if let Some((_, endpoint)) = line.split_once("listening on ") {
                break endpoint.to_owned();
            }
        };
        // Read on, or a full pipe would stop the store.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, endpoint }
    }

    fn kill(&mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("it is dead");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the client was told.
#[derive(Clone, Default)]
#[allow(
    clippy::struct_field_names,
    reason = "three fields tell how far the one version came"
)]
struct Answered {
    /// Objects by key, as the seed of their bytes and their size.
    objects: BTreeMap<String, (u64, usize)>,
    /// Parts by key of the upload: its id, and the checksums by number.
    parts: BTreeMap<String, (String, BTreeMap<i32, String>)>,
    /// The key that is overwritten all the time: versions that may be read back.
    version_answered: u64,
    /// The version before which the latest answered delete came: none below it may come back.
    version_deleted: u64,
    version_sent: u64,
    /// Completes answered.
    completed: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_store_keeps_what_it_answered_and_nothing_half() {
    let folder = tempfile::tempdir().expect("a folder");
    let answered = Arc::new(Mutex::new(Answered::default()));
    for round in 0..ROUNDS {
        let mut process = Process::start(folder.path());
        let client = client(&process.endpoint);
        check(&client, &answered).await;
        let work = tokio::spawn(work(client, round, Arc::clone(&answered)));
        let delay_ms = 30 + (round * 7919) % 370;
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        process.kill();
        work.abort();
        let _ = work.await;
    }
    let process = Process::start(folder.path());
    check(&client(&process.endpoint), &answered).await;
    let answered = answered.lock().expect("no panic");
    assert!(answered.objects.len() > 50, "{} objects", answered.objects.len());
    assert!(answered.completed > 5, "{} completes", answered.completed);
    assert!(
        answered.version_answered > 20,
        "{} versions",
        answered.version_answered
    );
}

/// Writes until the store is gone. Every error here is the kill.
async fn work(client: Client, round: u64, answered: Arc<Mutex<Answered>>) {
    tokio::join!(
        put_objects(&client, round, &answered),
        put_uploads(&client, round, &answered),
        put_versions(&client, &answered),
    );
}

async fn put_objects(client: &Client, round: u64, answered: &Mutex<Answered>) {
    for number in 0_u64.. {
        let (seed, size) = (round * 10_000 + number, 1000 + (number as usize * 7919) % 300_000);
        let key = format!("objects/{round}/{number}");
        let put = client.put_object().bucket(BUCKET).key(&key);
        let body = ByteStream::from(bytes(seed, size));
        if put.body(body).send().await.is_err() {
            return;
        }
        answered
            .lock()
            .expect("no panic")
            .objects
            .insert(key, (seed, size));
    }
}

async fn put_uploads(client: &Client, round: u64, answered: &Mutex<Answered>) {
    for number in 0_u64.. {
        let (seed, size) = (round * 10_000 + number + 5_000, PART + 1000);
        let key = format!("uploads/{round}/{number}");
        let whole = bytes(seed, size);
        let create = client.create_multipart_upload().bucket(BUCKET).key(&key);
        let create = create.checksum_algorithm(ChecksumAlgorithm::Crc64Nvme);
        let Ok(created) = create.send().await else {
            return;
        };
        let id = created.upload_id.expect("an id");
        let mut parts = Vec::new();
        for (part_number, part) in [(1, &whole[..PART]), (2, &whole[PART..])] {
            let crc = crc64(part);
            let put = client.upload_part().bucket(BUCKET).key(&key).upload_id(&id);
            let put = put
                .part_number(part_number)
                .checksum_crc64_nvme(&crc)
                .body(ByteStream::from(part.to_vec()));
            let Ok(put) = put.send().await else {
                return;
            };
            let mut answered = answered.lock().expect("no panic");
            let (_, known) = answered
                .parts
                .entry(key.clone())
                .or_insert_with(|| (id.clone(), BTreeMap::new()));
            known.insert(part_number, crc.clone());
            parts.push(
                CompletedPart::builder()
                    .part_number(part_number)
                    .set_e_tag(put.e_tag)
                    .checksum_crc64_nvme(crc)
                    .build(),
            );
        }
        let complete = client.complete_multipart_upload().bucket(BUCKET).key(&key);
        let complete = complete
            .upload_id(&id)
            .multipart_upload(part_list(parts))
            .checksum_crc64_nvme(crc64(&whole))
            .if_none_match("*");
        if complete.send().await.is_err() {
            return;
        }
        let mut answered = answered.lock().expect("no panic");
        answered.parts.remove(&key);
        answered.objects.insert(key, (seed, size));
        answered.completed += 1;
    }
}

/// Overwrites one key, deleting it before every third version.
async fn put_versions(client: &Client, answered: &Mutex<Answered>) {
    loop {
        let version = {
            let mut answered = answered.lock().expect("no panic");
            answered.version_sent += 1;
            answered.version_sent
        };
        if version.is_multiple_of(3) {
            let delete = client.delete_object().bucket(BUCKET).key("version");
            if delete.send().await.is_err() {
                return;
            }
            answered.lock().expect("no panic").version_deleted = version;
        }
        let put = client.put_object().bucket(BUCKET).key("version");
        let body = ByteStream::from(version.to_string().into_bytes());
        if put.body(body).send().await.is_err() {
            return;
        }
        answered.lock().expect("no panic").version_answered = version;
    }
}

async fn check(client: &Client, answered: &Mutex<Answered>) {
    let answered = answered.lock().expect("no panic").clone();
    let Answered { objects, parts, .. } = &answered;
    let mut listed = BTreeMap::new();
    let mut pages = client.list_objects_v2().bucket(BUCKET).into_paginator().send();
    while let Some(page) = pages.next().await {
        for object in page.expect("a page").contents() {
            let size = object.size().unwrap_or_default();
            listed.insert(object.key().expect("a key").to_owned(), size as usize);
        }
    }
    for (key, (_, size)) in objects {
        assert_eq!(listed.get(key), Some(size), "{key} was answered");
    }
    // Of the older rounds a sample of the bytes: every object of the last round, and each seventh.
    let newest = objects
        .keys()
        .filter_map(|key| key.split('/').nth(1)?.parse::<u64>().ok())
        .max();
    for (at, (key, size)) in listed.iter().enumerate() {
        let of_newest = newest.is_some_and(|newest| key.contains(&format!("/{newest}/")));
        if key != "version" && (of_newest || at.is_multiple_of(7)) {
            check_object(client, key, *size, objects.get(key)).await;
        }
    }
    for (key, (id, known)) in parts {
        if listed.contains_key(key) {
            // Completed, but the answer was lost.
            continue;
        }
        let list = client
            .list_parts()
            .bucket(BUCKET)
            .key(key)
            .upload_id(id)
            .send()
            .await;
        let list = list.expect("the upload was answered");
        for (number, crc) in known {
            let part = list
                .parts()
                .iter()
                .find(|part| part.part_number() == Some(*number));
            let part = part.unwrap_or_else(|| panic!("part {number} of {key} was answered"));
            assert_eq!(part.checksum_crc64_nvme(), Some(crc.as_str()));
        }
    }
    check_version(client, &answered).await;
}

/// Bytes, size and checksum agree, whether or not the write was answered.
async fn check_object(client: &Client, key: &str, size: usize, known: Option<&(u64, usize)>) {
    let head = client.head_object().bucket(BUCKET).key(key);
    let head = head
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .expect("a head");
    let body = get(client, key).await;
    assert_eq!(body.len(), size, "{key}");
    assert_eq!(head.checksum_crc64_nvme(), Some(crc64(&body).as_str()), "{key}");
    if let Some((seed, size)) = known {
        assert!(body == bytes(*seed, *size), "{key} holds other bytes");
    }
}

async fn check_version(client: &Client, told: &Answered) {
    let got = client.get_object().bucket(BUCKET).key("version").send().await;
    match got {
        Ok(got) => {
            let body = got.body.collect().await.expect("bytes").to_vec();
            let version: u64 = String::from_utf8(body).expect("text").parse().expect("a number");
            let least = told.version_answered.max(told.version_deleted);
            assert!(
                (least..=told.version_sent).contains(&version),
                "{version} is stored: {least} was answered, {} sent",
                told.version_sent
            );
        }
        Err(error) => {
            assert_eq!(code::<(), _, _>(Err(error)), "NoSuchKey");
            // Right only if a delete was sent after the last version that was answered.
            let delete_sent = told.version_sent / 3 * 3;
            assert!(
                told.version_sent == 0 || delete_sent > told.version_answered,
                "version {} was answered",
                told.version_answered
            );
        }
    }
}
