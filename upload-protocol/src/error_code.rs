//! The stable names of everything that can go wrong between client and server.

use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = ($code:literal, $status:literal, $title:literal),)+) => {
        /// A stable error code, shared by the server's problem details, the engine and the page.
        ///
        /// Codes are added, never renamed. A code this build doesn't know reads as
        /// [`ErrorCode::Unrecognized`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $variant,)+
            /// A code of a newer server. Handled by its HTTP status.
            #[serde(other)]
            Unrecognized,
        }

        impl ErrorCode {
            /// Every code a server of this version answers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The code as it stands on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ Self::Unrecognized => "unrecognized" }
            }

            /// The HTTP status it is answered with.
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ Self::Unrecognized => 500 }
            }

            /// A few words for a person, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ Self::Unrecognized => "Unrecognized error" }
            }
        }
    };
}

error_codes! {
    /// The request can't be read, or a field has a value outside its limits. Retry: never.
    InvalidRequest = ("invalid_request", 400, "Invalid request"),
    /// The credentials are missing or wrong. Retry: never with the same ones.
    Unauthorized = ("unauthorized", 401, "Credentials missing or wrong"),
    /// The `Upload-Token` is missing or not this session's. Retry: never.
    TokenRefused = ("token_refused", 403, "Upload token missing or not this session's"),
    /// The relay's grant is forged, expired, used up, or another part's. Retry: with a fresh one, by
    /// asking for the part's URL anew.
    RelayGrantRefused = ("relay_grant_refused", 403, "Relay grant refused"),
    /// The credentials are good, and do not allow this. Retry: never with the same ones.
    Forbidden = ("forbidden", 403, "Not allowed with these credentials"),
    /// As many uploads as the grant allows have been started with it. Retry: never; with another one.
    GrantSpent = ("grant_spent", 403, "Grant is used up"),
    /// The product's own server refused the upload. Retry: never.
    StartRefused = ("start_refused", 403, "Upload refused"),
    /// The ticket is forged, expired or used. Retry: never with this one; ask for another.
    TicketRefused = ("ticket_refused", 403, "Ticket forged, expired or used"),
    /// A page of another origin called, and that origin is on no list. Retry: never.
    OriginRefused = ("origin_refused", 403, "Origin not allowed to call"),
    /// The request named a host this server doesn't answer for. Retry: never.
    HostRefused = ("host_refused", 421, "Host not served here"),
    /// No such session, or not the caller's. Retry: never; start afresh.
    SessionNotFound = ("session_not_found", 404, "No such upload session"),
    /// No such path on this server. Retry: never.
    RouteNotFound = ("route_not_found", 404, "No such path"),
    /// The path exists, but not with this method. Retry: never.
    MethodNotAllowed = ("method_not_allowed", 405, "Method not allowed"),
    /// The session was aborted, at the server or at the store. Retry: never; start afresh.
    SessionAborted = ("session_aborted", 410, "Upload session was aborted"),
    /// The object is complete already: nothing more can be sent. Retry: never.
    SessionCompleted = ("session_completed", 409, "Upload session is complete"),
    /// The idempotency key was used before with another file. Retry: never.
    IdempotencyConflict = ("idempotency_conflict", 409, "Idempotency key used for another file"),
    /// The file is larger than the server or the store takes. Retry: never.
    FileTooLarge = ("file_too_large", 413, "File too large"),
    /// The request body is larger than the server takes. Retry: never.
    RequestTooLarge = ("request_too_large", 413, "Request body too large"),
    /// The content type is not on the server's list. Retry: never.
    ContentTypeRefused = ("content_type_refused", 415, "Content type not allowed"),
    /// Complete was called while the store lacks parts. Retry: after sending them.
    PartsMissing = ("parts_missing", 409, "Parts are missing at the store"),
    /// A part or the whole has another size than declared. Retry: after sending it again.
    SizeMismatch = ("size_mismatch", 409, "Size differs from the declared one"),
    /// A part or the whole has another checksum than declared. Retry: after sending it again.
    ChecksumMismatch = ("checksum_mismatch", 409, "Checksum differs from the declared one"),
    /// Another object took the key meanwhile. Retry: never with this session; start afresh.
    KeyTaken = ("key_taken", 409, "The object key was taken meanwhile"),
    /// Another call on this session is being carried out. Retry: after a back-off.
    SessionBusy = ("session_busy", 409, "Another call on this session is under way"),
    /// The object store did not answer, or refused for now. Retry: after a back-off.
    StoreUnavailable = ("store_unavailable", 503, "Object store unavailable"),
    /// The object store refused for good: wrong credentials, no such bucket. Retry: after a back-off,
    /// since an operator can mend it.
    StoreRefused = ("store_refused", 502, "Object store refused"),
    /// The server relays as many parts as it may, or none. Retry: after a back-off.
    RelayUnavailable = ("relay_unavailable", 503, "No relay free"),
    /// The session store did not answer. Retry: after a back-off.
    SessionStoreUnavailable = ("session_store_unavailable", 503, "Session store unavailable"),
    /// The keys that credentials are checked with can't be had now. Retry: after a back-off.
    IdentityUnavailable = ("identity_unavailable", 503, "Identity provider unavailable"),
    /// The product's own server did not say whether the upload may start. Retry: after a back-off.
    HookUnavailable = ("hook_unavailable", 503, "Start could not be decided"),
    /// The client's unfinished uploads would have more bytes together than it may. Retry: after a
    /// back-off, since uploads end.
    QuotaExceeded = ("quota_exceeded", 429, "Too many bytes in flight"),
    /// The client calls more often than it may. Retry: after a back-off of `Retry-After` seconds.
    RateLimited = ("rate_limited", 429, "Too many calls"),
    /// As many viewers are connected as there may be. Retry: after a back-off.
    TooManyViewers = ("too_many_viewers", 429, "Too many viewers connected"),
    /// The request took too long. Retry: after a back-off.
    Timeout = ("timeout", 408, "Request timed out"),
    /// The server failed in a way it doesn't know. Retry: after a back-off.
    Internal = ("internal", 500, "Internal error"),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_from_its_wire_name() {
        for code in ErrorCode::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{}\"", code.as_str()));
            assert_eq!(serde_json::from_str::<ErrorCode>(&json).unwrap(), *code);
        }
    }

    #[test]
    fn code_of_a_newer_server_is_unrecognized_not_an_error() {
        assert_eq!(
            serde_json::from_str::<ErrorCode>("\"from_the_future\"").unwrap(),
            ErrorCode::Unrecognized
        );
    }

    #[test]
    fn every_code_has_an_error_status() {
        assert!(
            ErrorCode::ALL
                .iter()
                .all(|code| (400..600).contains(&code.http_status()))
        );
    }
}
