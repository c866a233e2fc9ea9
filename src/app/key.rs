//! Keys by name: `g g`, `x s`, `alt-i`, `pgup`. How keymap files write them and how screens show them.
//!
//! Never knows what a key does.

use std::fmt;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// One key press in its one normal form: a capital letter is itself, without Shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Which key.
    pub code: KeyCode,
    /// Ctrl and Alt.
    pub modifiers: KeyModifiers,
}

const NAMES: [(&str, KeyCode); 15] = [
    ("space", KeyCode::Char(' ')),
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("backtab", KeyCode::BackTab),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pgup", KeyCode::PageUp),
    ("pgdn", KeyCode::PageDown),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
];

impl Key {
    /// The key that was pressed; `None` for releases and for keys that have no name here.
    pub fn of_event(event: &KeyEvent) -> Option<Key> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        let kept = event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT);
        match event.code {
            KeyCode::Tab if event.modifiers.contains(KeyModifiers::SHIFT) => {
                Some(Key { code: KeyCode::BackTab, modifiers: kept })
            }
            KeyCode::Char(_) | KeyCode::F(_) => Some(Key { code: event.code, modifiers: kept }),
            code if NAMES.iter().any(|(_, known)| *known == code) => Some(Key { code, modifiers: kept }),
            _ => None,
        }
    }

    /// A plain character, as typed into a field.
    pub fn typed(self) -> Option<char> {
        match self.code {
            KeyCode::Char(character) if self.modifiers.is_empty() => Some(character),
            _ => None,
        }
    }

    /// Whether it is a Ctrl-letter: tmux and terminals take those for themselves.
    pub fn is_ctrl(self) -> bool {
        self.modifiers.contains(KeyModifiers::CONTROL)
    }

    /// Reads a sequence: keys with spaces between them.
    ///
    /// # Errors
    /// The part that is no key, with its offset.
    pub fn sequence(raw: &str) -> Result<Vec<Key>, (String, usize)> {
        let words = raw.split(' ').filter(|word| !word.is_empty());
        let keys: Result<Vec<Key>, (String, usize)> = words
            .map(|word| {
                Key::named(word).ok_or_else(|| (word.to_string(), word.as_ptr() as usize - raw.as_ptr() as usize))
            })
            .collect();
        match keys {
            Ok(keys) if keys.is_empty() => Err((raw.to_string(), 0)),
            keys => keys,
        }
    }

    fn named(word: &str) -> Option<Key> {
        let mut modifiers = KeyModifiers::NONE;
        let mut rest = word;
        loop {
            let (modifier, after) = match rest {
                _ if rest.starts_with("ctrl-") => (KeyModifiers::CONTROL, &rest[5..]),
                _ if rest.starts_with("alt-") => (KeyModifiers::ALT, &rest[4..]),
                _ => break,
            };
            modifiers |= modifier;
            rest = after;
        }
        let mut characters = rest.chars();
        let code = match (characters.next(), characters.next()) {
            (Some(only), None) => KeyCode::Char(only),
            _ => match NAMES.iter().find(|(name, _)| *name == rest) {
                Some((_, code)) => *code,
                None => KeyCode::F(rest.strip_prefix('f')?.parse().ok().filter(|number| (1..=12).contains(number))?),
            },
        };
        Some(Key { code, modifiers })
    }
}

/// As screens show it: `x`, `space`, `Alt-i`, `PgUp`.
impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ctrl() {
            formatter.write_str("Ctrl-")?;
        }
        if self.modifiers.contains(KeyModifiers::ALT) {
            formatter.write_str("Alt-")?;
        }
        match self.code {
            KeyCode::Char(' ') => formatter.write_str("space"),
            KeyCode::Char(character) if character.is_control() => formatter.write_str("?"),
            KeyCode::Char(character) => write!(formatter, "{character}"),
            KeyCode::F(number) => write!(formatter, "F{number}"),
            KeyCode::PageUp => formatter.write_str("PgUp"),
            KeyCode::PageDown => formatter.write_str("PgDn"),
            code => {
                let name = NAMES.iter().find(|(_, known)| *known == code).map_or("?", |(name, _)| *name);
                let (first, rest) = name.split_at(1);
                write!(formatter, "{}{rest}", first.to_uppercase())
            }
        }
    }
}

/// A whole sequence as screens show it: `x s`.
pub fn show(keys: &[Key]) -> String {
    keys.iter().map(Key::to_string).collect::<Vec<String>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_shown() {
        for (raw, shown) in [
            ("g g", "g g"),
            ("space", "space"),
            ("alt-i", "Alt-i"),
            ("pgup", "PgUp"),
            ("esc", "Esc"),
            ("G", "G"),
            ("*", "*"),
            ("f5", "F5"),
            ("ctrl-alt-x", "Ctrl-Alt-x"),
            ("-", "-"),
        ] {
            let keys = Key::sequence(raw).unwrap_or_else(|wrong| panic!("{raw}: {wrong:?}"));
            assert_eq!(show(&keys), shown);
        }
        assert_eq!(Key::sequence("g nope"), Err(("nope".to_string(), 2)));
        assert!(Key::sequence("").is_err() && Key::sequence("f99").is_err());
    }

    #[test]
    fn shift_is_part_of_the_letter_and_releases_are_nothing() {
        let pressed = KeyEvent::new(KeyCode::Char('G'), KeyModifiers::SHIFT);
        assert_eq!(Key::of_event(&pressed).map(|key| key.to_string()).as_deref(), Some("G"));
        let tab = KeyEvent::new(KeyCode::Tab, KeyModifiers::SHIFT);
        assert_eq!(Key::of_event(&tab).map(|key| key.code), Some(KeyCode::BackTab));
        let released = KeyEvent { kind: KeyEventKind::Release, ..pressed };
        assert_eq!(Key::of_event(&released), None);
    }
}
