//! presign-server
