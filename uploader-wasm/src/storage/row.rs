//! A checkpoint's row: what stands beside the checkpoint itself, and when a row has had its time. Pure.

use serde::{Deserialize, Serialize};
use upload_protocol::{CHECKPOINT_VERSION, Checkpoint};

use super::fault::StorageFault;
use crate::json;
use crate::realm::Realm;

/// The version this build writes. The database's own version is never raised: an old tab would block
/// the upgrade. A row with a newer version is left alone.
const ROW_VERSION: u32 = 1;

/// What was not used for so long is deleted, in milliseconds: the server's lease on the session.
const ROW_AGE_MS_MAX: f64 = 7.0 * 24.0 * 3600.0 * 1000.0;

/// A row as it stands in the database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    #[serde(rename = "rowVersion")]
    version: u32,
    endpoint: String,
    scope: String,
    saved_at_ms: f64,
    /// JSON. A newer build may write what this one can't read.
    checkpoint: String,
}

/// What becomes of a row when an engine starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum RowFate {
    /// Its upload goes on.
    Restore(Box<Checkpoint>),
    /// It is deleted with its parts.
    Expired,
    /// A newer build's, or broken: neither used nor deleted.
    LeaveAlone,
}

impl Row {
    /// The row of a checkpoint saved now, ms since 1970.
    pub(super) fn new(realm: &Realm, checkpoint: &Checkpoint, now_ms: f64) -> Result<Self, StorageFault> {
        Ok(Self {
            version: ROW_VERSION,
            endpoint: realm.endpoint.clone(),
            scope: realm.scope.clone(),
            saved_at_ms: now_ms,
            checkpoint: json::write(checkpoint).map_err(StorageFault::Unavailable)?,
        })
    }

    /// About how much it takes, in bytes.
    pub(super) fn size_bytes(&self) -> u64 {
        self.checkpoint.len() as u64
    }

    /// What becomes of the row, now in ms since 1970.
    pub(super) fn fate(&self, now_ms: f64) -> RowFate {
        if self.version > ROW_VERSION {
            return RowFate::LeaveAlone;
        }
        if now_ms - self.saved_at_ms > ROW_AGE_MS_MAX {
            return RowFate::Expired;
        }
        match json::read::<Checkpoint>(&self.checkpoint) {
            Ok(checkpoint) if checkpoint.version <= CHECKPOINT_VERSION => {
                RowFate::Restore(Box::new(checkpoint))
            }
            _ => RowFate::LeaveAlone,
        }
    }
}

#[cfg(test)]
mod tests {
    use upload_protocol::{CheckpointIntent, ClientUploadId, FileInfo, PartLayout};
    use uuid::Uuid;

    use super::*;

    const NOW_MS: f64 = 1.8e12;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            version: CHECKPOINT_VERSION,
            client_upload_id: ClientUploadId::new(Uuid::from_u128(1)),
            generation: 0,
            file: FileInfo {
                name: "a".into(),
                size_bytes: 1,
                content_type: String::new(),
                last_modified_ms: -1,
            },
            layout: PartLayout::choose(1, None, 10_000).unwrap(),
            session: None,
            intent: CheckpointIntent::Run,
        }
    }

    fn row() -> Row {
        let realm = Realm {
            endpoint: "https://a.example".into(),
            scope: "s".into(),
        };
        Row::new(&realm, &checkpoint(), NOW_MS).unwrap()
    }

    #[test]
    fn row_of_this_build_is_restored() {
        assert_eq!(row().fate(NOW_MS), RowFate::Restore(Box::new(checkpoint())));
    }

    #[test]
    fn row_expires_one_millisecond_after_seven_days() {
        assert!(matches!(row().fate(NOW_MS + ROW_AGE_MS_MAX), RowFate::Restore(_)));
        assert_eq!(row().fate(NOW_MS + ROW_AGE_MS_MAX + 1.0), RowFate::Expired);
    }

    #[test]
    fn row_from_a_clock_that_was_ahead_is_restored() {
        assert!(matches!(row().fate(NOW_MS - ROW_AGE_MS_MAX), RowFate::Restore(_)));
    }

    #[test]
    fn row_of_a_newer_build_is_left_alone_even_when_old() {
        let newer = Row {
            version: ROW_VERSION + 1,
            ..row()
        };
        assert_eq!(newer.fate(NOW_MS + 2.0 * ROW_AGE_MS_MAX), RowFate::LeaveAlone);
    }

    #[test]
    fn newer_or_broken_checkpoint_is_left_alone() {
        let mut newer = checkpoint();
        newer.version += 1;
        for text in [serde_json::to_string(&newer).unwrap(), "{".into(), String::new()] {
            let row = Row {
                checkpoint: text,
                ..row()
            };
            assert_eq!(row.fate(NOW_MS), RowFate::LeaveAlone);
        }
    }
}
