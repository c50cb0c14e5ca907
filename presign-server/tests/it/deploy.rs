//! The files in `deploy/` against the settings that this server knows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use figment::Figment;
use figment::providers::{Format as _, Yaml};
use presign_server::config::Args;
use serde_json::Value;

/// Settings that have no flag: secrets are seen by whoever lists processes.
const ONLY_IN_ENVIRONMENT: &[&str] = &["HOLDFAST_TOKEN_SECRET", "HOLDFAST_EMBEDDED_S3_SECRET_KEY"];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

fn compose() -> Value {
    Figment::from(Yaml::file_exact(path("compose.yaml")))
        .extract()
        .unwrap()
}

fn settings() -> BTreeSet<String> {
    let command = Args::command();
    let flags = command.get_arguments().filter_map(clap::Arg::get_env);
    let flags = flags.map(|name| name.to_string_lossy().into_owned());
    flags
        .chain(ONLY_IN_ENVIRONMENT.iter().map(|name| (*name).to_owned()))
        .collect()
}

/// `HOLDFAST_…` words of a text.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|char: char| !(char.is_ascii_uppercase() || char.is_ascii_digit() || char == '_'));
    words.filter(|word| word.starts_with("HOLDFAST_")).collect()
}

#[test]
fn every_setting_that_the_deploy_files_and_the_operations_guide_name_is_one() {
    let settings = settings();
    for name in [
        "compose.yaml",
        "Dockerfile",
        "example.env",
        "../docs/operations.md",
    ] {
        let text = text(name);
        let named = named(&text);
        assert!(!named.is_empty(), "{name} names no setting");
        for setting in named {
            assert!(
                settings.contains(setting),
                "{name} names {setting}, which is no setting"
            );
        }
    }
}

#[test]
fn compose_file_runs_two_replicas_behind_the_proxy_on_a_redis_that_forgets_nothing() {
    let compose = compose();
    let services = compose["services"].as_object().unwrap();
    let server = &services["holdfast"];
    assert!(server["deploy"]["replicas"].as_u64().unwrap() >= 2);
    let environment = &server["environment"];
    let redis = environment["HOLDFAST_SESSION_STORE"].as_str().unwrap();
    let redis_host = redis.strip_prefix("redis://").unwrap().split(':').next().unwrap();
    let command: Vec<&str> = services[redis_host]["command"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect();
    for setting in [
        ["--appendonly", "yes"],
        ["--appendfsync", "always"],
        ["--maxmemory-policy", "noeviction"],
    ] {
        assert!(command.windows(2).any(|pair| pair == setting), "{setting:?}");
    }
    let port = environment["HOLDFAST_LISTEN"]
        .as_str()
        .unwrap()
        .rsplit(':')
        .next()
        .unwrap();
    let upstream = format!("server holdfast:{port} ");
    assert!(
        text("nginx.conf").contains(&upstream),
        "nginx.conf lacks `{upstream}`"
    );
    for secret in [
        "HOLDFAST_TOKEN_SECRET",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    ] {
        let value = environment[secret].as_str().unwrap();
        assert!(
            value.starts_with("${") && value.contains(":?"),
            "{secret} stands in the file, or may be empty"
        );
    }
    for (name, service) in services {
        let image = service["image"].as_str().unwrap();
        let built = image == "holdfast";
        let fixed = image.rsplit_once(':').is_some_and(|(_, tag)| tag != "latest");
        assert!(built || fixed, "{name}: which {image}?");
    }
}
