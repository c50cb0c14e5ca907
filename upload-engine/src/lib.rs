//! upload-engine
