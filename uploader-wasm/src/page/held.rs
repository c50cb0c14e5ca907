//! The files this page picked, for as long as their uploads may need them: an engine that dies takes
//! its copies along, and the next one gets them from here. Pure but for the file's type.

use std::collections::HashMap;

use serde::Deserialize;
use upload_protocol::ClientUploadId;

use crate::view::{EventName, StatusView};

/// Files by the upload they belong to. `F` is a file.
#[derive(Debug)]
pub(super) struct HeldFiles<F> {
    files: HashMap<ClientUploadId, Held<F>>,
}

/// A file that was picked on this page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held<F> {
    pub(super) file: F,
    /// Never take it for an upload that needs its file.
    pub(super) as_new: bool,
    /// Its upload was paused when last heard of. An engine keeps that on disk only once the upload has
    /// started.
    pub(super) paused: bool,
}

/// The part of an engine's message that this module reads. One struct for every kind of message: an
/// enum told apart by a field would be read twice.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Heard {
    /// Of a snapshot.
    pub(super) engine: Option<HeardEngine>,
    pub(super) uploads: Vec<HeardUpload>,
    pub(super) removed: Vec<String>,
    pub(super) full: bool,
    /// Of an event.
    event: Option<EventName>,
    upload_id: Option<String>,
    picked_as: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct HeardEngine {
    pub(super) instance: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HeardUpload {
    pub(super) upload_id: String,
    pub(super) status: StatusView,
}

impl<F> Default for HeldFiles<F> {
    fn default() -> Self {
        Self {
            files: HashMap::new(),
        }
    }
}

impl<F> HeldFiles<F> {
    pub(super) fn hold(&mut self, upload: ClientUploadId, file: F, as_new: bool) {
        let held = Held {
            file,
            as_new,
            paused: false,
        };
        self.files.insert(upload, held);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ClientUploadId, &Held<F>)> {
        self.files.iter().map(|(upload, held)| (*upload, held))
    }

    /// Lets go of files that no upload will need, and follows those that were taken for another one.
    pub(super) fn on_heard(&mut self, heard: &Heard) {
        for upload in &heard.uploads {
            if matches!(upload.status, StatusView::Completed | StatusView::Cancelled) {
                self.drop_file(&upload.upload_id);
            } else if let Some(id) = ClientUploadId::parse(&upload.upload_id)
                && let Some(held) = self.files.get_mut(&id)
            {
                held.paused = upload.status == StatusView::Paused;
            }
        }
        for upload in &heard.removed {
            self.drop_file(upload);
        }
        let Some(picked_as) = &heard.picked_as else { return };
        match heard.event {
            Some(EventName::FileAccepted) => {
                let upload = heard.upload_id.as_deref().and_then(ClientUploadId::parse);
                if let Some(held) = self.drop_file(picked_as)
                    && let Some(upload) = upload
                {
                    self.files.insert(upload, held);
                }
            }
            Some(EventName::FileRefused) => {
                self.drop_file(picked_as);
            }
            _ => {}
        }
    }

    fn drop_file(&mut self, upload: &str) -> Option<Held<F>> {
        self.files.remove(&ClientUploadId::parse(upload)?)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(number: u128) -> ClientUploadId {
        ClientUploadId::new(Uuid::from_u128(number))
    }

    fn event(event: EventName, upload: u128, picked_as: u128) -> Heard {
        Heard {
            event: Some(event),
            upload_id: Some(id(upload).to_string()),
            picked_as: Some(id(picked_as).to_string()),
            ..Heard::default()
        }
    }

    fn status(upload: u128, status: StatusView) -> Heard {
        Heard {
            uploads: vec![HeardUpload {
                upload_id: id(upload).to_string(),
                status,
            }],
            ..Heard::default()
        }
    }

    fn held(files: &HeldFiles<&'static str>) -> Vec<(ClientUploadId, &'static str)> {
        files.iter().map(|(upload, held)| (upload, held.file)).collect()
    }

    #[test]
    fn file_is_held_until_its_upload_has_ended_well_or_was_given_up() {
        for end in [StatusView::Completed, StatusView::Cancelled] {
            let mut files = HeldFiles::default();
            files.hold(id(1), "a", false);
            for status_before in [StatusView::Uploading, StatusView::Failed, StatusView::NeedsFile] {
                files.on_heard(&status(1, status_before));
                assert_eq!(held(&files).len(), 1, "{status_before:?}");
            }
            files.on_heard(&status(1, end));
            assert!(held(&files).is_empty(), "{end:?}");
        }
    }

    #[test]
    fn file_taken_for_an_earlier_upload_is_held_for_that_one() {
        let mut files = HeldFiles::default();
        files.hold(id(1), "a", false);
        files.on_heard(&event(EventName::FileAccepted, 7, 1));
        assert_eq!(held(&files), [(id(7), "a")]);
        files.on_heard(&event(EventName::FileAccepted, 7, 7));
        assert_eq!(held(&files), [(id(7), "a")]);
    }

    #[test]
    fn pause_is_remembered_until_its_upload_goes_on() {
        let mut files = HeldFiles::default();
        files.hold(id(1), "a", false);
        let is_paused = |files: &HeldFiles<_>| files.iter().any(|(_, held)| held.paused);
        assert!(!is_paused(&files));
        files.on_heard(&status(1, StatusView::Paused));
        files.on_heard(&status(2, StatusView::Uploading));
        assert!(is_paused(&files));
        files.on_heard(&status(1, StatusView::Queued));
        assert!(!is_paused(&files));
    }

    #[test]
    fn refused_file_is_let_go() {
        let mut files = HeldFiles::default();
        files.hold(id(1), "a", false);
        files.on_heard(&event(EventName::FileRefused, 7, 1));
        assert!(held(&files).is_empty());
    }

    #[test]
    fn messages_of_the_engine_are_heard() {
        use crate::view::{EngineView, HostKind, PageMessage};
        let read = |message: &PageMessage| -> Heard {
            serde_json::from_str(&serde_json::to_string(message).unwrap()).unwrap()
        };
        let snapshot = read(&PageMessage::Snapshot {
            engine: EngineView {
                instance: "x".into(),
                host: HostKind::SharedWorker,
            },
            uploads: vec![],
            removed: vec!["r".into()],
            full: true,
        });
        assert_eq!(snapshot.engine, Some(HeardEngine { instance: "x".into() }));
        assert_eq!((snapshot.full, snapshot.removed), (true, vec!["r".to_owned()]));
        let event = read(&PageMessage::event(EventName::Safe, id(1)));
        assert_eq!(event.event, Some(EventName::Safe));
        let bug = read(&PageMessage::bug("d".into()));
        assert_eq!(bug, Heard::default());
    }
}
