//! Answers to a complete that no real store gives on demand, and what each store is asked for.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use upload_protocol::{Crc64Nvme, MultipartUploadId, PartNumber};
use upload_storage::{
    CompleteMultipart, Credentials, ListedPart, ObjectStorage as _, Retry, S3Storage, S3StorageConfig,
    SharedCredentialsProvider, StorageError, StoreProfile, StoredObject,
};

/// CRC64NVME and size of the only object there ever is here.
const WHOLE: StoredObject = StoredObject {
    size_bytes: 3,
    checksum_crc64nvme: Some(Crc64Nvme(7)),
};

const SUCCESS: &str = "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>";

/// A store that answers every complete with the same body under a 200, and every HEAD with the object
/// or a 404.
struct Scripted {
    storage: S3Storage,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    async fn start(profile: StoreProfile, complete: &str, object_is_there: bool) -> Self {
        let answer = ok(complete);
        Self::start_raw(profile, answer, object_is_there).await
    }

    async fn start_raw(profile: StoreProfile, complete: String, object_is_there: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = S3StorageConfig::new("bucket");
        config.endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
        config.region = Some("us-east-1".to_owned());
        config.capabilities = profile.capabilities();
        let credentials = Credentials::new("access", "secret", None, None, "test");
        config.credentials = Some(SharedCredentialsProvider::new(credentials));
        let head = if object_is_there {
            format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nx-amz-checksum-crc64nvme: {}\r\nconnection: close\r\n\r\n",
                WHOLE.size_bytes,
                Crc64Nvme(7).to_base64()
            )
        } else {
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
        };
        let heads = Arc::new(Mutex::new(Vec::new()));
        let log = heads.clone();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let answers = [head.clone(), complete.clone()];
                tokio::spawn(answer(socket, answers, log.clone()));
            }
        });
        Self {
            storage: S3Storage::connect(config).await.unwrap(),
            heads,
        }
    }

    async fn complete(&self) -> Result<StoredObject, StorageError> {
        let parts = [ListedPart {
            part_number: PartNumber::FIRST,
            size_bytes: 3,
            etag: "\"x\"".to_owned(),
            checksum_crc64nvme: WHOLE.checksum_crc64nvme,
        }];
        let upload_id = MultipartUploadId("u".to_owned());
        let request = CompleteMultipart {
            key: "k",
            upload_id: &upload_id,
            parts: &parts,
            size_bytes: WHOLE.size_bytes,
            checksum_crc64nvme: WHOLE.checksum_crc64nvme,
        };
        self.storage.complete(request).await
    }

    /// The head of the first complete, in lower case.
    fn complete_head(&self) -> String {
        let heads = self.heads.lock().unwrap();
        heads
            .iter()
            .find(|head| head.starts_with("post "))
            .unwrap()
            .clone()
    }
}

async fn answer(mut socket: TcpStream, [head, complete]: [String; 2], log: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    let end = loop {
        if socket.read_buf(&mut request).await.unwrap() == 0 {
            return;
        }
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
    };
    let request_head = String::from_utf8_lossy(&request[..end]).to_lowercase();
    let length: usize = request_head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    while request.len() < end + 4 + length {
        socket.read_buf(&mut request).await.unwrap();
    }
    let answer = if request_head.starts_with("head") {
        head
    } else {
        complete
    };
    log.lock().unwrap().push(request_head);
    socket.write_all(answer.as_bytes()).await.unwrap();
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn error(code: &str) -> String {
    // Amazon keeps the connection alive with white space while it works, and tells the end afterwards.
    format!("<?xml version=\"1.0\"?>\n   \n<Error><Code>{code}</Code><Message>its words</Message></Error>")
}

#[tokio::test]
async fn error_inside_a_200_is_an_error_by_its_code() {
    let complete = async |code| {
        let store = Scripted::start(StoreProfile::Aws, &error(code), false).await;
        store.complete().await.unwrap_err()
    };
    for code in ["InternalError", "SlowDown", "AccessDenied", "NobodyKnowsIt"] {
        let error = complete(code).await;
        assert_eq!(error.retry(), Retry::AfterBackoff, "{error:?}");
        assert!(error.to_string().contains(code), "{error}");
    }
    assert!(matches!(
        complete("BadDigest").await,
        StorageError::ChecksumMismatch { .. }
    ));
    assert!(matches!(
        complete("InvalidPart").await,
        StorageError::PartsChanged { .. }
    ));
    assert_eq!(complete("NoSuchUpload").await, StorageError::NoSuchUpload);
}

#[tokio::test]
async fn error_inside_a_200_is_settled_by_the_object_that_is_there() {
    for code in ["InternalError", "NoSuchUpload", "PreconditionFailed"] {
        let store = Scripted::start(StoreProfile::Aws, &error(code), true).await;
        assert_eq!(store.complete().await.unwrap(), WHOLE, "{code}");
    }
}

#[tokio::test]
async fn success_without_an_object_is_never_a_success() {
    for body in [SUCCESS, "", "<html>a proxy's own page</html>"] {
        let store = Scripted::start(StoreProfile::Aws, body, false).await;
        let error = store.complete().await.unwrap_err();
        assert!(
            matches!(error, StorageError::Unavailable { .. }),
            "{body}: {error:?}"
        );
    }
}

#[tokio::test]
async fn answer_that_breaks_off_is_settled_by_what_is_there() {
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\nconnection: close\r\n\r\n<?xml version=\"1.0\"?>";
    let store = Scripted::start_raw(StoreProfile::Aws, broken.to_owned(), true).await;
    assert_eq!(store.complete().await.unwrap(), WHOLE);
    let store = Scripted::start_raw(StoreProfile::Aws, broken.to_owned(), false).await;
    assert_eq!(store.complete().await.unwrap_err().retry(), Retry::AfterBackoff);
}

#[tokio::test]
async fn each_store_is_asked_only_for_what_it_is_declared_to_do() {
    for profile in StoreProfile::all() {
        let store = Scripted::start(profile, SUCCESS, true).await;
        let completed = store.complete().await.unwrap();
        let can = profile.capabilities();
        let head = store.complete_head();
        for (header, expected) in [
            ("\r\nif-none-match: *", can.conditional_write),
            ("\r\nx-amz-mp-object-size: 3", can.object_size),
            ("\r\nx-amz-checksum-crc64nvme: ", can.checksum),
            ("\r\nx-amz-checksum-type: full_object", can.checksum),
        ] {
            assert_eq!(head.contains(header), expected, "{profile}: {header} in {head}");
        }
        assert_eq!(completed.checksum_crc64nvme.is_some(), can.checksum, "{profile}");
    }
}
