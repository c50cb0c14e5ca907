//! Settings of credentials: what is needed together, and what is refused.

use clap::Parser as _;
use presign_server::auth::JwtKeys;
use presign_server::config::{Args, Config, Environment};

const ISSUER: [&str; 4] = [
    "--jwt-issuer",
    "https://login.example.com",
    "--jwt-audience",
    "uploads",
];

fn load(arguments: &[&str], secret: Option<&str>) -> Result<Config, String> {
    load_file(arguments, secret, "")
}

fn load_file(arguments: &[&str], secret: Option<&str>, yaml: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("holdfast.yaml");
    std::fs::write(&path, yaml).unwrap();
    let path = path.to_str().unwrap().to_owned();
    let arguments = [&["presign-server", "--config", &path], arguments].concat();
    let environment = Environment {
        jwt_secret: secret.map(|secret| secret.to_owned().into()),
        ..Environment::default()
    };
    Config::load(Args::parse_from(arguments), environment).map_err(|error| error.to_string())
}

#[test]
fn without_clients_and_issuer_everybody_is_let_in() {
    assert!(load(&[], None).unwrap().identity.is_open());
    assert!(!load(&["--clients-file", "x"], None).unwrap().identity.is_open());
}

#[test]
fn empty_name_of_the_clients_file_lets_nobody_in() {
    let config = load_file(&[], None, "clients_file: ''").unwrap();
    assert!(!config.identity.is_open());
}

#[test]
fn issuer_audience_and_one_key_are_needed_together() {
    let both = |more: &[&'static str]| [&ISSUER, more].concat();
    for (arguments, secret, named) in [
        (ISSUER[..2].to_vec(), Some("secret"), "jwt_audience"),
        (ISSUER[2..].to_vec(), Some("secret"), "jwt_issuer"),
        (vec![], Some("secret"), "jwt_issuer"),
        (ISSUER.to_vec(), None, "HOLDFAST_JWT_SECRET"),
        (
            both(&["--jwt-public-key-file", "x.pem"]),
            Some("secret"),
            "not several",
        ),
        (
            both(&[
                "--jwt-public-key-file",
                "x.pem",
                "--jwt-jwks-url",
                "https://a.example",
            ]),
            None,
            "not several",
        ),
        (both(&["--jwt-client", "a/b"]), Some("secret"), "jwt_client"),
    ] {
        let error = load(&arguments, secret).unwrap_err();
        assert!(error.contains(named), "{error}");
    }
    let jwt = load(&ISSUER, Some("secret")).unwrap().identity.jwt.unwrap();
    assert!(matches!(jwt.keys, JwtKeys::Secret(_)));
    assert_eq!(jwt.client, "jwt");
    assert!(!format!("{jwt:?}").contains("secret"));
}

#[test]
fn published_keys_come_by_tls_or_from_this_machine() {
    let load = |url: &str| load(&[&ISSUER[..], &["--jwt-jwks-url", url]].concat(), None);
    for url in [
        "https://login.example.com/keys",
        "http://127.0.0.1:8080/keys",
        "http://localhost/keys",
        "http://[::1]/keys",
    ] {
        let jwt = load(url).unwrap().identity.jwt.unwrap();
        assert!(matches!(jwt.keys, JwtKeys::Url(_)), "{url}");
    }
    for url in [
        "http://login.example.com/keys",
        "http://127.0.0.1.evil.example/keys",
        "http://localhost.evil.example/keys",
        "file:///etc/passwd",
        "login.example.com",
    ] {
        let error = load(url).unwrap_err();
        assert!(error.contains("jwt_jwks_url") && error.contains(url), "{error}");
    }
    let error = load("https://user:hunter2@login.example.com/keys").unwrap_err();
    assert!(
        error.contains("jwt_jwks_url") && !error.contains("hunter2"),
        "{error}"
    );
}
