//! CORS: the page at one address talks to the store at another.
//!
//! It stands in front of everything, since an answer without these headers, an error above all,
//! reaches the page as a mere "network error".

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use s3s::Body;

use crate::config::OpenError;

/// Answer headers that a page may read.
pub(crate) const EXPOSED_HEADERS: [&str; 12] = [
    "ETag",
    "Content-Length",
    "Content-Range",
    "Last-Modified",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
    "x-amz-checksum-type",
    "x-amz-mp-parts-count",
    "x-amz-request-id",
];

/// How long a browser may keep a preflight's answer. Chromium keeps none longer than two hours.
pub(crate) const PREFLIGHT_SECONDS: i32 = 7200;

const ALLOWED_METHODS: &str = "GET, PUT, POST, DELETE, HEAD";
/// <https://wicg.github.io/private-network-access/>: a public page asks before it reaches loopback.
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// Which origins may read answers.
#[derive(Debug)]
pub(super) struct Cors {
    /// `None` allows every origin.
    allowed: Option<Vec<HeaderValue>>,
    exposed: HeaderValue,
}

/// What a request's origin entitles its answer to.
#[derive(Debug, Clone)]
pub(super) enum Grant {
    /// No origin: not a cross-origin request of a browser.
    NotAsked,
    Refused,
    Allowed(HeaderValue),
}

impl Cors {
    pub(super) fn new(origins: &[String]) -> Result<Self, OpenError> {
        let invalid = |origin: &String| OpenError::Origin {
            origin: origin.clone(),
        };
        let any = origins.is_empty() || origins.iter().any(|origin| origin == "*");
        let allowed = origins
            .iter()
            .map(|origin| {
                let value = HeaderValue::from_str(origin).map_err(|_| invalid(origin))?;
                // A path, even a lone slash, would never equal an Origin header.
                let host = origin.split_once("://").map(|(_, host)| host);
                match host {
                    _ if origin == "*" => Ok(value),
                    Some(host) if !host.is_empty() && !host.contains('/') => Ok(value),
                    _ => Err(invalid(origin)),
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            allowed: (!any).then_some(allowed),
            exposed: HeaderValue::from_str(&EXPOSED_HEADERS.join(", "))
                .unwrap_or(HeaderValue::from_static("ETag")),
        })
    }

    pub(super) fn grant(&self, request: &HeaderMap) -> Grant {
        match (request.get(ORIGIN), &self.allowed) {
            (None, _) => Grant::NotAsked,
            (Some(_), None) => Grant::Allowed(HeaderValue::from_static("*")),
            (Some(origin), Some(allowed)) if allowed.contains(origin) => Grant::Allowed(origin.clone()),
            (Some(_), Some(_)) => Grant::Refused,
        }
    }

    /// Answers a preflight, which is never signed; `None` when the request is none.
    pub(super) fn preflight<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let asks = request.headers();
        if request.method() != Method::OPTIONS || !asks.contains_key(ORIGIN) {
            return None;
        }
        let grant = self.grant(asks);
        let allowed = matches!(grant, Grant::Allowed(_));
        let mut response = Response::new(Body::empty());
        if !allowed || !asks.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            *response.status_mut() = StatusCode::FORBIDDEN;
            return Some(response);
        }
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(ALLOWED_METHODS),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(PREFLIGHT_SECONDS));
        if let Some(wanted) = asks.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        if asks.contains_key(REQUEST_PRIVATE_NETWORK) {
            headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        Some(response)
    }

    /// Puts the headers on an answer.
    pub(super) fn apply(&self, grant: Grant, headers: &mut HeaderMap) {
        headers.append(
            VARY,
            HeaderValue::from_static("Origin, Access-Control-Request-Headers, Access-Control-Request-Method"),
        );
        if let Grant::Allowed(origin) = grant {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.clone());
        }
    }
}
