//! A session store in one JSON file, which several processes of one machine may share.
//!
//! Every method is one transaction: take the lock, read everything, change it, write it, give the lock
//! back. A database does the same with its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use presign_server::session::{Session, StateKind};
use presign_server::store::{Claim, Claimed, Created, SessionStore, SessionStoreError, Versioned};
use serde::{Deserialize, Serialize};
use upload_protocol::SessionId;

type Result<T> = std::result::Result<T, SessionStoreError>;

/// Keeps sessions in this file; beside it stand `.lock` and `.new`. Needs tokio's multi-thread runtime.
#[derive(Debug)]
pub struct FileStore(pub PathBuf);

/// All that is kept: sessions by id, sets and leases by name, each with its end.
#[derive(Default, Serialize, Deserialize)]
struct Tables {
    sessions: BTreeMap<SessionId, Versioned>,
    claims: BTreeMap<String, (SystemTime, BTreeSet<String>)>,
    leases: BTreeMap<String, (SystemTime, String)>,
}

impl FileStore {
    /// Runs `work` while nobody else may; what it changed is on disk before it is answered.
    fn change<T>(&self, action: &'static str, work: impl FnOnce(&mut Tables) -> T) -> Result<T> {
        tokio::task::block_in_place(|| -> io::Result<T> {
            let lock = File::create(self.0.with_extension("lock"))?;
            lock.lock()?; // Until it is dropped, or the process ends.
            let exists = self.0.try_exists()?;
            let before = exists.then(|| std::fs::read(&self.0)).transpose()?;
            let tables = before.as_deref().map(serde_json::from_slice).transpose()?;
            let mut tables: Tables = tables.unwrap_or_default();
            let answer = work(&mut tables);
            let after = serde_json::to_vec(&tables)?;
            if before.as_ref() != Some(&after) {
                let draft = self.0.with_extension("new");
                std::fs::write(&draft, after)?;
                File::open(&draft)?.sync_all()?;
                std::fs::rename(draft, &self.0)?;
            }
            Ok(answer)
        })
        .map_err(|error| SessionStoreError::unavailable(action, error))
    }
}

#[async_trait]
impl SessionStore for FileStore {
    async fn create(&self, session: Session, max: Option<u64>) -> Result<Created> {
        self.change("create", |Tables { sessions, .. }| {
            let is_it = |kept: &&Versioned| kept.session.identity() == session.identity();
            if let Some(known) = sessions.values().find(is_it) {
                return Created::Existing(known.clone());
            }
            let of_client = |kept: &&Session| kept.client == session.client;
            let own = sessions.values().map(|kept| &kept.session).filter(of_client);
            let in_flight_bytes = own.map(Session::in_flight_bytes).fold(0, u64::saturating_add);
            if max.is_some_and(|max| in_flight_bytes.saturating_add(session.layout.size_bytes()) > max) {
                return Created::OverLimit { in_flight_bytes };
            }
            let new = Versioned { version: 1, session };
            Created::New(sessions.entry(new.session.id).or_insert(new).clone())
        })
    }

    async fn get(&self, id: SessionId) -> Result<Option<Versioned>> {
        self.change("get", |tables| tables.sessions.get(&id).cloned())
    }

    async fn find(&self, owner: &str, key: &str) -> Result<Option<Versioned>> {
        let is_it = |kept: &&Versioned| kept.session.identity() == (owner, key);
        self.change("find", |tables| tables.sessions.values().find(is_it).cloned())
    }

    async fn update(&self, expected: u64, session: Session) -> Result<Versioned> {
        let id = session.id;
        self.change("update", |Tables { sessions, .. }| {
            let kept = sessions.get_mut(&id).filter(|kept| kept.version == expected);
            let kept = kept.ok_or(SessionStoreError::Conflict { id, expected })?;
            (kept.version, kept.session) = (expected + 1, session);
            Ok(kept.clone())
        })?
    }

    async fn list(&self, state: StateKind, after: Option<SessionId>, limit: usize) -> Result<Vec<Versioned>> {
        self.change("list", |Tables { sessions, .. }| {
            let fits = |one: &&Versioned| one.session.state.kind() == state && Some(one.session.id) > after;
            sessions.values().filter(fits).take(limit).cloned().collect()
        })
    }

    async fn delete(&self, id: SessionId) -> Result<bool> {
        self.change("delete", |tables| tables.sessions.remove(&id).is_some())
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed> {
        self.change("claim", |Tables { claims, .. }| {
            claims.retain(|_, (end, _)| *end > SystemTime::now());
            let set = claims.entry(claim.set.to_owned());
            let (_, members) = set.or_insert((SystemTime::now() + claim.ttl, BTreeSet::new()));
            if members.len() >= claim.members_max as usize && !members.contains(claim.member) {
                return Claimed::Full;
            }
            let is_new = members.insert(claim.member.to_owned());
            if is_new { Claimed::New } else { Claimed::Known }
        })
    }

    async fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<bool> {
        let now = SystemTime::now();
        self.change("lease", |Tables { leases, .. }| {
            // What ended is anybody's; the holder's own is taken anew.
            leases.retain(|lease, (end, held)| *end > now && (lease != name || held != holder));
            let lease = leases.entry(name.to_owned());
            lease.or_insert((now + ttl, holder.to_owned())).1 == holder
        })
    }

    async fn release(&self, name: &str, holder: &str) -> Result<()> {
        let others = |lease: &String, (_, held): &mut (SystemTime, String)| lease != name || held != holder;
        self.change("release", |tables| tables.leases.retain(others))
    }
}
