//! JWTs of a product's own sign-in.
//!
//! Which algorithm a token must be signed with follows from the key that is to check it, and never from
//! the token: RSA keys check RS256 (or what their JWK names), P-256 ES256, P-384 ES384, Ed25519 `EdDSA`, a
//! secret HS256. <https://www.rfc-editor.org/rfc/rfc8725#section-3.1>

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use upload_protocol::limits::GRANT_UPLOADS_MAX;
use url::Url;

use super::clients::Clients;
use super::jwks::Jwks;
use super::limits::{ClientLimits, Narrowing};
use super::{Allowance, Credential, Principal, Role, SCOPE_LENGTH_BYTES_MAX, is_client_name, is_scope};
use crate::error::{Result, UploadError};

/// How far clocks may differ.
pub(crate) const LEEWAY_SECONDS: u64 = 60;

/// Shortest secret in bytes: as long as what HS256 makes of it.
/// <https://www.rfc-editor.org/rfc/rfc7518#section-3.2>
pub(crate) const SECRET_LENGTH_BYTES_MIN: usize = 32;

/// Shortest DER of an RSA key of 2,048 bits, which is 270 bytes: 256 of them are the modulus.
const RSA_LENGTH_BYTES_MIN: usize = 256;

/// Points of the two curves, uncompressed.
const P256_LENGTH_BYTES: usize = 65;
const P384_LENGTH_BYTES: usize = 97;

/// How much longer than a credential its uses are remembered: clocks differ.
const ALLOWANCE_MARGIN: Duration = Duration::from_mins(10);

/// Longest time a credential's uses are counted for.
const ALLOWANCE_LEFT_MAX: Duration = Duration::from_hours(10 * 366 * 24);

/// Whose tokens are taken, and how they are checked.
#[derive(Debug, Clone)]
pub struct JwtConfig {
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must be or hold.
    pub audience: String,
    /// What checks the signature.
    pub keys: JwtKeys,
    /// The client of a token that names none.
    pub client: String,
}

/// What checks a token's signature.
#[derive(Clone)]
pub enum JwtKeys {
    /// Keys published by the issuer, fetched and renewed.
    Url(Url),
    /// A secret shared with the issuer: HS256.
    Secret(SecretString),
    /// A file with one public key in PEM: RSA, P-256, P-384 or Ed25519.
    PublicKeyFile(PathBuf),
}

/// A key for JWTs can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwtConfigError {
    /// The file can't be read.
    #[error("cannot read the public key {path:?}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The file holds no key that can be used.
    #[error("the public key {path:?} can't be used: {reason}")]
    PublicKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The secret is too short.
    #[error(
        "HOLDFAST_JWT_SECRET has {length_bytes} bytes, below the {SECRET_LENGTH_BYTES_MIN}-byte minimum of HS256"
    )]
    WeakSecret {
        /// Its length.
        length_bytes: usize,
    },
    /// The HTTP client can't be made.
    #[error("cannot prepare to fetch the keys: {0}")]
    Http(String),
}

/// A key and the one algorithm it checks.
#[derive(Debug, Clone)]
pub(crate) struct VerifyingKey {
    pub(crate) key: DecodingKey,
    pub(crate) algorithm: Algorithm,
}

/// Checks tokens.
#[derive(Debug)]
pub(crate) struct JwtVerifier {
    issuer: String,
    audience: String,
    client: String,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    One(VerifyingKey),
    Published(Arc<Jwks>),
}

/// What is read of a token beside what the library checks.
#[derive(Debug, Deserialize)]
struct Claims {
    // These two are there once the library has checked; it says better than the reader what is missing.
    sub: Option<String>,
    exp: Option<f64>,
    #[serde(default)]
    jti: Option<String>,
    #[serde(default)]
    holdfast: HoldfastClaim,
}

/// The claim `holdfast`. An unknown name in it is refused: a limit that isn't understood must not be
/// passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HoldfastClaim {
    /// The client; [`JwtConfig::client`] where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// What the user may beside starting uploads.
    #[serde(default)]
    pub role: Role,
    /// Folder below the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_prefix: Option<String>,
    /// Largest file in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size_bytes_max: Option<u64>,
    /// Bytes of all the client's unfinished uploads together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_in_flight_max: Option<u64>,
    /// Content types that may be uploaded; empty leaves it to the client's list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content_types: Vec<String>,
    /// How many uploads may be started with tokens of one `jti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploads_max: Option<u32>,
}

impl JwtVerifier {
    /// Reads the key, or prepares to fetch them.
    pub(crate) fn open(config: JwtConfig) -> std::result::Result<Self, JwtConfigError> {
        let keys = match config.keys {
            JwtKeys::Url(url) => Keys::Published(Arc::new(Jwks::new(url)?)),
            JwtKeys::Secret(secret) => Keys::One(secret_key(&secret)?),
            JwtKeys::PublicKeyFile(path) => Keys::One(public_key(path)?),
        };
        Ok(Self {
            issuer: config.issuer,
            audience: config.audience,
            client: config.client,
            keys,
        })
    }

    /// Fetches published keys before the first token comes; what fails is tried again then.
    pub(crate) fn warm_up(&self) {
        if let Keys::Published(jwks) = &self.keys {
            let jwks = jwks.clone();
            tokio::spawn(async move { jwks.refresh().await });
        }
    }

    /// Who shows this token.
    ///
    /// # Errors
    /// `unauthorized` with what is wrong; `identity_unavailable` when no keys could be fetched yet.
    pub(crate) async fn read(&self, token: &str, header: &Header, clients: &Clients) -> Result<Principal> {
        let key = match &self.keys {
            Keys::One(key) => key.clone(),
            Keys::Published(jwks) => jwks.key(header.kid.as_deref()).await?,
        };
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims = decode::<Claims>(token, &key.key, &validation)
            .map_err(|error| refusal("token", &error))?
            .claims;
        self.principal(token, claims, clients)
    }

    fn principal(&self, token: &str, claims: Claims, clients: &Clients) -> Result<Principal> {
        let said = claims.holdfast;
        let client = said.client.unwrap_or_else(|| self.client.clone());
        if !is_client_name(&client) {
            return Err(wrong_claim(
                "`client` is no client's name: expected 1 to 64 letters, digits, `-` and `_`",
            ));
        }
        let scope = claims.sub.unwrap_or_default();
        if !is_scope(&scope) {
            return Err(wrong_claim(&format!(
                "`sub` is empty, longer than {SCOPE_LENGTH_BYTES_MAX} bytes or has a control character"
            )));
        }
        if said
            .uploads_max
            .is_some_and(|uploads| !(1..=GRANT_UPLOADS_MAX).contains(&uploads))
        {
            return Err(wrong_claim(&format!(
                "`uploadsMax` is outside 1 to {GRANT_UPLOADS_MAX}"
            )));
        }
        let by = Narrowing::read(
            said.key_prefix.as_deref(),
            said.file_size_bytes_max,
            said.bytes_in_flight_max,
            &said.content_types,
        )
        .map_err(|reason| wrong_claim(&reason))?;
        // A client of the file lends its limits to tokens that name it.
        let own = match clients.client(&client) {
            Some(known) => known.limits(),
            // One that was taken out of the file must not become one without limits.
            None if !clients.clients.is_empty() && client != self.client => {
                return Err(wrong_claim("`client` is no client of this server"));
            }
            None => ClientLimits::default(),
        };
        let limits = own
            .narrowed(&client, &by)
            .ok_or_else(|| wrong_claim("`contentTypes` has nothing that the client may store"))?;
        let allowance = said.uploads_max.map(|uploads_max| Allowance {
            name: token_name(&self.issuer, token, claims.jti.as_deref()),
            uploads_max,
            left: allowance_left(whole_seconds(claims.exp), SystemTime::now()),
        });
        Ok(Principal {
            client,
            scope: Some(scope),
            role: said.role,
            limits,
            credential: Credential::Jwt,
            allowance,
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time in seconds, saturating"
)]
fn whole_seconds(exp: Option<f64>) -> u64 {
    exp.unwrap_or(0.0) as u64
}

/// How long the uses of a credential that ends then must be remembered.
pub(crate) fn allowance_left(exp_seconds: u64, now: SystemTime) -> Duration {
    let now_seconds = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let left = Duration::from_secs(exp_seconds.saturating_sub(now_seconds));
    left.min(ALLOWANCE_LEFT_MAX) + ALLOWANCE_MARGIN
}

/// What is wrong with a token, for its holder: nothing of the token itself.
pub(crate) fn refusal(what: &str, error: &jsonwebtoken::errors::Error) -> UploadError {
    let reason = match error.kind() {
        ErrorKind::InvalidSignature => "its signature is wrong".to_owned(),
        ErrorKind::InvalidAlgorithm => "it is signed with another algorithm than its key is for".to_owned(),
        ErrorKind::ExpiredSignature => "it has expired".to_owned(),
        ErrorKind::ImmatureSignature => "it is not valid yet".to_owned(),
        ErrorKind::InvalidIssuer => "`iss` is another issuer than this server takes".to_owned(),
        ErrorKind::InvalidAudience => "`aud` does not name this server".to_owned(),
        ErrorKind::MissingRequiredClaim(claim) => format!("`{claim}` is missing"),
        ErrorKind::InvalidClaimFormat(claim) => format!("`{claim}` can't be read"),
        // Words of the JSON reader can quote values.
        ErrorKind::Json(_) => {
            "a claim that this server reads is missing or has a form it does not know".to_owned()
        }
        _ => "it is malformed".to_owned(),
    };
    UploadError::unauthorized(format!("the {what} is refused: {reason}"))
}

fn wrong_claim(reason: &str) -> UploadError {
    UploadError::unauthorized(format!("the token is refused: {reason}"))
}

/// The same for the same token, and for no other. A hash, since it is kept.
fn token_name(issuer: &str, token: &str, jti: Option<&str>) -> String {
    use fmt::Write as _;
    let mut hash = Sha256::new();
    if let Some(jti) = jti {
        for piece in ["jti", issuer, jti] {
            hash.update(piece);
            hash.update([0]);
        }
    } else {
        hash.update("token\0");
        // Without the signature: some algorithms have several for the same claims.
        hash.update(token.rsplit_once('.').map_or(token, |(claims, _)| claims));
    }
    let mut name = "jwt ".to_owned();
    for byte in hash.finalize() {
        // Writing into a string can't fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

fn secret_key(secret: &SecretString) -> std::result::Result<VerifyingKey, JwtConfigError> {
    let secret = secret.expose_secret().as_bytes();
    if secret.len() < SECRET_LENGTH_BYTES_MIN {
        let length_bytes = secret.len();
        return Err(JwtConfigError::WeakSecret { length_bytes });
    }
    Ok(VerifyingKey {
        key: DecodingKey::from_secret(secret),
        algorithm: Algorithm::HS256,
    })
}

fn public_key(path: PathBuf) -> std::result::Result<VerifyingKey, JwtConfigError> {
    let pem = match std::fs::read(&path) {
        Ok(pem) => pem,
        Err(source) => return Err(JwtConfigError::Io { path, source }),
    };
    read_public_key(&pem).map_err(|reason| JwtConfigError::PublicKey { path, reason })
}

/// One public key in PEM. The kind of key decides the algorithm.
fn read_public_key(pem: &[u8]) -> std::result::Result<VerifyingKey, &'static str> {
    let text = String::from_utf8_lossy(pem);
    if text.contains("PRIVATE KEY") {
        return Err("it holds a private key, which this server must not have: give it the public one");
    }
    if !text.contains("PUBLIC KEY") {
        return Err("expected one public key in PEM, `-----BEGIN PUBLIC KEY-----`");
    }
    let length = |key: &DecodingKey| key.try_get_as_bytes().map_or(0, <[u8]>::len);
    if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        if length(&key) < RSA_LENGTH_BYTES_MIN {
            return Err("an RSA key needs 2048 bits at least");
        }
        let algorithm = Algorithm::RS256;
        return Ok(VerifyingKey { key, algorithm });
    }
    if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        let algorithm = match length(&key) {
            P256_LENGTH_BYTES => Algorithm::ES256,
            P384_LENGTH_BYTES => Algorithm::ES384,
            _ => return Err("expected a key of curve P-256 or P-384"),
        };
        return Ok(VerifyingKey { key, algorithm });
    }
    if let Ok(key) = DecodingKey::from_ed_pem(pem) {
        let algorithm = Algorithm::EdDSA;
        return Ok(VerifyingKey { key, algorithm });
    }
    Err("expected an RSA, P-256, P-384 or Ed25519 key")
}

impl fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(f, "Url({url})"),
            Self::Secret(_) => f.write_str("Secret(…)"),
            Self::PublicKeyFile(path) => write!(f, "PublicKeyFile({path:?})"),
        }
    }
}
