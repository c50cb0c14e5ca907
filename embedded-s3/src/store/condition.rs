//! Conditions on a write, checked under the key's lock together with the commit.

use s3s::dto::ETagCondition;

use super::{StoreError, StoredObject};

/// `If-Match` and `If-None-Match` of a write.
#[derive(Debug, Default, Clone)]
pub(crate) struct WriteCondition {
    /// Only when nothing is at the key yet (`If-None-Match: *`).
    absent: bool,
    /// Only when the object at the key is this one (`If-Match`).
    matches: Option<ETagCondition>,
}

impl WriteCondition {
    pub(crate) fn new(
        if_match: Option<ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> Result<Self, StoreError> {
        let absent = match if_none_match {
            None => false,
            Some(ETagCondition::Any) => true,
            // S3 answers the same: a write takes only the star.
            Some(ETagCondition::ETag(_)) => {
                return Err(StoreError::NotImplemented(
                    "If-None-Match with an entity tag on a write",
                ));
            }
        };
        Ok(Self {
            absent,
            matches: if_match,
        })
    }

    pub(crate) fn check(&self, current: Option<&StoredObject>) -> Result<(), StoreError> {
        if self.absent && current.is_some() {
            return Err(StoreError::PreconditionFailed {
                condition: "If-None-Match",
            });
        }
        match (&self.matches, current) {
            (None, _) | (Some(ETagCondition::Any), Some(_)) => Ok(()),
            (Some(_), None) => Err(StoreError::NoSuchKey),
            (Some(ETagCondition::ETag(tag)), Some(object)) if tag.value() == object.manifest.etag => Ok(()),
            (Some(ETagCondition::ETag(_)), Some(_)) => Err(StoreError::PreconditionFailed {
                condition: "If-Match",
            }),
        }
    }
}
