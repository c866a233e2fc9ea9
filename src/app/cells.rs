//! Text measured and cut by terminal cells: wide characters take two, combining ones none. The one place that cuts.
//!
//! Never splits a grapheme, never answers with more cells than were asked for.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// What stands for the part that was cut off.
const CUT: &str = "..";

/// How many cells a text takes.
pub fn width(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.graphemes(true).map(grapheme_width).sum()
}

/// The text, or as much of it as fits into `cells` with `..` at its end.
pub fn cut(text: &str, cells: usize) -> Cow<'_, str> {
    if width(text) <= cells {
        return Cow::Borrowed(text);
    }
    if cells <= CUT.len() {
        return Cow::Borrowed(&CUT[..cells]);
    }
    Cow::Owned(format!("{}{CUT}", head(text, cells - CUT.len())))
}

/// As much from the start of a text as fits, without a sign that something is missing.
pub fn head(text: &str, cells: usize) -> &str {
    if text.is_ascii() {
        return &text[..cells.min(text.len())];
    }
    let mut used = 0;
    for (at, grapheme) in text.grapheme_indices(true) {
        used += grapheme_width(grapheme);
        if used > cells {
            return &text[..at];
        }
    }
    text
}

/// As much from the end of a text as fits: what a field shows whose cursor stands at the end.
pub fn tail(text: &str, cells: usize) -> &str {
    let mut used = 0;
    for (at, grapheme) in text.grapheme_indices(true).rev() {
        used += grapheme_width(grapheme);
        if used > cells {
            return &text[at + grapheme.len()..];
        }
    }
    text
}

/// Cut and filled with spaces on the right: exactly `cells` wide.
pub fn left(text: &str, cells: usize) -> String {
    let fitting = cut(text, cells);
    let space = cells - width(&fitting);
    format!("{fitting}{:space$}", "")
}

/// Cut and filled with spaces on the left: exactly `cells` wide. For numbers.
pub fn right(text: &str, cells: usize) -> String {
    let fitting = cut(text, cells);
    let space = cells - width(&fitting);
    format!("{:space$}{fitting}", "")
}

/// The start and the end of a long name (a digest, a generated pod name), `..` between them.
pub fn middle(text: &str, cells: usize) -> Cow<'_, str> {
    if width(text) <= cells || cells < CUT.len() + 2 {
        return cut(text, cells);
    }
    let kept = cells - CUT.len();
    let end = tail(text, kept / 2);
    let start = head(text, kept - width(end));
    Cow::Owned(format!("{start}{CUT}{end}"))
}

/// Words broken into lines of at most `cells`; a word that is longer than a line is cut through.
pub fn wrap(text: &str, cells: usize) -> Vec<String> {
    let cells = cells.max(1);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let mut rest = word;
        loop {
            let wanted = width(rest);
            let space = usize::from(used > 0);
            if used + space + wanted <= cells {
                if let Some(line) = lines.last_mut() {
                    line.push_str(&" "[..space]);
                    line.push_str(rest);
                }
                used += space + wanted;
                break;
            }
            if used > 0 {
                lines.push(String::new());
                used = 0;
                continue;
            }
            let fitting = head(rest, cells);
            // A wide character in one cell: nothing fits, it is left out.
            let taken = if fitting.is_empty() {
                rest.graphemes(true).next().map_or(rest.len(), str::len)
            } else {
                fitting.len()
            };
            if let Some(line) = lines.last_mut() {
                line.push_str(fitting);
            }
            rest = &rest[taken..];
            if rest.is_empty() {
                used = width(fitting);
                break;
            }
            lines.push(String::new());
        }
    }
    lines
}

/// How many characters of these names must be shown so that different ones look different; at least `least`.
pub fn unique_length<'a>(names: impl Iterator<Item = &'a str>, least: usize) -> usize {
    let mut sorted: Vec<&str> = names.collect();
    sorted.sort_unstable();
    sorted.dedup();
    let shared = |pair: &[&str]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count();
    sorted.windows(2).map(|pair| shared(pair) + 1).max().unwrap_or(0).max(least)
}

fn grapheme_width(grapheme: &str) -> usize {
    grapheme.width()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wide_and_combining_characters_are_counted_as_the_terminal_does() {
        for (text, cells, expected) in [
            ("checkout", 8, "checkout"),
            ("checkout", 7, "check.."),
            ("日本語", 5, "日.."),
            ("日本語", 6, "日本語"),
            ("e\u{301}e\u{301}e\u{301}", 3, "e\u{301}e\u{301}e\u{301}"),
            ("e\u{301}e\u{301}e\u{301}e\u{301}", 3, "e\u{301}.."),
            ("abc", 1, "."),
            ("abc", 0, ""),
        ] {
            assert_eq!(cut(text, cells), expected, "{text} in {cells}");
        }
    }

    #[test]
    fn the_middle_is_left_out_of_long_names() {
        assert_eq!(middle("checkout-7d9f8c5b6d-x2x4z", 14), "checko..-x2x4z");
        assert_eq!(middle("short", 14), "short");
    }

    #[test]
    fn prefixes_grow_until_they_tell_names_apart() {
        assert_eq!(unique_length(["aaaabbbb", "aaaacccc"].into_iter(), 4), 5);
        assert_eq!(unique_length(["aaaa", "bbbb"].into_iter(), 4), 4);
        assert_eq!(unique_length(["same", "same"].into_iter(), 3), 3);
    }

    #[test]
    fn words_are_wrapped_and_long_ones_cut_through() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("", 3), [""]);
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_asked_and_no_grapheme_is_split(text in any::<String>(), cells in 0usize..40) {
            prop_assert!(width(&cut(&text, cells)) <= cells);
            prop_assert!(width(&middle(&text, cells)) <= cells);
            prop_assert!(width(head(&text, cells)) <= cells && width(tail(&text, cells)) <= cells);
            let graphemes: Vec<&str> = text.graphemes(true).collect();
            let kept: Vec<&str> = head(&text, cells).graphemes(true).collect();
            prop_assert_eq!(&graphemes[..kept.len()], &kept[..]);
        }

        #[test]
        fn fields_are_exactly_as_wide_as_asked(text in "\\PC{0,30}", cells in 0usize..40) {
            prop_assert_eq!(width(&left(&text, cells)), cells);
            prop_assert_eq!(width(&right(&text, cells)), cells);
            prop_assert!(wrap(&text, cells).iter().all(|line| width(line) <= cells.max(1)));
        }
    }
}
