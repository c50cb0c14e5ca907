//! One request, one answer: CORS before and after, a request id on everything.

use http::header::EXPECT;
use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use s3s::service::S3Service;
use s3s::{Body, HttpError};

use super::cors::Cors;
use super::drain::DrainedBody;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// Answers one request. An error here closes the connection; s3s gives one only when it could not
/// even write an error.
pub(super) async fn answer(
    s3: &S3Service,
    cors: &Cors,
    request: Request<Incoming>,
) -> Result<Response<Body>, HttpError> {
    let grant = cors.grant(request.headers());
    let mut response = match cors.preflight(&request) {
        Some(response) => response,
        None => call(s3, request).await?,
    };
    let headers = response.headers_mut();
    cors.apply(grant, headers);
    let id = uuid::Uuid::new_v4().simple().to_string();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    Ok(response)
}

async fn call(s3: &S3Service, request: Request<Incoming>) -> Result<Response<Body>, HttpError> {
    let expects_continue = request.headers().contains_key(EXPECT);
    let (parts, body) = request.into_parts();
    let body = match DrainedBody::new(body, expects_continue) {
        Ok(body) => Body::http_body_unsync(body),
        Err(body) => Body::from(body),
    };
    s3.call(Request::from_parts(parts, body)).await
}
