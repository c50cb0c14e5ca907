//! The facts of one run.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tokio::time::Instant;
use upload_protocol::{DonePayload, ErrorPayload, LiveEvent, LiveMessage, PartDonePayload, PartNumber};

use crate::events::{News, Run};

/// No position: the part is not known.
const NOWHERE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct RunLog {
    pub(super) run: Run,
    /// When the newest fact came.
    pub(super) heard: Instant,
    /// With their numbers, ascending. The first one is the start.
    facts: Vec<(u64, Fact)>,
    /// Where each part's fact is, by part index.
    parts: Vec<u32>,
    /// Hashes of the errors known.
    errors: HashSet<u64>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// It is a new fact.
    New,
    /// The fact was known; this tells more of it, to those who come later.
    Better,
    /// It was known, or comes too late, or is one too many.
    Not,
}

/// An event without what the run says already: a run may have 10,000.
#[derive(Debug)]
enum Fact {
    Start,
    Part {
        number: PartNumber,
        size: u64,
        etag: Box<str>,
    },
    Error(Box<ErrorPayload>),
    Done {
        success: bool,
    },
}

impl RunLog {
    pub(super) fn new(run: Run, number: u64, now: Instant) -> Self {
        Self {
            run,
            heard: now,
            facts: vec![(number, Fact::Start)],
            parts: Vec::new(),
            errors: HashSet::new(),
        }
    }

    /// Nothing is added after the end: what comes then was overtaken by it.
    pub(super) fn add(&mut self, number: u64, event: &LiveEvent, errors_max: usize) -> Added {
        let ended = self.has_ended();
        let fact = match event {
            LiveEvent::SessionStart(_) => return Added::Not,
            LiveEvent::PartDone(part) => {
                if let Some(known) = self.known_etag(part.part) {
                    if !known.is_empty() || part.etag.is_empty() {
                        return Added::Not;
                    }
                    *known = part.etag.as_str().into();
                    return Added::Better;
                }
                if ended {
                    return Added::Not;
                }
                self.note_position(part.part);
                Fact::Part {
                    number: part.part,
                    size: part.size,
                    etag: part.etag.as_str().into(),
                }
            }
            LiveEvent::Error(error) => {
                if ended || self.errors.len() >= errors_max || !self.errors.insert(hash(error)) {
                    return Added::Not;
                }
                Fact::Error(Box::new(error.clone()))
            }
            LiveEvent::SessionDone(_) if ended => return Added::Not,
            LiveEvent::SessionDone(done) => Fact::Done {
                success: done.success,
            },
        };
        self.facts.push((number, fact));
        Added::New
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.facts.last(), Some((_, Fact::Done { .. })))
    }

    pub(super) fn len(&self) -> usize {
        self.facts.len()
    }

    /// Number of the newest fact.
    pub(super) fn newest(&self) -> u64 {
        self.facts.last().map_or(0, |(number, _)| *number)
    }

    /// Where the first fact with a number above this one is, or would be.
    pub(super) fn position_after(&self, number: u64) -> usize {
        self.facts.partition_point(|(known, _)| *known <= number)
    }

    pub(super) fn number_at(&self, position: usize) -> Option<u64> {
        self.facts.get(position).map(|(number, _)| *number)
    }

    pub(super) fn message_at(&self, position: usize) -> Option<LiveMessage> {
        let (_, fact) = self.facts.get(position)?;
        let event = match fact {
            Fact::Start => LiveEvent::SessionStart(self.run.start.clone()),
            Fact::Part { number, size, etag } => LiveEvent::PartDone(PartDonePayload {
                part: *number,
                size: *size,
                etag: etag.to_string(),
            }),
            Fact::Error(error) => LiveEvent::Error((**error).clone()),
            Fact::Done { success } => LiveEvent::SessionDone(DonePayload {
                success: *success,
                upload_id: self.run.start.upload_id.clone(),
            }),
        };
        Some(LiveMessage {
            run_id: self.run.id,
            event,
        })
    }

    pub(super) fn news(&self) -> News {
        let messages = (0..self.len()).filter_map(|position| self.message_at(position));
        News {
            run: self.run.clone(),
            events: messages.map(|message| message.event).collect(),
        }
    }

    fn known_etag(&mut self, part: PartNumber) -> Option<&mut Box<str>> {
        let position = *self.parts.get(index(part)).filter(|known| **known != NOWHERE)?;
        match self.facts.get_mut(usize::try_from(position).ok()?) {
            Some((_, Fact::Part { etag, .. })) => Some(etag),
            _ => None,
        }
    }

    /// The part's fact is about to be pushed.
    fn note_position(&mut self, part: PartNumber) {
        let index = index(part);
        if self.parts.len() <= index {
            self.parts.resize(index + 1, NOWHERE);
        }
        self.parts[index] = u32::try_from(self.facts.len()).unwrap_or(NOWHERE);
    }
}

fn index(part: PartNumber) -> usize {
    part.index() as usize
}

fn hash(error: &ErrorPayload) -> u64 {
    let mut hasher = DefaultHasher::new();
    error.message.hash(&mut hasher);
    error.part_number.hash(&mut hasher);
    hasher.finish()
}
