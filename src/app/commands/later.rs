//! Keys whose commands come with a later version: each says so, and what does the job until then.
//!
//! Never runs anything.

use crate::app::command::{Command, Risk, Scope, not_now, nothing};
use crate::app::model::Model;
use crate::domain::text::Text;

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[later(
    "row.console",
    "console link",
    "Opens the row in the provider's console.",
    Risk::Look,
    Scope::Lists,
    |_| not_now("console links come with a later version; y i copies the id"),
)];

const fn later(
    id: &'static str,
    title: &'static str,
    doc: &'static str,
    risk: Risk,
    scope: Scope,
    available: fn(&Model) -> Result<(), Text>,
) -> Command {
    Command { id, title, doc, risk, scope, available, run: nothing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;

    #[test]
    fn each_says_why_and_what_to_do_until_then() {
        let model = testing::model();
        for command in COMMANDS {
            let why = (command.available)(&model).expect_err(command.id);
            assert!(why.contains("later version"), "{}: {why}", command.id);
        }
    }
}
