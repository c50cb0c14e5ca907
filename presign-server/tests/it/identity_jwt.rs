//! JWTs of somebody else's making, and the ways in which they are forged.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use axum::Router;
use axum::http::{Method, StatusCode};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use presign_server::UploadPolicy;
use presign_server::auth::{JwtConfig, JwtKeys, NewKey};
use serde_json::{Value, json};
use upload_protocol::StartResponse;
use uuid::Uuid;

use crate::support::identity::{Guarded, new_key};
use crate::support::{Answer, content, start_body};

const SECRET: &str = "a secret of more than thirty-two bytes";
const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "uploads";

fn config(keys: JwtKeys) -> JwtConfig {
    JwtConfig {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        keys,
        client: "jwt".to_owned(),
    }
}

async fn with_secret() -> Guarded {
    let keys = JwtKeys::Secret(SECRET.to_owned().into());
    Guarded::with(UploadPolicy::default(), Some(config(keys))).await
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// What a good token says.
fn claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "user-7", "exp": now() + 600})
}

fn claims_with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn claims_without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn by_secret(claims: &Value) -> String {
    sign(
        &Header::new(Algorithm::HS256),
        claims,
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
}

fn sign(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    encode(header, claims, key).unwrap()
}

async fn start(guarded: &Guarded, token: &str) -> Answer {
    let body = start_body("a", b"some bytes");
    guarded
        .start_as(Some(token), &Uuid::new_v4().to_string(), body)
        .await
}

#[track_caller]
fn expect_refused(answer: &Answer, token: &str, named: &str) {
    let problem = answer.expect_problem("unauthorized");
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(named), "{detail}");
    for piece in token.split('.').filter(|piece| piece.len() > 8) {
        assert!(!detail.contains(piece), "{detail}");
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// A key pair: what signs, its public half in PEM and as a JWK of this id.
struct Pair {
    algorithm: Algorithm,
    signing: EncodingKey,
    public_pem: String,
    private_pem: String,
    jwk: Value,
}

impl Pair {
    fn rsa(size: KeySize) -> Self {
        let key = RsaKeyPair::generate(size).unwrap();
        let private: Pkcs8V1Der = key.as_der().unwrap();
        let public: PublicKeyX509Der = key.public_key().as_der().unwrap();
        let private_pem = pem("PRIVATE KEY", private.as_ref());
        let signing = EncodingKey::from_rsa_pem(private_pem.as_bytes()).unwrap();
        Self {
            algorithm: Algorithm::RS256,
            jwk: jwk(&signing, Algorithm::RS256),
            signing,
            public_pem: pem("PUBLIC KEY", public.as_ref()),
            private_pem,
        }
    }

    fn p256() -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        let public: PublicKeyX509Der = key.public_key().as_der().unwrap();
        let private_pem = pem("PRIVATE KEY", pkcs8.as_ref());
        let signing = EncodingKey::from_ec_pem(private_pem.as_bytes()).unwrap();
        Self {
            algorithm: Algorithm::ES256,
            jwk: jwk(&signing, Algorithm::ES256),
            signing,
            public_pem: pem("PUBLIC KEY", public.as_ref()),
            private_pem,
        }
    }

    fn ed25519() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let public: PublicKeyX509Der = key.public_key().as_der().unwrap();
        let private_pem = pem("PRIVATE KEY", pkcs8.as_ref());
        let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
        Self {
            algorithm: Algorithm::EdDSA,
            jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": x, "alg": "EdDSA"}),
            signing: EncodingKey::from_ed_pem(private_pem.as_bytes()).unwrap(),
            public_pem: pem("PUBLIC KEY", public.as_ref()),
            private_pem,
        }
    }

    fn sign(&self, id: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = id.map(str::to_owned);
        sign(&header, claims, &self.signing)
    }

    fn jwk(&self, id: &str) -> Value {
        let mut jwk = self.jwk.clone();
        jwk["kid"] = json!(id);
        jwk
    }
}

fn jwk(signing: &EncodingKey, algorithm: Algorithm) -> Value {
    let jwk = Jwk::from_encoding_key(signing, algorithm).unwrap();
    serde_json::to_value(&jwk).unwrap()
}

fn public_key_file(folder: &Path, text: &str) -> JwtKeys {
    let path = folder.join("issuer.pem");
    std::fs::write(&path, text).unwrap();
    JwtKeys::PublicKeyFile(path)
}

#[tokio::test]
async fn token_of_the_issuer_lets_its_user_start() {
    let guarded = with_secret().await;
    let token = by_secret(&claims_with(
        &json!({"aud": ["other", AUDIENCE], "nbf": now() - 5}),
    ));
    let started: StartResponse = start(&guarded, &token).await.expect(201);
    let found = guarded
        .world
        .sessions
        .get(started.upload_session_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.session.owner, "jwt/user-7");
    assert!(started.key.starts_with("uploads/jwt/20"), "{}", started.key);
}

#[tokio::test]
async fn token_with_a_wrong_or_missing_claim_is_refused_saying_which() {
    let guarded = with_secret().await;
    for (claims, named) in [
        (claims_with(&json!({"iss": "https://evil.example"})), "`iss`"),
        (claims_without("iss"), "`iss`"),
        (claims_with(&json!({"aud": "payments"})), "`aud`"),
        (claims_with(&json!({"aud": ["payments", "mail"]})), "`aud`"),
        (claims_without("aud"), "`aud`"),
        (claims_without("exp"), "`exp`"),
        (claims_with(&json!({"exp": now() - 61})), "expired"),
        (claims_with(&json!({"exp": "tomorrow"})), "claim"),
        (claims_with(&json!({"nbf": now() + 120})), "not valid yet"),
        (claims_with(&json!({"nbf": "tomorrow"})), "`nbf`"),
        (claims_without("sub"), "`sub`"),
        (claims_with(&json!({"sub": ""})), "`sub`"),
        (claims_with(&json!({"sub": "a\nb"})), "`sub`"),
        (claims_with(&json!({"sub": "x".repeat(257)})), "`sub`"),
        (claims_with(&json!({"holdfast": {"client": "a/b"}})), "`client`"),
        (claims_with(&json!({"holdfast": {"role": "root"}})), "claim"),
        (claims_with(&json!({"holdfast": {"uploadMax": 1}})), "claim"),
        (
            claims_with(&json!({"holdfast": {"uploadsMax": 0}})),
            "`uploadsMax`",
        ),
        (
            claims_with(&json!({"holdfast": {"keyPrefix": "../x"}})),
            "keyPrefix",
        ),
        (
            claims_with(&json!({"holdfast": {"contentTypes": ["video"]}})),
            "content type",
        ),
    ] {
        let token = by_secret(&claims);
        expect_refused(&start(&guarded, &token).await, &token, named);
    }
}

#[tokio::test]
async fn clocks_may_differ_by_a_minute() {
    let guarded = with_secret().await;
    for claims in [
        claims_with(&json!({"exp": now() - 50})),
        claims_with(&json!({"nbf": now() + 50})),
    ] {
        start(&guarded, &by_secret(&claims)).await.expect::<Value>(201);
    }
}

#[tokio::test]
async fn algorithm_is_never_the_tokens_choice() {
    let rsa = Pair::rsa(KeySize::Rsa2048);
    let folder = tempfile::tempdir().unwrap();
    let keys = public_key_file(folder.path(), &rsa.public_pem);
    let guarded = Guarded::with(UploadPolicy::default(), Some(config(keys))).await;
    start(&guarded, &rsa.sign(None, &claims()))
        .await
        .expect::<Value>(201);
    let segment = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for alg in ["none", "None", "NONE", ""] {
        for signature in ["", "AAAA"] {
            let token = format!(
                "{}.{}.{signature}",
                segment(&json!({"alg": alg})),
                segment(&claims())
            );
            expect_refused(&start(&guarded, &token).await, &token, "");
        }
    }
    // The public key is public: as an HMAC secret it would let everybody sign.
    let der = STANDARD
        .decode(
            rsa.public_pem
                .lines()
                .filter(|line| !line.starts_with('-'))
                .collect::<String>(),
        )
        .unwrap();
    for secret in [rsa.public_pem.as_bytes(), rsa.public_pem.trim().as_bytes(), &der] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let token = sign(
                &Header::new(algorithm),
                &claims(),
                &EncodingKey::from_secret(secret),
            );
            expect_refused(&start(&guarded, &token).await, &token, "another algorithm");
        }
    }
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        let token = sign(&Header::new(algorithm), &claims(), &rsa.signing);
        expect_refused(&start(&guarded, &token).await, &token, "another algorithm");
    }
    let other = Pair::rsa(KeySize::Rsa2048).sign(None, &claims());
    expect_refused(&start(&guarded, &other).await, &other, "signature");
    let ec = Pair::p256().sign(None, &claims());
    expect_refused(&start(&guarded, &ec).await, &ec, "another algorithm");
}

#[tokio::test]
async fn token_by_another_secret_or_with_altered_claims_is_refused() {
    let guarded = with_secret().await;
    let token = by_secret(&claims());
    let operator = claims_with(&json!({"holdfast": {"role": "operator"}}));
    let pieces: Vec<&str> = token.split('.').collect();
    let altered = format!(
        "{}.{}.{}",
        pieces[0],
        URL_SAFE_NO_PAD.encode(operator.to_string()),
        pieces[2]
    );
    let header = Header::new(Algorithm::HS256);
    let other = sign(
        &header,
        &claims(),
        &EncodingKey::from_secret(b"another secret of thirty-two bytes"),
    );
    for (bad, named) in [
        (&altered, "signature"),
        (&other, "signature"),
        (&format!("{token}A"), ""),
    ] {
        expect_refused(&start(&guarded, bad).await, bad, named);
    }
}

#[tokio::test]
async fn token_that_carries_or_names_its_own_key_is_checked_with_the_configured_one() {
    let guarded = with_secret().await;
    let own = Pair::rsa(KeySize::Rsa2048);
    let mut header = Header::new(Algorithm::RS256);
    header.jwk = Some(serde_json::from_value(own.jwk("mine")).unwrap());
    header.jku = Some("http://127.0.0.1:9/keys".to_owned());
    let token = sign(&header, &claims(), &own.signing);
    expect_refused(&start(&guarded, &token).await, &token, "another algorithm");
}

#[tokio::test]
async fn each_kind_of_public_key_checks_its_algorithm() {
    for pair in [Pair::rsa(KeySize::Rsa2048), Pair::p256(), Pair::ed25519()] {
        let folder = tempfile::tempdir().unwrap();
        let keys = public_key_file(folder.path(), &pair.public_pem);
        let guarded = Guarded::with(UploadPolicy::default(), Some(config(keys))).await;
        start(&guarded, &pair.sign(None, &claims()))
            .await
            .expect::<Value>(201);
        let wrong = by_secret(&claims());
        expect_refused(&start(&guarded, &wrong).await, &wrong, "another algorithm");
    }
}

#[test]
fn key_that_can_not_check_tokens_is_refused_at_the_start() {
    use presign_server::auth::{GrantMaker, Identity, IdentityConfig};
    let open = |keys: JwtKeys| {
        let grants = GrantMaker::new(&presign_server::TokenMaker::new(&[7; 32]).unwrap());
        let config = IdentityConfig {
            clients_file: None,
            jwt: Some(config(keys)),
        };
        Identity::open(config, grants).unwrap_err().to_string()
    };
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::p256();
    for (text, named) in [
        (pair.private_pem.as_str(), "private key"),
        ("", "PUBLIC KEY"),
        (
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "expected an RSA",
        ),
    ] {
        let error = open(public_key_file(folder.path(), text));
        assert!(error.contains(named) && error.contains("issuer.pem"), "{error}");
    }
    let missing = open(JwtKeys::PublicKeyFile(folder.path().join("none.pem")));
    assert!(missing.contains("none.pem"), "{missing}");
    let short = open(JwtKeys::Secret("short".to_owned().into()));
    assert!(short.contains("5 bytes") && short.contains("32"), "{short}");
}

#[tokio::test]
async fn claim_holdfast_says_client_role_and_limits() {
    let guarded = with_secret().await;
    let acme =
        json!({"client": "acme", "keyPrefix": "a/b", "fileSizeBytesMax": 10, "contentTypes": ["image/*"]});
    let token = by_secret(&claims_with(&json!({ "holdfast": acme })));
    let body = |size: usize, content_type: &str| {
        let mut body = start_body("a", &content(size));
        body["contentType"] = json!(content_type);
        body
    };
    let fresh = || Uuid::new_v4().to_string();
    let started: StartResponse = guarded
        .start_as(Some(&token), &fresh(), body(10, "image/png"))
        .await
        .expect(201);
    assert!(started.key.starts_with("uploads/acme/a/b/20"), "{}", started.key);
    let large = guarded
        .start_as(Some(&token), &fresh(), body(11, "image/png"))
        .await;
    large.expect_problem("file_too_large");
    let video = guarded
        .start_as(Some(&token), &fresh(), body(1, "video/mp4"))
        .await;
    video.expect_problem("content_type_refused");
    let list = async |token: &str| -> usize {
        let page: Value = guarded
            .ask(Method::GET, "/api/upload-sessions", Some(token), None)
            .await
            .expect(200);
        page["sessions"].as_array().unwrap().len()
    };
    let operator = json!({"sub": "olga", "holdfast": {"role": "operator"}});
    assert_eq!(list(&by_secret(&claims_with(&operator))).await, 1);
    assert_eq!(list(&by_secret(&claims_with(&json!({"sub": "user-8"})))).await, 0);
}

#[tokio::test]
async fn token_for_so_many_uploads_is_spent_after_them() {
    let guarded = with_secret().await;
    let limited = json!({"jti": "one", "holdfast": {"uploadsMax": 1}});
    let token = by_secret(&claims_with(&limited));
    start(&guarded, &token).await.expect::<Value>(201);
    start(&guarded, &token).await.expect_problem("grant_spent");
    // Its name is `jti`: the same one issued again is the same allowance.
    let mut renewed = claims_with(&limited);
    renewed["exp"] = json!(now() + 900);
    start(&guarded, &by_secret(&renewed))
        .await
        .expect_problem("grant_spent");
    let other = claims_with(&json!({"jti": "two", "holdfast": {"uploadsMax": 1}}));
    start(&guarded, &by_secret(&other)).await.expect::<Value>(201);
}

#[tokio::test]
async fn client_of_the_file_lends_its_limits_to_tokens_that_name_it() {
    let mut guarded = with_secret().await;
    guarded.key(NewKey {
        file_size_bytes_max: Some(5),
        key_prefix: Some("team".to_owned()),
        ..new_key("acme")
    });
    guarded.serve(Some(config(JwtKeys::Secret(SECRET.to_owned().into()))));
    let said = json!({"client": "acme", "fileSizeBytesMax": 1000, "keyPrefix": "x"});
    let token = by_secret(&claims_with(&json!({ "holdfast": said })));
    start(&guarded, &token).await.expect_problem("file_too_large");
    let body = start_body("a", b"x");
    let started: StartResponse = guarded
        .start_as(Some(&token), &Uuid::new_v4().to_string(), body)
        .await
        .expect(201);
    assert!(started.key.starts_with("uploads/team/x/20"), "{}", started.key);
}

#[tokio::test]
async fn token_that_names_a_client_taken_out_of_the_file_is_refused() {
    let mut guarded = with_secret().await;
    let token = by_secret(&claims_with(&json!({"holdfast": {"client": "gone"}})));
    // Without any client in the file the issuer's word is all there is.
    start(&guarded, &token).await.expect::<Value>(201);
    guarded.file.create_key(new_key("acme")).unwrap();
    guarded.serve(Some(config(JwtKeys::Secret(SECRET.into()))));
    expect_refused(&start(&guarded, &token).await, &token, "`client`");
}

#[tokio::test]
async fn token_gets_no_grants() {
    let guarded = with_secret().await;
    let token = by_secret(&claims_with(&json!({"holdfast": {"role": "operator"}})));
    let answer = guarded
        .ask(
            Method::POST,
            "/api/grants",
            Some(&token),
            Some(json!({"scope": "a"})),
        )
        .await;
    answer.expect_problem("forbidden");
}

#[tokio::test]
async fn every_way_in_keeps_the_rules_of_authorizers() {
    use presign_server::auth::Authorizer as _;
    use presign_server::auth::{ClientsFile, GrantMaker, Identity, IdentityConfig, OpenAuthorizer};
    let folder = tempfile::tempdir().unwrap();
    let file = ClientsFile::new(folder.path().join("clients.yaml"));
    let key = file.create_key(new_key("acme")).unwrap().expose();
    let grants = GrantMaker::new(&presign_server::TokenMaker::new(&[7; 32]).unwrap());
    let identity = IdentityConfig {
        clients_file: Some(file.path().to_path_buf()),
        jwt: Some(config(JwtKeys::Secret(SECRET.to_owned().into()))),
    };
    let identity = Identity::open(identity, grants.clone()).unwrap();
    let caller = identity.authorize(Some(&key)).await.unwrap();
    let asked = serde_json::from_value(json!({"scope": "a"})).unwrap();
    let grant = grants.make(&caller, &asked).unwrap().grant.expose().to_owned();
    upload_testkit::authorizer::suite(&identity, &[key, grant, by_secret(&claims())]).await;
    upload_testkit::authorizer::suite(&OpenAuthorizer, &[]).await;
}

/// An issuer's published keys, over HTTP.
struct Published {
    url: String,
    keys: Arc<Mutex<Value>>,
    down: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Published {
    async fn start(keys: Value) -> Self {
        let keys = Arc::new(Mutex::new(json!({ "keys": keys })));
        let (down, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (shown, is_down, count) = (keys.clone(), down.clone(), asked.clone());
        let answer = move || {
            count.fetch_add(1, Ordering::SeqCst);
            let down = is_down.load(Ordering::SeqCst);
            let body = shown.lock().unwrap().to_string();
            async move {
                if down {
                    (StatusCode::INTERNAL_SERVER_ERROR, String::new())
                } else {
                    (StatusCode::OK, body)
                }
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let router = Router::new().route("/keys", get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            url,
            keys,
            down,
            asked,
        }
    }

    async fn guarded(&self) -> Guarded {
        let keys = JwtKeys::Url(self.url.parse().unwrap());
        Guarded::with(UploadPolicy::default(), Some(config(keys))).await
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn published_keys_check_tokens_by_the_key_they_name() {
    let (rsa, ec, ed) = (Pair::rsa(KeySize::Rsa2048), Pair::p256(), Pair::ed25519());
    let published = Published::start(json!([rsa.jwk("r"), ec.jwk("e"), ed.jwk("d")])).await;
    let guarded = published.guarded().await;
    for (pair, id) in [(&rsa, "r"), (&ec, "e"), (&ed, "d")] {
        start(&guarded, &pair.sign(Some(id), &claims()))
            .await
            .expect::<Value>(201);
    }
    for (token, named) in [
        (rsa.sign(Some("e"), &claims()), "another algorithm"),
        (Pair::p256().sign(Some("e"), &claims()), "signature"),
        (rsa.sign(None, &claims()), "`kid`"),
    ] {
        expect_refused(&start(&guarded, &token).await, &token, named);
    }
    assert_eq!(published.asked(), 1);
}

#[tokio::test]
async fn keys_that_nobody_knows_cost_the_issuer_one_question_a_minute() {
    let pair = Pair::p256();
    let published = Published::start(json!([pair.jwk("e")])).await;
    let guarded = published.guarded().await;
    start(&guarded, &pair.sign(Some("e"), &claims()))
        .await
        .expect::<Value>(201);
    for index in 0..20 {
        let token = pair.sign(Some(&format!("invented-{index}")), &claims());
        expect_refused(&start(&guarded, &token).await, &token, "`kid`");
    }
    assert_eq!(published.asked(), 1);
}

#[tokio::test]
async fn known_keys_stay_in_force_while_the_issuer_is_down() {
    let pair = Pair::p256();
    let published = Published::start(json!([pair.jwk("e")])).await;
    let guarded = published.guarded().await;
    let token = pair.sign(Some("e"), &claims());
    start(&guarded, &token).await.expect::<Value>(201);
    published.down.store(true, Ordering::SeqCst);
    start(&guarded, &token).await.expect::<Value>(201);
}

#[tokio::test]
async fn issuer_that_never_answered_is_waited_for_and_not_blamed_on_the_token() {
    let pair = Pair::p256();
    let published = Published::start(json!([])).await;
    published.down.store(true, Ordering::SeqCst);
    let guarded = published.guarded().await;
    let token = pair.sign(Some("e"), &claims());
    let answer = start(&guarded, &token).await;
    answer.expect_problem("identity_unavailable");
    assert_eq!(answer.status, 503);
    *published.keys.lock().unwrap() = json!({"keys": [pair.jwk("e")]});
    published.down.store(false, Ordering::SeqCst);
    for _ in 0..50 {
        if start(&guarded, &token).await.status == 201 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the keys were not fetched");
}
