//! The worker itself: takes jobs from its page, answers each once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use futures::future::{AbortHandle, abortable};
use futures::lock::Mutex;
use gloo_worker::{HandlerId, Worker, WorkerScope};
use serde::{Deserialize, Serialize};
use upload_protocol::Crc64Nvme;
use uuid::Uuid;
use wasm_bindgen_futures::spawn_local;
use web_sys::BroadcastChannel;

use super::lanes::{Lanes, Urgency};
use super::read::hash_part;
use super::write::stage_part;
use crate::browser::report;
use crate::messages::{JobDone, JobFailure, JobId, JobTarget, PageId, StagingJob};
use crate::storage::{PartFolder, ROW_SIZE_BYTES_MAX, StagedParts, StorageFault};

/// Where a staging worker that met a bug says so: its page can't see it otherwise. The message is the
/// page's id and the panic's text.
pub const BUG_CHANNEL: &str = "holdfast-staging-bugs";

/// From the page.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ToStaging {
    /// The page this worker belongs to. The first message.
    Page(PageId),
    /// Something to do.
    Job(StagingJob),
    /// It isn't needed any more; it may be answered all the same.
    Cancel(JobId),
    /// From now on only this engine's jobs count; all others are dropped.
    Engine(Uuid),
}

/// To the page.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum FromStaging {
    /// The worker runs.
    Ready {
        /// It can write to disk.
        can_stage: bool,
    },
    /// A job ended.
    Done(JobDone),
}

/// Hashes and stages the parts of one page's engine.
#[derive(Debug)]
pub struct StagingWorker {
    shared: Rc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    lanes: RefCell<Lanes<(HandlerId, StagingJob)>>,
    running: RefCell<HashMap<JobId, AbortHandle>>,
    /// By folder name. Locked while one is opened, so that all jobs share it.
    parts: Mutex<HashMap<String, StagedParts>>,
}

impl Worker for StagingWorker {
    type Message = ();
    type Input = ToStaging;
    type Output = FromStaging;

    fn create(_scope: &WorkerScope<Self>) -> Self {
        Self {
            shared: Rc::default(),
        }
    }

    fn update(&mut self, _scope: &WorkerScope<Self>, (): ()) {}

    fn connected(&mut self, scope: &WorkerScope<Self>, id: HandlerId) {
        let scope = scope.clone();
        spawn_local(async move {
            let can_stage = PartFolder::can_write().await;
            scope.respond(id, FromStaging::Ready { can_stage });
        });
    }

    fn received(&mut self, scope: &WorkerScope<Self>, message: ToStaging, id: HandlerId) {
        match message {
            ToStaging::Page(page) => PAGE.set(Some(page)),
            // Given out again by an engine that took this page twice: it will be answered once.
            ToStaging::Job(job) if self.shared.has(job.id) => {}
            ToStaging::Job(job) => {
                let urgency = match job.target {
                    JobTarget::Hash => Urgency::Front,
                    JobTarget::Stage { .. } if job.range.size_bytes() <= ROW_SIZE_BYTES_MAX => Urgency::Small,
                    JobTarget::Stage { .. } => Urgency::Tail,
                };
                self.shared.lanes.borrow_mut().push(urgency, (id, job));
            }
            ToStaging::Cancel(unwanted) => self.shared.cancel(|id| id == unwanted),
            ToStaging::Engine(instance) => self.shared.cancel(|id| id.instance != instance),
        }
        self.shared.run_jobs(scope);
    }
}

impl Shared {
    /// The job waits or runs, and will be answered.
    fn has(&self, id: JobId) -> bool {
        let is_running = self
            .running
            .borrow()
            .get(&id)
            .is_some_and(|handle| !handle.is_aborted());
        is_running || self.lanes.borrow().has_waiting(|(_, job)| job.id == id)
    }

    fn cancel(&self, is_unwanted: impl Fn(JobId) -> bool) {
        self.lanes
            .borrow_mut()
            .drop_waiting(|(_, job)| is_unwanted(job.id));
        for (id, handle) in self.running.borrow().iter() {
            if is_unwanted(*id) {
                handle.abort();
            }
        }
    }

    fn run_jobs(self: &Rc<Self>, scope: &WorkerScope<StagingWorker>) {
        loop {
            let Some((urgency, (handler, job))) = self.lanes.borrow_mut().poll_next() else {
                return;
            };
            let id = job.id;
            let work = {
                let shared = Rc::clone(self);
                async move { shared.carry_out(&job).await }
            };
            let (work, handle) = abortable(work);
            self.running.borrow_mut().insert(id, handle);
            let (shared, scope) = (Rc::clone(self), scope.clone());
            spawn_local(async move {
                let ended = work.await;
                shared.running.borrow_mut().remove(&id);
                shared.lanes.borrow_mut().on_end(urgency);
                if let Ok(result) = ended {
                    scope.respond(handler, FromStaging::Done(JobDone { id, result }));
                }
                shared.run_jobs(&scope);
            });
        }
    }

    async fn carry_out(&self, job: &StagingJob) -> Result<Crc64Nvme, JobFailure> {
        match &job.target {
            JobTarget::Hash => hash_part(&job.file, job.range).await,
            JobTarget::Stage { folder, upload, part } => {
                let parts = self.parts(folder).await?;
                let give_way = async || {
                    let wait = self.lanes.borrow_mut().give_way();
                    if let Some(wait) = wait {
                        // A dropped sender would mean that the worker ends.
                        wait.await.ok();
                    }
                };
                stage_part(&parts, *upload, *part, &job.file, job.range, give_way).await
            }
        }
    }

    async fn parts(&self, folder: &str) -> Result<StagedParts, StorageFault> {
        let mut known = self.parts.lock().await;
        if let Some(parts) = known.get(folder) {
            return Ok(parts.clone());
        }
        let parts = StagedParts::open(folder).await?;
        known.insert(folder.to_owned(), parts.clone());
        Ok(parts)
    }
}

thread_local! {
    static PAGE: RefCell<Option<PageId>> = const { RefCell::new(None) };
}

/// Tells the page and the console of a panic, which nobody could see otherwise: the worker just stops.
pub(super) fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let detail = format!("staging worker: {info}");
        report(&detail);
        let page = PAGE.with(|page| page.try_borrow().ok().and_then(|page| *page));
        if let (Some(page), Ok(channel)) = (page, BroadcastChannel::new(BUG_CHANNEL)) {
            let message = js_sys::Array::of2(&page.0.to_string().into(), &detail.into());
            drop(channel.post_message(&message));
        }
    }));
}
