//! Writing a part to disk while it is hashed: a small one into a row, any other into a file without a
//! name of its own, flushed, closed, and only then renamed.

use js_sys::{ArrayBuffer, Uint8Array};
use upload_protocol::{ByteRange, ClientUploadId, Crc64Nvme, PartNumber};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, FileSystemReadWriteOptions, FileSystemSyncAccessHandle};

use super::read::{PIECE_SIZE_BYTES, read_part};
use crate::messages::JobFailure;
use crate::storage::{HalfPart, PartFolder, PartRows, ROW_SIZE_BYTES_MAX, StagedParts, StorageFault};
use crate::view::size_to_js;

// A row's bytes are read as one piece.
const _: () = assert!(ROW_SIZE_BYTES_MAX <= PIECE_SIZE_BYTES);

/// Reads a range of a file, writes it as a staged part, and answers its checksum. Waits for
/// `give_way` before every piece. Dropping the future deletes what was written, unless the whole part
/// was on its way to disk already.
pub(super) async fn stage_part(
    parts: &StagedParts,
    upload: ClientUploadId,
    part: PartNumber,
    file: &Blob,
    range: ByteRange,
    give_way: impl AsyncFnMut(),
) -> Result<Crc64Nvme, JobFailure> {
    if range.size_bytes() <= ROW_SIZE_BYTES_MAX {
        return stage_row(&parts.rows, upload, part, file, range, give_way).await;
    }
    let mut writer = PartWriter::open(&parts.files, upload, part).await?;
    let crc = read_part(file, range, give_way, |bytes| Ok(writer.write(bytes)?)).await?;
    writer.finish(crc).await?;
    Ok(crc)
}

async fn stage_row(
    rows: &PartRows,
    upload: ClientUploadId,
    part: PartNumber,
    file: &Blob,
    range: ByteRange,
    give_way: impl AsyncFnMut(),
) -> Result<Crc64Nvme, JobFailure> {
    // An empty part has no piece.
    let mut whole = ArrayBuffer::new(0);
    let keep = |piece: &Uint8Array| {
        whole = piece.buffer();
        Ok(())
    };
    let crc = read_part(file, range, give_way, keep).await?;
    rows.write(upload, part, crc, whole).await?;
    Ok(crc)
}

/// An open file for one part. Dropped before it is finished, it deletes the file.
struct PartWriter {
    access: FileSystemSyncAccessHandle,
    half: Option<HalfPart>,
    written_bytes: u64,
}

impl PartWriter {
    async fn open(
        folder: &PartFolder,
        upload: ClientUploadId,
        part: PartNumber,
    ) -> Result<Self, StorageFault> {
        let half = folder.begin(upload, part).await?;
        let access = JsFuture::from(half.handle.create_sync_access_handle())
            .await
            .map_err(|thrown| StorageFault::of(&thrown));
        match access {
            Ok(access) => Ok(Self {
                access: access.unchecked_into(),
                half: Some(half),
                written_bytes: 0,
            }),
            Err(fault) => {
                half.discard().await;
                Err(fault)
            }
        }
    }

    fn write(&mut self, bytes: &Uint8Array) -> Result<(), StorageFault> {
        let options = FileSystemReadWriteOptions::new();
        let mut start = 0;
        while start < bytes.length() {
            options.set_at(size_to_js(self.written_bytes));
            let written = self
                .access
                .write_with_buffer_source_and_options(&bytes.subarray(start, bytes.length()), &options)
                .map_err(|thrown| StorageFault::of(&thrown))?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most the bytes that were given"
            )]
            let written = written as u32;
            if written == 0 {
                return Err(StorageFault::QuotaExceeded);
            }
            start = start.saturating_add(written);
            self.written_bytes += u64::from(written);
        }
        Ok(())
    }

    async fn finish(mut self, crc: Crc64Nvme) -> Result<(), StorageFault> {
        self.access.flush().map_err(|thrown| StorageFault::of(&thrown))?;
        self.access.close();
        match self.half.take() {
            Some(half) => half.finish(crc).await,
            None => Ok(()),
        }
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if let Some(half) = self.half.take() {
            self.access.close();
            spawn_local(async move { half.discard().await });
        }
    }
}
