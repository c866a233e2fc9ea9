//! The program: parses arguments, calls the runtime, turns errors into exit codes.

use std::process::ExitCode;

use clap::Parser;
use rolldeck::runtime::cli::Cli;
use rolldeck::runtime::headless::{Exit, progress};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let exit = rolldeck::runtime::run(cli).unwrap_or_else(|error| {
        progress::error(&format!("rolldeck: {error:#}"));
        Exit::Error
    });
    progress::finish();
    ExitCode::from(exit as u8)
}
