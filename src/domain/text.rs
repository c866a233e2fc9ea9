//! Text that came from outside, made harmless. The one sanitiser of the program (promise 6).
//!
//! Never keeps a character that a terminal could obey or that a reader could not see.

use std::borrow::Borrow;
use std::fmt::{self, Display};
use std::ops::Deref;

use arcstr::ArcStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest text that is kept, in bytes. Longer ones end in `...`: a hostile label must not fill the memory.
pub const MAX_BYTES: usize = 4096;

/// A string without control, bidirectional or invisible characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(ArcStr);

impl Text {
    /// Takes any string; every character that is not plainly visible becomes a space (line breaks, tabs) or `?`.
    pub fn new(raw: &str) -> Text {
        if raw.len() <= MAX_BYTES && raw.chars().all(is_plain) {
            return Text(ArcStr::from(raw));
        }
        let mut clean = String::with_capacity(raw.len().min(MAX_BYTES));
        for character in raw.chars() {
            if clean.len() + 4 > MAX_BYTES - 3 {
                clean.push_str("...");
                break;
            }
            clean.push(match character {
                '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
                plain if is_plain(plain) => plain,
                _ => '?',
            });
        }
        Text(ArcStr::from(clean))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether two texts are one allocation; used by the interner's tests.
    pub fn is_shared_with(&self, other: &Text) -> bool {
        ArcStr::ptr_eq(&self.0, &other.0)
    }
}

/// Which letters and digits a text has, whatever their case: rules out most texts of a search without reading them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letters(u32);

impl Letters {
    /// Of a text. One that is not ASCII counts as having all: its letters may become others in lower case.
    pub fn of(text: &str) -> Letters {
        if !text.is_ascii() {
            return Letters(u32::MAX);
        }
        let bit = |byte: u8| match byte.to_ascii_lowercase() {
            letter @ b'a'..=b'z' => letter - b'a',
            // Digits share four bits, the rest has the last two.
            digit @ b'0'..=b'9' => 26 + digit % 4,
            b'-' => 30,
            _ => 31,
        };
        Letters(text.bytes().fold(0, |set, byte| set | 1 << bit(byte)))
    }

    /// Whether all of these are among them. False positives are possible, false negatives are not.
    pub fn has_all(self, wanted: Letters) -> bool {
        wanted.0 & !self.0 == 0
    }
}

/// A number with its noun: `1 place`, `2 places`. For nouns that take an s.
pub fn counted<N: Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    format!("{number} {}", plural(&number, noun))
}

/// The noun alone as this number takes it, for where other words stand between them.
pub fn plural<N: PartialEq + From<u8>>(number: &N, noun: &str) -> String {
    if *number == N::from(1) { noun.to_string() } else { format!("{noun}s") }
}

/// A noun with its article: `a Deployment`, `an AutoScalingGroup`.
pub fn with_article(noun: &impl Display) -> String {
    let noun = noun.to_string();
    let is_vowel = noun.starts_with(['A', 'E', 'I', 'O', 'a', 'e', 'i', 'o']);
    format!("{} {noun}", if is_vowel { "an" } else { "a" })
}

/// Whether a character may reach a terminal as it is: no C0, C1, DEL, no bidirectional control, nothing of no width
/// that hides or joins (Unicode general categories Cc and Cf, line and paragraph separators, tag characters).
pub fn is_plain(character: char) -> bool {
    !matches!(character,
        '\u{0000}'..='\u{001f}' | '\u{007f}'..='\u{009f}' | '\u{00ad}' | '\u{034f}' | '\u{0600}'..='\u{0605}'
        | '\u{061c}' | '\u{06dd}' | '\u{070f}' | '\u{08e2}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Default for Text {
    fn default() -> Text {
        Text(ArcStr::new())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*self.0, formatter)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}

impl From<&str> for Text {
    fn from(raw: &str) -> Text {
        Text::new(raw)
    }
}

impl From<String> for Text {
    fn from(raw: String) -> Text {
        Text::new(&raw)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Text;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }
            fn visit_str<E: serde::de::Error>(self, raw: &str) -> Result<Text, E> {
                Ok(Text::new(raw))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_bidi_and_invisible_characters_are_replaced() {
        for (raw, clean) in [
            ("plain, ünïcode 日本", "plain, ünïcode 日本"),
            ("\u{1b}[31mred", "?[31mred"),
            ("two\nlines\tand tab", "two lines and tab"),
            ("a\u{202e}b\u{200b}c\u{feff}", "a?b?c?"),
            ("\u{9b}2J\u{7f}", "?2J?"),
        ] {
            assert_eq!(Text::new(raw), clean);
        }
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        let text = Text::new(&"x".repeat(3 * MAX_BYTES));
        assert!(text.len() <= MAX_BYTES && text.ends_with("..."));
    }

    proptest! {
        #[test]
        fn nothing_invisible_survives(raw in any::<String>()) {
            prop_assert!(Text::new(&raw).chars().all(|character| is_plain(character) && !character.is_control()));
        }
    }
}
