//! What the client's TypeScript passes. It has checked and completed it.

use serde::Deserialize;
use wasm_bindgen::JsValue;

use crate::messages::Settings;
use crate::realm::Realm;
use crate::view::{HostKind, size_from_js};

/// Options of a page host.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) realm: Realm,
    pub(super) host: HostKind,
    pub(super) engine_worker_url: String,
    pub(super) staging_worker_url: String,
    pub(super) settings: Settings,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawOptions {
    endpoint: String,
    scope: String,
    host: HostKind,
    engine_worker_url: String,
    staging_worker_url: String,
    #[serde(default)]
    concurrency: Option<f64>,
    #[serde(default)]
    part_size_bytes: Option<f64>,
    #[serde(default)]
    bandwidth_limit: Option<f64>,
}

impl Options {
    /// Reads the options; the error says which one is wrong.
    pub(super) fn read(value: JsValue) -> Result<Self, String> {
        let raw: RawOptions = serde_wasm_bindgen::from_value(value)
            .map_err(|error| format!("options of the page host can't be read: {error}"))?;
        raw.check()
    }
}

impl RawOptions {
    fn check(self) -> Result<Options, String> {
        let number = |name: &str, value: Option<f64>| match value {
            None => Ok(None),
            Some(value) => size_from_js(value)
                .map(Some)
                .ok_or_else(|| format!("{name} is {value}, but must be a whole number")),
        };
        let concurrency = number("concurrency", self.concurrency)?;
        Ok(Options {
            settings: Settings {
                concurrency: concurrency.map(|value| u32::try_from(value).unwrap_or(u32::MAX)),
                part_size_bytes: number("partSizeBytes", self.part_size_bytes)?,
                bandwidth_bytes_per_second: number("bandwidthLimit", self.bandwidth_limit)?,
            },
            realm: Realm {
                endpoint: self.endpoint.trim_end_matches('/').to_owned(),
                scope: self.scope,
            },
            host: self.host,
            engine_worker_url: self.engine_worker_url,
            staging_worker_url: self.staging_worker_url,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Options, String> {
        serde_json::from_str::<RawOptions>(json)
            .map_err(|error| error.to_string())?
            .check()
    }

    const COMPLETE: &str = r#""endpoint":"https://a.example/","scope":"s","host":"shared-worker",
        "engineWorkerUrl":"e.js","stagingWorkerUrl":"s.js""#;

    #[test]
    fn options_of_the_client_are_read() {
        let options = read(&format!("{{{COMPLETE},\"partSizeBytes\":5242880}}")).unwrap();
        assert_eq!(options.realm.endpoint, "https://a.example");
        assert_eq!(options.settings.part_size_bytes, Some(5_242_880));
        assert_eq!(options.settings.concurrency, None);
    }

    #[test]
    fn broken_numbers_are_refused_by_name() {
        let error = read(&format!("{{{COMPLETE},\"concurrency\":1.5}}")).unwrap_err();
        assert!(error.contains("concurrency is 1.5"), "{error}");
    }

    #[test]
    fn missing_option_is_refused_by_name() {
        assert!(read(r#"{"scope":"s"}"#).unwrap_err().contains("endpoint"));
    }
}
