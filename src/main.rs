//! The program: parses arguments, calls the runtime, turns errors into exit codes.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use rolldeck::runtime::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match rolldeck::runtime::run(cli) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            // Nobody can be told if stderr is gone.
            let _ = writeln!(std::io::stderr(), "rolldeck: {error:#}");
            ExitCode::from(2)
        }
    }
}
