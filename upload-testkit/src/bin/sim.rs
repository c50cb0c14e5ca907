//! `sim`: runs the engine in simulated worlds. See [`upload_testkit::sim`].

use std::io::{self, Write};
use std::ops::Range;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use upload_testkit::sim::{self, Options};

/// Runs the upload engine against a simulated network, server, store, disk and person.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// One world.
    #[arg(long, default_value_t = 0, conflicts_with = "seeds")]
    seed: u64,
    /// Many worlds: `first..end`.
    #[arg(long, value_parser = parse_range)]
    seeds: Option<Range<u64>>,
    /// calm, lossy, killer, tiny, huge or needs-file; without it each seed has its own.
    #[arg(long)]
    preset: Option<String>,
    /// Tells every step.
    #[arg(long)]
    trace: bool,
    /// Goes on after a violation.
    #[arg(long)]
    keep_going: bool,
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let (first, end) = text.split_once("..").ok_or("expected `first..end`")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("`{text}`: {error}"));
    Ok(number(first)?..number(end)?)
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut stdout = io::stdout().lock();
    let mut failed = 0;
    let seeds = arguments
        .seeds
        .clone()
        .unwrap_or(arguments.seed..arguments.seed.saturating_add(1));
    let single = seeds.end.saturating_sub(seeds.start) == 1;
    let begun = Instant::now();
    for seed in seeds.clone() {
        let Some(options) = arguments
            .preset
            .as_deref()
            .map_or_else(|| Some(Options::for_seed(seed)), Options::named)
        else {
            writeln!(
                stdout,
                "no such preset; there are calm, lossy, killer, tiny, huge, needs-file"
            )?;
            return Ok(ExitCode::FAILURE);
        };
        let trace = arguments.trace;
        let preset = options.preset;
        let run = catch_unwind(move || {
            if trace {
                sim::run_traced(seed, &options, Box::new(tell))
            } else {
                sim::run(seed, &options)
            }
        });
        match run {
            Ok(Ok(report)) if single => writeln!(stdout, "seed {seed} ({preset}): {report:#?}")?,
            Ok(Ok(_)) => {}
            Ok(Err(violation)) => {
                failed += 1;
                writeln!(stdout, "{violation}\n")?;
            }
            Err(_) => {
                failed += 1;
                writeln!(stdout, "seed {seed} ({preset}): panicked\n")?;
            }
        }
        if failed > 0 && !arguments.keep_going {
            break;
        }
    }
    writeln!(stdout, "{failed} failed, {:.1} s", begun.elapsed().as_secs_f64())?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn tell(line: &str) {
    // Whoever reads may have stopped reading.
    let _ = writeln!(io::stdout(), "{line}");
}
