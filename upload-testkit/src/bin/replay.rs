//! `replay`: tells an engine what a report says that another one was told, step by step.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use upload_engine::{Replay, ReplayStep, Report};

/// Replays a report of the upload engine: what `uploader.report()` answers in a page, or what came with
/// an `engine_bug`.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The report, JSON.
    report: PathBuf,
    /// Says nothing of the steps, only how it ended.
    #[arg(long)]
    quiet: bool,
    /// Stops after so many inputs.
    #[arg(long)]
    until: Option<u64>,
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut out = io::stdout().lock();
    match replay(&arguments, &mut out) {
        Ok(agrees) => Ok(if agrees {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }),
        Err(trouble) => {
            writeln!(io::stderr(), "{}: {trouble}", arguments.report.display())?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Whether the engine did what the recorded one did.
fn replay(arguments: &Arguments, out: &mut impl Write) -> Result<bool, Box<dyn std::error::Error>> {
    let report: Report = serde_json::from_str(&fs::read_to_string(&arguments.report)?)?;
    if report.engine_version != env!("CARGO_PKG_VERSION") {
        writeln!(
            out,
            "written by engine {}, replayed by {}: they may differ",
            report.engine_version,
            env!("CARGO_PKG_VERSION")
        )?;
    }
    let mut replay = Replay::of(&report)?;
    let mut lines = Vec::new();
    while arguments.until.is_none_or(|until| replay.told() < until) {
        let more = replay.step(|step| {
            if !arguments.quiet {
                lines.push(line(step));
            }
        })?;
        for line in lines.drain(..) {
            writeln!(out, "{line}")?;
        }
        if !more {
            break;
        }
    }
    let whole = replay.told() == report.records;
    let agrees = !whole || replay.agrees();
    writeln!(
        out,
        "{} of {} inputs replayed{}",
        replay.told(),
        report.records,
        match (whole, agrees) {
            (false, _) => "",
            (true, true) => ": the engine did the same again",
            (true, false) => ": the engine did something else than was recorded",
        }
    )?;
    Ok(agrees)
}

fn line(step: &ReplayStep) -> String {
    match step {
        ReplayStep::Command(at, command) => format!("{:>9} ! {command:?}", at.as_millis()),
        ReplayStep::Input(at, input) => format!("{:>9} ← {input:?}", at.as_millis()),
        ReplayStep::Time(at) => format!("{:>9} ⏱", at.as_millis()),
        ReplayStep::Output(output) => format!("          → {output:?}"),
    }
}
