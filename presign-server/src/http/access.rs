//! Who may ask: hosts against DNS rebinding, origins against pages of other sites.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::Response;
use upload_protocol::ErrorCode;

use crate::error::{Result, UploadError};

/// The hosts this server answers for and the pages that may call it.
#[derive(Debug, Clone, Default)]
pub struct AccessRules {
    hosts: Vec<String>,
    any_host: bool,
    origins: Vec<String>,
}

/// The rules in force, which may change. Clones share them.
#[derive(Debug, Clone)]
pub struct SharedAccess(Arc<ArcSwap<AccessRules>>);

impl SharedAccess {
    /// Puts other rules in force.
    pub fn set(&self, rules: AccessRules) {
        self.0.store(Arc::new(rules));
    }

    /// Whether pages of an origin other than the server's own may read answers.
    pub(crate) fn lists(&self, origin: &HeaderValue) -> bool {
        let rules = self.0.load();
        rules
            .origins
            .iter()
            .any(|listed| listed.as_bytes() == origin.as_bytes())
    }
}

impl From<AccessRules> for SharedAccess {
    fn from(rules: AccessRules) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(rules)))
    }
}

/// An entry of a list of hosts or origins can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{entry}` is no {kind}: write it as {example}")]
pub struct AccessRuleError {
    entry: String,
    kind: &'static str,
    example: &'static str,
}

impl AccessRules {
    /// Answers loopback names and the address listened on, and pages that come from the server itself.
    pub fn of_listener(listen: SocketAddr) -> Self {
        let mut rules = Self::default();
        if !listen.ip().is_unspecified() {
            rules.hosts.push(host_of_ip(listen.ip()));
        }
        rules
    }

    /// Answers for every host name: for servers that ask for credentials, which a page that had a name of
    /// its own pointed here does not have.
    pub fn allow_any_host(&mut self) {
        self.any_host = true;
    }

    /// Answers for the host names it knows alone, against DNS rebinding.
    pub(crate) fn guard_hosts(&mut self) {
        self.any_host = false;
    }

    /// Answers one more host name, without port.
    ///
    /// # Errors
    /// [`AccessRuleError`] when it is no host name.
    pub fn allow_host(&mut self, host: &str) -> std::result::Result<(), AccessRuleError> {
        let plain = host.to_ascii_lowercase();
        match plain.parse::<Authority>() {
            Ok(authority) if authority.as_str() == authority.host() => self.hosts.push(plain),
            _ => {
                return Err(AccessRuleError {
                    entry: host.to_owned(),
                    kind: "host name",
                    example: "uploads.example.com, without scheme and port",
                });
            }
        }
        Ok(())
    }

    /// Lets pages of one more origin call.
    ///
    /// # Errors
    /// [`AccessRuleError`] when it is no origin.
    pub fn allow_origin(&mut self, origin: &str) -> std::result::Result<(), AccessRuleError> {
        let url = url::Url::parse(origin).ok();
        let plain = url.map(|url| url.origin()).filter(url::Origin::is_tuple);
        match plain.map(|plain| plain.ascii_serialization()) {
            Some(plain) if plain == origin.trim_end_matches('/').to_ascii_lowercase() => {
                self.origins.push(plain);
            }
            _ => {
                return Err(AccessRuleError {
                    entry: origin.to_owned(),
                    kind: "origin",
                    example: "https://app.example.com or http://127.0.0.1:5173",
                });
            }
        }
        Ok(())
    }

    /// The origins beside the server's own.
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    fn check_host(&self, host: Option<&str>) -> Result<()> {
        let shown: String = host.unwrap_or("none").chars().take(80).collect();
        let refused = || {
            UploadError::new(
                ErrorCode::HostRefused,
                format!("this server does not answer for host `{shown}`: allow it with --allowed-host"),
            )
        };
        let authority: Authority = host.and_then(|host| host.parse().ok()).ok_or_else(refused)?;
        let name = authority.host().to_ascii_lowercase();
        let allowed = self.any_host || is_loopback_name(&name) || self.hosts.contains(&name);
        if allowed && !authority.as_str().contains('@') {
            Ok(())
        } else {
            Err(refused())
        }
    }

    /// A page's origin is this server's own when it names the host that was asked. A call without the
    /// header is none of a page.
    fn check_origin(&self, origin: Option<&str>, host: Option<&str>) -> Result<()> {
        let Some(origin) = origin else {
            return Ok(());
        };
        let own = origin.split_once("://").is_some_and(|(scheme, authority)| {
            matches!(scheme, "http" | "https")
                && host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
        });
        if own || self.origins.iter().any(|allowed| allowed == origin) {
            return Ok(());
        }
        let shown: String = origin.chars().take(80).collect();
        Err(UploadError::new(
            ErrorCode::OriginRefused,
            format!(
                "pages of origin `{shown}` may not call this server: allow it with --cors-allowed-origin"
            ),
        ))
    }
}

/// Refuses requests for other hosts.
pub(crate) async fn check_host(
    State(rules): State<SharedAccess>,
    request: Request,
    next: Next,
) -> Result<Response> {
    rules.0.load().check_host(host_of(&request).as_deref())?;
    Ok(next.run(request).await)
}

/// Refuses calls of other sites' pages.
pub(crate) async fn check_origin(
    State(rules): State<SharedAccess>,
    request: Request,
    next: Next,
) -> Result<Response> {
    // A value that isn't ASCII is no origin a browser sends, and is on no list.
    let origin = request
        .headers()
        .get(ORIGIN)
        .map(|value| value.to_str().unwrap_or("not ASCII"));
    rules
        .0
        .load()
        .check_origin(origin, host_of(&request).as_deref())?;
    Ok(next.run(request).await)
}

/// HTTP/2 names the host in the request line, HTTP/1.1 in a header.
fn host_of(request: &Request) -> Option<String> {
    let header = request.headers().get(HOST).and_then(|value| value.to_str().ok());
    header
        .or_else(|| request.uri().authority().map(Authority::as_str))
        .map(str::to_owned)
}

fn is_loopback_name(name: &str) -> bool {
    let ip = name
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    name == "localhost" || name.ends_with(".localhost") || ip.is_ok_and(|ip| ip.is_loopback())
}

fn host_of_ip(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> AccessRules {
        let mut rules = AccessRules::of_listener("192.168.1.5:4000".parse().unwrap());
        rules.allow_host("uploads.example.com").unwrap();
        rules.allow_origin("https://app.example.com").unwrap();
        rules
    }

    #[test]
    fn loopback_names_the_listen_address_and_listed_hosts_are_answered() {
        for host in [
            "localhost:4000",
            "127.0.0.1",
            "127.0.0.2:1",
            "[::1]:4000",
            "app.localhost",
            "192.168.1.5:4000",
            "UPLOADS.example.com:443",
        ] {
            assert!(rules().check_host(Some(host)).is_ok(), "{host}");
        }
    }

    #[test]
    fn other_hosts_are_refused() {
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "192.168.1.6",
            "user@localhost",
            "",
            "notlocalhost",
            "0.0.0.0:4000",
        ] {
            let error = rules().check_host(Some(host)).unwrap_err();
            assert_eq!(error.code, ErrorCode::HostRefused, "{host}");
        }
        assert!(rules().check_host(None).is_err());
    }

    #[test]
    fn origin_of_another_site_or_port_is_refused() {
        let host = Some("127.0.0.1:4000");
        for origin in [
            None,
            Some("http://127.0.0.1:4000"),
            Some("https://app.example.com"),
        ] {
            assert!(rules().check_origin(origin, host).is_ok(), "{origin:?}");
        }
        for origin in [
            "null",
            "http://127.0.0.1:5173",
            "https://evil.example",
            "file://127.0.0.1:4000",
            "",
        ] {
            let error = rules().check_origin(Some(origin), host).unwrap_err();
            assert_eq!(error.code, ErrorCode::OriginRefused, "{origin}");
        }
    }

    #[test]
    fn entry_that_is_no_host_or_origin_is_refused_by_name() {
        for host in ["http://a", "a:80", "a/b", ""] {
            assert!(rules().allow_host(host).is_err(), "{host}");
        }
        for origin in ["app.example.com", "https://a/b", "*", "null"] {
            assert!(
                rules()
                    .allow_origin(origin)
                    .unwrap_err()
                    .to_string()
                    .contains(origin)
            );
        }
    }
}
