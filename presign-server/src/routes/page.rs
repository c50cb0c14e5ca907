//! The built page, carried by the binary.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::error::Result;
use crate::http::problem::{method_not_allowed, route_not_found};

/// What `npm run build` has made. A debug build reads the folder at each request; a release build
/// carries what was there when it was compiled.
#[derive(RustEmbed)]
#[folder = "../web/dist"]
#[allow_missing = true]
struct Page;

/// Answered at `/` while there is no page.
const NOT_BUILT: &str = include_str!("not_built.html");

/// What the page may do, worked out once.
#[derive(Debug, Clone)]
pub(super) struct PageState {
    policy: Arc<HeaderValue>,
}

impl PageState {
    /// A page that talks to this server and to one store.
    pub(super) fn new(store_origin: &str) -> Self {
        let policy = format!(
            "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; \
             style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
             connect-src 'self' {store_origin}; object-src 'none'; base-uri 'none'; \
             form-action 'self'; frame-ancestors 'none'"
        );
        let fallback = HeaderValue::from_static("default-src 'self'");
        Self {
            policy: Arc::new(HeaderValue::from_str(&policy).unwrap_or(fallback)),
        }
    }
}

/// A file of the page: `/` is `index.html`, `/monitor` may be `monitor.html`.
pub(super) async fn serve(
    State(state): State<PageState>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response> {
    let path = uri.path().trim_start_matches('/');
    let found = find(path);
    if !matches!(method, Method::GET | Method::HEAD) && (found.is_some() || path.is_empty()) {
        let mut response = method_not_allowed(method, uri).await.into_response();
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(response);
    }
    let Some((name, file)) = found else {
        if path.is_empty() {
            return Ok(html(&state, StatusCode::OK, Body::from(NOT_BUILT)));
        }
        return Err(route_not_found(method, uri).await);
    };
    let etag = etag(&file);
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut response = if known.is_some_and(|known| known.split(',').any(|one| one.trim() == etag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Response::new(Body::from(file.data.into_owned()))
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(&name)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching(&name)));
    headers.insert(CONTENT_SECURITY_POLICY, (*state.policy).clone());
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, etag);
    }
    Ok(response)
}

fn find(path: &str) -> Option<(String, EmbeddedFile)> {
    let candidates = match path {
        "" => vec!["index.html".to_owned()],
        path => vec![path.to_owned(), format!("{}.html", path.trim_end_matches('/'))],
    };
    candidates
        .into_iter()
        .find_map(|name| Page::get(&name).map(|file| (name, file)))
}

fn html(state: &PageState, status: StatusCode, body: Body) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type("x.html")));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, (*state.policy).clone());
    response
}

fn etag(file: &EmbeddedFile) -> String {
    use std::fmt::Write as _;
    let hash = file.metadata.sha256_hash();
    let mut text = String::from("\"");
    for byte in &hash[..16] {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('"');
    text
}

/// Vite puts a hash of the content into the name of everything below `assets/`.
fn caching(name: &str) -> &'static str {
    if name.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_wasm_have_the_types_a_browser_insists_on() {
        assert_eq!(content_type("assets/a-1b2c.js"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("assets/a_bg-1b2c.wasm"), "application/wasm");
        assert_eq!(content_type("noextension"), "application/octet-stream");
    }

    #[test]
    fn only_hashed_names_are_cached_for_good() {
        assert!(caching("assets/index-1b2c.js").contains("immutable"));
        assert_eq!(caching("index.html"), "no-cache");
        assert_eq!(caching("worker.js"), "no-cache");
    }
}
