//! The failure policy: what follows from a failure, and how long to wait. Pure.

use upload_protocol::ErrorCode;

use crate::action::Failure;
use crate::config::EngineConfig;
use crate::snapshot::UploadError;

/// What follows when a part could not be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PutVerdict {
    /// Send it again after a back-off.
    Backoff {
        /// The store asked for less: send fewer parts at a time.
        congested: bool,
        /// At least so long, if the store said.
        retry_after_ms: u64,
    },
    /// The URL has had its day: ask for another and send again at once.
    FreshUrl,
    /// Only the server can tell what has become of the session.
    AskSession,
    /// The store got other bytes than were hashed: read and send again.
    ChecksumRefused,
    /// The picked file can't be read any more.
    SourceLost(String),
    /// The staged copy can't be read any more.
    StagedLost,
    /// The store refuses for a reason that waiting alone won't mend.
    Refused(String),
}

/// What is known of the attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PutAttempt {
    /// Its URL is past its age: a browser may not be allowed to see the 403 that answers it.
    pub(crate) url_expired: bool,
    /// The part has had its free fresh URL.
    pub(crate) fresh_url_used: bool,
}

/// Error codes of S3 for bytes that don't fit their checksum.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
const CHECKSUM_CODES: [&str; 4] = [
    "BadDigest",
    "InvalidDigest",
    "XAmzContentChecksumMismatch",
    "InvalidPart",
];

/// Whether anything is decided by this code of a store.
pub(crate) fn is_store_code(code: &str) -> bool {
    CHECKSUM_CODES.contains(&code) || OTHER_CODES.contains(&code)
}

/// The other codes that [`classify_put`] knows.
const OTHER_CODES: [&str; 6] = [
    "SlowDown",
    "NoSuchUpload",
    "NoSuchKey",
    "PreconditionFailed",
    "InternalError",
    "RequestTimeout",
];

pub(crate) fn classify_put(failure: &Failure, attempt: PutAttempt) -> PutVerdict {
    let backoff = |congested, seconds: Option<u32>| PutVerdict::Backoff {
        congested,
        retry_after_ms: u64::from(seconds.unwrap_or(0)) * 1000,
    };
    match failure {
        Failure::SourceUnreadable { detail } => PutVerdict::SourceLost(detail.clone()),
        Failure::StagedUnreadable { .. } => PutVerdict::StagedLost,
        Failure::Transport { .. } if attempt.url_expired && !attempt.fresh_url_used => PutVerdict::FreshUrl,
        Failure::Http {
            status,
            store_code,
            detail,
            retry_after_seconds,
            ..
        } => {
            match (*status, store_code.as_deref()) {
                (_, Some("SlowDown")) | (429 | 503, _) => backoff(true, *retry_after_seconds),
                (_, Some("NoSuchUpload" | "NoSuchKey" | "PreconditionFailed")) | (404 | 412, _) => {
                    PutVerdict::AskSession
                }
                // A store's internal error or time-out, also inside a 200 or a 400.
                (_, Some("InternalError" | "RequestTimeout")) | (408 | 500..=599, _) => {
                    backoff(false, *retry_after_seconds)
                }
                (400, Some(code)) if CHECKSUM_CODES.contains(&code) => PutVerdict::ChecksumRefused,
                (403, _) if attempt.fresh_url_used => PutVerdict::AskSession,
                (403, _) => PutVerdict::FreshUrl,
                (409, _) => backoff(false, None),
                (_, code) => {
                    let code = code.map(|code| format!(" {code}")).unwrap_or_default();
                    PutVerdict::Refused(format!("the store answered {status}{code}: {detail}"))
                }
            }
        }
        Failure::Transport { .. }
        | Failure::InvalidAnswer { .. }
        | Failure::QuotaExceeded
        | Failure::StorageUnavailable { .. } => backoff(false, None),
    }
}

/// What follows when a call to the server failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallVerdict {
    /// Call again after a back-off. Every call is idempotent, so a lost answer costs nothing.
    Backoff {
        /// At least so long, if the server said.
        retry_after_ms: u64,
    },
    /// The session is gone: start afresh with what is at hand.
    Restart,
    /// The session isn't in the state we believe: ask.
    AskSession,
    /// The server wants other credentials: call again when the host has some, and from time to time.
    AwaitCredentials,
    /// Waiting won't mend it.
    Fail(UploadError),
}

pub(crate) fn classify_call(failure: &Failure) -> CallVerdict {
    // Also of what stands in front of the server and is no part of it.
    if let Failure::Http { status: 401, .. } = failure {
        return CallVerdict::AwaitCredentials;
    }
    let Failure::Http {
        status,
        code: Some(code),
        detail,
        retry_after_seconds,
        ..
    } = failure
    else {
        // No answer, or one that isn't our server's (a proxy's error page, a captive portal): the
        // server itself has not spoken, so nothing is decided.
        return CallVerdict::Backoff { retry_after_ms: 0 };
    };
    let retry_after_ms = u64::from(retry_after_seconds.unwrap_or(0)) * 1000;
    match *code {
        ErrorCode::SessionNotFound | ErrorCode::SessionAborted | ErrorCode::KeyTaken => CallVerdict::Restart,
        ErrorCode::SessionCompleted
        | ErrorCode::PartsMissing
        | ErrorCode::SizeMismatch
        | ErrorCode::ChecksumMismatch
        // No control call has a grant: whoever sends by one asks for the next.
        | ErrorCode::RelayGrantRefused => CallVerdict::AskSession,
        // Another call is at work, or another build answers: both pass.
        ErrorCode::SessionBusy | ErrorCode::RouteNotFound | ErrorCode::MethodNotAllowed => {
            CallVerdict::Backoff { retry_after_ms }
        }
        // By its status, so also a code of a newer server.
        _ if matches!(status, 408 | 425 | 429 | 500..) => CallVerdict::Backoff { retry_after_ms },
        code => CallVerdict::Fail(UploadError::of_server(code, detail.clone())),
    }
}

/// Wait before attempt `failures + 1`: doubled each time, cut off at the maximum, with jitter of a
/// half so that many clients don't come back at once. Never shorter than the server asked, but no
/// longer than ten times the maximum: a wrong header must not stop an upload for a day.
pub(crate) fn delay_ms(
    config: &EngineConfig,
    rng: &mut fastrand::Rng,
    failures: u32,
    retry_after_ms: u64,
) -> u64 {
    let doubled = config
        .retry_delay_ms_min
        .saturating_mul(1 << failures.saturating_sub(1).min(20));
    let full = doubled.min(config.retry_delay_ms_max);
    let jittered = full / 2 + rng.u64(0..=full / 2);
    jittered.max(retry_after_ms.min(config.retry_delay_ms_max.saturating_mul(10)))
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    const FIRST: PutAttempt = PutAttempt {
        url_expired: false,
        fresh_url_used: false,
    };

    fn http(status: u16, store_code: &str) -> Failure {
        Failure::Http {
            status,
            code: None,
            store_code: (!store_code.is_empty()).then(|| store_code.to_owned()),
            detail: String::new(),
            retry_after_seconds: None,
        }
    }

    fn server(code: ErrorCode) -> Failure {
        Failure::Http {
            status: code.http_status(),
            code: Some(code),
            store_code: None,
            detail: String::new(),
            retry_after_seconds: None,
        }
    }

    fn transport() -> Failure {
        Failure::Transport {
            detail: String::new(),
        }
    }

    #[test]
    fn put_refused_with_403_earns_one_fresh_url_then_asks_the_server() {
        assert_eq!(
            classify_put(&http(403, "AccessDenied"), FIRST),
            PutVerdict::FreshUrl
        );
        let second = PutAttempt {
            fresh_url_used: true,
            ..FIRST
        };
        assert_eq!(
            classify_put(&http(403, "AccessDenied"), second),
            PutVerdict::AskSession
        );
    }

    #[test]
    fn put_at_a_store_that_finds_its_url_too_old_or_too_young_earns_a_fresh_one() {
        let skewed = http(403, "RequestTimeTooSkewed");
        assert_eq!(classify_put(&skewed, FIRST), PutVerdict::FreshUrl);
    }

    #[test]
    fn put_without_answer_on_an_expired_url_counts_as_the_403_the_browser_hid() {
        let expired = PutAttempt {
            url_expired: true,
            ..FIRST
        };
        assert_eq!(classify_put(&transport(), expired), PutVerdict::FreshUrl);
        let second = PutAttempt {
            fresh_url_used: true,
            ..expired
        };
        assert!(matches!(
            classify_put(&transport(), second),
            PutVerdict::Backoff { congested: false, .. }
        ));
        assert!(matches!(
            classify_put(&transport(), FIRST),
            PutVerdict::Backoff { congested: false, .. }
        ));
    }

    #[test]
    fn put_to_a_vanished_upload_asks_the_server() {
        assert_eq!(
            classify_put(&http(404, "NoSuchUpload"), FIRST),
            PutVerdict::AskSession
        );
        assert_eq!(
            classify_put(&http(200, "NoSuchUpload"), FIRST),
            PutVerdict::AskSession
        );
        assert_eq!(
            classify_put(&http(412, "PreconditionFailed"), FIRST),
            PutVerdict::AskSession
        );
    }

    #[test]
    fn put_told_to_slow_down_is_congestion() {
        for failure in [
            http(503, "SlowDown"),
            http(503, ""),
            http(429, ""),
            http(200, "SlowDown"),
        ] {
            assert!(matches!(
                classify_put(&failure, FIRST),
                PutVerdict::Backoff { congested: true, .. }
            ));
        }
    }

    #[test]
    fn put_with_an_error_inside_a_200_is_a_failure_by_its_code() {
        assert!(matches!(
            classify_put(&http(200, "InternalError"), FIRST),
            PutVerdict::Backoff { .. }
        ));
    }

    #[test]
    fn put_of_other_bytes_is_read_again() {
        for code in CHECKSUM_CODES {
            assert_eq!(classify_put(&http(400, code), FIRST), PutVerdict::ChecksumRefused);
        }
    }

    #[test]
    fn put_refused_for_another_reason_names_it() {
        let PutVerdict::Refused(detail) = classify_put(&http(400, "EntityTooLarge"), FIRST) else {
            panic!()
        };
        assert!(detail.contains("400 EntityTooLarge"));
    }

    #[test]
    fn call_answered_by_something_else_than_the_server_is_repeated() {
        for failure in [
            transport(),
            http(404, ""),
            http(502, ""),
            Failure::InvalidAnswer { detail: "<".into() },
        ] {
            assert_eq!(
                classify_call(&failure),
                CallVerdict::Backoff { retry_after_ms: 0 }
            );
        }
    }

    #[test]
    fn call_is_decided_by_every_code_of_the_server() {
        for code in ErrorCode::ALL {
            let verdict = classify_call(&server(*code));
            let retried = matches!(verdict, CallVerdict::Backoff { .. });
            let passing = matches!(
                code,
                ErrorCode::SessionBusy | ErrorCode::RouteNotFound | ErrorCode::MethodNotAllowed
            ) || matches!(code.http_status(), 408 | 429 | 500..);
            assert_eq!(retried, passing, "{code:?} -> {verdict:?}");
        }
    }

    #[test]
    fn code_of_a_newer_server_is_decided_by_its_status() {
        let newer = |status| {
            classify_call(&Failure::Http {
                status,
                code: Some(ErrorCode::Unrecognized),
                store_code: None,
                detail: "the quota of moons is used up".into(),
                retry_after_seconds: None,
            })
        };
        assert_eq!(newer(503), CallVerdict::Backoff { retry_after_ms: 0 });
        assert_eq!(newer(429), CallVerdict::Backoff { retry_after_ms: 0 });
        assert!(matches!(newer(403), CallVerdict::Fail(error) if error.detail.contains("moons")));
    }

    #[test]
    fn delay_doubles_to_its_maximum_and_heeds_retry_after() {
        let config = EngineConfig::default();
        let mut rng = fastrand::Rng::with_seed(1);
        for failures in 1..100 {
            let full = (500u64 << (failures - 1).min(20)).min(30_000);
            let delay = delay_ms(&config, &mut rng, failures, 0);
            assert!((full / 2..=full).contains(&delay), "{failures}: {delay}");
        }
        assert_eq!(delay_ms(&config, &mut rng, 1, 7_000), 7_000);
        assert_eq!(delay_ms(&config, &mut rng, 1, u64::MAX), 300_000);
    }
}
