//! How often one client may call.
//!
//! Counted is by the client whose credentials were accepted; for a call on a session, by the session
//! whose token was; for everybody else, and for whoever is refused, by address. So nobody gets a budget
//! of its own by making up credentials.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use governor::clock::Clock as _;
use governor::{DefaultKeyedRateLimiter, Quota};
use tokio::time::Instant;
use upload_protocol::{ErrorCode, SessionId};

use super::network::Network;
use crate::error::{Result, UploadError};

/// Most clients, sessions and addresses that are remembered at once: some 10 MB. Above it all budgets
/// begin anew.
const KEYS_MAX: usize = 100_000;

/// Those whose budget is whole again are forgotten this often.
const SWEEP_INTERVAL_SECONDS: u64 = 10;

/// The header by which a proxy tells whom it asks for.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// How often one client may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls a second in the long run; 0 sets no limit.
    pub per_second: u32,
    /// Calls at once after a pause, at least 1.
    pub burst: u32,
}

impl Default for RateLimit {
    /// 500 a second, 5,000 at once: far above what one client's uploads need.
    fn default() -> Self {
        Self {
            per_second: 500,
            burst: 5000,
        }
    }
}

/// Whom a call is counted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Client(String),
    Session(SessionId),
    Address(IpAddr),
}

/// The budgets of all clients. Clones share them.
#[derive(Debug, Clone)]
pub struct RateLimits {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    current: ArcSwap<Option<Budgets>>,
    trusted_proxies: Vec<Network>,
    since: Instant,
    sweep_at_seconds: AtomicU64,
}

#[derive(Debug)]
struct Budgets {
    limit: RateLimit,
    limiter: DefaultKeyedRateLimiter<Key>,
}

impl Budgets {
    /// `None` where there is no limit.
    fn new(limit: RateLimit) -> Option<Self> {
        let quota = Quota::per_second(NonZeroU32::new(limit.per_second)?);
        let burst = NonZeroU32::new(limit.burst).unwrap_or(NonZeroU32::MIN);
        Some(Self {
            limit,
            limiter: DefaultKeyedRateLimiter::dashmap(quota.allow_burst(burst)),
        })
    }
}

impl RateLimits {
    /// Budgets that nobody has used yet. Behind a trusted proxy the address is the one it tells.
    pub fn new(limit: RateLimit, trusted_proxies: Vec<Network>) -> Self {
        Self {
            inner: Arc::new(Inner {
                current: ArcSwap::from_pointee(Budgets::new(limit)),
                trusted_proxies,
                since: Instant::now(),
                sweep_at_seconds: AtomicU64::new(SWEEP_INTERVAL_SECONDS),
            }),
        }
    }

    /// Sets another limit; budgets begin anew where it differs.
    pub fn set(&self, limit: RateLimit) {
        let current = self.inner.current.load();
        let before = (**current).as_ref().map(|budgets| budgets.limit);
        if before != Some(limit) {
            self.inner.current.store(Arc::new(Budgets::new(limit)));
        }
    }

    fn charge(&self, key: &Key, calls: usize) -> Result<()> {
        let current = self.inner.current.load();
        let Some(budgets) = &**current else {
            return Ok(());
        };
        self.sweep(budgets);
        let calls = u32::try_from(calls).unwrap_or(u32::MAX).min(budgets.limit.burst);
        let calls = NonZeroU32::new(calls).unwrap_or(NonZeroU32::MIN);
        match budgets.limiter.check_key_n(key, calls) {
            Ok(Err(early)) => {
                let wait = early.wait_time_from(governor::clock::DefaultClock::default().now());
                Err(limited(budgets.limit, wait))
            }
            // More at once than the burst was made as much as the burst.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// Keeps the number of budgets bounded.
    fn sweep(&self, budgets: &Budgets) {
        let now = self.inner.since.elapsed().as_secs();
        let due = self.inner.sweep_at_seconds.load(Ordering::Relaxed);
        let crowded = budgets.limiter.len() > KEYS_MAX;
        if now < due && !crowded {
            return;
        }
        let next = now + SWEEP_INTERVAL_SECONDS;
        let mine =
            self.inner
                .sweep_at_seconds
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_err() {
            return;
        }
        budgets.limiter.retain_recent();
        if budgets.limiter.len() > KEYS_MAX {
            tracing::warn!("more than {KEYS_MAX} clients call at once: the budgets of all begin anew");
            self.inner.current.store(Arc::new(Budgets::new(budgets.limit)));
        }
    }

    /// Whose call it is, by address: `None` where the connection tells none.
    fn address(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let trusted = |ip: IpAddr| {
            self.inner
                .trusted_proxies
                .iter()
                .any(|network| network.contains(ip))
        };
        let peer = peer?.to_canonical();
        if !trusted(peer) {
            return Some(network_of(peer));
        }
        // Each proxy appends whom it was asked by: the last that is none of ours is the client, and
        // what stands before it is the client's own word.
        let told = headers.get_all(FORWARDED_FOR).into_iter();
        let told: Vec<&str> = told.filter_map(|value| value.to_str().ok()).collect();
        let told = told.join(",");
        let mut addresses = told.rsplit(',').map(|text| text.trim().parse::<IpAddr>());
        let client = addresses.find_map(|address| match address {
            Ok(ip) if trusted(ip.to_canonical()) => None,
            other => Some(other.ok()),
        });
        Some(network_of(client.flatten().unwrap_or(peer).to_canonical()))
    }
}

fn limited(limit: RateLimit, wait: Duration) -> UploadError {
    let seconds = u32::try_from(wait.as_millis().div_ceil(1000))
        .unwrap_or(u32::MAX)
        .max(1);
    let mut error = UploadError::new(
        ErrorCode::RateLimited,
        format!(
            "more than {} calls at once and {} a second: repeat it in {seconds} s",
            limit.burst, limit.per_second
        ),
    );
    error.retry_after_seconds = Some(seconds);
    error
}

/// One customer has a whole /64 of IPv6.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

/// The budgets that a call can be charged to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budget {
    limits: Option<RateLimits>,
    address: Option<IpAddr>,
    /// Whom the call was charged to first.
    charged: Arc<OnceLock<Key>>,
}

impl Budget {
    pub(crate) fn of(parts: &Parts) -> Self {
        parts.extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// Charges a client whose credentials were accepted.
    pub(crate) fn charge_client(&self, client: &str) -> Result<()> {
        self.charge(Key::Client(client.to_owned()), 1)
    }

    /// Charges a session whose token was accepted.
    pub(crate) fn charge_session(&self, id: SessionId) -> Result<()> {
        self.charge(Key::Session(id), 1)
    }

    /// Charges the address: for whoever is nobody we know.
    pub(crate) fn charge_address(&self, calls: usize) -> Result<()> {
        match self.address {
            Some(address) => self.charge(Key::Address(address), calls),
            None => Ok(()),
        }
    }

    /// Charges whomever the call was charged to, for what else is in it.
    pub(crate) fn charge_more(&self, calls: usize) -> Result<()> {
        match self.charged.get() {
            Some(key) if calls > 0 => self.charge(key.clone(), calls),
            _ => Ok(()),
        }
    }

    fn charge(&self, key: Key, calls: usize) -> Result<()> {
        let Some(limits) = &self.limits else {
            return Ok(());
        };
        limits.charge(&key, calls)?;
        // Who was charged first stays.
        let _ = self.charged.set(key);
        Ok(())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Budget {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> std::result::Result<Self, Self::Rejection> {
        Ok(Self::of(parts))
    }
}

/// Finds out by which address a call would be counted.
pub(crate) async fn find_budget(
    State(limits): State<RateLimits>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let address = limits.address(peer.map(|peer| peer.0.ip()), request.headers());
    request.extensions_mut().insert(Budget {
        limits: Some(limits),
        address,
        charged: Arc::default(),
    });
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_second: u32, burst: u32) -> RateLimits {
        let proxies = vec!["10.0.0.0/8".parse().unwrap(), "192.168.1.1".parse().unwrap()];
        RateLimits::new(RateLimit { per_second, burst }, proxies)
    }

    fn client(name: &str) -> Key {
        Key::Client(name.to_owned())
    }

    #[test]
    fn client_above_its_burst_waits_and_another_does_not() {
        let limits = limits(1, 3);
        for _ in 0..3 {
            limits.charge(&client("a"), 1).unwrap();
        }
        let error = limits.charge(&client("a"), 1).unwrap_err();
        assert_eq!(
            (error.code, error.retry_after_seconds),
            (ErrorCode::RateLimited, Some(1))
        );
        limits.charge(&client("b"), 1).unwrap();
    }

    #[test]
    fn many_in_one_call_cost_as_many_and_never_more_than_can_be_saved_up() {
        let limits = limits(1, 10);
        limits.charge(&client("a"), 8).unwrap();
        assert!(limits.charge(&client("a"), 8).is_err());
        limits.charge(&client("b"), 1000).unwrap();
        assert!(limits.charge(&client("b"), 1).is_err());
    }

    #[test]
    fn another_limit_counts_at_once_and_the_same_one_changes_nothing() {
        let limits = limits(1, 1);
        limits.charge(&client("a"), 1).unwrap();
        limits.set(RateLimit {
            per_second: 1,
            burst: 1,
        });
        assert!(limits.charge(&client("a"), 1).is_err());
        limits.set(RateLimit {
            per_second: 1,
            burst: 2,
        });
        limits.charge(&client("a"), 2).unwrap();
        limits.set(RateLimit {
            per_second: 0,
            burst: 1,
        });
        for _ in 0..100 {
            limits.charge(&client("a"), 100).unwrap();
        }
    }

    #[test]
    fn budgets_are_bounded_in_number() {
        let limits = limits(1, 1);
        for number in 0..150_000_u32 {
            let address = IpAddr::V4(std::net::Ipv4Addr::from_bits(number));
            // Whether it is let in doesn't matter here.
            let _ = limits.charge(&Key::Address(address), 1);
        }
        let current = limits.inner.current.load();
        assert!((**current).as_ref().unwrap().limiter.len() <= KEYS_MAX + 1);
    }

    #[test]
    fn address_is_the_connections_unless_a_trusted_proxy_tells_another() {
        let limits = limits(1, 1);
        let address = |peer: &str, told: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED_FOR, told.parse().unwrap());
            limits
                .address(Some(peer.parse().unwrap()), &headers)
                .unwrap()
                .to_string()
        };
        assert_eq!(address("203.0.113.9", "198.51.100.7"), "203.0.113.9");
        assert_eq!(address("10.1.2.3", "198.51.100.7"), "198.51.100.7");
        assert_eq!(address("::ffff:10.1.2.3", "198.51.100.7"), "198.51.100.7");
        // What the client itself sent stands before what the proxy appended.
        assert_eq!(
            address("10.1.2.3", "1.1.1.1, 198.51.100.7, 192.168.1.1"),
            "198.51.100.7"
        );
        assert_eq!(address("10.1.2.3", "nonsense"), "10.1.2.3");
        assert_eq!(address("10.1.2.3", "1.1.1.1, nonsense"), "10.1.2.3");
        assert_eq!(address("2001:db8:1:2:3:4:5:6", ""), "2001:db8:1:2::");
    }
}
