//! A model of the object store: multipart uploads, objects, signed URLs.

use std::collections::BTreeMap;

use upload_protocol::{Crc64Nvme, PartNumber, PresignedUrl};

use super::content::Bytes;

/// Where a signed URL leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Part { multipart: u64, part: PartNumber },
    Object { key: String },
}

/// What a signed URL allows.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) target: Target,
    pub(super) size_bytes: u64,
    /// `None`: any bytes of that number are taken.
    pub(super) crc: Option<Crc64Nvme>,
    pub(super) expires_at_ms: u64,
}

/// An answer that isn't 2xx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Store {
    next_multipart: u64,
    multiparts: BTreeMap<u64, BTreeMap<PartNumber, Bytes>>,
    objects: BTreeMap<String, Vec<Bytes>>,
    grants: Vec<Grant>,
    /// Parts that were put though the same bytes were there.
    pub(super) stored_again: u64,
}

impl Store {
    pub(super) fn create(&mut self) -> u64 {
        self.next_multipart += 1;
        self.multiparts.insert(self.next_multipart, BTreeMap::new());
        self.next_multipart
    }

    pub(super) fn sign(&mut self, grant: Grant) -> PresignedUrl {
        let index = self.grants.len();
        self.grants.push(grant);
        PresignedUrl::new(format!("https://store.example/{index}?X-Amz-Signature=5ec2e7"))
    }

    pub(super) fn grant(&self, url: &PresignedUrl) -> Option<&Grant> {
        let path = url.expose().strip_prefix("https://store.example/")?;
        let (index, _) = path.split_once('?')?;
        self.grants.get(index.parse::<usize>().ok()?)
    }

    pub(super) fn put(&mut self, url: &PresignedUrl, bytes: Bytes, now_ms: u64) -> Result<(), Refusal> {
        let refuse = |status, code| Err(Refusal { status, code });
        let Some(grant) = self.grant(url).cloned() else {
            return refuse(403, "SignatureDoesNotMatch");
        };
        if grant.expires_at_ms <= now_ms {
            return refuse(403, "AccessDenied");
        }
        if bytes.size_bytes() != grant.size_bytes {
            return refuse(403, "SignatureDoesNotMatch");
        }
        if grant.crc.is_some_and(|crc| crc != bytes.crc()) {
            return refuse(400, "BadDigest");
        }
        match grant.target {
            Target::Part { multipart, part } => {
                let Some(parts) = self.multiparts.get_mut(&multipart) else {
                    return refuse(404, "NoSuchUpload");
                };
                if parts.insert(part, bytes) == Some(bytes) {
                    self.stored_again += 1;
                }
            }
            Target::Object { key } => {
                if self.objects.contains_key(&key) {
                    return refuse(412, "PreconditionFailed");
                }
                self.objects.insert(key, vec![bytes]);
            }
        }
        Ok(())
    }

    /// The parts of a multipart upload, or `None` when there is none of that id.
    pub(super) fn parts(&self, multipart: u64) -> Option<&BTreeMap<PartNumber, Bytes>> {
        self.multiparts.get(&multipart)
    }

    pub(super) fn object(&self, key: &str) -> Option<&[Bytes]> {
        self.objects.get(key).map(Vec::as_slice)
    }

    /// Makes an object of all parts. The caller has checked them.
    pub(super) fn complete(&mut self, multipart: u64, key: &str) {
        if let Some(parts) = self.multiparts.remove(&multipart) {
            self.objects.insert(key.to_owned(), parts.into_values().collect());
        }
    }

    pub(super) fn abort(&mut self, multipart: u64) {
        self.multiparts.remove(&multipart);
    }

    pub(super) fn delete(&mut self, key: &str) {
        self.objects.remove(key);
    }
}
