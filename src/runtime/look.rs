//! Theme and keymap: the embedded ones by name, others from files, every fault told before the screen is taken.
//!
//! Never falls back to the default because of a fault.

use std::path::Path;

use anyhow::{Context, anyhow};

use super::cli::{Color, Options};
use crate::app::fault::Fault;
use crate::app::keymap::Keymap;
use crate::app::settings::Look;
use crate::app::theme::{self, Palette, Theme};
use crate::domain::text::counted;

/// The look that the options name.
///
/// # Errors
/// Every fault of the theme or keymap file with line, column and hint, or that there is no such file.
pub fn look(options: &Options) -> anyhow::Result<Look> {
    let embedded_theme = |name: &str| {
        let found = theme::EMBEDDED.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| (*text).to_string())
    };
    let theme = match options.theme.as_deref() {
        None => Theme::default(),
        Some(name) => {
            let text = text_of("theme", name, &embedded_theme)?;
            Theme::parse(name, &text, &embedded_theme).map_err(|faults| faulty("theme", name, &faults))?
        }
    };
    let keymap = match options.keymap.as_deref() {
        None => Keymap::default(),
        Some(name) => {
            let text = text_of("keymap", name, &Keymap::embedded)?;
            Keymap::parse(name, &text, &Keymap::embedded).map_err(|faults| faulty("keymap", name, &faults))?
        }
    };
    Ok(Look { theme: theme.on(palette(options.color)), keymap })
}

/// What the terminal may be sent: `NO_COLOR` (no-color.org) counts where no option says otherwise.
fn palette(color: Color) -> Palette {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    match color {
        Color::Always => Palette::Color16,
        Color::Never => Palette::Mono,
        Color::Auto if no_color || is_dumb => Palette::Mono,
        Color::Auto => Palette::Color16,
    }
}

fn text_of(what: &str, name: &str, embedded: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<String> {
    match embedded(name) {
        Some(text) => Ok(text),
        None => super::text_file::read(Path::new(name))
            .with_context(|| format!("{name} is neither a {what} of this program nor a file that can be read")),
    }
}

fn faulty(what: &str, name: &str, faults: &[Fault]) -> anyhow::Error {
    let list: Vec<String> = faults.iter().map(|fault| format!("{name}:{fault}")).collect();
    anyhow!("the {what} has {}:\n{}", counted(faults.len(), "fault"), list.join("\n"))
}
