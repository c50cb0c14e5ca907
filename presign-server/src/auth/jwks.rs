//! The keys that an issuer publishes: fetched, kept, fetched anew. <https://www.rfc-editor.org/rfc/rfc7517>

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use upload_protocol::ErrorCode;
use url::Url;

use super::jwt::{JwtConfigError, VerifyingKey};
use crate::error::{Result, UploadError};

/// How long one fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest answer that is read.
const ANSWER_LENGTH_BYTES_MAX: usize = 256 * 1024;

/// Most keys that are kept.
const KEYS_LENGTH_MAX: usize = 100;

/// A key nobody knows has the keys fetched at most this often: whoever invents key ids costs the issuer
/// no more.
const UNKNOWN_INTERVAL: Duration = Duration::from_mins(1);

/// The same as long as none could be fetched at all.
const EMPTY_INTERVAL: Duration = Duration::from_secs(2);

/// Keys older than this are fetched anew beside the call that found them so. A key the issuer has taken
/// back is good for as long.
const AGE_MAX: Duration = Duration::from_mins(10);

/// Shortest modulus in base64url: 2,048 bits.
const RSA_MODULUS_LENGTH_MIN: usize = 342;

/// Published keys. Those known stay in force while the issuer doesn't answer.
pub(crate) struct Jwks {
    url: Url,
    http: reqwest::Client,
    keys: RwLock<Arc<KeySet>>,
    /// When a fetch last began; held while one is under way, so that there is one at a time.
    fetched_at: Mutex<Option<Instant>>,
    unknown_interval: Duration,
}

#[derive(Default)]
struct KeySet {
    by_id: HashMap<String, VerifyingKey>,
    /// Those without an id.
    nameless: Vec<VerifyingKey>,
    /// When they came; `None` before the first.
    at: Option<Instant>,
}

/// The set with its keys unread: one that this build can't use is passed over.
#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

impl Jwks {
    /// Keys at an address, which is asked without following it elsewhere.
    pub(crate) fn new(url: Url) -> std::result::Result<Self, JwtConfigError> {
        let http = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| JwtConfigError::Http(error.to_string()))?;
        Ok(Self {
            url,
            http,
            keys: RwLock::default(),
            fetched_at: Mutex::default(),
            unknown_interval: UNKNOWN_INTERVAL,
        })
    }

    /// The key a token names.
    ///
    /// # Errors
    /// `unauthorized` when the issuer publishes no such key; `identity_unavailable` when none could be
    /// fetched yet.
    pub(crate) async fn key(self: &Arc<Self>, id: Option<&str>) -> Result<VerifyingKey> {
        if self.keys().at.is_some_and(|at| at.elapsed() > AGE_MAX) {
            // Before the look, so that a key that was withdrawn lets nobody in. Where the issuer does not
            // answer those known stay in force, and it is asked again in a minute.
            self.refresh().await;
        }
        if let Some(key) = self.keys().find(id) {
            return Ok(key);
        }
        self.refresh().await;
        let keys = self.keys();
        keys.find(id).ok_or_else(|| keys.missing(id))
    }

    /// Fetches the keys, unless that was done a moment ago. One caller fetches, the others wait for it.
    pub(crate) async fn refresh(&self) {
        let mut fetched_at = self.fetched_at.lock().await;
        let interval = if self.keys().at.is_some() {
            self.unknown_interval
        } else {
            EMPTY_INTERVAL
        };
        if fetched_at.is_some_and(|at| at.elapsed() < interval) {
            return;
        }
        let fetched = self.fetch().await;
        // From its end: those who waited for it don't each wait for one of their own.
        *fetched_at = Some(Instant::now());
        match fetched {
            Ok(keys) => {
                let count = keys.by_id.len() + keys.nameless.len();
                tracing::info!(url = %self.url, count, "fetched the issuer's keys");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
            }
            Err(reason) => {
                tracing::error!(url = %self.url, reason, "the issuer's keys can't be fetched; those known stay in force");
            }
        }
    }

    async fn fetch(&self) -> std::result::Result<KeySet, String> {
        let sent = self.http.get(self.url.clone()).send().await;
        let mut response = sent.map_err(|error| words(&error))?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("it answers {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| words(&error))? {
            if body.len() + piece.len() > ANSWER_LENGTH_BYTES_MAX {
                return Err(format!("it answers more than {ANSWER_LENGTH_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&piece);
        }
        KeySet::read(&body)
    }

    fn keys(&self) -> Arc<KeySet> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl KeySet {
    fn read(body: &[u8]) -> std::result::Result<Self, String> {
        let document: Document =
            serde_json::from_slice(body).map_err(|error| format!("it answers no key set: {error}"))?;
        let mut set = Self {
            at: Some(Instant::now()),
            ..Self::default()
        };
        for value in document.keys.into_iter().take(KEYS_LENGTH_MAX) {
            let Ok(jwk) = serde_json::from_value::<Jwk>(value) else {
                continue;
            };
            let Some(key) = verifying_key(&jwk) else {
                continue;
            };
            match jwk.common.key_id {
                Some(id) => drop(set.by_id.insert(id, key)),
                None => set.nameless.push(key),
            }
        }
        if set.by_id.is_empty() && set.nameless.is_empty() {
            return Err(
                "it answers no key of RSA (2048 bits), P-256, P-384 or Ed25519 for signatures".to_owned(),
            );
        }
        Ok(set)
    }

    /// The key named; the only one there is where none is named.
    fn find(&self, id: Option<&str>) -> Option<VerifyingKey> {
        match id {
            Some(id) => self.by_id.get(id).cloned(),
            None if self.by_id.len() + self.nameless.len() == 1 => {
                self.by_id.values().chain(&self.nameless).next().cloned()
            }
            None => None,
        }
    }

    fn missing(&self, id: Option<&str>) -> UploadError {
        if self.at.is_none() {
            return UploadError::new(
                ErrorCode::IdentityUnavailable,
                "the keys that check this token could not be fetched from its issuer yet: try again",
            );
        }
        UploadError::unauthorized(match id {
            Some(_) => "the token is refused: its issuer publishes no key of the id (`kid`) it names",
            None => "the token is refused: it names no key (`kid`), and its issuer has not just one",
        })
    }
}

/// The key, where it is one for signatures; its kind decides the algorithm. Secrets are none: what is
/// published checks no signature.
fn verifying_key(jwk: &Jwk) -> Option<VerifyingKey> {
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let said = match jwk.common.key_algorithm {
        Some(algorithm) => Some(Algorithm::from_str(&algorithm.to_string()).ok()?),
        None => None,
    };
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if rsa.n.len() >= RSA_MODULUS_LENGTH_MIN => {
            let algorithm = said.unwrap_or(Algorithm::RS256);
            (algorithm.family() == AlgorithmFamily::Rsa).then_some(algorithm)?
        }
        AlgorithmParameters::EllipticCurve(ec) => match ec.curve {
            EllipticCurve::P256 => Algorithm::ES256,
            EllipticCurve::P384 => Algorithm::ES384,
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    if said.is_some_and(|said| said != algorithm) {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(VerifyingKey { key, algorithm })
}

/// What went wrong and why: the client's own words stop at the first cause.
fn words(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jwks({})", self.url)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(keys: &serde_json::Value) -> std::result::Result<KeySet, String> {
        KeySet::read(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn keys_that_check_no_signature_of_ours_are_passed_over() {
        let modulus = format!("{}Q", "q".repeat(341));
        let good = json!({"kty": "RSA", "kid": "good", "n": modulus, "e": "AQAB", "use": "sig"});
        let others = [
            json!({"kty": "RSA", "kid": "enc", "n": modulus, "e": "AQAB", "use": "enc"}),
            json!({"kty": "RSA", "kid": "short", "n": format!("{}Q", "q".repeat(170)), "e": "AQAB"}),
            json!({"kty": "RSA", "kid": "oaep", "n": modulus, "e": "AQAB", "alg": "RSA-OAEP"}),
            json!({"kty": "RSA", "kid": "hs", "n": modulus, "e": "AQAB", "alg": "HS256"}),
            json!({"kty": "oct", "kid": "secret", "k": "c2VjcmV0", "alg": "HS256"}),
            json!({"kty": "future", "kid": "new"}),
            json!("no key"),
        ];
        let mut all = others.to_vec();
        all.push(good);
        let set = read(&json!(all)).unwrap();
        assert_eq!(set.by_id.keys().collect::<Vec<_>>(), ["good"]);
        assert_eq!(set.find(None).unwrap().algorithm, Algorithm::RS256);
        assert!(set.find(Some("secret")).is_none());
        assert!(read(&json!(others)).is_err());
    }

    /// An issuer that publishes one key, whose id counts how often it was asked.
    async fn issuer() -> Url {
        let asked = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let answer = move || {
            let count = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
            let key =
                json!({"kty": "OKP", "crv": "Ed25519", "kid": format!("key-{count}"), "x": "A".repeat(43)});
            async move { json!({ "keys": [key] }).to_string() }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let router = axum::Router::new().route("/", axum::routing::get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url.parse().unwrap()
    }

    #[tokio::test]
    async fn key_that_the_issuer_has_begun_to_use_is_found_once_the_interval_is_over() {
        let mut jwks = Jwks::new(issuer().await).unwrap();
        jwks.unknown_interval = Duration::from_millis(100);
        let jwks = Arc::new(jwks);
        assert!(jwks.key(Some("key-1")).await.is_ok());
        let refused = jwks.key(Some("key-2")).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unauthorized);
        tokio::time::sleep(Duration::from_millis(120)).await;
        assert!(jwks.key(Some("key-2")).await.is_ok());
        // What the issuer no longer publishes checks nothing any more.
        assert!(jwks.key(Some("key-1")).await.is_err());
    }

    #[tokio::test]
    async fn callers_at_once_with_an_unknown_key_ask_the_issuer_once() {
        let jwks = Arc::new(Jwks::new(issuer().await).unwrap());
        let callers = (0..16).map(|_| jwks.key(Some("key-1")));
        let found = futures::future::join_all(callers).await;
        assert!(found.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn address_that_leads_elsewhere_or_answers_without_end_gives_no_keys() {
        use axum::routing::get;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let elsewhere = issuer().await.to_string();
        let router = axum::Router::new()
            .route(
                "/away",
                get(move || async move { axum::response::Redirect::temporary(&elsewhere) }),
            )
            .route("/long", get(|| async { " ".repeat(ANSWER_LENGTH_BYTES_MAX + 1) }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        for (path, named) in [("away", "307"), ("long", "262144 bytes"), ("none", "404")] {
            let jwks = Jwks::new(format!("http://{address}/{path}").parse().unwrap()).unwrap();
            let error = jwks.fetch().await.err().unwrap();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn answer_that_is_no_key_set_is_an_error() {
        for body in ["", "<html>", "{}", "[]", "{\"keys\": []}", "{\"keys\": {}}"] {
            assert!(KeySet::read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
