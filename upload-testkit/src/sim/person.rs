//! The person: picks files, changes their mind, and picks again what is needed again.

use upload_engine::{Command, SourceId, UploadStatus};
use upload_protocol::ClientUploadId;
use upload_protocol::limits::MIB;

use super::Violation;
use super::content::Content;
use super::host::Source;
use super::world::{Event, PickedFile, World, source_id, upload_id};

#[derive(Debug, Clone)]
pub(super) enum PersonEvent {
    Pick {
        file: usize,
        as_new: bool,
    },
    PauseOne,
    Resume(ClientUploadId),
    Cancel(ClientUploadId),
    /// An upload needs its file.
    PickAgain(ClientUploadId),
}

/// The files there are, and counters for names of things.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) files: Vec<PickedFile>,
    last_upload: u64,
    last_source: u64,
    last_content: u64,
}

/// Most wrong files in a row: then the person has found the right one.
const WRONG_PICKS_MAX: u32 = 2;

/// Most times that a failed upload is resumed after everything has become calm.
const RESUMES_MAX: u32 = 3;

impl World {
    pub(super) fn plan_picks(&mut self) {
        let (fewest, most) = self.options.files;
        for index in 0..self.rng.u32(fewest..=most) {
            let size_bytes = self.draw_size();
            let content = self.new_content();
            self.plan.files.push(PickedFile {
                name: format!("clip {index}.mp4"),
                size_bytes,
                content,
            });
            let at_ms = self.rng.u64(..3_000);
            let file = index as usize;
            self.after(at_ms, Event::Person(PersonEvent::Pick { file, as_new: false }));
        }
        let pauses = self.options.person.pauses_per_minute;
        self.sprinkle(pauses, |_| Event::Person(PersonEvent::PauseOne));
    }

    /// Mostly sizes at the borders, where mistakes live.
    fn draw_size(&mut self) -> u64 {
        let (fewest, most) = self.options.parts;
        let part = self.options.part_size_bytes;
        let parts = u64::from(self.rng.u32(fewest..=most));
        match (parts, self.rng.u8(..5)) {
            (0, 0) => 0,
            (0, 1) => 1,
            (0, _) => self.rng.u64(2..MIB),
            (parts, 0 | 1) => parts * part,
            (parts, 2) => (parts * part - 1).max(1),
            (parts, 3) if parts < 10_000 => parts * part + 1,
            (parts, _) => (parts - 1) * part + self.rng.u64(1..=part),
        }
    }

    fn new_content(&mut self) -> Content {
        self.plan.last_content += 1;
        Content(self.plan.last_content)
    }

    fn open(&mut self, content: Content) -> SourceId {
        self.plan.last_source += 1;
        let source = source_id(self.plan.last_source);
        self.host.sources.insert(
            source,
            Source {
                content,
                readable: true,
            },
        );
        source
    }

    pub(super) fn person(&mut self, event: PersonEvent) {
        if self.host.engine.is_none() {
            // Nothing can be done until the page is there again.
            if !matches!(event, PersonEvent::PauseOne | PersonEvent::PickAgain(_)) {
                self.after(1_000, Event::Person(event));
            }
            return;
        }
        match event {
            PersonEvent::Pick { file, as_new } => {
                let picked = self.plan.files[file].clone();
                self.pick(&picked, Some(file), as_new);
            }
            PersonEvent::PauseOne => {
                let running: Vec<_> = self.oracle.running().collect();
                if !running.is_empty() && !self.calm {
                    let upload = running[self.rng.usize(..running.len())];
                    self.oracle.pause(upload, true);
                    self.command(Command::Pause(upload));
                    let back_ms = self.rng.u64(500..30_000);
                    self.after(back_ms, Event::Person(PersonEvent::Resume(upload)));
                }
            }
            PersonEvent::Resume(upload) => {
                self.oracle.pause(upload, false);
                self.command(Command::Resume(upload));
            }
            PersonEvent::Cancel(upload) => {
                self.oracle.cancel(upload);
                self.command(Command::Cancel(upload));
            }
            PersonEvent::PickAgain(upload) => self.pick_again(upload),
        }
    }

    /// Picks a file; the engine decides whether it is for an upload that waits for one.
    fn pick(&mut self, picked: &PickedFile, file: Option<usize>, as_new: bool) {
        self.plan.last_upload += 1;
        let upload = upload_id(self.plan.last_upload);
        let source = self.open(picked.content);
        self.oracle.offer(source, picked.content, file);
        self.command(Command::Pick {
            upload,
            source,
            file: picked.info(),
            as_new,
        });
        let now = self.host_now();
        let is_new = self
            .host
            .engine
            .as_ref()
            .is_some_and(|engine| engine.snapshot(now, upload).is_some());
        if !is_new {
            return;
        }
        let walks_away = self.rng.f64() < self.options.person.walk_away;
        self.oracle.picked(upload, source, picked, file, walks_away);
        if self.chance(self.options.person.cancel) {
            let at_ms = self.rng.u64(..self.options.calm_at_ms.max(1));
            self.after(at_ms, Event::Person(PersonEvent::Cancel(upload)));
        }
    }

    fn pick_again(&mut self, upload: ClientUploadId) {
        let Some(wanted) = self.oracle.picks_again(upload) else {
            return;
        };
        let wrong = self.oracle.wrong_picks(upload);
        let mut picked = PickedFile {
            name: wanted.name.clone(),
            ..wanted
        };
        if wrong < WRONG_PICKS_MAX && self.rng.f64() < self.options.person.wrong_file {
            self.oracle.picks_wrong(upload);
            picked.content = self.new_content();
            match self.rng.u8(..3) {
                0 => picked.size_bytes += 1,
                1 => picked.name = format!("other {}", picked.name),
                _ => {}
            }
        }
        // By drop on the page the first time, later by the upload's own button.
        if wrong == 0 && self.rng.bool() {
            return self.pick(&picked, None, false);
        }
        let source = self.open(picked.content);
        self.oracle.offer(source, picked.content, None);
        self.command(Command::Provide {
            upload,
            source,
            file: picked.info(),
        });
    }

    /// What the person does on seeing an upload's status.
    pub(super) fn react(&mut self, upload: ClientUploadId, status: UploadStatus) -> Result<(), Violation> {
        if self.proving.is_some() {
            return Ok(());
        }
        let event = match status {
            UploadStatus::NeedsFile if !self.oracle.walks_away(upload) => PersonEvent::PickAgain(upload),
            UploadStatus::Paused | UploadStatus::Failed if self.calm => {
                if status == UploadStatus::Failed && self.oracle.resumes(upload) > RESUMES_MAX {
                    let error = self.oracle.error(upload);
                    return self.violation("an upload that is resumed in calm weather completes", error);
                }
                PersonEvent::Resume(upload)
            }
            _ => return Ok(()),
        };
        if self.oracle.begins_to_react(upload, status) {
            let delay_ms = 500 + self.rng.u64(..5_000);
            self.after(delay_ms, Event::Person(event));
        }
        Ok(())
    }

    /// The last stretch begins: everything that stands still is looked at again.
    pub(super) fn person_tidies_up(&mut self) {
        self.oracle.look_again();
    }
}
