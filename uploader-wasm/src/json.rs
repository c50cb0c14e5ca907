//! JSON text, by the browser's own reader and writer: a second one in wasm would be a tenth of the module.
//!
//! Numbers are exact up to 2^53, which no size on the wire exceeds.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The JSON text of a value.
///
/// # Errors
/// What can't be written, in words.
#[cfg(target_arch = "wasm32")]
pub fn write<T: Serialize>(value: &T) -> Result<String, String> {
    let value = value
        .serialize(&serde_wasm_bindgen::Serializer::json_compatible())
        .map_err(|error| error.to_string())?;
    let text =
        js_sys::JSON::stringify(&value).map_err(|thrown| crate::browser::fault(&thrown).to_string())?;
    Ok(text.into())
}

/// A value from its JSON text.
///
/// # Errors
/// What is wrong with the text, in words.
#[cfg(target_arch = "wasm32")]
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let value = js_sys::JSON::parse(text).map_err(|thrown| crate::browser::fault(&thrown).to_string())?;
    serde_wasm_bindgen::from_value(value).map_err(|error| error.to_string())
}

/// The JSON text of a value, where there is no browser: in tests.
///
/// # Errors
/// What can't be written, in words.
#[cfg(not(target_arch = "wasm32"))]
pub fn write<T: Serialize>(value: &T) -> Result<String, String> {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

/// A value from its JSON text, where there is no browser: in tests.
///
/// # Errors
/// What is wrong with the text, in words.
#[cfg(not(target_arch = "wasm32"))]
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}
