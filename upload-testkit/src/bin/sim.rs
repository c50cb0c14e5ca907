//! `sim`: runs the engine in simulated worlds. See [`upload_testkit::sim`].

use std::io::{self, Write};
use std::ops::Range;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, available_parallelism};
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
    if let Some(name) = &arguments.preset
        && Options::named(name).is_none()
    {
        let names = Options::presets().map(|options| options.preset).join(", ");
        writeln!(io::stdout(), "no such preset; there are {names}")?;
        return Ok(ExitCode::FAILURE);
    }
    let seeds = arguments
        .seeds
        .clone()
        .unwrap_or(arguments.seed..arguments.seed.saturating_add(1));
    let single = seeds.end.saturating_sub(seeds.start) == 1;
    let begun = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicU64::new(0);
    let threads = if single {
        1
    } else {
        available_parallelism().map_or(1, usize::from)
    };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while arguments.keep_going || failed.load(Ordering::Relaxed) == 0 {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    match run(seed, &arguments) {
                        Ok(report) if single => tell(&report),
                        Ok(_) => {}
                        Err(trouble) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            tell(&trouble);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    writeln!(
        io::stdout(),
        "{failed} failed, {:.1} s",
        begun.elapsed().as_secs_f64()
    )?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs one world: what it was like, or what went wrong in it.
fn run(seed: u64, arguments: &Arguments) -> Result<String, String> {
    let named = arguments.preset.as_deref().and_then(Options::named);
    let options = named.unwrap_or_else(|| Options::for_seed(seed));
    let preset = options.preset;
    let trace = arguments.trace;
    let run = catch_unwind(move || {
        if trace {
            sim::run_traced(seed, &options, Box::new(tell))
        } else {
            sim::run(seed, &options)
        }
    });
    match run {
        Ok(Ok(report)) => Ok(format!("seed {seed} ({preset}): {report:#?}")),
        Ok(Err(violation)) => Err(format!("{violation}\n")),
        Err(_) => Err(format!("seed {seed} ({preset}): panicked\n")),
    }
}

fn tell(line: &str) {
    // Whoever reads may have stopped reading.
    let _ = writeln!(io::stdout(), "{line}");
}
