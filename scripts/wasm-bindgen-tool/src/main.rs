//! Turns a compiled `.wasm` into what a browser loads: an ES module, its types and the module they
//! bind. The same as the `wasm-bindgen` command with `--target web`, but compiled in half a minute
//! and always of the version that `Cargo.lock` pins.
//!
//! It does not compile or optimise anything: `scripts/build-wasm.sh` does both around it.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    /// The module that `cargo build --target wasm32-unknown-unknown` left.
    input: PathBuf,
    /// The folder for the generated files; made when missing.
    output_folder: PathBuf,
    /// What the generated files are called: `NAME.js`, `NAME.d.ts`, `NAME_bg.wasm`.
    name: String,
}

impl Request {
    fn from_arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let count = arguments.len();
        let Ok([input, output_folder, name]) = <[OsString; 3]>::try_from(arguments) else {
            bail!("got {count} arguments, expected 3: wasm-bindgen-tool MODULE.wasm OUTPUT_FOLDER NAME");
        };
        let Ok(name) = name.into_string() else {
            bail!("the NAME of the generated files is not UTF-8")
        };
        Ok(Self {
            input: input.into(),
            output_folder: output_folder.into(),
            name,
        })
    }

    fn generate(&self) -> Result<()> {
        if !self.input.is_file() {
            bail!(
                "no file at {}; build it first: scripts/build-wasm.sh",
                self.input.display()
            );
        }
        let mut bindgen = Bindgen::new();
        bindgen
            .input_path(&self.input)
            .out_name(&self.name)
            .web(true)?
            .typescript(true)
            // The optimiser orders functions by name, then takes the names out.
            .remove_name_section(false)
            .remove_producers_section(true);
        bindgen.generate(&self.output_folder).with_context(|| {
            format!(
                "cannot write the bindings of {} to {}",
                self.input.display(),
                self.output_folder.display()
            )
        })
    }
}

fn main() -> ExitCode {
    match Request::from_arguments(env::args_os().skip(1)).and_then(|request| request.generate()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the message of a command line tool")]
            {
                eprintln!("wasm-bindgen-tool: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(arguments: &[&str]) -> Result<Request> {
        Request::from_arguments(arguments.iter().map(OsString::from))
    }

    #[test]
    fn request_of_three_arguments_names_module_folder_and_files() {
        let expected = Request {
            input: "a.wasm".into(),
            output_folder: "pkg".into(),
            name: "holdfast".to_owned(),
        };
        assert_eq!(
            request(&["a.wasm", "pkg", "holdfast"]).expect("three arguments are right"),
            expected
        );
    }

    #[test]
    fn request_of_another_count_is_refused_with_the_usage() {
        for arguments in [
            &[][..],
            &["a.wasm", "pkg"],
            &["a.wasm", "pkg", "holdfast", "more"],
        ] {
            let message = request(arguments).expect_err("the count is wrong").to_string();
            assert!(
                message.contains(&format!("got {} arguments", arguments.len())),
                "{message}"
            );
            assert!(message.contains("MODULE.wasm OUTPUT_FOLDER NAME"), "{message}");
        }
    }

    #[test]
    fn request_for_a_missing_module_says_how_to_build_it() {
        let request =
            request(&["/nowhere/uploader.wasm", "pkg", "holdfast"]).expect("three arguments are right");
        let message = request.generate().expect_err("there is no such file").to_string();
        assert!(message.contains("/nowhere/uploader.wasm"), "{message}");
        assert!(message.contains("scripts/build-wasm.sh"), "{message}");
    }
}
