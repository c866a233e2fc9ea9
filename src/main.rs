//! The program: parses arguments, calls the runtime, turns errors into exit codes.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use rolldeck::domain::text::Text;
use rolldeck::runtime::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match rolldeck::runtime::run(cli) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            // What an error quotes may come from anywhere. Nobody can be told if stderr is gone.
            let message = format!("{error:#}");
            let lines: Vec<String> = message.lines().map(|line| Text::new(line).to_string()).collect();
            let _ = writeln!(std::io::stderr(), "rolldeck: {}", lines.join("\n"));
            ExitCode::from(2)
        }
    }
}
