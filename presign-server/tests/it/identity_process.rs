//! The real binary: its `keys` commands, its settings, its clients file while it runs.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

/// A running server; killed when the test ends.
struct Server {
    child: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_presign-server"));
    command
        .current_dir(folder)
        .env_clear()
        .env("RUST_LOG", "info")
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn keys(folder: &Path, arguments: &[&str]) -> Output {
    let arguments = [&["keys"], arguments, &["--clients-file", "clients.yaml"]].concat();
    command(folder, &arguments).output().unwrap()
}

fn words(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).unwrap()
}

fn create(folder: &Path, arguments: &[&str]) -> String {
    let output = keys(folder, &[&["create"], arguments].concat());
    assert!(output.status.success(), "{}", words(&output.stderr));
    words(&output.stdout).trim().to_owned()
}

fn serve(folder: &Path, arguments: &[&str]) -> Server {
    let common = [
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        "data",
        "--embedded-s3-listen",
        "127.0.0.1:0",
        "--session-store",
        "memory",
    ];
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut child = command(folder, &[&common, arguments].concat())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let url = line
        .trim()
        .strip_prefix("Holdfast is at ")
        .unwrap_or_else(|| panic!("{line:?}: {}", log_of(folder)));
    Server {
        url: url.to_owned(),
        child,
    }
}

fn log_of(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap()
}

/// What a server that must not start says.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let mut child = command(folder, arguments).spawn().unwrap();
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(!child.wait().unwrap().success(), "{text}");
    text
}

async fn start(server: &Server, bearer: Option<&str>) -> u16 {
    let mut request = reqwest::Client::new()
        .post(format!("{}/api/upload-sessions", server.url))
        .header("idempotency-key", Uuid::new_v4().to_string())
        .json(&json!({"fileName": "a", "sizeBytes": 1}));
    if let Some(bearer) = bearer {
        request = request.bearer_auth(bearer);
    }
    request.send().await.unwrap().status().as_u16()
}

async fn becomes(server: &Server, bearer: &str, status: u16) {
    for _ in 0..100 {
        if start(server, Some(bearer)).await == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("starts are not answered with {status}");
}

#[test]
fn create_prints_the_key_alone_and_keeps_its_hash_alone() {
    let folder = tempfile::tempdir().unwrap();
    let output = keys(
        folder.path(),
        &[
            "create",
            "--client",
            "acme",
            "--content-type",
            "video/*",
            "--content-type",
            "image/png",
            "--file-size-bytes-max",
            "5000",
            "--key-prefix",
            "team/a",
            "--expires-in-days",
            "30",
        ],
    );
    let key = words(&output.stdout);
    assert_eq!(key.lines().count(), 1);
    let key = key.trim();
    assert!(key.starts_with("hf_") && key.len() == 63, "{key}");
    let said = words(&output.stderr);
    assert!(said.contains("acme") && !said.contains(&key[20..]), "{said}");
    let file = std::fs::read_to_string(folder.path().join("clients.yaml")).unwrap();
    assert!(!file.contains(&key[20..]), "{file}");
    for part in [
        "acme",
        &key[3..19],
        "sha256:",
        "video/*",
        "5000",
        "team/a",
        "expires",
    ] {
        assert!(file.contains(part), "{part}: {file}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(folder.path().join("clients.yaml"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn keys_created_by_many_processes_at_once_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let made: Vec<Child> = (0..8)
        .map(|index| {
            let client = format!("client-{}", index % 2);
            let arguments = [
                "keys",
                "create",
                "--client",
                &client,
                "--clients-file",
                "clients.yaml",
            ];
            command(folder.path(), &arguments).spawn().unwrap()
        })
        .collect();
    let made: Vec<String> = made
        .into_iter()
        .map(|child| words(&child.wait_with_output().unwrap().stdout).trim().to_owned())
        .collect();
    let listed = words(&keys(folder.path(), &["list"]).stdout);
    assert_eq!(listed.lines().count(), 9, "{listed}");
    assert!(made.iter().all(|key| listed.contains(&key[3..19])), "{listed}");
    assert!(made.iter().all(|key| !listed.contains(&key[20..])), "{listed}");
}

#[test]
fn what_keys_can_not_do_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let said = |arguments: &[&str]| {
        let output = keys(folder.path(), arguments);
        assert!(!output.status.success());
        assert!(output.stdout.is_empty());
        words(&output.stderr)
    };
    assert!(said(&["list"]).contains("keys create"));
    assert!(said(&["revoke", "abc"]).contains("keys create"));
    assert!(said(&["create", "--client", "a b"]).contains("a b"));
    assert!(said(&["create", "--client", "acme", "--content-type", "video"]).contains("video/*"));
    assert!(said(&["create", "--client", "acme", "--expires-in-days", "0"]).contains("0 days"));
    assert!(said(&["create", "--client", "acme", "--role", "root"]).contains("operator"));
    create(folder.path(), &["--client", "acme"]);
    assert!(said(&["create", "--client", "acme", "--role", "operator"]).contains("is there already"));
    assert!(said(&["revoke", "abc"]).contains("keys list"));
    let nowhere = command(folder.path(), &["keys", "list"]).output().unwrap();
    assert!(words(&nowhere.stderr).contains("--clients-file"));
}

#[tokio::test]
async fn running_server_takes_up_new_and_revoked_keys_and_refuses_a_broken_file_loudly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let first = create(path, &["--client", "acme"]);
    let server = serve(path, &["--clients-file", "clients.yaml"]);
    assert_eq!(start(&server, None).await, 401);
    assert_eq!(start(&server, Some(&first)).await, 201);
    let second = create(path, &["--client", "acme"]);
    becomes(&server, &second, 201).await;
    let good = std::fs::read_to_string(path.join("clients.yaml")).unwrap();
    std::fs::write(path.join("clients.yaml"), "clients: [{name: acme, colour: red}]").unwrap();
    for _ in 0..100 {
        if log_of(path).contains("colour") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let log = log_of(path);
    assert!(log.contains("colour") && log.contains("stay in force"), "{log}");
    assert_eq!(start(&server, Some(&first)).await, 201);
    std::fs::write(path.join("clients.yaml"), good).unwrap();
    let revoked = keys(path, &["revoke", &first[3..19]]);
    assert!(revoked.status.success());
    becomes(&server, &first, 401).await;
    assert_eq!(start(&server, Some(&second)).await, 201);
    let log = log_of(path);
    assert!(!log.contains(&first[20..]) && !log.contains(&second[20..]));
}

#[test]
fn server_without_its_clients_file_does_not_start_and_says_how_to_make_it() {
    let folder = tempfile::tempdir().unwrap();
    let common = [
        "--listen",
        "127.0.0.1:0",
        "--embedded-s3-listen",
        "127.0.0.1:0",
        "--clients-file",
    ];
    let said = refused(folder.path(), &[&common[..], &["none.yaml"]].concat());
    assert!(
        said.contains("none.yaml") && said.contains("keys create"),
        "{said}"
    );
    std::fs::write(folder.path().join("bad.yaml"), "clients: 5").unwrap();
    let said = refused(folder.path(), &[&common[..], &["bad.yaml"]].concat());
    assert!(said.contains("bad.yaml") && said.contains("line 1"), "{said}");
}

#[tokio::test]
async fn address_beyond_loopback_needs_credentials_or_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let beyond = ["--listen", "0.0.0.0:0", "--embedded-s3-listen", "127.0.0.1:0"];
    let said = refused(folder.path(), &beyond);
    for way in ["--clients-file", "--jwt-issuer", "--insecure-open"] {
        assert!(said.contains(way), "{said}");
    }
    create(folder.path(), &["--client", "acme"]);
    let server = serve(
        folder.path(),
        &["--listen", "0.0.0.0:0", "--clients-file", "clients.yaml"],
    );
    assert!(server.url.contains("0.0.0.0"), "{}", server.url);
}

#[tokio::test]
async fn host_is_any_where_credentials_are_asked_for_unless_hosts_are_named() {
    let folder = tempfile::tempdir().unwrap();
    create(folder.path(), &["--client", "acme"]);
    let status = async |server: &Server, host: &str| {
        let request = reqwest::Client::new().get(format!("{}/api/upload-sessions", server.url));
        request
            .header("host", host)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    let any = serve(folder.path(), &["--clients-file", "clients.yaml"]);
    assert_eq!(status(&any, "uploads.example.com").await, 401);
    drop(any);
    let named = serve(
        folder.path(),
        &[
            "--clients-file",
            "clients.yaml",
            "--allowed-host",
            "uploads.example.com",
        ],
    );
    assert_eq!(status(&named, "uploads.example.com").await, 401);
    assert_eq!(status(&named, "evil.example").await, 421);
    drop(named);
    let open = serve(folder.path(), &[]);
    assert_eq!(status(&open, "evil.example").await, 421);
}
