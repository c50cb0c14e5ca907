//! upload-testkit
