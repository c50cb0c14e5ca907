//! uploader-wasm
