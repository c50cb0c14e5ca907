//! Settings of hooks.

use secrecy::{ExposeSecret as _, SecretString};

use super::error::{ConfigError, value_error};
use crate::hooks::{Hook, WebhookSecret};

/// Stands for a value that may hold a secret.
const HIDDEN: &str = "(not shown)";

/// A hook of these settings, where its URL is set.
pub(super) fn check_hook(
    name: &'static str,
    url: Option<&str>,
    secret: Option<&SecretString>,
    insecure: bool,
) -> Result<Option<Hook>, ConfigError> {
    let Some(url) = url else {
        return Ok(None);
    };
    let Some(secret) = secret else {
        return Err(value_error(
            name,
            HIDDEN,
            "it needs HOLDFAST_WEBHOOK_SECRET as well, so that the receiver can tell its messages from others'",
        ));
    };
    let secret = WebhookSecret::parse(secret.expose_secret())
        .map_err(|error| value_error("HOLDFAST_WEBHOOK_SECRET", HIDDEN, &error.to_string()))?;
    let hook = Hook::new(url, secret, insecure);
    hook.map(Some)
        .map_err(|error| value_error(name, HIDDEN, &error.to_string()))
}
