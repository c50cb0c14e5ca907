//! `docs/settings.md` lists what can be set, as it is.

use clap::CommandFactory as _;
use presign_server::config::Args;

const DOCUMENT: &str = include_str!("../../../docs/settings.md");

/// Flags that are no settings: they choose where those are read, and what is done.
const NO_SETTINGS: [&str; 4] = ["config", "print-config", "help", "version"];

#[test]
fn document_lists_every_setting_with_its_variable_and_default() {
    let (_, table) = DOCUMENT
        .split_once("| flag | variable | default | meaning and limits |\n|---|---|---|---|\n")
        .unwrap();
    let written: Vec<String> = table
        .lines()
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split(" | ").take(3).collect::<Vec<_>>().join(" | "))
        .collect();
    let command = Args::command();
    let known: Vec<String> = command
        .get_arguments()
        .filter_map(|argument| Some((argument, argument.get_long()?)))
        .filter(|(_, long)| !NO_SETTINGS.contains(long))
        .map(|(argument, long)| {
            let variable = argument.get_env().unwrap().to_str().unwrap();
            let help = argument.get_help().unwrap().to_string();
            let default = help.split_once("[default: ").map_or("–".to_owned(), |(_, rest)| {
                format!("`{}`", rest.split_once(']').unwrap().0)
            });
            format!("| `--{long}` | `{variable}` | {default}")
        })
        .collect();
    for row in &known {
        assert!(written.contains(row), "docs/settings.md lacks this row: {row}");
    }
    for row in &written {
        assert!(
            known.contains(row),
            "docs/settings.md has a row of no setting: {row}"
        );
    }
}

#[test]
fn example_file_of_the_document_can_be_used() {
    let (_, rest) = DOCUMENT.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("holdfast.yaml");
    std::fs::write(&path, example).unwrap();
    let args = Args::read_from(["presign-server", "--config", path.to_str().unwrap()]);
    let config = presign_server::config::Config::load(args, presign_server::config::Environment::default());
    assert_eq!(config.unwrap().policy.file_size_bytes_max, 107_374_182_400);
}
