//! The signing context of the moment: made when the day or the credentials change.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};

use crate::error::StorageError;
use crate::signing::SigningContext;

/// Credentials that end sooner are fetched anew: a URL should live a while.
const CREDENTIALS_MARGIN: Duration = Duration::from_mins(5);

/// Credentials without an end are asked for again after this: an operator may have rotated them.
const CREDENTIALS_AGE_MAX: Duration = Duration::from_mins(15);

/// Hands out signing contexts; asks the provider only when the one at hand will not do.
#[derive(Debug)]
pub(super) struct SigningContexts {
    provider: Option<SharedCredentialsProvider>,
    region: String,
    current: RwLock<Option<Current>>,
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Current {
    context: Arc<SigningContext>,
    fetched_at: SystemTime,
}

impl SigningContexts {
    pub(super) fn new(provider: Option<SharedCredentialsProvider>, region: String) -> Self {
        Self {
            provider,
            region,
            current: RwLock::new(None),
            fetching: tokio::sync::Mutex::new(()),
        }
    }

    /// A context good at `now`.
    pub(super) async fn at(&self, now: SystemTime) -> Result<Arc<SigningContext>, StorageError> {
        if let Some(context) = self.fresh(now, CREDENTIALS_MARGIN) {
            return Ok(context);
        }
        // One fetch at a time; whoever waited finds what the first one fetched.
        let _fetching = self.fetching.lock().await;
        if let Some(context) = self.fresh(now, CREDENTIALS_MARGIN) {
            return Ok(context);
        }
        match self.fetch(now).await {
            Ok(context) => Ok(context),
            // The provider is down, and what we have still signs.
            Err(error) => self.fresh(now, Duration::ZERO).ok_or(error),
        }
    }

    fn fresh(&self, now: SystemTime, margin: Duration) -> Option<Arc<SigningContext>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let current = current.as_ref()?;
        let age = now.duration_since(current.fetched_at).unwrap_or_default();
        let young = margin.is_zero() || age < CREDENTIALS_AGE_MAX;
        (young && current.context.is_for(now, margin)).then(|| current.context.clone())
    }

    async fn fetch(&self, now: SystemTime) -> Result<Arc<SigningContext>, StorageError> {
        let provider = self.provider.as_ref().ok_or_else(|| StorageError::Credentials {
            message: "no provider is configured".to_owned(),
        })?;
        let credentials = provider.provide_credentials().await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            StorageError::Credentials {
                message: cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
            }
        })?;
        let context = Arc::new(SigningContext::new(&credentials, &self.region, now));
        let current = Current {
            context: context.clone(),
            fetched_at: now,
        };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(current);
        Ok(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use aws_credential_types::Credentials;
    use aws_credential_types::provider::{ProvideCredentials, future};

    use super::*;

    #[derive(Debug, Default)]
    struct Counting {
        calls: Arc<AtomicU64>,
        lifetime: Option<Duration>,
    }

    impl ProvideCredentials for Counting {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            self.calls.fetch_add(1, Ordering::Relaxed);
            let end = self.lifetime.map(|lifetime| day_start() + lifetime);
            future::ProvideCredentials::ready(Ok(Credentials::new("id", "secret", None, end, "test")))
        }
    }

    fn day_start() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(480_000)
    }

    async fn calls_at(lifetime: Option<u64>, seconds: &[u64]) -> u64 {
        let provider = Counting {
            lifetime: lifetime.map(Duration::from_secs),
            ..Counting::default()
        };
        let calls = provider.calls.clone();
        let contexts = SigningContexts::new(Some(SharedCredentialsProvider::new(provider)), "r".to_owned());
        for second in seconds {
            contexts
                .at(day_start() + Duration::from_secs(*second))
                .await
                .unwrap();
        }
        calls.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn credentials_are_fetched_once_while_young_and_again_when_old_or_the_day_changed() {
        assert_eq!(calls_at(None, &[0, 1, 899]).await, 1);
        assert_eq!(calls_at(None, &[0, 900]).await, 2);
        assert_eq!(calls_at(None, &[86_399, 86_400]).await, 2);
    }

    #[tokio::test]
    async fn credentials_about_to_end_are_fetched_anew() {
        assert_eq!(calls_at(Some(600), &[0, 299]).await, 1);
        assert_eq!(calls_at(Some(600), &[0, 301]).await, 2);
    }

    #[tokio::test]
    async fn missing_provider_is_an_error_that_says_so() {
        let contexts = SigningContexts::new(None, "r".to_owned());
        let error = contexts.at(day_start()).await.unwrap_err();
        assert!(matches!(error, StorageError::Credentials { .. }));
    }
}
