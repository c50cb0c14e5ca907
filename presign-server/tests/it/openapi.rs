//! The `OpenAPI` document is the server's own: every route, every code, every body.

use axum::http::Method;
use serde_json::Value;
use upload_protocol::{ErrorCode, StartResponse};

use crate::support::{TWO_PARTS, World, content};

const METHODS: [&str; 5] = ["get", "post", "put", "delete", "patch"];

async fn document(world: &World) -> Value {
    let answer = world.call(Method::GET, "/openapi.json", None, None).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    answer.expect(200)
}

/// A path with its parameters filled in.
fn filled(path: &str) -> String {
    path.replace("{id}", "0b8f5c1e-6a0e-4d5c-9a3e-2f6c1d7b8a90")
}

#[tokio::test]
async fn every_documented_call_is_routed_and_every_other_method_is_not_allowed() {
    let world = World::start().await;
    let document = document(&world).await;
    let paths = document["paths"].as_object().unwrap();
    for (path, item) in paths {
        let allowed: Vec<&str> = METHODS
            .into_iter()
            .filter(|method| item.get(method).is_some())
            .collect();
        for method in METHODS {
            let called = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let answer = world.call(called, &filled(path), None, None).await;
            if allowed.contains(&method) {
                assert!(!matches!(answer.status.as_u16(), 405), "{method} {path}");
                assert_ne!(answer.json()["code"], "route_not_found", "{method} {path}");
                let status = answer.status.as_u16().to_string();
                let responses = item[method]["responses"].as_object().unwrap();
                assert!(
                    responses.contains_key(&status),
                    "{method} {path} answered {status}"
                );
            } else {
                answer.expect_problem("method_not_allowed");
                let allow = answer.headers["allow"].to_str().unwrap().to_lowercase();
                for method in &allowed {
                    assert!(allow.contains(method), "{path}: {allow}");
                }
            }
        }
    }
}

/// A route that is added by axum's own `route` would be missing in the document.
#[test]
fn every_route_is_added_with_its_document() {
    let router = include_str!("../../src/routes/mod.rs");
    assert!(router.contains(".routes(routes!("));
    for added in [".route(", ".route_service(", ".nest_service("] {
        assert!(
            !router.contains(added),
            "`{added}` adds a route that no document has: see the head of src/openapi/mod.rs"
        );
    }
}

#[tokio::test]
async fn every_failure_is_documented_as_a_problem_with_its_code() {
    let world = World::start().await;
    let document = document(&world).await;
    let codes = document["components"]["schemas"]["ErrorCode"]["enum"]
        .as_array()
        .unwrap();
    assert_eq!(codes.len(), ErrorCode::ALL.len());
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(
                    response["headers"]["x-request-id"].is_object(),
                    "{method} {path} {status}"
                );
                if !status.starts_with(['4', '5']) {
                    continue;
                }
                let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{method} {path} {status}");
                for code in response["description"].as_str().unwrap().split("; ") {
                    let code = code.split('`').nth(1).unwrap();
                    let known = ErrorCode::ALL
                        .iter()
                        .find(|known| known.as_str() == code)
                        .unwrap();
                    assert_eq!(known.http_status().to_string(), *status, "{method} {path} {code}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

#[tokio::test]
async fn start_links_to_every_call_on_its_session() {
    let world = World::start().await;
    let document = document(&world).await;
    let links = &document["paths"]["/api/upload-sessions"]["post"]["responses"]["201"]["links"];
    for call in ["status", "sign_parts", "seal", "complete", "abort"] {
        assert_eq!(links[call]["operationId"], call, "{links}");
        assert_eq!(
            links[call]["parameters"]["header.Upload-Token"],
            "$response.body#/token"
        );
    }
}

#[tokio::test]
async fn schemas_tell_the_limits() {
    let world = World::start().await;
    let document = document(&world).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let schemas = &document["components"]["schemas"];
    let start = &schemas["StartRequest"]["properties"];
    assert_eq!(start["sizeBytes"]["maximum"], 50_000_000_000_000_u64);
    assert_eq!(start["partSizeBytes"]["minimum"], 5_242_880);
    assert_eq!(schemas["PartNumber"]["maximum"], 10_000);
    assert_eq!(
        schemas["StartBatchRequest"]["properties"]["starts"]["maxItems"],
        100
    );
    assert_eq!(
        schemas["SignPartsRequest"]["properties"]["parts"]["maxItems"],
        1000
    );
    assert!(
        schemas["Crc64Nvme"]["pattern"]
            .as_str()
            .unwrap()
            .contains("AEIMQUY")
    );
}

#[tokio::test]
async fn answers_have_the_fields_that_are_documented_as_required() {
    let world = World::start().await;
    let document = document(&world).await;
    let bytes = content(TWO_PARTS);
    let started: StartResponse = world.start_upload("a.mov", &bytes).await;
    world.put_all(&started, &bytes).await;
    let status = world.on(&started, Method::GET, "", None).await.json();
    let completed = world.on(&started, Method::POST, "/complete", None).await.json();
    let started = serde_json::to_value(&started).unwrap();
    for (name, answer) in [
        ("StartResponse", started),
        ("SessionResponse", status),
        ("CompleteResponse", completed),
    ] {
        let schema = &document["components"]["schemas"][name];
        let known = schema["properties"].as_object().unwrap();
        for required in schema["required"].as_array().unwrap() {
            assert!(
                answer.get(required.as_str().unwrap()).is_some(),
                "{name}: {required}"
            );
        }
        for field in answer.as_object().unwrap().keys() {
            assert!(known.contains_key(field), "{name}: {field}");
        }
    }
}
