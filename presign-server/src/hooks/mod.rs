//! Hooks: signed POSTs to a product's own servers.

mod signature;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use url::{Host, Url};

pub use signature::{InvalidWebhookSecret, WebhookSecret};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest answer that is read; what is above is left unread.
pub(crate) const ANSWER_LENGTH_BYTES_MAX: usize = 64 * 1024;

/// One address that hooks are sent to.
#[derive(Clone)]
pub struct Hook {
    url: Url,
    secret: WebhookSecret,
    client: Client,
}

/// A hook's address can't be used. Doesn't repeat what may be secret in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct HookUrlError {
    reason: String,
}

/// Why a hook gave no answer. Names its host at most: path and query may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HookError {
    #[error("no answer within {seconds} s")]
    Late { seconds: u64 },
    #[error("no answer: {message}")]
    Unreachable { message: String },
}

/// A message to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    /// The same for every repetition.
    pub(crate) id: &'a str,
    /// When this attempt is made, seconds since 1970.
    pub(crate) timestamp_seconds: i64,
    /// Its JSON.
    pub(crate) body: &'a [u8],
}

/// What a hook answered: its status, and its body as far as it is read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
    /// Whether the body was read to its end.
    pub(crate) whole: bool,
}

impl Hook {
    /// A hook at an https address, at an http one on this machine's loopback, or at any http one with
    /// `insecure`.
    ///
    /// # Errors
    /// [`HookUrlError`] when it is no such address.
    pub fn new(url: &str, secret: WebhookSecret, insecure: bool) -> Result<Self, HookUrlError> {
        let refused = |reason: &str| HookUrlError {
            reason: reason.to_owned(),
        };
        let url =
            Url::parse(url).map_err(|_| refused("expected a URL such as https://app.example.com/hooks"))?;
        match url.scheme() {
            "https" => {}
            "http" if insecure || is_loopback(&url) => {}
            "http" => {
                return Err(refused(
                    "over http anybody on the way could read and change it: use https, or say --insecure-hooks",
                ));
            }
            _ => return Err(refused("expected an https URL")),
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(refused(
                "it has a user name, a password or a fragment: leave them out",
            ));
        }
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .user_agent(concat!("Holdfast/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = client.map_err(|error| refused(&format!("TLS can't be set up: {error}")))?;
        Ok(Self { url, secret, client })
    }

    /// Scheme, host and port: what may be logged.
    pub(crate) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Sends one signed message. Follows no redirect.
    pub(crate) async fn post(&self, message: Message<'_>, limit: Duration) -> Result<Answer, HookError> {
        let signature = self
            .secret
            .sign(message.id, message.timestamp_seconds, message.body);
        let sending = async {
            let mut answer = self
                .client
                .post(self.url.clone())
                .header(CONTENT_TYPE, "application/json")
                .header("webhook-id", message.id)
                .header("webhook-timestamp", message.timestamp_seconds)
                .header("webhook-signature", signature)
                .body(message.body.to_vec())
                .send()
                .await?;
            let (status, mut body, mut whole) = (answer.status(), Vec::new(), true);
            while let Some(piece) = answer.chunk().await? {
                body.extend_from_slice(&piece);
                if body.len() > ANSWER_LENGTH_BYTES_MAX {
                    body.truncate(ANSWER_LENGTH_BYTES_MAX);
                    whole = false;
                    break;
                }
            }
            Ok::<_, reqwest::Error>(Answer { status, body, whole })
        };
        match tokio::time::timeout(limit, sending).await {
            Ok(answer) => answer.map_err(|error| HookError::Unreachable {
                message: with_causes(&error.without_url()),
            }),
            Err(_) => Err(HookError::Late {
                seconds: limit.as_secs(),
            }),
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook")
            .field("origin", &self.origin())
            .finish_non_exhaustive()
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text.chars().filter(|char| !char.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(url: &str, insecure: bool) -> Result<Hook, HookUrlError> {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        Hook::new(url, secret, insecure)
    }

    #[test]
    fn hook_is_reached_by_https_or_on_loopback_unless_told_otherwise() {
        for url in [
            "https://app.example.com/hooks?key=1",
            "http://127.0.0.1:3000/",
            "http://[::1]/",
            "http://app.localhost/",
        ] {
            assert!(hook(url, false).is_ok(), "{url}");
        }
        let plain = "http://app.example.com/";
        let error = hook(plain, false).unwrap_err().to_string();
        assert!(error.contains("--insecure-hooks"), "{error}");
        assert!(hook(plain, true).is_ok());
        for url in [
            "",
            "app.example.com",
            "ftp://a/",
            "https://u:p@a/",
            "https://a/#b",
        ] {
            assert!(hook(url, true).is_err(), "{url}");
        }
    }

    #[test]
    fn hook_prints_neither_its_secret_nor_its_path() {
        let text = format!("{:?}", hook("https://app.example.com/secret-path?key=1", false));
        assert!(text.contains("https://app.example.com"), "{text}");
        assert!(!text.contains("secret-path") && !text.contains("key="), "{text}");
    }
}
