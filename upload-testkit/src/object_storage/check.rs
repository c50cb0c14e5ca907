//! What the checks share: a store, a client that sends as browsers do, and uploads of small parts.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use upload_protocol::{Crc64Nvme, Crc64NvmeCombiner, MultipartUploadId, PartNumber};
use upload_storage::{
    Capabilities, CompleteMultipart, ListedPart, NewObject, ObjectStorage, PartToSign, SignedPut,
};
use uuid::Uuid;

/// Smallest part but the last, 5 MiB at S3.
pub(super) const PART_BYTES: usize = 5 << 20;

/// How long the URLs of the checks live.
pub(super) const LIFETIME: Duration = Duration::from_mins(10);

/// Header of a part's checksum.
pub(super) const CHECKSUM_HEADER: &str = "x-amz-checksum-crc64nvme";

/// A store under check.
#[derive(Debug)]
pub(super) struct Check<'a> {
    pub(super) storage: &'a dyn ObjectStorage,
    pub(super) can: Capabilities,
    http: reqwest::Client,
    /// Own for each run, so that a bucket with other things in it will do.
    folder: String,
}

impl<'a> Check<'a> {
    pub(super) fn new(storage: &'a dyn ObjectStorage) -> Self {
        Self {
            storage,
            can: storage.capabilities(),
            http: reqwest::Client::new(),
            folder: format!("conformance/{}", Uuid::new_v4()),
        }
    }

    /// A key of this run.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// PUTs bytes to a signed URL as a browser would; answers the status.
    pub(super) async fn put(&self, signed: &SignedPut, bytes: &[u8]) -> u16 {
        let headers = signed
            .headers
            .iter()
            .map(|header| (header.name.as_str(), header.value.as_str()));
        let headers: Vec<_> = headers.collect();
        self.put_raw(signed.url.expose(), &headers, bytes).await
    }

    /// PUTs with these headers and no others, beside what HTTP needs.
    pub(super) async fn put_raw(&self, url: &str, headers: &[(&str, &str)], bytes: &[u8]) -> u16 {
        // A browser sends the length of an empty body too; this client leaves it out.
        let mut request = self.http.put(url).header("content-length", bytes.len());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.body(bytes.to_vec()).send().await;
        let response = response.unwrap_or_else(|error| panic!("no answer to a PUT: {error:?}"));
        response.status().as_u16()
    }

    pub(super) async fn start(&self, key: &str) -> MultipartUploadId {
        self.storage
            .create_multipart(&object(key))
            .await
            .unwrap_or_else(|error| panic!("create of {key}: {error}"))
    }

    pub(super) async fn sign(
        &self,
        key: &str,
        id: &MultipartUploadId,
        parts: &[PartToSign],
    ) -> Vec<SignedPut> {
        let signed = self
            .storage
            .presign_parts(SystemTime::now(), LIFETIME, key, id, parts)
            .await
            .expect("presign_parts");
        assert_eq!(signed.len(), parts.len(), "one URL a part");
        signed
    }

    /// Signs and sends these as parts 1, 2, …
    pub(super) async fn send(&self, key: &str, id: &MultipartUploadId, parts: &[&[u8]]) {
        let to_sign: Vec<_> = (1..)
            .zip(parts)
            .map(|(number, bytes)| part(number, bytes))
            .collect();
        for (signed, bytes) in self.sign(key, id, &to_sign).await.iter().zip(parts) {
            let status = self.put(signed, bytes).await;
            assert_eq!(status, 200, "{key}: a part of {} bytes", bytes.len());
        }
    }

    pub(super) async fn list(&self, key: &str, id: &MultipartUploadId) -> Vec<ListedPart> {
        self.storage.list_parts(key, id).await.expect("list_parts")
    }

    /// An upload whose parts are all there.
    pub(super) async fn sent(&self, name: &str, parts: &[&[u8]]) -> Sent {
        let key = self.key(name);
        let id = self.start(&key).await;
        self.send(&key, &id, parts).await;
        let parts = self.list(&key, &id).await;
        Sent { key, id, parts }
    }

    /// Asserts that there is no object.
    pub(super) async fn assert_no_object(&self, key: &str, after: &str) {
        let found = self.storage.head(key).await.expect("head");
        assert_eq!(found, None, "an object is at {key} after {after}");
    }

    /// Asserts that exactly this is the object, then deletes it.
    pub(super) async fn assert_object_and_delete(&self, key: &str, bytes: &[u8]) {
        let found = self.storage.head(key).await.expect("head");
        let found = found.unwrap_or_else(|| panic!("no object at {key}"));
        assert!(
            found.is(bytes.len() as u64, self.checksum_of(bytes)),
            "{key}: {found:?}"
        );
        self.storage.delete(key).await.expect("delete");
        self.assert_no_object(key, "its deletion").await;
    }

    /// What the store is to say of these bytes.
    pub(super) fn checksum_of(&self, bytes: &[u8]) -> Option<Crc64Nvme> {
        self.can.checksum.then(|| crc(bytes))
    }
}

/// An upload with its parts as the store lists them.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) key: String,
    pub(super) id: MultipartUploadId,
    pub(super) parts: Vec<ListedPart>,
}

impl Sent {
    /// What completes it.
    pub(super) fn whole(&self) -> CompleteMultipart<'_> {
        let mut combiner = Crc64NvmeCombiner::default();
        for part in &self.parts {
            combiner.append(
                part.checksum_crc64nvme.unwrap_or(Crc64Nvme::EMPTY),
                part.size_bytes,
            );
        }
        let checked = self.parts.iter().all(|part| part.checksum_crc64nvme.is_some());
        CompleteMultipart {
            key: &self.key,
            upload_id: &self.id,
            parts: &self.parts,
            size_bytes: combiner.size_bytes(),
            checksum_crc64nvme: checked.then(|| combiner.crc()),
        }
    }
}

pub(super) fn object(key: &str) -> NewObject {
    NewObject {
        key: key.to_owned(),
        content_type: "video/mp4".to_owned(),
        content_disposition: "attachment; filename=\"a b.mp4\"".to_owned(),
        metadata: BTreeMap::from([("album".to_owned(), "summer 26".to_owned())]),
        checksum: true,
    }
}

pub(super) fn part(number: u32, bytes: &[u8]) -> PartToSign {
    PartToSign {
        part_number: PartNumber::new(number).expect("a part number"),
        size_bytes: bytes.len() as u64,
        checksum_crc64nvme: Some(crc(bytes)),
    }
}

pub(super) fn crc(bytes: &[u8]) -> Crc64Nvme {
    let mut digest = crc64fast_nvme::Digest::new();
    digest.write(bytes);
    Crc64Nvme(digest.sum64())
}

/// Asserts the status of a PUT that the store must not take.
#[track_caller]
pub(super) fn assert_refused(status: u16, what: &str) {
    assert!((400..500).contains(&status), "{what}: answered {status}");
}

/// So many bytes, others for each seed.
pub(super) fn bytes(seed: u8, size_bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed.into());
    std::iter::repeat_with(|| random.u8(..))
        .take(size_bytes)
        .collect()
}
