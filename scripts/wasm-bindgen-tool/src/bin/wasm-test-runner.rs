//! Runs the tests of a crate compiled for the browser under Node: the `runner` of
//! `cargo test --target wasm32-unknown-unknown`. What the crate `wasm-bindgen-cli` has a command for,
//! without its browsers, web server and forty crates, and of the version that `Cargo.lock` pins.
//!
//! Takes the module and, like any test binary, texts that a test's name must contain.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

/// Finds the tests among the module's exports and hands them to wasm-bindgen-test's own harness.
const SCRIPT: &str = include_str!("wasm-test-runner.cjs");

fn run() -> Result<bool> {
    let mut arguments = env::args_os().skip(1);
    let Some(module) = arguments.next().map(PathBuf::from) else {
        bail!("got no arguments, expected: wasm-test-runner MODULE.wasm [NAME]...");
    };
    let folder = tempfile::tempdir().context("cannot make a folder for the bindings")?;
    Bindgen::new()
        .input_path(&module)
        .out_name("tests")
        .nodejs(true)?
        .typescript(false)
        // Checks in the glue; and the module's exports, which the tests are.
        .debug(true)
        .export_wasm(true)
        .emit_start(false)
        .generate(folder.path())
        .with_context(|| format!("cannot write the bindings of {}", module.display()))?;
    let script = folder.path().join("run.cjs");
    fs::write(&script, SCRIPT).with_context(|| format!("cannot write {}", script.display()))?;
    let ended = Command::new("node").arg(&script).args(arguments).status();
    Ok(ended.context("cannot run node")?.success())
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the message of a command line tool")]
            {
                eprintln!("wasm-test-runner: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
