//! How gloo-worker's envelopes cross: as JavaScript objects, so that a `File` crosses as itself.

use gloo_worker::Codec;
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;

use crate::messages::to_js;

/// Objects in place of gloo-worker's own byte arrays, which can't carry a `File`.
#[derive(Debug)]
pub struct MessageCodec;

impl Codec for MessageCodec {
    fn encode<I: Serialize>(input: I) -> JsValue {
        to_js(&input)
    }

    /// Only this crate's own spawner and worker use the channel, so both ends know the same types. Were
    /// it otherwise, the exception ends this one event, not the worker: there is no value to go on with.
    fn decode<O: for<'de> Deserialize<'de>>(input: JsValue) -> O {
        match serde_wasm_bindgen::from_value(input) {
            Ok(output) => output,
            Err(error) => wasm_bindgen::throw_val(error.into()),
        }
    }
}
