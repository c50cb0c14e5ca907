//! Sending a part from here: signed as for a client, for the endpoint that this process reaches.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, ETAG};
use reqwest::redirect::Policy;
use reqwest::{Body, Client, Response, StatusCode};

use super::errors::{from_code, shortened};
use super::exact::{ExactSource, Watch};
use super::{S3Storage, without_checksum};
use crate::address::BucketAddress;
use crate::error::StorageError;
use crate::object_storage::{NewObject, ObjectStorage as _, PartStream, PartToSign, PutTarget, SignedPut};
use crate::signing::{sign_object, sign_parts};

/// How long a connection to the store may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the store may take no byte, or not answer after the last one.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// How long a URL signed for this process lives: it is used at once.
const LIFETIME: Duration = Duration::from_mins(5);

/// Longest answer that is read: an error is some hundred bytes.
const ANSWER_LENGTH_BYTES_MAX: usize = 64 * 1024;

/// Sends parts to a bucket.
#[derive(Debug)]
pub(super) struct PartSender {
    address: BucketAddress,
    /// Why there is no client, where TLS could not be set up: everything else works without.
    client: Result<Client, String>,
}

impl PartSender {
    pub(super) fn new(address: BucketAddress) -> Self {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .build();
        let client = client.map_err(|error| error.to_string());
        Self { address, client }
    }
}

impl S3Storage {
    pub(super) async fn send_part(
        &self,
        now: SystemTime,
        target: PutTarget<'_>,
        part: &PartToSign,
        source: PartStream,
    ) -> Result<Option<String>, StorageError> {
        let (action, signed) = self.sign_for_here(now, target, part).await?;
        let mut source = ExactSource::new(*part, source);
        let watch = source.watch();
        let body = if part.size_bytes == 0 {
            // Nothing can be held back of no bytes: they are checked before.
            source.next().await?;
            Body::from(Bytes::new())
        } else {
            Body::wrap_stream(source.into_stream())
        };
        let answer = self.send(action, &signed, part.size_bytes, body, &watch).await;
        let answer = match watch.take_fault() {
            Some(fault) => return Err(fault),
            None => answer?,
        };
        match (answer.status(), target) {
            (StatusCode::PRECONDITION_FAILED, PutTarget::Object(object)) => {
                self.settle_taken(object, part).await
            }
            _ => read_answer(action, answer).await,
        }
    }

    async fn sign_for_here(
        &self,
        now: SystemTime,
        target: PutTarget<'_>,
        part: &PartToSign,
    ) -> Result<(&'static str, SignedPut), StorageError> {
        let context = self.signing.at(now).await?;
        let address = &self.sender.address;
        let part = if self.capabilities.checksum {
            *part
        } else {
            without_checksum(part)
        };
        match target {
            PutTarget::Part { key, upload_id } => {
                let signed = sign_parts(&context, address, now, LIFETIME, key, upload_id, &[part])?;
                let signed = signed.into_iter().next();
                let signed = signed.ok_or_else(|| unavailable("UploadPart", "nothing was signed"))?;
                Ok(("UploadPart", signed))
            }
            PutTarget::Object(object) => {
                let signed = sign_object(&context, address, now, LIFETIME, object, &part)?;
                Ok(("PutObject", signed))
            }
        }
    }

    async fn send(
        &self,
        action: &'static str,
        signed: &SignedPut,
        size_bytes: u64,
        body: Body,
        watch: &Watch,
    ) -> Result<Response, StorageError> {
        let client = self.sender.client.as_ref();
        let client = client.map_err(|message| unavailable(action, message))?;
        let mut request = client
            .put(signed.url.expose())
            .header(CONTENT_LENGTH, size_bytes)
            .body(body);
        for header in &signed.headers {
            request = request.header(&header.name, &header.value);
        }
        let sending = request.send();
        tokio::pin!(sending);
        let mut before = None;
        loop {
            tokio::select! {
                answer = &mut sending => return answer.map_err(|error| {
                    // Its text would hold the signed URL.
                    unavailable(action, &with_causes(&error.without_url()))
                }),
                () = tokio::time::sleep(IDLE_TIMEOUT) => {
                    let mark = watch.mark();
                    if mark.is_some() && mark == before {
                        let seconds = IDLE_TIMEOUT.as_secs();
                        return Err(unavailable(action, &format!("no byte was taken for {seconds} s")));
                    }
                    before = mark;
                }
            }
        }
    }

    /// Something is at the key already: it may be this very object, whose answer was lost.
    async fn settle_taken(
        &self,
        object: &NewObject,
        part: &PartToSign,
    ) -> Result<Option<String>, StorageError> {
        match self.head(&object.key).await? {
            Some(found) if found.is(part.size_bytes, part.checksum_crc64nvme) => Ok(None),
            Some(found) => Err(StorageError::KeyTaken {
                found_size_bytes: found.size_bytes,
                expected_size_bytes: part.size_bytes,
            }),
            None => Err(unavailable("PutObject", "the key was taken and is free again")),
        }
    }
}

async fn read_answer(action: &'static str, answer: Response) -> Result<Option<String>, StorageError> {
    let status = answer.status();
    let etag = answer.headers().get(ETAG).and_then(|value| value.to_str().ok());
    let etag = etag.map(str::to_owned);
    let text = tokio::time::timeout(IDLE_TIMEOUT, read_text(answer)).await;
    let text = text.unwrap_or_default();
    // A success has no body; an error inside a 200 is no success.
    if status.is_success() && !text.contains("<Error>") {
        return Ok(etag);
    }
    let code = element(&text, "Code");
    Err(from_code(
        action,
        status.as_u16(),
        code,
        element(&text, "Message"),
    ))
}

/// The answer's first bytes; a broken one is as good as none, since its status is known.
async fn read_text(mut answer: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await {
        bytes.extend_from_slice(&piece);
        if bytes.len() >= ANSWER_LENGTH_BYTES_MAX {
            bytes.truncate(ANSWER_LENGTH_BYTES_MAX);
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Text of an element without children, or nothing.
fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let inner = xml.split_once(&format!("<{name}>")).map(|(_, rest)| rest);
    let inner = inner.and_then(|rest| rest.split_once(&format!("</{name}>")));
    inner.map_or("", |(text, _)| text)
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn unavailable(action: &'static str, message: &str) -> StorageError {
    StorageError::Unavailable {
        action,
        message: shortened(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_message_are_read_from_an_error_and_nothing_from_other_text() {
        let xml = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>later</Message></Error>";
        assert_eq!(
            (element(xml, "Code"), element(xml, "Message")),
            ("SlowDown", "later")
        );
        for text in ["", "<Code>", "</Code><Code>", "<html>"] {
            assert_eq!(element(text, "Code"), "");
        }
    }
}
