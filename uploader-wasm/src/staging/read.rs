//! Reading a range of a picked file and its checksum, in bounded memory.

use std::cell::RefCell;

use js_sys::{ArrayBuffer, Promise, Uint8Array};
use upload_protocol::limits::MIB;
use upload_protocol::{ByteRange, Crc64Nvme};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use super::crc64::Digest;
use crate::browser::fault;
use crate::messages::JobFailure;
use crate::view::size_to_js;

/// Read at a time, in bytes. Two are in memory: one is hashed while the next is read. Smaller pieces
/// cost Chromium more (CPU seconds a GiB: 2.0 at 4 MiB, 1.6 at 8 MiB; Chromium 156, November 2026).
pub(super) const PIECE_SIZE_BYTES: u64 = 8 * MIB;

/// Copied into wasm at a time, in bytes: stays in the processor's cache until it is hashed.
const COPY_SIZE_BYTES: u32 = 256 * 1024;

thread_local! {
    /// Reused for every copy: wasm memory never shrinks, so nothing large may ever be in it.
    static COPY: RefCell<Vec<u8>> = RefCell::new(vec![0; COPY_SIZE_BYTES as usize]);
}

/// The checksum of a range of a file.
///
/// # Errors
/// [`JobFailure::SourceUnreadable`] when the file is gone, changed or shorter than the range.
pub async fn hash_part(file: &Blob, range: ByteRange) -> Result<Crc64Nvme, JobFailure> {
    read_part(file, range, async || {}, |_| Ok(())).await
}

/// Reads a range piece by piece, hands each to `on_piece`, and answers the checksum of all. Waits for
/// `before_piece` before every piece, so that a caller can give way.
pub(super) async fn read_part(
    file: &Blob,
    range: ByteRange,
    mut before_piece: impl AsyncFnMut(),
    mut on_piece: impl FnMut(&Uint8Array) -> Result<(), JobFailure>,
) -> Result<Crc64Nvme, JobFailure> {
    let mut digest = Digest::new();
    let mut pieces = pieces(range);
    let mut next = pieces.next().map(|piece| (piece, begin_read(file, piece)));
    while let Some((piece, reading)) = next.take() {
        before_piece().await;
        let bytes = finish_read(piece, reading?).await?;
        next = pieces.next().map(|piece| (piece, begin_read(file, piece)));
        hash(&mut digest, &bytes);
        on_piece(&bytes)?;
    }
    Ok(Crc64Nvme(digest.sum64()))
}

fn pieces(range: ByteRange) -> impl Iterator<Item = ByteRange> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let end = range.end.min(start.saturating_add(PIECE_SIZE_BYTES));
        let piece = ByteRange { start, end };
        start = end;
        (piece.start < piece.end).then_some(piece)
    })
}

fn begin_read(file: &Blob, piece: ByteRange) -> Result<Promise, JobFailure> {
    let slice = file
        .slice_with_f64_and_f64(size_to_js(piece.start), size_to_js(piece.end))
        .map_err(|thrown| unreadable(&thrown))?;
    Ok(slice.array_buffer().unchecked_into())
}

async fn finish_read(piece: ByteRange, reading: Promise) -> Result<Uint8Array, JobFailure> {
    let buffer: ArrayBuffer = JsFuture::from(reading)
        .await
        .map_err(|thrown| unreadable(&thrown))?
        .unchecked_into();
    let bytes = Uint8Array::new(&buffer);
    if u64::from(bytes.length()) != piece.size_bytes() {
        return Err(JobFailure::SourceUnreadable(format!(
            "{} bytes at offset {}, expected {}: the file has become shorter",
            bytes.length(),
            piece.start,
            piece.size_bytes()
        )));
    }
    Ok(bytes)
}

fn hash(digest: &mut Digest, bytes: &Uint8Array) {
    COPY.with_borrow_mut(|copy| {
        let length = bytes.length();
        let mut start = 0;
        while start < length {
            let end = length.min(start.saturating_add(COPY_SIZE_BYTES));
            let window = &mut copy[..(end - start) as usize];
            bytes.subarray(start, end).copy_to(window);
            digest.write(window);
            start = end;
        }
    });
}

fn unreadable(thrown: &JsValue) -> JobFailure {
    JobFailure::SourceUnreadable(fault(thrown).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(start: u64, end: u64) -> Vec<u64> {
        pieces(ByteRange { start, end })
            .map(ByteRange::size_bytes)
            .collect()
    }

    #[test]
    fn empty_range_has_no_pieces() {
        assert!(sizes(0, 0).is_empty());
        assert!(sizes(7, 7).is_empty());
    }

    #[test]
    fn pieces_cover_the_range_and_none_is_larger_than_the_limit() {
        for size in [
            1,
            PIECE_SIZE_BYTES - 1,
            PIECE_SIZE_BYTES,
            PIECE_SIZE_BYTES + 1,
            5 * PIECE_SIZE_BYTES + 3,
        ] {
            let sizes = sizes(11, 11 + size);
            assert_eq!(sizes.iter().sum::<u64>(), size);
            assert!(sizes.iter().all(|size| (1..=PIECE_SIZE_BYTES).contains(size)));
        }
    }
}
