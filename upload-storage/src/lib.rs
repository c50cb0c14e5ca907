//! upload-storage
