//! The trait against the embedded store: every call, and every answer that must not be believed.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use embedded_s3::{EmbeddedS3, EmbeddedS3Config};
use tempfile::TempDir;
use tokio::net::TcpListener;
use upload_protocol::{Crc64Nvme, Crc64NvmeCombiner, MultipartUploadId, PartNumber};
use upload_storage::{
    CompleteMultipart, Credentials, ListedPart, NewObject, ObjectStorage as _, PartToSign, Retry, S3Storage,
    S3StorageConfig, SharedCredentialsProvider, SignedPut, StorageError, StoreProfile,
};

const MIB: usize = 1 << 20;
const LIFETIME: Duration = Duration::from_mins(10);

struct Store {
    storage: S3Storage,
    http: reqwest::Client,
    _folder: TempDir,
}

impl Store {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = EmbeddedS3Config::new(folder.path(), "access", "secret");
        config.buckets = vec!["bucket".to_owned()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let store = EmbeddedS3::open(config).await.unwrap();
        tokio::spawn(async move { store.serve(listener, std::future::pending()).await });
        Self {
            storage: connect(&format!("http://{address}"), "bucket").await,
            http: reqwest::Client::new(),
            _folder: folder,
        }
    }

    async fn put(&self, signed: &SignedPut, bytes: &[u8]) -> u16 {
        let mut request = self.http.put(signed.url.expose()).body(bytes.to_vec());
        for header in &signed.headers {
            request = request.header(&header.name, &header.value);
        }
        request.send().await.unwrap().status().as_u16()
    }

    async fn put_parts(&self, key: &str, id: &MultipartUploadId, parts: &[&[u8]]) {
        let to_sign: Vec<PartToSign> = parts.iter().zip(1..).map(|(bytes, n)| part(n, bytes)).collect();
        let signed = self
            .storage
            .presign_parts(SystemTime::now(), LIFETIME, key, id, &to_sign)
            .await;
        for (signed, bytes) in signed.unwrap().iter().zip(parts) {
            assert_eq!(self.put(signed, bytes).await, 200);
        }
    }
}

async fn connect(endpoint: &str, bucket: &str) -> S3Storage {
    connect_as(StoreProfile::Embedded, endpoint, bucket).await
}

async fn connect_as(profile: StoreProfile, endpoint: &str, bucket: &str) -> S3Storage {
    let mut config = S3StorageConfig::new(bucket);
    config.endpoint = Some(endpoint.to_owned());
    config.region = Some("us-east-1".to_owned());
    config.capabilities = profile.capabilities();
    let credentials = Credentials::new("access", "secret", None, None, "test");
    config.credentials = Some(SharedCredentialsProvider::new(credentials));
    S3Storage::connect(config).await.unwrap()
}

fn object(key: &str) -> NewObject {
    NewObject {
        key: key.to_owned(),
        content_type: "video/mp4".to_owned(),
        content_disposition: "attachment; filename=\"a b.mp4\"".to_owned(),
        metadata: BTreeMap::from([("album".to_owned(), "summer 26".to_owned())]),
        checksum: true,
    }
}

fn part(number: u32, bytes: &[u8]) -> PartToSign {
    PartToSign {
        part_number: PartNumber::new(number).unwrap(),
        size_bytes: bytes.len() as u64,
        checksum_crc64nvme: Some(crc(bytes)),
    }
}

fn crc(bytes: &[u8]) -> Crc64Nvme {
    let mut digest = crc64fast_nvme::Digest::new();
    digest.write(bytes);
    Crc64Nvme(digest.sum64())
}

fn whole<'a>(key: &'a str, id: &'a MultipartUploadId, parts: &'a [ListedPart]) -> CompleteMultipart<'a> {
    let mut combiner = Crc64NvmeCombiner::default();
    for part in parts {
        combiner.append(part.checksum_crc64nvme.unwrap(), part.size_bytes);
    }
    CompleteMultipart {
        key,
        upload_id: id,
        parts,
        size_bytes: combiner.size_bytes(),
        checksum_crc64nvme: Some(combiner.crc()),
    }
}

#[tokio::test]
async fn key_with_emoji_spaces_and_signs_is_written_by_signed_urls_and_found_again() {
    let store = Store::start().await;
    for key in [
        "plain",
        "a b/c+d~e.txt",
        "é 😀 (1) 'q' *!@$,;:=?#%&.mov",
        "日本語/файл.txt",
        "a//b",
    ] {
        let signed = store
            .storage
            .presign_single(SystemTime::now(), LIFETIME, &object(key), &part(1, b"abc"))
            .await
            .unwrap();
        assert_eq!(store.put(&signed, b"abc").await, 200, "{key}");
        assert_eq!(store.put(&signed, b"abc").await, 412, "{key} was overwritten");
        let found = store.storage.head(key).await.unwrap().unwrap();
        assert!(found.is(3, Some(crc(b"abc"))), "{key}: {found:?}");
        store.storage.delete(key).await.unwrap();
        store.storage.delete(key).await.unwrap();
        assert_eq!(store.storage.head(key).await.unwrap(), None);
    }
}

#[tokio::test]
async fn multipart_upload_completes_once_and_answers_the_same_when_repeated() {
    let store = Store::start().await;
    let (key, first, last) = ("k/😀", vec![7; 5 * MIB], b"end");
    let id = store.storage.create_multipart(&object(key)).await.unwrap();
    assert_eq!(
        store.storage.find_multipart(key).await.unwrap(),
        std::slice::from_ref(&id)
    );
    assert!(
        store.storage.find_multipart("k").await.unwrap().is_empty(),
        "a prefix is not the key"
    );
    store.put_parts(key, &id, &[&first, last]).await;
    let parts = store.storage.list_parts(key, &id).await.unwrap();
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[1].checksum_crc64nvme, Some(crc(last)));
    let request = whole(key, &id, &parts);
    let object = store.storage.complete(request).await.unwrap();
    assert!(object.is(request.size_bytes, request.checksum_crc64nvme));
    assert_eq!(store.storage.complete(request).await.unwrap(), object);
    assert_eq!(
        store.storage.list_parts(key, &id).await,
        Err(StorageError::NoSuchUpload)
    );
}

#[tokio::test]
async fn complete_with_a_wrong_checksum_or_part_makes_no_object() {
    let store = Store::start().await;
    let key = "wrong";
    let id = store.storage.create_multipart(&object(key)).await.unwrap();
    store.put_parts(key, &id, &[b"abc"]).await;
    let parts = store.storage.list_parts(key, &id).await.unwrap();
    let mut request = whole(key, &id, &parts);
    request.checksum_crc64nvme = Some(Crc64Nvme(1));
    let error = store.storage.complete(request).await.unwrap_err();
    assert!(
        matches!(error, StorageError::ChecksumMismatch { .. }),
        "{error:?}"
    );
    let mut other = parts.clone();
    other[0].etag = "\"00000000000000000000000000000000\"".to_owned();
    let error = store.storage.complete(whole(key, &id, &other)).await.unwrap_err();
    assert!(matches!(error, StorageError::PartsChanged { .. }), "{error:?}");
    assert_eq!(store.storage.head(key).await.unwrap(), None);
    store.storage.complete(whole(key, &id, &parts)).await.unwrap();
}

#[tokio::test]
async fn complete_with_a_wrong_size_makes_no_object_and_may_be_repeated_rightly() {
    let store = Store::start().await;
    let key = "size";
    let id = store.storage.create_multipart(&object(key)).await.unwrap();
    store.put_parts(key, &id, &[b"abc"]).await;
    let parts = store.storage.list_parts(key, &id).await.unwrap();
    let mut request = whole(key, &id, &parts);
    request.size_bytes += 1;
    let error = store.storage.complete(request).await.unwrap_err();
    assert!(error.to_string().contains("x-amz-mp-object-size"), "{error}");
    assert_eq!(error.retry(), Retry::AfterBackoff);
    assert_eq!(store.storage.head(key).await.unwrap(), None);
    store.storage.complete(whole(key, &id, &parts)).await.unwrap();
}

#[tokio::test]
async fn store_declared_without_checksums_is_sent_none_and_believed_none() {
    let store = Store::start().await;
    let origin = store.storage.public_origin();
    let plain = connect_as(StoreProfile::Garage, &origin, "bucket").await;
    let id = plain.create_multipart(&object("plain")).await.unwrap();
    let signed = plain
        .presign_parts(SystemTime::now(), LIFETIME, "plain", &id, &[part(1, b"abc")])
        .await
        .unwrap();
    assert!(signed[0].headers.is_empty(), "{:?}", signed[0].headers);
    assert_eq!(store.put(&signed[0], b"abd").await, 200);
    let parts = plain.list_parts("plain", &id).await.unwrap();
    assert_eq!(parts[0].checksum_crc64nvme, None);
    let request = CompleteMultipart {
        key: "plain",
        upload_id: &id,
        parts: &parts,
        size_bytes: 3,
        checksum_crc64nvme: None,
    };
    let completed = plain.complete(request).await.unwrap();
    assert_eq!((completed.size_bytes, completed.checksum_crc64nvme), (3, None));
    assert_eq!(plain.complete(request).await.unwrap(), completed);
}

#[tokio::test]
async fn complete_of_an_upload_that_is_gone_says_so_and_of_a_taken_key_too() {
    let store = Store::start().await;
    let key = "gone";
    let id = store.storage.create_multipart(&object(key)).await.unwrap();
    store.put_parts(key, &id, &[b"abc"]).await;
    let parts = store.storage.list_parts(key, &id).await.unwrap();
    let request = whole(key, &id, &parts);
    let signed = store
        .storage
        .presign_single(SystemTime::now(), LIFETIME, &object(key), &part(1, b"other"))
        .await;
    assert_eq!(store.put(&signed.unwrap(), b"other").await, 200);
    let error = store.storage.complete(request).await.unwrap_err();
    assert!(
        matches!(
            error,
            StorageError::KeyTaken {
                found_size_bytes: 5,
                ..
            }
        ),
        "{error:?}"
    );
    store.storage.delete(key).await.unwrap();
    store.storage.abort(key, &id).await.unwrap();
    store.storage.abort(key, &id).await.unwrap();
    assert_eq!(
        store.storage.complete(request).await,
        Err(StorageError::NoSuchUpload)
    );
    assert!(store.storage.find_multipart(key).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn list_of_more_than_a_thousand_parts_is_read_over_all_pages() {
    let store = Store::start().await;
    let key = "many";
    let id = store.storage.create_multipart(&object(key)).await.unwrap();
    let bytes: Vec<Vec<u8>> = (0..1003_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    let slices: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
    store.put_parts(key, &id, &slices).await;
    let parts = store.storage.list_parts(key, &id).await.unwrap();
    let numbers: Vec<u32> = parts.iter().map(|part| part.part_number.value()).collect();
    assert_eq!(numbers, (1..=1003).collect::<Vec<_>>());
}

#[tokio::test]
async fn expired_url_is_refused() {
    let store = Store::start().await;
    let past = SystemTime::now() - Duration::from_mins(2);
    let lifetime = Duration::from_mins(1);
    let signed = store
        .storage
        .presign_single(past, lifetime, &object("late"), &part(1, b"abc"))
        .await;
    assert_eq!(store.put(&signed.unwrap(), b"abc").await, 403);
}

#[tokio::test]
async fn missing_bucket_and_unreachable_store_are_errors_to_wait_for() {
    let store = Store::start().await;
    store.storage.ready().await.unwrap();
    let origin = store.storage.public_origin();
    let elsewhere = connect(&origin, "no-such-bucket").await;
    let error = elsewhere.ready().await.unwrap_err();
    assert!(
        matches!(error, StorageError::Refused { status: 404, .. }),
        "{error:?}"
    );
    let down = connect("http://127.0.0.1:1", "bucket").await;
    let error = down.head("k").await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::AfterBackoff);
}
