//! Signing: a URL for each part asked for.

use upload_protocol::limits::SIGN_BATCH_PARTS_MAX;
use upload_protocol::{ErrorCode, HashedPart, SignPartsRequest, SignPartsResponse, SignedPart, UploadMode};
use upload_storage::PartToSign;

use super::{Uploads, Wake, check_takes_parts, new_object};
use crate::error::{Result, UploadError};
use crate::session::{Session, SessionState};
use crate::store::Versioned;

impl Uploads {
    /// Signs 1 to 1,000 parts. Makes no request to the store.
    pub async fn sign_parts(
        &self,
        found: Versioned,
        request: &SignPartsRequest,
    ) -> Result<SignPartsResponse> {
        check_takes_parts(&found.session)?;
        let count = request.parts.len();
        if !(1..=SIGN_BATCH_PARTS_MAX).contains(&count) {
            return Err(UploadError::invalid(format!(
                "{count} parts in one call are outside 1 to {SIGN_BATCH_PARTS_MAX}"
            )));
        }
        for part in &request.parts {
            check_part(&found.session, part)?;
        }
        let found = self.renew(found).await;
        let parts = self.sign(&found.session, &request.parts, request.relay).await?;
        if matches!(found.session.state, SessionState::Sealed { .. }) {
            self.wake(found.session.id, Wake::Later);
        }
        Ok(SignPartsResponse { parts })
    }

    /// Signs parts that were checked before.
    pub(super) async fn sign(
        &self,
        session: &Session,
        parts: &[HashedPart],
        relay: bool,
    ) -> Result<Vec<SignedPart>> {
        let to_sign: Vec<PartToSign> = parts
            .iter()
            .map(|part| PartToSign {
                part_number: part.part_number,
                size_bytes: session.layout.range(part.part_number).size_bytes(),
                checksum_crc64nvme: part.checksum_crc64nvme.filter(|_| session.checksum),
            })
            .collect();
        let (now, lifetime) = (self.inner.clock.now(), self.inner.policy.url_lifetime);
        let storage = &self.inner.storage;
        let signed = match (session.mode, &session.multipart_upload_id) {
            (UploadMode::Multipart, Some(upload_id)) => {
                storage
                    .presign_parts(now, lifetime, &session.key, upload_id, &to_sign)
                    .await?
            }
            (UploadMode::Multipart, None) => {
                return Err(UploadError::new(
                    ErrorCode::SessionBusy,
                    format!("session {} is still being started: repeat the start", session.id),
                ));
            }
            (UploadMode::Single, _) => {
                let object = new_object(session);
                let mut signed = Vec::with_capacity(to_sign.len());
                for part in &to_sign {
                    signed.push(storage.presign_single(now, lifetime, &object, part).await?);
                }
                signed
            }
        };
        let parts = parts.iter().zip(signed).map(|(part, signed)| SignedPart {
            part_number: part.part_number,
            url: signed.url,
            headers: signed.headers,
            expires_in_seconds: signed.expires_in_seconds,
            relay_url: if relay {
                self.relay_url(session, part, signed.expires_in_seconds)
            } else {
                None
            },
        });
        Ok(parts.collect())
    }
}

fn check_part(session: &Session, part: &HashedPart) -> Result<()> {
    let number = part.part_number;
    if !session.layout.contains(number) {
        return Err(UploadError::invalid(format!(
            "part {number} is outside this upload's 1 to {}",
            session.layout.part_count()
        )));
    }
    if session.checksum && part.checksum_crc64nvme.is_none() {
        return Err(UploadError::invalid(format!(
            "part {number} comes without `checksumCrc64nvme`, which this session's parts must carry"
        )));
    }
    let expected = session.layout.range(number).size_bytes();
    match part.size_bytes {
        Some(size_bytes) if size_bytes != expected => Err(UploadError::new(
            ErrorCode::SizeMismatch,
            format!(
                "part {number} is said to be {size_bytes} bytes where this session's layout has {expected}"
            ),
        )),
        _ => Ok(()),
    }
}
