//! Which credentials are taken.

use std::path::PathBuf;

use secrecy::SecretString;
use url::{Host, Url};

use super::error::{ConfigError, value_error};
use super::reading::without_password;
use super::settings::{Settings, filled};
use crate::auth::{IdentityConfig, JwtConfig, JwtKeys, is_client_name};

impl Settings {
    /// The clients and the JWTs that are taken.
    pub(super) fn identity(&self, jwt_secret: Option<SecretString>) -> Result<IdentityConfig, ConfigError> {
        Ok(IdentityConfig {
            // An empty name is no file, not none: a slip must not let everybody in.
            clients_file: self.clients_file.clone(),
            jwt: self.jwt(jwt_secret)?,
        })
    }

    fn jwt(&self, secret: Option<SecretString>) -> Result<Option<JwtConfig>, ConfigError> {
        let url = filled(self.jwt_jwks_url.as_deref());
        let file = self
            .jwt_public_key_file
            .clone()
            .filter(|path| !path.as_os_str().is_empty());
        let issuer = filled(self.jwt_issuer.as_deref());
        let audience = filled(self.jwt_audience.as_deref());
        let said = [
            url.is_some(),
            file.is_some(),
            secret.is_some(),
            issuer.is_some(),
            audience.is_some(),
        ];
        if !said.contains(&true) {
            return Ok(None);
        }
        let missing = |name, reason| value_error(name, "missing", reason);
        let issuer = issuer.ok_or_else(|| {
            missing(
                "jwt_issuer",
                "JWTs are taken of one issuer: give its `iss` as --jwt-issuer",
            )
        })?;
        let audience = audience.ok_or_else(|| {
            missing(
                "jwt_audience",
                "a token for another service must not open this one: give the `aud` that names it as --jwt-audience",
            )
        })?;
        if !is_client_name(&self.jwt_client) {
            return Err(value_error(
                "jwt_client",
                &self.jwt_client,
                "expected 1 to 64 letters, digits, `-` and `_`",
            ));
        }
        Ok(Some(JwtConfig {
            issuer,
            audience,
            keys: jwt_keys(url.as_deref(), file, secret)?,
            client: self.jwt_client.clone(),
        }))
    }
}

/// The one thing that checks signatures: two would leave the choice to the token.
fn jwt_keys(
    url: Option<&str>,
    file: Option<PathBuf>,
    secret: Option<SecretString>,
) -> Result<JwtKeys, ConfigError> {
    match (url, file, secret) {
        (Some(url), None, None) => jwks_url(url).map(JwtKeys::Url),
        (None, Some(file), None) => Ok(JwtKeys::PublicKeyFile(file)),
        (None, None, Some(secret)) => Ok(JwtKeys::Secret(secret)),
        (None, None, None) => Err(value_error(
            "jwt_jwks_url",
            "missing",
            "give what checks a token's signature: --jwt-jwks-url, --jwt-public-key-file or HOLDFAST_JWT_SECRET",
        )),
        _ => Err(value_error(
            "jwt_jwks_url",
            &without_password(url.unwrap_or("missing")),
            "give one of --jwt-jwks-url, --jwt-public-key-file and HOLDFAST_JWT_SECRET, not several",
        )),
    }
}

/// Whoever can change the answer can sign tokens: it comes by TLS, or from this machine.
fn jwks_url(text: &str) -> Result<Url, ConfigError> {
    let refused = |reason| value_error("jwt_jwks_url", text, reason);
    let url = Url::parse(text).map_err(|_| refused("expected a URL, https://…"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(value_error(
            "jwt_jwks_url",
            "with a user or password",
            "public keys need none, and the URL stands in logs",
        ));
    }
    let loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        _ => Err(refused(
            "expected https://…: over plain http, but for loopback, others could sign tokens",
        )),
    }
}
