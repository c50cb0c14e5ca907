//! A stream that yields exactly the declared bytes, or fails before its last one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use crc64fast_nvme::Digest;
use futures::stream::{self, Stream, StreamExt as _};
use upload_protocol::Crc64Nvme;

use crate::error::StorageError;
use crate::object_storage::{PartStream, PartToSign};

/// Counts and hashes what passes, one piece behind its source: the last piece leaves only when all of
/// them are what was declared. A store that has every byte but those has no part.
pub(super) struct ExactSource {
    declared: PartToSign,
    source: PartStream,
    digest: Digest,
    seen_bytes: u64,
    held: Bytes,
    watch: Arc<Watch>,
}

/// What is known of a stream from outside while it is being read.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// It waits for its source.
    waiting: AtomicBool,
    /// Pieces that came.
    pieces: AtomicU64,
    /// Why it failed.
    fault: Mutex<Option<StorageError>>,
}

impl Watch {
    /// A mark that moves while pieces come; `None` while the source is what is waited for.
    pub(super) fn mark(&self) -> Option<u64> {
        let pieces = self.pieces.load(Ordering::Acquire);
        (!self.waiting.load(Ordering::Acquire)).then_some(pieces)
    }

    pub(super) fn take_fault(&self) -> Option<StorageError> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fail(&self, error: StorageError) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

impl ExactSource {
    pub(super) fn new(declared: PartToSign, source: PartStream) -> Self {
        Self {
            declared,
            source,
            digest: Digest::new(),
            seen_bytes: 0,
            held: Bytes::new(),
            watch: Arc::default(),
        }
    }

    pub(super) fn watch(&self) -> Arc<Watch> {
        self.watch.clone()
    }

    /// The next piece that may leave; `None` after the last one.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        loop {
            self.watch.waiting.store(true, Ordering::Release);
            let piece = self.source.next().await;
            self.watch.waiting.store(false, Ordering::Release);
            self.watch.pieces.fetch_add(1, Ordering::AcqRel);
            match piece {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    let ready = self.accept(piece)?;
                    if !ready.is_empty() {
                        return Ok(Some(ready));
                    }
                }
                Some(Err(error)) => {
                    let message = error.message;
                    return Err(StorageError::Source { message });
                }
                None => {
                    self.check_whole()?;
                    let last = std::mem::take(&mut self.held);
                    return Ok((!last.is_empty()).then_some(last));
                }
            }
        }
    }

    /// The stream as a body. What it failed of is in the [`Watch`].
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, StorageError>> + Send + 'static {
        stream::try_unfold(self, |mut source| async move {
            match source.next().await {
                Ok(piece) => Ok(piece.map(|piece| (piece, source))),
                Err(error) => {
                    source.watch.fail(error.clone());
                    Err(error)
                }
            }
        })
    }

    fn accept(&mut self, piece: Bytes) -> Result<Bytes, StorageError> {
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.seen_bytes = self.seen_bytes.saturating_add(length);
        if self.seen_bytes > self.declared.size_bytes {
            let more = format!("at least {}", self.seen_bytes);
            return Err(self.other_size(&more));
        }
        self.digest.write(&piece);
        Ok(std::mem::replace(&mut self.held, piece))
    }

    fn check_whole(&self) -> Result<(), StorageError> {
        if self.seen_bytes != self.declared.size_bytes {
            return Err(self.other_size(&self.seen_bytes.to_string()));
        }
        let found = Crc64Nvme(self.digest.sum64());
        match self.declared.checksum_crc64nvme {
            Some(expected) if expected != found => Err(StorageError::ChecksumMismatch {
                message: format!(
                    "part {} has checksum {found} where {expected} was declared",
                    self.declared.part_number
                ),
            }),
            _ => Ok(()),
        }
    }

    fn other_size(&self, seen: &str) -> StorageError {
        StorageError::SizeMismatch {
            message: format!(
                "part {} is {seen} bytes where {} were declared",
                self.declared.part_number, self.declared.size_bytes
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt as _;
    use upload_protocol::PartNumber;

    use super::*;
    use crate::object_storage::SourceError;

    fn crc(bytes: &[u8]) -> Crc64Nvme {
        let mut digest = Digest::new();
        digest.write(bytes);
        Crc64Nvme(digest.sum64())
    }

    fn source(declared: &str, pieces: &[&'static str]) -> ExactSource {
        let part = PartToSign {
            part_number: PartNumber::FIRST,
            size_bytes: declared.len() as u64,
            checksum_crc64nvme: Some(crc(declared.as_bytes())),
        };
        let pieces: Vec<Result<Bytes, SourceError>> = pieces
            .iter()
            .map(|piece| Ok(Bytes::from_static(piece.as_bytes())))
            .collect();
        ExactSource::new(part, Box::pin(stream::iter(pieces)))
    }

    /// What left before the end or the failure, and the failure.
    async fn read(mut source: ExactSource) -> (String, Option<StorageError>) {
        let mut left = String::new();
        loop {
            match source.next().await {
                Ok(Some(piece)) => left.push_str(std::str::from_utf8(&piece).unwrap()),
                Ok(None) => return (left, None),
                Err(error) => return (left, Some(error)),
            }
        }
    }

    #[tokio::test]
    async fn declared_bytes_pass_in_any_pieces() {
        let cases: [&[&str]; 3] = [&["abcdef"], &["a", "", "bcde", "f", ""], &["abc", "def"]];
        for pieces in cases {
            assert_eq!(read(source("abcdef", pieces)).await, ("abcdef".to_owned(), None));
        }
        assert_eq!(read(source("", &[])).await, (String::new(), None));
        assert_eq!(read(source("", &[""])).await, (String::new(), None));
    }

    #[tokio::test]
    async fn last_byte_stays_here_until_all_are_right() {
        let cases: [&[&str]; 6] = [
            &["abc", "deX"],
            &["abc", "de"],
            &["Xbcde", "f"],
            &["abcdef", "g"],
            &["abcdefg"],
            &[],
        ];
        for pieces in cases {
            let (left, error) = read(source("abcdef", pieces)).await;
            assert!(error.is_some() && left.len() < 6, "{pieces:?}: {left}");
        }
    }

    #[tokio::test]
    async fn failure_is_told_by_its_kind_and_kept_for_whoever_sends() {
        let wrong = source("abcdef", &["abcdeX"]);
        let watch = wrong.watch();
        assert!(wrong.into_stream().try_collect::<Vec<_>>().await.is_err());
        assert!(matches!(
            watch.take_fault(),
            Some(StorageError::ChecksumMismatch { .. })
        ));
        let (_, error) = read(source("abcdef", &["abc"])).await;
        let text = error.unwrap().to_string();
        assert!(text.contains("is 3 bytes where 6 were declared"), "{text}");
    }
}
