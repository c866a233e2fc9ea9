//! A field in the footer: what it asks, what was typed, how it ends.
//!
//! Never hides the end of what was typed, where the cursor stands.

use super::paint::Line;
use crate::app::cells;
use crate::app::theme::Meaning;
use crate::domain::text::Text;

/// Cells that what was typed has at least, if it needs them, whatever is asked.
const LEAST: usize = 24;

/// The line within this width. The hint goes first, then the start of what was typed; a question that is very long is cut.
pub(crate) fn field(question: Line, typed: &str, hint: &str, width: usize) -> Line {
    let typed = Text::new(typed);
    let least = cells::width(&typed).min(LEAST);
    let question = question.cut(width.saturating_sub(least + 1));
    let space = width.saturating_sub(question.width() + 1);
    let shown = cells::tail(&typed, space);
    let is_whole = shown.len() == typed.len();
    let shown =
        if is_whole { typed.to_string() } else { format!("..{}", cells::tail(&typed, space.saturating_sub(2))) };
    let line = question.and(Meaning::Input, format!("{shown}_"));
    let with_hint = line.clone().and(Meaning::Dim, format!("  {hint}"));
    if with_hint.width() <= width { with_hint } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_was_typed_and_the_cursor_stay_in_sight() {
        let shown = |typed: &str, width: usize| field(Line::plain(" why? "), typed, "Enter, Esc", width).text();
        assert_eq!(shown("bad", 40), " why? bad_  Enter, Esc");
        assert_eq!(shown("it loses orders", 30), " why? it loses orders_");
        assert_eq!(shown("it loses orders since the migration", 40), " why? ..oses orders since the migration_");
        let long = Line::plain(format!(" lock {}: why? ", "x".repeat(90)));
        let line = field(long, "it loses orders since monday", "Enter", 80).text();
        assert!(line.ends_with("orders since monday_") && line.len() <= 80, "{line}");
    }
}
