//! Gives an object's bytes out: one stream over the slices of its part files.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use s3s::dto::StreamingBlob;
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{S3Error, StdError};
use tokio::task::JoinHandle;

use crate::store::StoredObject;

/// Bytes read by one blocking call.
const BATCH_BYTES: u64 = 1024 * 1024;

/// Some bytes of one part file of an object.
#[derive(Debug, Clone)]
pub(crate) struct PartSlice {
    /// Index into the object's parts.
    pub(crate) part_index: usize,
    pub(crate) offset_bytes: u64,
    pub(crate) size_bytes: u64,
}

/// A body over `slices` of `object`, read one batch ahead of the client.
///
/// The object is held until the body is dropped, so a write or a delete that replaces it meanwhile
/// does not disturb the reader.
pub(crate) fn read_stream(object: Arc<StoredObject>, slices: Vec<PartSlice>) -> StreamingBlob {
    let remaining_bytes = slices.iter().map(|slice| slice.size_bytes).sum();
    let cursor = Cursor {
        object,
        slices: slices.into_iter().filter(|slice| slice.size_bytes > 0).collect(),
        file: None,
    };
    let state = if remaining_bytes == 0 {
        State::Ended
    } else {
        State::Reading(cursor.start())
    };
    StreamingBlob::new(ObjectStream {
        state,
        remaining_bytes,
    })
}

struct ObjectStream {
    state: State,
    remaining_bytes: u64,
}

enum State {
    Reading(JoinHandle<io::Result<(Bytes, Cursor)>>),
    Ended,
}

struct Cursor {
    object: Arc<StoredObject>,
    slices: VecDeque<PartSlice>,
    /// The open file of the first slice, positioned.
    file: Option<File>,
}

impl Cursor {
    fn start(self) -> JoinHandle<io::Result<(Bytes, Cursor)>> {
        tokio::task::spawn_blocking(move || self.read())
    }

    fn read(mut self) -> io::Result<(Bytes, Self)> {
        let Some(slice) = self.slices.front_mut() else {
            return Ok((Bytes::new(), self));
        };
        let mut file = if let Some(file) = self.file.take() {
            file
        } else {
            let mut file = self.object.open_part(slice.part_index)?;
            file.seek(SeekFrom::Start(slice.offset_bytes))?;
            file
        };
        let want_bytes = slice.size_bytes.min(BATCH_BYTES);
        let mut bytes = BytesMut::zeroed(usize::try_from(want_bytes).map_err(io::Error::other)?);
        file.read_exact(&mut bytes)?;
        slice.size_bytes -= want_bytes;
        slice.offset_bytes += want_bytes;
        if slice.size_bytes == 0 {
            self.slices.pop_front();
        } else {
            self.file = Some(file);
        }
        Ok((bytes.freeze(), self))
    }
}

impl Stream for ObjectStream {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let State::Reading(reading) = &mut self.state else {
            return Poll::Ready(None);
        };
        let read = match Pin::new(reading).poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(read) => read.map_err(io::Error::other).and_then(|read| read),
        };
        match read {
            Ok((bytes, cursor)) => {
                self.remaining_bytes -= bytes.len() as u64;
                self.state = if self.remaining_bytes == 0 {
                    State::Ended
                } else {
                    State::Reading(cursor.start())
                };
                Poll::Ready(Some(Ok(bytes)))
            }
            Err(error) => {
                tracing::error!(%error, "cannot read an object while it is being sent");
                self.state = State::Ended;
                Poll::Ready(Some(Err(Box::new(S3Error::internal_error(error)))))
            }
        }
    }
}

impl ByteStream for ObjectStream {
    fn remaining_length(&self) -> RemainingLength {
        usize::try_from(self.remaining_bytes)
            .map_or_else(|_| RemainingLength::unknown(), RemainingLength::new_exact)
    }
}
