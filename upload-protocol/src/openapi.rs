//! Schemas of the values that aren't plain structs, as an `OpenAPI` document shows them.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::checksum::Crc64Nvme;
use crate::error_code::ErrorCode;
use crate::identity::GrantToken;
use crate::ids::{IdempotencyKey, MultipartUploadId, PartNumber, PresignedUrl, SessionId, UploadToken};
use crate::limits::PART_COUNT_MAX;

/// Base64 of eight bytes: ten letters of six bits, one whose last two are zero, one `=`.
const CRC_PATTERN: &str = "^[A-Za-z0-9+/]{10}[AEIMQUYcgkosw048]=$";

/// A UUID, and after a slash the generation where it isn't the first.
const IDEMPOTENCY_KEY_PATTERN: &str = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(/[0-9]{1,9})?$";

macro_rules! schemas {
    ($($type:ident => $builder:expr;)+) => {
        $(
            impl PartialSchema for $type {
                fn schema() -> RefOr<Schema> {
                    $builder.build().into()
                }
            }

            impl ToSchema for $type {
                fn name() -> Cow<'static, str> {
                    Cow::Borrowed(stringify!($type))
                }
            }
        )+
    };
}

schemas! {
    Crc64Nvme => text("CRC-64/NVME: base64 of the eight bytes, big-endian.")
        .pattern(Some(CRC_PATTERN))
        .examples(["AAAAAAAAAAA="]);
    PartNumber => ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some("A part's number, from 1."))
        .minimum(Some(1))
        .maximum(Some(PART_COUNT_MAX));
    SessionId => text("The server's id of a session.")
        .format(Some(SchemaFormat::Custom("uuid".to_owned())));
    MultipartUploadId => text("S3's id of a multipart upload, told for information.");
    GrantToken => text("A credential that lets one user start uploads for a while.");
    UploadToken => text("The secret that alone continues one session.");
    PresignedUrl => text("A URL that is a credential.")
        .format(Some(SchemaFormat::Custom("uri".to_owned())));
    IdempotencyKey => text("A UUID made once for an upload, with `/{generation}` once an earlier session of it is lost.")
        .pattern(Some(IDEMPOTENCY_KEY_PATTERN));
    ErrorCode => text("A stable code. Codes are added, never renamed.")
        .enum_values(Some(ErrorCode::ALL.iter().map(|code| code.as_str())));
}

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_of_a_checksum_allows_exactly_what_is_read() {
        for (text, reads) in [
            ("AAAAAAAAAAA=", true),
            ("rosUhgqHmIg=", true),
            ("//////////8=", true),
            ("AAAAAAAAAAB=", false),
            ("AAAAAAAAAAAA", false),
            ("AAAAAAAAAA==", false),
        ] {
            assert_eq!(Crc64Nvme::from_base64(text).is_ok(), reads, "{text}");
            let (body, last) = text.split_at(10);
            let letters = |char: char| char.is_ascii_alphanumeric() || "+/".contains(char);
            let mut end = last.chars();
            let fits = body.chars().all(letters)
                && end.next().is_some_and(|char| "AEIMQUYcgkosw048".contains(char))
                && end.as_str() == "=";
            assert_eq!(fits, reads, "{text}");
        }
    }
}
