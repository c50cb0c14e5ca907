//! S3 behind one trait: multipart control calls, and URLs that take exactly one part's bytes.
//!
//! This crate keeps no state of uploads, reads no file and draws no randomness. It sends a part's bytes
//! only where it is handed them ([`ObjectStorage::put_part`]), and never holds a part whole. The clock is an argument wherever a signature depends on it.
//!
//! Control calls go to one endpoint by the AWS SDK. URLs are signed here, without a request, for the
//! endpoint that clients reach: the two may differ.

mod address;
mod capabilities;
mod error;
mod inspection;
mod object_storage;
mod profile;
mod s3;
mod signing;

pub use address::{AddressError, BucketAddress};
pub use capabilities::Capabilities;
pub use error::{Retry, StorageError};
pub use inspection::{BucketInspection, Lifecycle};
pub use object_storage::{
    CompleteMultipart, ListedPart, NewObject, ObjectStorage, PartStream, PartToSign, PutTarget, SignedPut,
    SourceError, StoredObject,
};
pub use profile::{StoreProfile, UnknownProfile};
pub use s3::{S3Storage, S3StorageConfig};
pub use signing::{SigningContext, sign_object, sign_parts};

/// What `aws-credential-types` calls a credentials provider, for [`S3StorageConfig::credentials`].
pub use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
