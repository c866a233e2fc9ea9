//! Styles by meaning. The one file that names colours.
//!
//! Never the only carrier of a meaning: glyph and word come first, so that mono terminals lose nothing.

use ratatui::style::{Color, Modifier, Style};
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, did_you_mean};
use crate::domain::drift::Verdict;

/// The embedded themes. A new one is a file and a line here.
pub const EMBEDDED: &[(&str, &str)] =
    &[("default", include_str!("../../themes/default.toml")), ("mono", include_str!("../../themes/mono.toml"))];

/// What the terminal can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Palette {
    /// Its own sixteen colours.
    #[default]
    Color16,
    /// None (`NO_COLOR`): bold, dim, underline and reverse alone.
    Mono,
}

/// What a piece of text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Meaning {
    /// Nothing in particular.
    Text,
    /// Runs what it should; passed; done.
    Ok,
    /// Runs something else.
    Drift,
    /// A rollout on its way.
    Mixed,
    /// No data, or not comparable.
    Unknown,
    /// Differs from the majority.
    Outlier,
    /// Runs a banned image.
    Quarantined,
    /// A rollout is moving.
    Rolling,
    /// Not to be touched.
    Locked,
    /// Not healthy.
    Unhealthy,
    /// The top line.
    Header,
    /// Titles of columns and blocks.
    Title,
    /// Less important.
    Dim,
    /// A key to press.
    Key,
    /// Something that went wrong or can do harm.
    Danger,
    /// Something that is owed.
    Debt,
    /// Worth reading.
    Warning,
    /// The row under the cursor.
    Selected,
    /// A marked row.
    Marked,
    /// The code of a plan, and what was typed of it.
    Code,
    /// What the operator typed.
    Input,
    /// The done part of a progress bar.
    BarDone,
    /// The rest of a progress bar.
    BarRest,
}

impl Meaning {
    /// Every meaning with its name in theme files, in the order of the enum.
    pub const ALL: [(Meaning, &'static str); 23] = [
        (Meaning::Text, "text"),
        (Meaning::Ok, "ok"),
        (Meaning::Drift, "drift"),
        (Meaning::Mixed, "mixed"),
        (Meaning::Unknown, "unknown"),
        (Meaning::Outlier, "outlier"),
        (Meaning::Quarantined, "quarantined"),
        (Meaning::Rolling, "rolling"),
        (Meaning::Locked, "locked"),
        (Meaning::Unhealthy, "unhealthy"),
        (Meaning::Header, "header"),
        (Meaning::Title, "title"),
        (Meaning::Dim, "dim"),
        (Meaning::Key, "key"),
        (Meaning::Danger, "danger"),
        (Meaning::Debt, "debt"),
        (Meaning::Warning, "warning"),
        (Meaning::Selected, "selected"),
        (Meaning::Marked, "marked"),
        (Meaning::Code, "code"),
        (Meaning::Input, "input"),
        (Meaning::BarDone, "bar-done"),
        (Meaning::BarRest, "bar-rest"),
    ];

    /// The meaning of a verdict.
    pub fn of_verdict(verdict: Verdict) -> Meaning {
        match verdict {
            Verdict::Ok => Meaning::Ok,
            Verdict::Unknown => Meaning::Unknown,
            Verdict::Mixed => Meaning::Mixed,
            Verdict::Outlier => Meaning::Outlier,
            Verdict::Drift => Meaning::Drift,
            Verdict::Quarantined => Meaning::Quarantined,
        }
    }
}

/// A style for each meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theme {
    styles: [Style; Meaning::ALL.len()],
    palette: Palette,
}

impl Default for Theme {
    fn default() -> Theme {
        Theme::embedded("default").expect("the embedded default theme is tested")
    }
}

impl Theme {
    /// One of the embedded themes.
    pub fn embedded(name: &str) -> Option<Theme> {
        Theme::parse(name, embedded(name)?, &|name| embedded(name).map(str::to_string)).ok()
    }

    /// Reads a theme; `resolve` finds the text of a theme that it inherits from.
    ///
    /// # Errors
    /// Every fault of the text at once.
    pub fn parse(name: &str, text: &str, resolve: &dyn Fn(&str) -> Option<String>) -> Result<Theme, Vec<Fault>> {
        read(text, resolve, &mut vec![name.to_string()])
    }

    /// The same theme on a terminal that can show this much.
    #[must_use]
    pub fn on(mut self, palette: Palette) -> Theme {
        self.palette = palette;
        self
    }

    /// How text of a meaning is shown.
    pub fn style(&self, meaning: Meaning) -> Style {
        let style = self.styles[meaning as usize];
        match self.palette {
            Palette::Color16 => style,
            Palette::Mono => Style { fg: None, bg: None, underline_color: None, ..style },
        }
    }
}

fn embedded(name: &str) -> Option<&'static str> {
    EMBEDDED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

fn read(text: &str, resolve: &dyn Fn(&str) -> Option<String>, chain: &mut Vec<String>) -> Result<Theme, Vec<Fault>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut faults: Vec<Fault> = errors.iter().map(|error| Fault::of_toml(text, error)).collect();
    let mut theme = Theme { styles: [Style::new(); Meaning::ALL.len()], palette: Palette::Color16 };
    let table = table.into_inner();
    if let Some((_, parent)) = table.iter().find(|(key, _)| key.get_ref() == "inherits") {
        match inherit(text, parent, resolve, chain) {
            Ok(parent) => theme = parent,
            Err(mut found) => faults.append(&mut found),
        }
    }
    for (key, value) in &table {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("inherits", _) => {}
            ("styles", DeValue::Table(styles)) => {
                for (name, value) in styles {
                    match read_style(text, name, value) {
                        Ok((meaning, style)) => theme.styles[meaning as usize] = style,
                        Err(mut found) => faults.append(&mut found),
                    }
                }
            }
            ("styles", _) => {
                faults.push(Fault::at(text, value.span().start, "`styles` must be a table", "write [styles]"))
            }
            (other, _) => {
                let message = format!("`{other}` is no part of a theme");
                faults.push(Fault::at(text, key.span().start, &message, "a theme has `inherits` and [styles]"));
            }
        }
    }
    if faults.is_empty() { Ok(theme) } else { Err(faults) }
}

fn inherit(
    text: &str,
    parent: &toml::Spanned<DeValue<'_>>,
    resolve: &dyn Fn(&str) -> Option<String>,
    chain: &mut Vec<String>,
) -> Result<Theme, Vec<Fault>> {
    let at = parent.span().start;
    let Some(name) = parent.get_ref().as_str() else {
        return Err(vec![Fault::at(text, at, "`inherits` must be the name of a theme", "inherits = \"default\"")]);
    };
    if chain.iter().any(|known| known == name) {
        let message = format!("`{name}` inherits from itself: {}", chain.join(" <- "));
        return Err(vec![Fault::at(text, at, &message, "take one `inherits` out")]);
    }
    let Some(source) = resolve(name) else {
        let names = EMBEDDED.iter().map(|(name, _)| *name);
        let hint = did_you_mean(name, names, "default and mono are built in");
        return Err(vec![Fault::at(text, at, &format!("there is no theme `{name}`"), &hint)]);
    };
    chain.push(name.to_string());
    read(&source, resolve, chain).map_err(|faults| {
        let inner =
            faults.iter().map(|fault| format!("theme `{name}`, {}:{}: {}", fault.line, fault.column, fault.message));
        inner.map(|message| Fault::at(text, at, &message, "correct the theme that is inherited")).collect()
    })
}

fn read_style(
    text: &str,
    name: &toml::Spanned<toml::de::DeString<'_>>,
    value: &toml::Spanned<DeValue<'_>>,
) -> Result<(Meaning, Style), Vec<Fault>> {
    let mut faults = Vec::new();
    let known = Meaning::ALL.iter().find(|(_, known)| *known == name.get_ref().as_ref());
    if known.is_none() {
        let names = || Meaning::ALL.iter().map(|(_, name)| *name);
        let all = format!("styles are {}", names().collect::<Vec<&str>>().join(", "));
        let hint = did_you_mean(name.get_ref(), names(), &all);
        faults.push(Fault::at(text, name.span().start, &format!("there is no style `{}`", name.get_ref()), &hint));
    }
    let Some(words) = value.get_ref().as_str() else {
        let hint = "write the words in quotes: \"bold red on black\"";
        faults.push(Fault::at(text, value.span().start, "a style must be a string", hint));
        return Err(faults);
    };
    let (mut style, mut is_background) = (Style::new(), false);
    for word in words.split_whitespace() {
        // The offset of the word inside the quotes; escapes in a list of plain words would only shift the column.
        let offset = word.as_ptr() as usize - words.as_ptr() as usize;
        match (word, modifier(word), color(word)) {
            ("on", ..) => is_background = true,
            (_, Some(modifier), _) => style = style.add_modifier(modifier),
            (_, None, Some(color)) if is_background => style = style.bg(color),
            (_, None, Some(color)) => style = style.fg(color),
            (_, None, None) => {
                let names = || COLORS.iter().map(|(name, _)| *name).chain(MODIFIERS.iter().map(|(name, _)| *name));
                let all = format!("words are {}", names().collect::<Vec<&str>>().join(", "));
                let hint = did_you_mean(word, names(), &all);
                let message = format!("`{word}` is no colour and no modifier");
                faults.push(Fault::at(text, value.span().start + 1 + offset, &message, &hint));
            }
        }
    }
    match known {
        Some((meaning, _)) if faults.is_empty() => Ok((*meaning, style)),
        _ => Err(faults),
    }
}

const COLORS: [(&str, Color); 17] = [
    ("default", Color::Reset),
    ("black", Color::Black),
    ("red", Color::Red),
    ("green", Color::Green),
    ("yellow", Color::Yellow),
    ("blue", Color::Blue),
    ("magenta", Color::Magenta),
    ("cyan", Color::Cyan),
    ("gray", Color::Gray),
    ("dark-gray", Color::DarkGray),
    ("light-red", Color::LightRed),
    ("light-green", Color::LightGreen),
    ("light-yellow", Color::LightYellow),
    ("light-blue", Color::LightBlue),
    ("light-magenta", Color::LightMagenta),
    ("light-cyan", Color::LightCyan),
    ("white", Color::White),
];

const MODIFIERS: [(&str, Modifier); 5] = [
    ("bold", Modifier::BOLD),
    ("dim", Modifier::DIM),
    ("italic", Modifier::ITALIC),
    ("underline", Modifier::UNDERLINED),
    ("reverse", Modifier::REVERSED),
];

fn color(word: &str) -> Option<Color> {
    COLORS.iter().find(|(name, _)| *name == word).map(|(_, color)| *color)
}

fn modifier(word: &str) -> Option<Modifier> {
    MODIFIERS.iter().find(|(name, _)| *name == word).map(|(_, modifier)| *modifier)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn every_embedded_theme_reads_and_the_default_styles_each_meaning() {
        for (name, text) in EMBEDDED {
            let read = Theme::parse(name, text, &|name| embedded(name).map(str::to_string));
            assert!(read.is_ok(), "{name}: {read:?}");
        }
        let text = embedded("default").expect("it is embedded");
        for (at, (meaning, name)) in Meaning::ALL.iter().enumerate() {
            assert_eq!(*meaning as usize, at, "the table follows the enum");
            assert!(text.contains(&format!("\n{name} = ")), "the default theme says how `{name}` looks");
        }
    }

    #[test]
    fn all_faults_are_told_with_their_place_and_a_hint() {
        let text = "[styles]\nokay = \"green\"\ndrift = \"bold redd\"\nmixed = 3\n";
        let faults = Theme::parse("mine", text, &none).expect_err("three faults");
        let told: Vec<(usize, usize, &str)> =
            faults.iter().map(|fault| (fault.line, fault.column, fault.hint.as_str())).collect();
        assert!(told.contains(&(2, 1, "did you mean ok?")), "{told:?}");
        assert!(told.contains(&(3, 15, "did you mean red?")), "{told:?}");
        assert!(told.iter().any(|(line, ..)| *line == 4), "{told:?}");
    }

    #[test]
    fn a_theme_that_inherits_from_itself_or_from_nothing_is_refused() {
        let looped = |name: &str| (name == "other").then(|| "inherits = \"mine\"".to_string());
        for text in ["inherits = \"other\"", "inherits = \"mine\"", "inherits = \"nowhere\"", "inherits = 3"] {
            assert!(Theme::parse("mine", text, &looped).is_err(), "{text}");
        }
    }

    #[test]
    fn no_colour_is_left_where_the_terminal_shows_none() {
        let theme = Theme::default().on(Palette::Mono);
        for (meaning, name) in Meaning::ALL {
            let style = theme.style(meaning);
            assert_eq!((style.fg, style.bg), (None, None), "{name}");
        }
        assert_ne!(theme.style(Meaning::Selected), Style::new(), "the cursor row is still seen");
    }
}
