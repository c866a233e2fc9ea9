//! Faults of a file that a person wrote (configuration, keymap, theme): where, what, and what to do.
//!
//! Never stops at the first: a reader collects all of them.

use std::fmt;

use crate::domain::text::Text;

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: Text,
    /// What would be right; empty where nothing helps.
    pub hint: Text,
}

impl Fault {
    /// A fault at a byte of a text.
    pub fn at(source: &str, offset: usize, message: &str, hint: &str) -> Fault {
        let (line, column) = position(source, offset);
        Fault { line, column, message: Text::new(message), hint: Text::new(hint) }
    }

    /// A fault that the TOML reader itself found.
    pub fn of_toml(source: &str, error: &toml::de::Error) -> Fault {
        let offset = error.span().map_or(0, |span| span.start);
        Fault::at(source, offset, error.message(), "")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.line, self.column, self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(formatter, "\n    hint: {}", self.hint) }
    }
}

/// Line and column, both from 1, of a byte of a text.
pub fn position(source: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(source.len());
    while !source.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &source[..offset];
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

/// The known name that a wrong one was probably meant to be: the nearest by edits, if it is near.
pub fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let measured = known.map(|name| (edits(wrong, name), name));
    measured.min_by_key(|(distance, _)| *distance).filter(|(distance, _)| *distance <= 3).map(|(_, name)| name)
}

/// `did you mean ok?`, or the fallback where nothing is near.
pub fn did_you_mean<'a>(wrong: &str, known: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    nearest(wrong, known).map_or_else(|| otherwise.to_string(), |name| format!("did you mean {name}?"))
}

fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, to) in b.iter().enumerate() {
            let cost = diagonal + usize::from(from != *to);
            diagonal = row[column + 1];
            row[column + 1] = cost.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_characters_and_lines_start_at_one() {
        assert_eq!(position("a\nbü c", 6), (2, 4));
        assert_eq!(position("", 9), (1, 1));
    }

    #[test]
    fn near_names_are_offered_and_far_ones_are_not() {
        assert_eq!(nearest("drfit", ["drift", "ok"].into_iter()), Some("drift"));
        assert_eq!(nearest("zzzzzzzz", ["drift", "ok"].into_iter()), None);
    }
}
