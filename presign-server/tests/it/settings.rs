//! Which setting wins.

use clap::Parser as _;
use presign_server::config::{Args, Config, Environment, SessionStoreKind, StoreConfig};
use upload_storage::StoreProfile;

fn load(arguments: &[&str], part_size: Option<&str>, yaml: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("holdfast.yaml");
    std::fs::write(&path, yaml).unwrap();
    let path = path.to_str().unwrap().to_owned();
    let arguments = [&["presign-server", "--config", &path], arguments].concat();
    let environment = Environment {
        part_size_bytes: part_size.map(str::to_owned),
        ..Environment::default()
    };
    Config::load(Args::parse_from(arguments), environment).map_err(|error| error.to_string())
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let part_size = |config: Config| config.policy.part_size_bytes / 1_048_576;
    let yaml = "part_size_bytes: 12582912";
    let flag = ["--part-size-bytes", "10485760"];
    assert_eq!(part_size(load(&flag, Some("6291456"), yaml).unwrap()), 10);
    assert_eq!(part_size(load(&[], Some("6291456"), yaml).unwrap()), 6);
    assert_eq!(part_size(load(&[], None, yaml).unwrap()), 12);
    assert_eq!(part_size(load(&[], None, "").unwrap()), 8);
}

#[test]
fn without_a_bucket_the_embedded_store_runs() {
    assert!(matches!(
        load(&[], None, "").unwrap().store,
        StoreConfig::Embedded { .. }
    ));
    let config = load(&[], None, "s3_bucket: videos\ns3_region: eu-central-1").unwrap();
    assert!(matches!(config.store, StoreConfig::Bucket { bucket, .. } if bucket == "videos"));
}

#[test]
fn store_is_known_by_its_profile_and_is_amazons_where_none_is_named() {
    let profile = |arguments: &[&str], yaml| match load(arguments, None, yaml).unwrap().store {
        StoreConfig::Bucket { profile, .. } => profile,
        store => panic!("no bucket: {store:?}"),
    };
    let yaml = "s3_bucket: videos\ns3_profile: garage";
    assert_eq!(profile(&[], "s3_bucket: videos"), StoreProfile::Aws);
    assert_eq!(profile(&[], yaml), StoreProfile::Garage);
    assert_eq!(profile(&["--s3-profile", "r2"], yaml), StoreProfile::R2);
    let error = load(&["--s3-profile", "swift"], None, yaml).unwrap_err();
    assert!(
        error.contains("`swift`") && error.contains("versitygw"),
        "{error}"
    );
    let error = load(&["--s3-profile", "minio"], None, "").unwrap_err();
    assert!(
        error.contains("s3_profile") && error.contains("--s3-bucket"),
        "{error}"
    );
    assert!(load(&["--s3-profile", "embedded"], None, "").is_ok());
}

#[test]
fn setting_nobody_knows_is_refused_by_name_with_the_nearest_one() {
    for (yaml, hint) in [
        ("part_size: 5", "did you mean `part_size_bytes`?"),
        ("lease-seconds: 5", "did you mean `lease_seconds`?"),
        ("Listen: 127.0.0.1:1", "did you mean `listen`?"),
        ("xyz: 5", "docs/settings.md"),
    ] {
        let error = load(&[], None, yaml).unwrap_err();
        let name = yaml.split(':').next().unwrap();
        assert!(error.contains(&format!("setting `{name}` (file ")), "{error}");
        assert!(error.contains("holdfast.yaml") && error.contains(hint), "{error}");
    }
}

#[test]
fn refusal_names_where_the_value_came_from() {
    let error = load(&["--lease-seconds", "5"], None, "lease_seconds: 6").unwrap_err();
    assert!(
        error.contains("`lease_seconds` is 5 (flag --lease-seconds)"),
        "{error}"
    );
    let error = load(&[], None, "lease_seconds: 6").unwrap_err();
    assert!(error.contains("`lease_seconds` is 6 (file "), "{error}");
    let error = load(&[], Some("7"), "").unwrap_err();
    assert!(
        error.contains("`part_size_bytes` is 7 (environment variable PART_SIZE_BYTES)"),
        "{error}"
    );
    let error = load(&[], None, "lease_seconds: soon").unwrap_err();
    assert!(error.contains("setting `lease_seconds` (file "), "{error}");
    assert!(
        error.contains("\"soon\"") && error.contains("expected"),
        "{error}"
    );
    let error = load(&[], None, "allowed_host: ['http://a']").unwrap_err();
    assert!(error.contains("`allowed_host` is http://a (file "), "{error}");
    let error = load(&["--trusted-proxy", "10.0.0.0/33"], None, "").unwrap_err();
    assert!(
        error.contains("`trusted_proxy` is 10.0.0.0/33 (flag --trusted-proxy)"),
        "{error}"
    );
}

#[test]
fn file_that_is_no_yaml_is_refused_by_its_path() {
    let error = load(&[], None, "listen: [").unwrap_err();
    assert!(
        error.contains("holdfast.yaml") && error.contains("can't be read"),
        "{error}"
    );
}

#[test]
fn settings_in_force_are_shown_with_their_origins_and_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("holdfast.yaml");
    std::fs::write(&path, "lease_seconds: 700000").unwrap();
    let path = path.to_str().unwrap();
    let args = Args::read_from([
        "presign-server",
        "--config",
        path,
        "--part-size-bytes",
        "10485760",
    ]);
    let environment = Environment {
        token_secret: Some("a-secret-of-some-length".into()),
        ..Environment::default()
    };
    let shown = Config::load(args, environment).unwrap().shown();
    for line in [
        "part_size_bytes: 10485760  # flag --part-size-bytes",
        &format!("lease_seconds: 700000  # file {path}"),
        "url_lifetime_seconds: 3600  # default",
        "# HOLDFAST_TOKEN_SECRET: set",
        "# HOLDFAST_EMBEDDED_S3_SECRET_KEY: not set",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    assert!(!shown.contains("a-secret-of-some-length"));
    // What is shown can be used as a file.
    std::fs::write(path, &shown).unwrap();
    let args = Args::read_from(["presign-server", "--config", path]);
    let again = Config::load(args, Environment::default()).unwrap();
    assert_eq!(again.policy.part_size_bytes, 10_485_760);
}

#[test]
fn address_of_a_hook_is_not_shown_since_it_may_be_a_secret() {
    let url = "https://app.example.com/hooks/4711?key=hush";
    let args = Args::read_from(["presign-server", "--completion-webhook-url", url]);
    let environment = Environment {
        webhook_secret: Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned().into()),
        ..Environment::default()
    };
    let config = Config::load(args, environment).unwrap();
    let shown = format!("{} {config:?}", config.shown());
    assert!(
        shown.contains("# completion_webhook_url: set, not shown"),
        "{shown}"
    );
    assert!(shown.contains("# HOLDFAST_WEBHOOK_SECRET: set"), "{shown}");
    assert!(!shown.contains("hush") && !shown.contains("whsec_"), "{shown}");
}

#[test]
fn lists_are_read_from_the_file_and_from_repeated_flags() {
    let yaml = "cors_allowed_origin: ['https://a.example', 'https://b.example']";
    assert_eq!(load(&[], None, yaml).unwrap().access.origins().len(), 2);
    let flags = [
        "--cors-allowed-origin",
        "https://c.example",
        "--cors-allowed-origin",
        "https://d.example",
    ];
    let config = load(&flags, None, "").unwrap();
    assert_eq!(
        config.access.origins(),
        ["https://c.example", "https://d.example"]
    );
}

#[test]
fn urls_may_live_from_two_seconds_to_a_week() {
    let lifetime = |seconds: &str| {
        load(
            &["--url-lifetime-seconds", seconds],
            None,
            "lease_seconds: 700000",
        )
    };
    for seconds in ["2", "604800"] {
        let config = lifetime(seconds).unwrap();
        assert_eq!(config.policy.url_lifetime.as_secs().to_string(), seconds);
    }
    for seconds in ["1", "604801"] {
        let error = lifetime(seconds).unwrap_err();
        assert!(error.contains("expected 2 to 604800 seconds"), "{error}");
    }
}

#[test]
fn lease_that_a_signed_url_could_outlive_is_refused_with_the_limit() {
    let yaml = "url_lifetime_seconds: 86400\nlease_seconds: 93599";
    let error = load(&[], None, yaml).unwrap_err();
    assert!(error.contains("`lease_seconds` is 93599"), "{error}");
    assert!(
        error.contains("93600") && error.contains("url_lifetime_seconds"),
        "{error}"
    );
    assert!(load(&["--lease-seconds", "93600"], None, yaml).is_ok());
}

#[test]
fn address_of_a_redis_is_shown_without_its_password_wherever_it_was_set() {
    let secret = || Environment {
        token_secret: Some("0123456789abcdef".to_owned().into()),
        ..Environment::default()
    };
    let url = "rediss://app:hush@cache.example/2";
    let args = Args::parse_from(["presign-server", "--session-store", url]);
    assert!(!format!("{args:?}").contains("hush"), "{args:?}");
    let by_flag = Config::load(args, secret()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("holdfast.yaml");
    std::fs::write(&path, format!("session_store: {url}\nredis_key_prefix: team")).unwrap();
    let args = Args::parse_from(["presign-server", "--config", path.to_str().unwrap()]);
    let by_file = Config::load(args, secret()).unwrap();
    for (config, prefix) in [(by_flag, "holdfast"), (by_file, "team")] {
        assert!(!format!("{config:?}").contains("hush"), "{config:?}");
        assert_eq!(config.session_store.to_string(), "rediss://cache.example/2");
        assert!(
            matches!(&config.session_store, SessionStoreKind::Redis { key_prefix, .. } if key_prefix == prefix)
        );
    }
}
