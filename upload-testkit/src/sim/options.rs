//! What a simulated world is like.

use upload_protocol::limits::{MIB, PART_SIZE_BYTES_MIN};

/// Chances of things going wrong, each from 0 to 1. All are off in the last stretch of a run.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// A request is lost on its way.
    pub request_lost: f64,
    /// An answer is lost: the request took effect.
    pub answer_lost: f64,
    /// A request arrives a second time, up to 20 s later.
    pub duplicate: f64,
    /// Answered 500, 503 or 429, with or without `Retry-After`.
    pub server_error: f64,
    /// A part moves no byte any more; a call is answered by nobody for a minute.
    pub stall: f64,
    /// A part is answered 200 with an error inside, a call with nonsense.
    pub error_in_200: f64,
    /// A part's bytes are flipped on the wire.
    pub corrupt: f64,
    /// A 403 for an expired URL looks like no answer at all.
    pub hidden_403: f64,
    /// An answer comes for an action that was cancelled.
    pub late_answer: f64,
    /// Writing to disk fails though there is room.
    pub disk_error: f64,
    /// Events a minute: the network is away for up to 20 s.
    pub offline_per_minute: f64,
    /// Events a minute: the server or the store is down for up to 15 s.
    pub outage_per_minute: f64,
    /// Events a minute: the machine sleeps for up to 2 hours.
    pub sleep_per_minute: f64,
    /// Events a minute: bits flip in a staged part.
    pub rot_per_minute: f64,
    /// Events a minute: the store aborts a multipart upload by itself.
    pub store_abort_per_minute: f64,
    /// Events a minute: a picked file changes or vanishes.
    pub source_lost_per_minute: f64,
    /// Events a minute: staging comes or goes.
    pub staging_toggle_per_minute: f64,
}

/// What the person does beside picking.
#[derive(Debug, Clone, Default)]
pub struct Person {
    /// Events a minute: an upload is paused, and resumed a little later.
    pub pauses_per_minute: f64,
    /// Chance that an upload is cancelled some time.
    pub cancel: f64,
    /// Chance that a wrong file is picked first when one is needed again.
    pub wrong_file: f64,
    /// Chance that a needed file is never picked again.
    pub walk_away: f64,
}

/// A world to run an engine in.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name for reports.
    pub preset: &'static str,
    /// Fewest and most files picked.
    pub files: (u32, u32),
    /// Fewest and most parts of a file; 0 makes files of less than a part.
    pub parts: (u32, u32),
    /// Part size the client asks for.
    pub part_size_bytes: u64,
    /// What goes wrong.
    pub faults: Faults,
    /// What the person does.
    pub person: Person,
    /// Chance for the host to be killed after any one output.
    pub kill: f64,
    /// Most kills in a run.
    pub kills_max: u32,
    /// When faults, kills and whims end and everything must come to its end, in ms.
    pub calm_at_ms: u64,
    /// Room for staged parts in bytes; the least and the most.
    pub disk_bytes: (u64, u64),
    /// Lives of signed URLs in seconds; the shortest and the longest.
    pub url_lifetime_s: (u32, u32),
    /// Speed of one connection to the store in bytes a second; the slowest and the fastest.
    pub put_bytes_per_second: (u64, u64),
}

impl Options {
    /// Nothing goes wrong.
    pub fn calm() -> Self {
        Self {
            preset: "calm",
            files: (1, 4),
            parts: (1, 14),
            part_size_bytes: PART_SIZE_BYTES_MIN,
            faults: Faults::default(),
            person: Person::default(),
            kill: 0.0,
            kills_max: 0,
            calm_at_ms: 0,
            disk_bytes: (u64::MAX, u64::MAX),
            url_lifetime_s: (900, 900),
            put_bytes_per_second: (MIB, 40 * MIB),
        }
    }

    /// Everything the network, the server, the store, the disk and the person can do, but no kills.
    pub fn lossy() -> Self {
        Self {
            preset: "lossy",
            faults: Faults {
                request_lost: 0.05,
                answer_lost: 0.05,
                duplicate: 0.05,
                server_error: 0.08,
                stall: 0.02,
                error_in_200: 0.03,
                corrupt: 0.02,
                hidden_403: 0.5,
                late_answer: 0.3,
                disk_error: 0.02,
                offline_per_minute: 0.6,
                outage_per_minute: 0.8,
                sleep_per_minute: 0.3,
                rot_per_minute: 0.3,
                store_abort_per_minute: 0.1,
                source_lost_per_minute: 0.05,
                staging_toggle_per_minute: 0.5,
            },
            person: Person {
                pauses_per_minute: 0.8,
                cancel: 0.15,
                wrong_file: 0.4,
                walk_away: 0.1,
            },
            calm_at_ms: 180_000,
            disk_bytes: (10 * MIB, 300 * MIB),
            url_lifetime_s: (2, 900),
            put_bytes_per_second: (MIB / 2, 20 * MIB),
            ..Self::calm()
        }
    }

    /// The host is killed again and again; little else goes wrong.
    pub fn killer() -> Self {
        Self {
            preset: "killer",
            faults: Faults {
                request_lost: 0.01,
                answer_lost: 0.03,
                duplicate: 0.02,
                ..Faults::default()
            },
            person: Person {
                cancel: 0.2,
                wrong_file: 0.3,
                walk_away: 0.1,
                pauses_per_minute: 0.5,
            },
            kill: 0.02,
            kills_max: 25,
            calm_at_ms: 120_000,
            put_bytes_per_second: (MIB / 2, 10 * MIB),
            ..Self::calm()
        }
    }

    /// Many files of less than a part.
    pub fn tiny() -> Self {
        Self {
            preset: "tiny",
            files: (20, 60),
            parts: (0, 0),
            faults: Faults {
                rot_per_minute: 0.0,
                store_abort_per_minute: 0.0,
                ..Self::lossy().faults
            },
            kill: 0.001,
            kills_max: 3,
            ..Self::lossy()
        }
    }

    /// One file of 10,000 parts.
    pub fn huge() -> Self {
        Self {
            preset: "huge",
            files: (1, 1),
            parts: (10_000, 10_000),
            faults: Faults {
                request_lost: 0.005,
                answer_lost: 0.005,
                server_error: 0.005,
                ..Faults::default()
            },
            kill: 0.000_02,
            kills_max: 2,
            calm_at_ms: 600_000,
            put_bytes_per_second: (10 * MIB, 40 * MIB),
            ..Self::calm()
        }
    }

    /// Kills before everything is safe, small disks, and persons who pick wrong files.
    pub fn needs_file() -> Self {
        Self {
            preset: "needs-file",
            faults: Faults {
                answer_lost: 0.05,
                rot_per_minute: 1.0,
                store_abort_per_minute: 0.6,
                source_lost_per_minute: 0.6,
                disk_error: 0.05,
                ..Faults::default()
            },
            person: Person {
                wrong_file: 0.7,
                walk_away: 0.1,
                cancel: 0.1,
                ..Person::default()
            },
            kill: 0.01,
            kills_max: 10,
            calm_at_ms: 120_000,
            disk_bytes: (0, 60 * MIB),
            put_bytes_per_second: (MIB / 2, 10 * MIB),
            ..Self::calm()
        }
    }

    /// All presets.
    pub fn presets() -> [Self; 6] {
        [
            Self::calm(),
            Self::lossy(),
            Self::killer(),
            Self::tiny(),
            Self::huge(),
            Self::needs_file(),
        ]
    }

    /// A preset by its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::presets().into_iter().find(|options| options.preset == name)
    }

    /// The preset that this seed runs where none is named: mostly the eventful ones, a hundredth huge.
    pub fn for_seed(seed: u64) -> Self {
        match seed % 100 {
            50 => Self::huge(),
            other => match other % 10 {
                0 => Self::calm(),
                1..=3 => Self::lossy(),
                4..=6 => Self::killer(),
                7 => Self::tiny(),
                _ => Self::needs_file(),
            },
        }
    }
}
