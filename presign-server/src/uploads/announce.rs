//! Telling of a completion: one attempt, between two conditional writes.

use std::time::Duration;

use upload_protocol::{HookEvent, SessionId, UploadCompleted};

use super::Uploads;
use crate::clock::rfc3339;
use crate::error::Result;
use crate::hooks::{Hook, Message};
use crate::session::{Announcement, Completed, Session, SessionState};
use crate::store::{SessionStoreError, Versioned};

/// How long a receiver may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// When to try again, and when no more.
#[derive(Debug, Clone, Copy)]
pub struct AnnouncerTiming {
    /// Wait after the first attempt, doubled with each; longer than an attempt takes.
    pub delay_min: Duration,
    /// Longest wait.
    pub delay_max: Duration,
    /// How long after the completion the last attempt is made.
    pub given_up_after: Duration,
    /// How often the session store is searched for what is due.
    pub search_interval: Duration,
}

impl Default for AnnouncerTiming {
    /// 15 s, 1 h, 3 days, 10 s.
    fn default() -> Self {
        Self {
            delay_min: Duration::from_secs(15),
            delay_max: Duration::from_hours(1),
            given_up_after: Duration::from_hours(72),
            search_interval: Duration::from_secs(10),
        }
    }
}

impl AnnouncerTiming {
    /// The wait after so many attempts: doubled, with up to a quarter less at random, so that what
    /// failed together does not come back together.
    fn delay(&self, attempts: u32) -> Duration {
        let doubled = self
            .delay_min
            .saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled
            .min(self.delay_max)
            .mul_f64(rand::random_range(0.75..=1.0))
    }
}

impl Uploads {
    /// What a completed session has to tell, where somebody is to be told.
    pub(super) fn news(&self) -> Option<Announcement> {
        self.inner.completion_hook.as_ref()?;
        Some(Announcement {
            attempts: 0,
            not_before_ms: self.now_ms(),
        })
    }

    /// Tells of a session's completion, if that is due.
    ///
    /// The attempt is written down before it is made: of several processes one makes it, and one that
    /// is killed meanwhile leaves the next attempt, not none. Success is written down after it, so a
    /// kill between the two repeats it: at least once, with the same id.
    pub(super) async fn announce(&self, hook: &Hook, timing: &AnnouncerTiming, id: SessionId) -> Result<()> {
        let found = self.load(id).await?;
        let SessionState::Completed(completed) = &found.session.state else {
            return Ok(());
        };
        let Some(announcement) = &completed.announcement else {
            return Ok(());
        };
        let (now_ms, attempts) = (self.now_ms(), announcement.attempts + 1);
        if announcement.not_before_ms > now_ms {
            return Ok(());
        }
        let age_ms = now_ms.saturating_sub(completed.at_ms);
        if age_ms > ms(timing.given_up_after) && announcement.attempts > 0 {
            tracing::error!(
                session = %id, key = found.session.key, attempts = announcement.attempts, receiver = hook.origin(),
                "NOBODY COULD BE TOLD of this completion: given up"
            );
            return self.told(found).await;
        }
        let next = Announcement {
            attempts,
            not_before_ms: now_ms.saturating_add(ms(timing.delay(attempts))),
        };
        let Some(found) = self.take(found, next).await? else {
            return Ok(());
        };
        let outcome = self.tell(hook, &found.session).await;
        match outcome {
            Ok(()) => self.told(found).await,
            Err(why) => {
                tracing::warn!(session = %id, attempts, why, "a completion could not be told; trying again later");
                Ok(())
            }
        }
    }

    /// Writes down that an attempt is about to be made; `None` when somebody else makes it.
    async fn take(&self, mut found: Versioned, next: Announcement) -> Result<Option<Versioned>> {
        if let SessionState::Completed(completed) = &mut found.session.state {
            completed.announcement = Some(next);
        }
        match self.inner.sessions.update(found.version, found.session).await {
            Ok(taken) => Ok(Some(taken)),
            Err(SessionStoreError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down that nothing is left to tell.
    async fn told(&self, found: Versioned) -> Result<()> {
        let told = self.change(found, |session| match &session.state {
            SessionState::Completed(completed) if completed.announcement.is_some() => {
                let mut told = session.clone();
                told.state = SessionState::Completed(Completed {
                    announcement: None,
                    ..completed.clone()
                });
                Ok(Some(told))
            }
            _ => Ok(None),
        });
        told.await.map(drop)
    }

    async fn tell(&self, hook: &Hook, session: &Session) -> std::result::Result<(), String> {
        let SessionState::Completed(completed) = &session.state else {
            return Ok(());
        };
        let event = self.completed_event(session, completed);
        let body = serde_json::to_vec(&event).map_err(|error| error.to_string())?;
        let message = Message {
            id: &event.id,
            timestamp_seconds: self.now_ms() / 1000,
            body: &body,
        };
        let answer = hook.post(message, ANSWER_TIMEOUT).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(format!("the receiver answered {}", answer.status.as_u16()))
    }

    fn completed_event(&self, session: &Session, completed: &Completed) -> HookEvent<UploadCompleted> {
        let completed_at = rfc3339(completed.at_ms);
        HookEvent {
            event_type: UploadCompleted::TYPE.to_owned(),
            id: format!("completed_{}", session.id.as_uuid().simple()),
            time: completed_at.clone(),
            data: UploadCompleted {
                upload_session_id: session.id,
                client: session.client.clone(),
                scope: scope_of(session),
                key: session.key.clone(),
                bucket: self.inner.storage.bucket().to_owned(),
                size_bytes: completed.size_bytes,
                checksum_crc64nvme: completed.crc,
                file_name: session.file_name.clone(),
                content_type: session.content_type.clone(),
                metadata: session.metadata.clone(),
                completed_at,
                receipt: self.receipt(session, completed),
            },
        }
    }
}

/// The scope that its owner's name was made of.
pub(super) fn scope_of(session: &Session) -> Option<String> {
    let scope = session.owner.strip_prefix(&session.client)?;
    scope.strip_prefix('/').map(str::to_owned)
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_doubles_with_jitter_up_to_an_hour_and_three_days_hold_some_eighty_attempts() {
        let timing = AnnouncerTiming::default();
        let mut waited = Duration::ZERO;
        let mut attempts = 0;
        while waited < timing.given_up_after {
            attempts += 1;
            let delay = timing.delay(attempts);
            let full = timing
                .delay_min
                .saturating_mul(1 << (attempts - 1).min(20))
                .min(timing.delay_max);
            assert!(
                delay <= full && delay >= full.mul_f64(0.74),
                "{attempts}: {delay:?}"
            );
            // An attempt is over before the next is due.
            assert!(delay > ANSWER_TIMEOUT);
            waited += delay;
        }
        assert!((75..=110).contains(&attempts), "{attempts} attempts");
        assert!(timing.delay(u32::MAX) <= timing.delay_max);
    }
}
