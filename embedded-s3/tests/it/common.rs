//! A store to talk to, an S3 client for it, and a raw HTTP client that obeys nobody.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use embedded_s3::{EmbeddedS3, EmbeddedS3Config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const BUCKET: &str = "holdfast";
pub(crate) const ACCESS_KEY: &str = "test-access-key";
pub(crate) const SECRET_KEY: &str = "test-secret-key";
pub(crate) const MIB: usize = 1024 * 1024;
/// The smallest part but the last.
pub(crate) const PART: usize = 5 * MIB;

/// A store in this process, over a folder of its own.
pub(crate) struct TestStore {
    pub(crate) endpoint: String,
    pub(crate) client: Client,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn config(folder: &Path) -> EmbeddedS3Config {
    let mut config = EmbeddedS3Config::new(folder, ACCESS_KEY, SECRET_KEY);
    config.buckets = vec![BUCKET.to_owned()];
    config
}

pub(crate) async fn start() -> TestStore {
    start_with(|_| {}).await
}

pub(crate) async fn start_with(change: impl FnOnce(&mut EmbeddedS3Config)) -> TestStore {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = config(folder.path());
    change(&mut config);
    let endpoint = serve(EmbeddedS3::open(config).await.expect("a fresh store opens")).await;
    TestStore {
        client: client(&endpoint),
        endpoint,
        folder,
    }
}

/// Serves until the runtime of the test ends.
pub(crate) async fn serve(store: EmbeddedS3) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { store.serve(listener, std::future::pending()).await });
    format!("http://{address}")
}

pub(crate) fn client(endpoint: &str) -> Client {
    client_with(endpoint, SECRET_KEY, |builder| builder)
}

pub(crate) fn client_with(
    endpoint: &str,
    secret_key: &str,
    change: impl FnOnce(Builder) -> Builder,
) -> Client {
    let builder = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(ACCESS_KEY, secret_key, None, None, "test"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .retry_config(aws_sdk_s3::config::retry::RetryConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    Client::from_conf(change(builder).build())
}

/// Bytes that differ from part to part and never repeat within one.
pub(crate) fn bytes(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(size + 8);
    while out.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(size);
    out
}

/// CRC64NVME in S3's form.
pub(crate) fn crc64(bytes: &[u8]) -> String {
    let mut digest = crc64fast_nvme::Digest::new();
    digest.write(bytes);
    STANDARD.encode(digest.sum64().to_be_bytes())
}

/// The S3 code of a refused call.
pub(crate) fn code<T, E, R>(result: Result<T, SdkError<E, R>>) -> String
where
    E: ProvideErrorMetadata + std::fmt::Debug,
    R: std::fmt::Debug,
{
    match result {
        Ok(_) => "200".to_owned(),
        Err(SdkError::ServiceError(error)) => error.err().code().unwrap_or("no code").to_owned(),
        Err(error) => panic!("the call was not answered: {error:?}"),
    }
}

/// Starts an upload that demands CRC64NVME of every part.
pub(crate) async fn create_upload(client: &Client, key: &str) -> String {
    client
        .create_multipart_upload()
        .bucket(BUCKET)
        .key(key)
        .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
        .checksum_type(ChecksumType::FullObject)
        .send()
        .await
        .expect("an upload starts")
        .upload_id
        .expect("an upload id")
}

/// Uploads one part with its checksum and gives its entry for the complete.
pub(crate) async fn upload_part(
    client: &Client,
    key: &str,
    upload_id: &str,
    number: i32,
    body: &[u8],
) -> CompletedPart {
    let crc = crc64(body);
    let answer = client
        .upload_part()
        .bucket(BUCKET)
        .key(key)
        .upload_id(upload_id)
        .part_number(number)
        .checksum_crc64_nvme(&crc)
        .body(ByteStream::from(body.to_vec()))
        .send()
        .await
        .expect("a part is stored");
    CompletedPart::builder()
        .part_number(number)
        .set_e_tag(answer.e_tag)
        .checksum_crc64_nvme(crc)
        .build()
}

pub(crate) fn part_list(parts: Vec<CompletedPart>) -> CompletedMultipartUpload {
    CompletedMultipartUpload::builder().set_parts(Some(parts)).build()
}

pub(crate) async fn get(client: &Client, key: &str) -> Vec<u8> {
    let answer = client.get_object().bucket(BUCKET).key(key).send().await;
    let body = answer.expect("the object is there").body;
    body.collect().await.expect("the whole body").to_vec()
}

pub(crate) async fn put(client: &Client, key: &str, body: &[u8]) {
    client
        .put_object()
        .bucket(BUCKET)
        .key(key)
        .body(ByteStream::from(body.to_vec()))
        .send()
        .await
        .expect("an object is stored");
}

pub(crate) fn expires() -> PresigningConfig {
    PresigningConfig::expires_in(Duration::from_mins(10)).expect("ten minutes are allowed")
}

/// A presigned part URL as the server makes them: size and CRC64NVME are signed headers.
pub(crate) async fn presign_part(
    client: &Client,
    key: &str,
    upload_id: &str,
    number: i32,
    body: &[u8],
) -> PresignedRequest {
    client
        .upload_part()
        .bucket(BUCKET)
        .key(key)
        .upload_id(upload_id)
        .part_number(number)
        .content_length(i64::try_from(body.len()).expect("a small body"))
        .checksum_crc64_nvme(crc64(body))
        .presigned(expires())
        .await
        .expect("a part is signed")
}

/// An answer to a raw request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The code in an error's XML.
    pub(crate) fn code(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let code = text.split("<Code>").nth(1).unwrap_or_default();
        code.split("</Code>").next().unwrap_or_default().to_owned()
    }
}

/// Sends exactly these headers and bytes; `content-length` only if it is among the headers.
pub(crate) async fn raw(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let rest = url.strip_prefix("http://").expect("a plain http url");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut head = format!("{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("\r\n");
    let mut stream = TcpStream::connect(host).await.expect("the store listens");
    stream.write_all(head.as_bytes()).await.expect("the head is sent");
    // A refusal may come, and the connection close, before all of the body is out.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    parse(&answer)
}

/// Sends a presigned request with its signed headers, and `body`.
pub(crate) async fn send(signed: &PresignedRequest, body: &[u8]) -> Answer {
    send_changed(signed, body, |_| {}).await
}

/// The same with the headers changed before they are sent.
pub(crate) async fn send_changed(
    signed: &PresignedRequest,
    body: &[u8],
    change: impl FnOnce(&mut Vec<(String, String)>),
) -> Answer {
    let mut headers: Vec<(String, String)> = signed
        .headers()
        .filter(|(name, _)| *name != "host" && *name != "content-length")
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    headers.push(("content-length".to_owned(), body.len().to_string()));
    change(&mut headers);
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    raw(signed.method(), signed.uri(), &headers, body).await
}

fn parse(answer: &[u8]) -> Answer {
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(answer)));
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Answer {
        status: status.and_then(|status| status.parse().ok()).expect("a status"),
        headers,
        body: answer[end + 4..].to_vec(),
    }
}
