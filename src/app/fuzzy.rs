//! Fuzzy words: letters that must come in this order, wherever. Scored by `fuzzy-matcher`.
//!
//! Never scores what one look at the letters already rules out.

use fuzzy_matcher::FuzzyMatcher as _;
use fuzzy_matcher::skim::SkimMatcherV2;

use crate::domain::text::Letters;

/// Scores words against texts.
pub(crate) struct Fuzzy(SkimMatcherV2);

/// A word, made ready: lower case.
pub(crate) struct Word {
    text: String,
    letters: Letters,
}

impl Fuzzy {
    /// A matcher.
    pub(crate) fn new() -> Fuzzy {
        Fuzzy(SkimMatcherV2::default().ignore_case())
    }

    /// How well the word fits; `None` if it does not. The cheap looks come first.
    pub(crate) fn score(&self, word: &Word, text: &str) -> Option<i64> {
        if !word.is_in(text) {
            return None;
        }
        self.0.fuzzy_match(text, &word.text)
    }
}

impl Word {
    /// From what was typed.
    pub(crate) fn new(typed: &str) -> Word {
        let text = typed.to_lowercase();
        // A word of other scripts demands nothing: only reading tells.
        let letters = Letters::of(if text.is_ascii() { &text } else { "" });
        Word { text, letters }
    }

    /// Whether a text with these letters may have the word's. Costs nothing where the letters are known already.
    pub(crate) fn can_be_in(&self, letters: Letters) -> bool {
        letters.has_all(self.letters)
    }

    /// Whether the word's letters come in the text in their order. One pass.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        if !self.text.is_ascii() {
            let mut characters = text.chars().flat_map(char::to_lowercase);
            return self.text.chars().all(|wanted| characters.any(|character| character == wanted));
        }
        let mut wanted = self.text.bytes();
        let Some(mut next) = wanted.next() else { return true };
        for byte in text.bytes() {
            if byte.to_ascii_lowercase() == next {
                match wanted.next() {
                    Some(letter) => next = letter,
                    None => return true,
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn letters_must_come_in_their_order() {
        let fuzzy = Fuzzy::new();
        for (word, text, fits) in
            [("chk", "checkout", true), ("kch", "checkout", false), ("CHE", "checkout", true), ("", "x", true)]
        {
            assert_eq!(fuzzy.score(&Word::new(word), text).is_some(), fits, "{word} in {text}");
        }
        let better = fuzzy.score(&Word::new("check"), "checkout-1");
        assert!(better > fuzzy.score(&Word::new("check"), "c-h-e-c-k"));
    }

    proptest! {
        #[test]
        fn the_cheap_look_never_rules_out_what_the_matcher_would_find(text in "[a-zA-Z0-9/._-]{0,24}", word in "[a-z0-9-]{1,4}") {
            let found = SkimMatcherV2::default().ignore_case().fuzzy_match(&text, &word).is_some();
            prop_assert_eq!(Word::new(&word).is_in(&text), found);
        }

        #[test]
        fn the_set_of_letters_never_rules_out_what_is_there(text in "[a-zA-Z0-9ßK/._-]{0,12}", word in "[a-zß0-9-]{1,3}") {
            let word = Word::new(&word);
            prop_assert!(!word.is_in(&text) || word.can_be_in(Letters::of(&text)));
        }
    }
}
