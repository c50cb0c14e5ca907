//! What the owner's own credentials open, and what they don't.

use std::collections::BTreeSet;

use axum::http::Method;
use presign_server::auth::{NewKey, Role};
use presign_server::session::SessionState;
use serde_json::{Value, json};
use upload_protocol::SessionId;
use uuid::Uuid;

use crate::support::identity::{Guarded, new_key};
use crate::support::{World, start_body};

fn operator() -> NewKey {
    NewKey {
        role: Some(Role::Operator),
        ..new_key("ops")
    }
}

/// Every session of a list, all pages.
async fn list(guarded: &Guarded, bearer: &str, query: &str) -> Vec<Value> {
    let mut sessions = Vec::new();
    let mut cursor = String::new();
    for _ in 0..100 {
        let path = format!("/api/upload-sessions?{query}&cursor={cursor}");
        let page: Value = guarded
            .ask(Method::GET, &path, Some(bearer), None)
            .await
            .expect(200);
        sessions.extend(page["sessions"].as_array().unwrap().iter().cloned());
        match page["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return sessions,
        }
    }
    panic!("the list does not end");
}

fn ids(sessions: &[Value]) -> BTreeSet<String> {
    sessions
        .iter()
        .map(|session| session["uploadSessionId"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn list_shows_a_user_its_own_a_client_all_its_users_and_an_operator_everything() {
    let mut guarded = Guarded::start().await;
    let (acme, other, ops) = (
        guarded.key_of("acme"),
        guarded.key_of("other"),
        guarded.key(operator()),
    );
    let user_a = guarded.grant(&acme, json!({"scope": "a"})).await;
    let user_b = guarded.grant(&acme, json!({"scope": "b"})).await;
    let of_a = guarded.started(&user_a, "a").await.upload_session_id.to_string();
    let of_b = guarded.started(&user_b, "b").await.upload_session_id.to_string();
    let of_acme = guarded.started(&acme, "c").await.upload_session_id.to_string();
    let of_other = guarded.started(&other, "d").await.upload_session_id.to_string();
    let set = |ids: &[&String]| ids.iter().map(|id| (*id).clone()).collect::<BTreeSet<_>>();
    assert_eq!(ids(&list(&guarded, &user_a, "").await), set(&[&of_a]));
    assert_eq!(ids(&list(&guarded, &user_b, "").await), set(&[&of_b]));
    assert_eq!(
        ids(&list(&guarded, &acme, "").await),
        set(&[&of_a, &of_b, &of_acme])
    );
    assert_eq!(ids(&list(&guarded, &other, "").await), set(&[&of_other]));
    assert_eq!(
        ids(&list(&guarded, &ops, "").await),
        set(&[&of_a, &of_b, &of_acme, &of_other])
    );
}

#[tokio::test]
async fn listed_session_tells_where_it_stands_and_no_token() {
    let mut guarded = Guarded::start().await;
    let acme = guarded.key_of("acme");
    let user = guarded.grant(&acme, json!({"scope": "user/7"})).await;
    let started = guarded.started(&user, "a b.txt").await;
    let sessions = list(&guarded, &acme, "").await;
    let session = &sessions[0];
    assert_eq!(session["status"], "open");
    assert_eq!(session["owner"], "acme/user/7");
    assert_eq!(session["key"], started.key);
    assert_eq!(session["fileName"], "a b.txt");
    assert_eq!(session["sizeBytes"], 10);
    assert!(session["createdAt"].as_str().unwrap().ends_with('Z'));
    assert!(session["renewedAt"].as_str().unwrap().ends_with('Z'));
    assert!(!session.to_string().contains(started.token.expose()));
}

#[tokio::test]
async fn list_pages_by_status_and_passes_over_others_with_bounded_work() {
    let mut guarded = Guarded::start().await;
    let (acme, other) = (guarded.key_of("acme"), guarded.key_of("other"));
    let mut mine = BTreeSet::new();
    for index in 0..30 {
        guarded.started(&other, "x").await;
        if index % 3 == 0 {
            mine.insert(guarded.started(&acme, "a").await.upload_session_id.to_string());
        }
    }
    let aborted = guarded.started(&acme, "gone").await;
    guarded
        .world
        .change(&aborted, |session| session.state = SessionState::Aborted)
        .await;
    for limit in [1, 3, 10, 1000] {
        let query = format!("status=open&limit={limit}");
        let listed = list(&guarded, &acme, &query).await;
        assert_eq!(listed.len(), mine.len(), "limit {limit}");
        assert_eq!(ids(&listed), mine);
    }
    let gone = list(&guarded, &acme, "status=aborted").await;
    assert_eq!(
        ids(&gone),
        BTreeSet::from([aborted.upload_session_id.to_string()])
    );
    assert!(list(&guarded, &acme, "status=completed").await.is_empty());
    assert_eq!(list(&guarded, &acme, "").await.len(), mine.len() + 1);
}

#[tokio::test]
async fn page_without_one_of_the_callers_sessions_has_a_cursor_that_leads_on() {
    let mut guarded = Guarded::start().await;
    let (acme, other) = (guarded.key_of("acme"), guarded.key_of("other"));
    let keep = async |started: &upload_protocol::StartResponse, id: Uuid| {
        let sessions = &guarded.world.sessions;
        let found = sessions.get(started.upload_session_id).await.unwrap().unwrap();
        let mut session = found.session;
        session.id = SessionId::new(id);
        session.idempotency_key = Uuid::new_v4().to_string();
        sessions.create(session, None).await.unwrap();
    };
    let foreign = guarded.started(&other, "x").await;
    for number in 0..4000_u128 {
        keep(&foreign, Uuid::from_u128(number << 64 | 7)).await;
    }
    let last = guarded.started(&acme, "a").await;
    keep(&last, Uuid::max()).await;
    let first: Value = guarded
        .ask(Method::GET, "/api/upload-sessions?status=open", Some(&acme), None)
        .await
        .expect(200);
    assert!(first["sessions"].as_array().unwrap().is_empty(), "{first}");
    assert!(first["nextCursor"].is_string(), "{first}");
    let listed = ids(&list(&guarded, &acme, "status=open").await);
    assert!(listed.contains(&Uuid::max().to_string()), "{listed:?}");
    assert_eq!(listed.len(), 2);
}

#[tokio::test]
async fn cursor_tells_no_id_of_somebody_elses_session() {
    let mut guarded = Guarded::start().await;
    let (acme, other) = (guarded.key_of("acme"), guarded.key_of("other"));
    let mut foreign = Vec::new();
    for _ in 0..40 {
        foreign.push(guarded.started(&other, "x").await.upload_session_id.to_string());
        guarded.started(&acme, "a").await;
    }
    let mut cursor = String::new();
    loop {
        let path = format!("/api/upload-sessions?limit=1&cursor={cursor}");
        let page: Value = guarded
            .ask(Method::GET, &path, Some(&acme), None)
            .await
            .expect(200);
        let Some(next) = page["nextCursor"].as_str() else {
            break;
        };
        assert!(!foreign.iter().any(|id| next.contains(id)), "{next}");
        next.clone_into(&mut cursor);
    }
}

#[tokio::test]
async fn list_refuses_what_it_can_not_read_by_name() {
    let mut guarded = Guarded::start().await;
    let key = guarded.key_of("acme");
    for (query, named) in [
        ("status=done", "done"),
        ("limit=0", "0"),
        ("limit=1001", "1001"),
        ("limit=x", "x"),
        ("cursor=x", "cursor"),
        ("cursor=sealed.&status=open", "cursor"),
        ("state=open", "state"),
    ] {
        let path = format!("/api/upload-sessions?{query}");
        let problem = guarded
            .ask(Method::GET, &path, Some(&key), None)
            .await
            .expect_problem("invalid_request");
        assert!(problem["detail"].as_str().unwrap().contains(named), "{problem}");
    }
}

#[tokio::test]
async fn somebody_elses_session_is_not_found_as_one_that_never_was() {
    let mut guarded = Guarded::start().await;
    let (acme, other) = (guarded.key_of("acme"), guarded.key_of("other"));
    let user = guarded.grant(&acme, json!({"scope": "a"})).await;
    let neighbour = guarded.grant(&acme, json!({"scope": "b"})).await;
    let id = guarded.started(&user, "a").await.upload_session_id.to_string();
    let never = Uuid::new_v4().to_string();
    for bearer in [&other, &neighbour] {
        for (method, path) in [(Method::GET, ""), (Method::DELETE, ""), (Method::POST, "/revoke")] {
            let mut details = Vec::new();
            for id in [&id, &never] {
                let at = format!("/api/upload-sessions/{id}{path}");
                let answer = guarded.ask(method.clone(), &at, Some(bearer), None).await;
                let problem = answer.expect_problem("session_not_found");
                assert_eq!(answer.status, 404);
                details.push(problem["detail"].as_str().unwrap().replace(id, "ID"));
            }
            assert_eq!(details[0], details[1]);
        }
    }
    let at = format!("/api/upload-sessions/{id}");
    let seen: Value = guarded.ask(Method::GET, &at, Some(&user), None).await.expect(200);
    assert_eq!(seen["status"], "open");
}

#[tokio::test]
async fn owner_and_operator_look_and_abort_without_the_token() {
    let mut guarded = Guarded::start().await;
    let (acme, ops) = (guarded.key_of("acme"), guarded.key(operator()));
    let user = guarded.grant(&acme, json!({"scope": "a"})).await;
    for bearer in [&user, &acme, &ops] {
        let started = guarded.started(&user, "a").await;
        let at = format!("/api/upload-sessions/{}", started.upload_session_id);
        let seen: Value = guarded
            .ask(Method::GET, &at, Some(bearer), None)
            .await
            .expect(200);
        assert_eq!(seen["key"], started.key);
        let gone = guarded.ask(Method::DELETE, &at, Some(bearer), None).await;
        assert_eq!(gone.status, 204);
        let seen: Value = guarded
            .ask(Method::GET, &at, Some(bearer), None)
            .await
            .expect(200);
        assert_eq!(seen["status"], "aborted");
    }
}

#[tokio::test]
async fn look_by_the_owner_does_not_renew_the_lease() {
    let mut guarded = Guarded::start().await;
    let acme = guarded.key_of("acme");
    let started = guarded.started(&acme, "a").await;
    guarded
        .world
        .change(&started, |session| session.renewed_at_ms = 0)
        .await;
    let at = format!("/api/upload-sessions/{}", started.upload_session_id);
    let renewed = async || {
        let found = guarded
            .world
            .sessions
            .get(started.upload_session_id)
            .await
            .unwrap()
            .unwrap();
        found.session.renewed_at_ms > 0
    };
    guarded
        .ask(Method::GET, &at, Some(&acme), None)
        .await
        .expect::<Value>(200);
    assert!(!renewed().await);
    guarded
        .world
        .on(&started, Method::GET, "", None)
        .await
        .expect::<Value>(200);
    assert!(renewed().await);
}

#[tokio::test]
async fn owners_credentials_send_no_parts_and_complete_nothing() {
    let mut guarded = Guarded::start().await;
    let acme = guarded.key_of("acme");
    let started = guarded.started(&acme, "a").await;
    for path in ["/parts", "/seal", "/complete"] {
        let at = format!("/api/upload-sessions/{}{path}", started.upload_session_id);
        let body = json!({"checksumCrc64nvme": "AAAAAAAAAAA=", "parts": [{"partNumber": 1, "checksumCrc64nvme": "AAAAAAAAAAA="}]});
        let answer = guarded.ask(Method::POST, &at, Some(&acme), Some(body)).await;
        answer.expect_problem("token_refused");
    }
}

#[tokio::test]
async fn wrong_token_is_refused_even_with_the_owners_credentials() {
    let mut guarded = Guarded::start().await;
    let acme = guarded.key_of("acme");
    let started = guarded.started(&acme, "a").await;
    let at = format!("/api/upload-sessions/{}", started.upload_session_id);
    for token in ["wrong", ""] {
        let headers = [("upload-token", token)];
        let answer = guarded
            .ask_with(Method::GET, &at, Some(&acme), &headers, None)
            .await;
        answer.expect_problem("token_refused");
    }
}

#[tokio::test]
async fn revoked_token_is_refused_at_once_and_the_new_one_goes_on() {
    let mut guarded = Guarded::start().await;
    let acme = guarded.key_of("acme");
    let key = Uuid::new_v4().to_string();
    let body = start_body("a", b"some bytes");
    let mut started: upload_protocol::StartResponse = guarded
        .start_as(Some(&acme), &key, body.clone())
        .await
        .expect(201);
    let at = format!("/api/upload-sessions/{}/revoke", started.upload_session_id);
    let revoked: Value = guarded
        .ask(Method::POST, &at, Some(&acme), None)
        .await
        .expect(200);
    assert_eq!(revoked["uploadSessionId"], started.upload_session_id.to_string());
    for (method, path) in [
        (Method::GET, ""),
        (Method::DELETE, ""),
        (Method::POST, "/complete"),
    ] {
        let answer = guarded.world.on(&started, method, path, None).await;
        answer.expect_problem("token_refused");
    }
    let repeated: upload_protocol::StartResponse =
        guarded.start_as(Some(&acme), &key, body).await.expect(201);
    assert_eq!(repeated.token.expose(), revoked["token"].as_str().unwrap());
    started.token = repeated.token;
    guarded.world.put_all(&started, b"some bytes").await;
    guarded
        .world
        .on(&started, Method::POST, "/complete", None)
        .await
        .expect::<Value>(200);
}

#[tokio::test]
async fn token_alone_revokes_nothing() {
    let mut guarded = Guarded::start().await;
    let acme = guarded.key_of("acme");
    let started = guarded.started(&acme, "a").await;
    let answer = guarded.world.on(&started, Method::POST, "/revoke", None).await;
    answer.expect_problem("unauthorized");
}

#[tokio::test]
async fn where_nothing_is_asked_for_everybody_lists_and_revokes() {
    let world = World::start().await;
    let started = world.start_upload("a", b"some bytes").await;
    let page: Value = world
        .call(Method::GET, "/api/upload-sessions", None, None)
        .await
        .expect(200);
    assert_eq!(
        page["sessions"][0]["uploadSessionId"],
        started.upload_session_id.to_string()
    );
    assert_eq!(page["nextCursor"], Value::Null);
    let at = format!("/api/upload-sessions/{}/revoke", started.upload_session_id);
    world
        .call(Method::POST, &at, None, None)
        .await
        .expect::<Value>(200);
    world
        .on(&started, Method::GET, "", None)
        .await
        .expect_problem("token_refused");
    let grant = world
        .call(Method::POST, "/api/grants", None, Some(json!({"scope": "a"})))
        .await;
    grant.expect_problem("forbidden");
}
