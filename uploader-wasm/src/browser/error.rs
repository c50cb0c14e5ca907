//! Exceptions of JavaScript as values: total, whatever was thrown.

use wasm_bindgen::{JsCast, JsValue};
use web_sys::DomException;

/// Longest text taken over from an exception, in characters.
const TEXT_LENGTH_MAX: usize = 300;

/// An exception: its name (`NotFoundError`, `QuotaExceededError`, …) and its words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {text}")]
pub struct JsFault {
    /// The exception's name; empty when what was thrown has none.
    pub name: String,
    /// Its message, shortened.
    pub text: String,
}

impl JsFault {
    /// The disk or the origin's quota is full.
    pub fn is_quota(&self) -> bool {
        self.name == "QuotaExceededError"
    }

    /// There is no such file.
    pub fn is_not_found(&self) -> bool {
        self.name == "NotFoundError"
    }
}

/// Reads whatever was thrown.
pub fn fault(thrown: &JsValue) -> JsFault {
    let (name, text) = if let Some(exception) = thrown.dyn_ref::<DomException>() {
        (exception.name(), exception.message())
    } else if let Some(error) = thrown.dyn_ref::<js_sys::Error>() {
        (String::from(error.name()), String::from(error.message()))
    } else {
        (String::new(), thrown.as_string().unwrap_or_default())
    };
    JsFault {
        name,
        text: text.chars().take(TEXT_LENGTH_MAX).collect(),
    }
}
