//! What crosses between pages, engine workers and staging workers: typed, files preserved as they are.
//!
//! Enums are externally tagged: `serde-wasm-bindgen` can only carry a `File` through a type that serde
//! reads without buffering.

use std::fmt;

use js_sys::Array;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use upload_protocol::{ByteRange, ClientUploadId, Crc64Nvme, PartNumber};
use uuid::Uuid;
use wasm_bindgen::JsValue;
use web_sys::File;

use crate::realm::Realm;

/// Version of these messages. Two builds of different versions share an origin for as long as an old
/// tab stays open: each ignores what it can't read.
pub const MESSAGES_VERSION: u32 = 3;

/// One page, from its loading to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageId(pub Uuid);

impl PageId {
    /// The Web Lock that the page holds for as long as it lives.
    pub fn lock_name(self) -> String {
        format!("holdfast-page:{}", self.0)
    }
}

/// From a page to an engine worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToEngine {
    /// The first message on a port.
    Hello(Hello),
    /// What a person wants, in order. Each is sent again until acknowledged.
    Commands(Vec<NumberedCommand>),
    /// Headers for every call to the server from now on, credentials among them. An engine without a
    /// page keeps the last ones for as long as it lives; they are never written anywhere.
    Headers(ExtraHeaders),
    /// The page's staging worker runs.
    StagingReady {
        /// It can write to disk as well as hash.
        can_stage: bool,
    },
    /// The page's staging worker is gone.
    StagingGone,
    /// A staging worker's job ended.
    JobDone(JobDone),
    /// The page wants to know what the engine has been told: [`ToPage::Report`].
    WantReport,
    /// The browser told the page that the network is there or gone.
    Connectivity {
        /// It is there.
        online: bool,
    },
    /// The page goes.
    Bye,
}

/// Who a page is and what it wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// [`MESSAGES_VERSION`] of the page.
    pub version: u32,
    /// The page.
    pub page: PageId,
    /// The page holds its lock, so its end can be waited for.
    pub locked: bool,
    /// Which uploads.
    pub realm: Realm,
    /// How an engine that starts for this page shall work.
    pub settings: Settings,
}

/// Settings of an engine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Most parts in flight; the engine's default without it.
    pub concurrency: Option<u32>,
    /// Wished part size in bytes; the server's default without it.
    pub part_size_bytes: Option<u64>,
    /// Most bytes a second; no limit without it.
    pub bandwidth_bytes_per_second: Option<u64>,
}

/// Headers that a page gives for calls to the server. Prints their names alone.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExtraHeaders(pub Vec<(String, String)>);

impl fmt::Debug for ExtraHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// A command and the number by which it is acknowledged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NumberedCommand {
    /// Random, so that it is unique over pages.
    pub id: Uuid,
    /// What is wanted.
    pub command: PageCommand,
}

/// What a person wants.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum PageCommand {
    /// A file was picked. Sent again to every new engine for as long as the page holds the file: where
    /// the upload is known, it gets its file back when it needs it.
    Pick {
        /// The upload's id, made by the page.
        upload: ClientUploadId,
        /// The file.
        #[serde(with = "serde_wasm_bindgen::preserve")]
        file: File,
        /// Never take it for an upload that needs its file.
        as_new: bool,
    },
    /// A file was picked for one upload.
    Provide {
        /// The upload.
        upload: ClientUploadId,
        /// The file.
        #[serde(with = "serde_wasm_bindgen::preserve")]
        file: File,
    },
    /// Stop sending.
    Pause(ClientUploadId),
    /// Go on.
    Resume(ClientUploadId),
    /// Give up.
    Cancel(ClientUploadId),
    /// Drop from the list.
    Dismiss(ClientUploadId),
}

/// From an engine worker to a page.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToPage {
    /// The worker took the page's port.
    Welcome {
        /// A Web Lock the worker holds for as long as it lives, where there are locks.
        worker_lock: Option<String>,
    },
    /// The engine has these commands; they need not be sent again.
    Acks(Vec<Uuid>),
    /// For the page's own listener: an array of [`crate::view::PageMessage`], already in JavaScript's
    /// form.
    Messages(#[serde(with = "serde_wasm_bindgen::preserve")] Array),
    /// A report of the engine, JSON.
    Report(String),
    /// For the page's staging worker.
    Job(StagingJob),
    /// The job isn't needed any more.
    CancelJob(JobId),
}

/// Between engine workers of one realm, by `BroadcastChannel`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum OnChannel {
    /// This worker is the engine now: every other tells it its pages.
    HolderHere,
    /// A page of a worker that isn't the engine.
    Join(Hello),
    /// Passed on from a page.
    FromPage {
        /// The page.
        page: PageId,
        /// What it said.
        message: ToEngine,
    },
    /// To be passed on to a page by the worker that has its port.
    ForPage {
        /// The page.
        page: PageId,
        /// What to tell it.
        message: ToPage,
    },
}

/// One job of one engine. Answers to an engine that is gone are dropped by its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobId {
    /// The engine.
    pub instance: Uuid,
    /// The engine's action.
    pub action: u64,
}

/// Work for a staging worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StagingJob {
    /// Its id.
    pub id: JobId,
    /// Hash only, or write to disk as well.
    pub target: JobTarget,
    /// Where to read.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    pub file: File,
    /// What to read.
    pub range: ByteRange,
}

/// What becomes of the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobTarget {
    /// Only their checksum is wanted.
    Hash,
    /// They are written to disk.
    Stage {
        /// [`Realm::storage_name`].
        folder: String,
        /// The upload.
        upload: ClientUploadId,
        /// The part.
        part: PartNumber,
    },
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobDone {
    /// The job.
    pub id: JobId,
    /// Its checksum, or why there is none.
    pub result: Result<Crc64Nvme, JobFailure>,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum JobFailure {
    /// The picked file can't be read any more.
    #[error("the file can't be read: {0}")]
    SourceUnreadable(String),
    /// The origin's quota or the disk is full.
    #[error("storage is full")]
    QuotaExceeded,
    /// Storage can't be used.
    #[error("storage can't be used: {0}")]
    StorageUnavailable(String),
}

/// A value of these types in JavaScript's form; `null` when it can't be told, which no type here meets.
pub fn to_js<T: Serialize + ?Sized>(value: &T) -> JsValue {
    value
        .serialize(&serde_wasm_bindgen::Serializer::new().serialize_missing_as_null(true))
        .unwrap_or(JsValue::NULL)
}

/// Reads a value of these types. `None` for anything else: a message of another build, or of nobody.
pub fn from_js<T: DeserializeOwned>(value: JsValue) -> Option<T> {
    serde_wasm_bindgen::from_value(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back<T: Serialize + DeserializeOwned>(value: &T) -> T {
        serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
    }

    fn job_id() -> JobId {
        JobId {
            instance: Uuid::from_u128(1),
            action: 9,
        }
    }

    #[test]
    fn hello_reads_back_what_it_writes() {
        let hello = Hello {
            version: MESSAGES_VERSION,
            page: PageId(Uuid::from_u128(2)),
            locked: true,
            realm: Realm {
                endpoint: "https://a.example".into(),
                scope: "\u{1f600}".into(),
            },
            settings: Settings {
                concurrency: Some(4),
                part_size_bytes: None,
                bandwidth_bytes_per_second: Some(1 << 20),
            },
        };
        assert_eq!(back(&hello), hello);
        assert!(matches!(back(&ToEngine::Hello(hello.clone())), ToEngine::Hello(read) if read == hello));
    }

    #[test]
    fn job_outcomes_read_back_what_they_write() {
        let failures = [
            JobFailure::SourceUnreadable("gone".into()),
            JobFailure::QuotaExceeded,
            JobFailure::StorageUnavailable("private".into()),
        ];
        let outcomes = failures
            .into_iter()
            .map(Err)
            .chain([Ok(Crc64Nvme(u64::MAX)), Ok(Crc64Nvme(0))]);
        for result in outcomes {
            let done = JobDone { id: job_id(), result };
            assert_eq!(back(&done), done);
        }
    }

    #[test]
    fn commands_without_files_read_back_what_they_write() {
        let upload = ClientUploadId::new(Uuid::from_u128(3));
        let command = NumberedCommand {
            id: Uuid::from_u128(4),
            command: PageCommand::Cancel(upload),
        };
        let OnChannel::FromPage {
            message: ToEngine::Commands(read),
            ..
        } = back(&OnChannel::FromPage {
            page: PageId(Uuid::from_u128(2)),
            message: ToEngine::Commands(vec![command.clone()]),
        })
        else {
            panic!("the variant changed on the way");
        };
        let [read] = read.try_into().expect("one command was sent");
        assert_eq!(read.id, command.id);
        assert!(matches!(read.command, PageCommand::Cancel(read) if read == upload));
    }

    #[test]
    fn page_lock_is_named_by_the_page() {
        assert_eq!(
            PageId(Uuid::nil()).lock_name(),
            "holdfast-page:00000000-0000-0000-0000-000000000000"
        );
    }
}
