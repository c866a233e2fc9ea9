//! The field that takes a code: letter by letter, never what was typed before the code was seen.
//!
//! Never takes Enter or a paste, never keeps a wrong letter.

use std::time::Duration;

use jiff::Timestamp;

use crate::app::theme::Meaning;
use crate::app::widgets::paint::Line;

/// A key that comes sooner than this after the code was first drawn was typed ahead: it was meant for something else.
const READING: Duration = Duration::from_millis(500);

/// What was typed, and since when there was something to type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CodeField {
    typed: String,
    shown: Option<(String, Timestamp)>,
}

/// What a letter did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// It was typed before this code could have been read.
    TooEarly,
    /// It is not the next letter; the field is empty again.
    Wrong,
    /// It is the next letter.
    Right,
    /// It was the last one.
    Complete,
}

impl CodeField {
    /// A frame with this code is about to be drawn. Another code than before starts over.
    pub(crate) fn shown(&mut self, code: &str, now: Timestamp) {
        if self.shown.as_ref().is_none_or(|(known, _)| known != code) {
            self.shown = Some((code.to_string(), now));
            self.typed.clear();
        }
    }

    /// There is no code to type.
    pub(crate) fn hidden(&mut self) {
        *self = CodeField::default();
    }

    /// Whether this code has been on the screen for long enough to be read.
    pub(crate) fn is_armed(&self, code: &str, now: Timestamp) -> bool {
        self.shown
            .as_ref()
            .is_some_and(|(known, at)| known == code && now.duration_since(*at).unsigned_abs() >= READING && now >= *at)
    }

    /// Takes one letter.
    pub(crate) fn take(&mut self, letter: char, code: &str, now: Timestamp) -> Typed {
        if !self.is_armed(code, now) {
            self.typed.clear();
            return Typed::TooEarly;
        }
        if code.chars().nth(self.typed.chars().count()) != Some(letter) {
            self.typed.clear();
            return Typed::Wrong;
        }
        self.typed.push(letter);
        if self.typed == code { Typed::Complete } else { Typed::Right }
    }

    /// Empties the field.
    pub(crate) fn clear(&mut self) {
        self.typed.clear();
    }

    /// `kdpt  [kd__]`.
    pub(crate) fn line(&self, code: &str) -> Line {
        let missing = code.chars().count().saturating_sub(self.typed.chars().count());
        Line::new(Meaning::Code, code)
            .and(Meaning::Text, "  [")
            .and(Meaning::Input, format!("{}{}", self.typed, "_".repeat(missing)))
            .and(Meaning::Text, "]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_count_once_the_code_could_be_read_and_a_wrong_one_clears() {
        let at = |ms: i64| Timestamp::from_millisecond(1_000_000 + ms).expect("a time");
        let mut field = CodeField::default();
        assert_eq!(field.take('k', "kdpt", at(0)), Typed::TooEarly, "never drawn");
        field.shown("kdpt", at(0));
        assert_eq!(field.take('k', "kdpt", at(100)), Typed::TooEarly);
        assert_eq!(field.take('k', "kdpt", at(500)), Typed::Right);
        assert_eq!(field.take('x', "kdpt", at(510)), Typed::Wrong);
        assert_eq!(field.take('d', "kdpt", at(520)), Typed::Wrong, "the field was cleared");
        for letter in ['k', 'd', 'p'] {
            assert_eq!(field.take(letter, "kdpt", at(600)), Typed::Right);
        }
        field.shown("bbbb", at(610));
        assert_eq!(field.take('t', "bbbb", at(620)), Typed::TooEarly, "the code moved: it starts over");
        field.shown("kdpt", at(700));
        for (letter, expected) in
            [('k', Typed::Right), ('d', Typed::Right), ('p', Typed::Right), ('t', Typed::Complete)]
        {
            assert_eq!(field.take(letter, "kdpt", at(2000)), expected);
        }
    }
}
