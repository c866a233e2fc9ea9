//! Which key sequence means which command, by scope; read from TOML.
//!
//! Never falls back silently: a keymap with a fault is refused with all its faults.

use ratatui::crossterm::event::KeyCode;
use toml::de::{DeTable, DeValue};

use super::command::{self, Command, Risk, Scope};
use super::fault::{Fault, did_you_mean};
use super::key::{Key, show};

/// The embedded keymaps. A new one is a file and a line here.
pub const EMBEDDED: &[(&str, &str)] = &[("default", include_str!("../../keymaps/default.toml"))];

/// Keys bound to commands.
#[derive(Clone)]
pub struct Keymap {
    bindings: Vec<Binding>,
}

/// One key sequence in one scope.
#[derive(Clone)]
pub struct Binding {
    /// Where.
    pub scope: Scope,
    /// Which keys, one after the other.
    pub keys: Vec<Key>,
    /// What they mean.
    pub command: &'static Command,
    /// The bytes in the file, for faults.
    at: usize,
}

/// What typed keys mean.
pub enum Lookup<'a> {
    /// A command.
    Found(&'static Command),
    /// The start of longer sequences.
    Pending(Vec<&'a Binding>),
    /// Nothing.
    Unbound,
}

impl Default for Keymap {
    fn default() -> Keymap {
        let (name, text) = EMBEDDED[0];
        Keymap::parse(name, text, &|_| None).unwrap_or_else(|faults| panic!("the embedded keymap: {faults:?}"))
    }
}

impl std::fmt::Debug for Keymap {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Keymap({} keys)", self.bindings.len())
    }
}

impl Keymap {
    /// Reads a keymap; `resolve` finds the text of a keymap that it inherits from.
    ///
    /// # Errors
    /// Every fault of the text at once: unknown scope or command, no key, twice the same key, a key that is the start of
    /// another, a Ctrl-letter for something that acts.
    pub fn parse(name: &str, text: &str, resolve: &dyn Fn(&str) -> Option<String>) -> Result<Keymap, Vec<Fault>> {
        read(text, resolve, &mut vec![name.to_string()])
    }

    /// One of the embedded keymaps, as text: what `inherits` finds.
    pub fn embedded(name: &str) -> Option<String> {
        EMBEDDED.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_string())
    }

    /// What these keys mean where these scopes hold, the narrowest first.
    pub fn lookup(&self, scopes: &[Scope], typed: &[Key]) -> Lookup<'_> {
        let in_scope = |scope: Scope| self.bindings.iter().filter(move |binding| binding.scope == scope);
        for &scope in scopes {
            if let Some(binding) = in_scope(scope).find(|binding| binding.keys == typed) {
                return Lookup::Found(binding.command);
            }
        }
        let longer = scopes.iter().flat_map(|&scope| in_scope(scope)).filter(|binding| binding.keys.starts_with(typed));
        let longer: Vec<&Binding> = longer.collect();
        if longer.is_empty() { Lookup::Unbound } else { Lookup::Pending(longer) }
    }

    /// The bindings of one scope.
    pub fn in_scope(&self, scope: Scope) -> impl Iterator<Item = &Binding> {
        self.bindings.iter().filter(move |binding| binding.scope == scope)
    }

    /// The key to name in a hint: of those bound in the first of these scopes that has any, Enter, Esc and Tab before
    /// letters, short before long.
    pub fn key_of(&self, id: &str, scopes: &[Scope]) -> Option<String> {
        let rank = |binding: &&Binding| match binding.keys[..] {
            [Key { code: KeyCode::Enter | KeyCode::Esc | KeyCode::Tab, .. }] => (0, 0),
            _ => (1, show(&binding.keys).len()),
        };
        let bound = |scope: &Scope| self.in_scope(*scope).filter(|binding| binding.command.id == id).min_by_key(rank);
        scopes.iter().find_map(bound).map(|binding| show(&binding.keys))
    }

    /// Whether a command has a key anywhere.
    pub fn is_bound(&self, id: &str) -> bool {
        self.bindings.iter().any(|binding| binding.command.id == id)
    }
}

fn read(text: &str, resolve: &dyn Fn(&str) -> Option<String>, chain: &mut Vec<String>) -> Result<Keymap, Vec<Fault>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut faults: Vec<Fault> = errors.iter().map(|error| Fault::of_toml(text, error)).collect();
    let table = table.into_inner();
    let mut inherited = Vec::new();
    if let Some((_, parent)) = table.iter().find(|(key, _)| key.get_ref() == "inherits") {
        match inherit(text, parent, resolve, chain) {
            Ok(keymap) => inherited = keymap.bindings,
            Err(mut found) => faults.append(&mut found),
        }
    }
    let mut own: Vec<Binding> = Vec::new();
    for (key, value) in table.iter().filter(|(key, _)| key.get_ref() != "inherits") {
        let at = key.span().start;
        let scope = Scope::ALL.iter().find(|(_, name)| *name == key.get_ref().as_ref());
        match (scope, value.get_ref()) {
            (Some((scope, _)), DeValue::Table(bindings)) => {
                for (keys, id) in bindings {
                    match read_binding(text, *scope, keys, id) {
                        Ok((keys, command)) => {
                            // A file says what a key means instead of what it inherits; also that it means nothing.
                            inherited.retain(|known: &Binding| known.scope != *scope || known.keys != keys);
                            own.extend(command.map(|command| Binding {
                                scope: *scope,
                                keys,
                                command,
                                at: id.span().start,
                            }));
                        }
                        Err(fault) => faults.push(fault),
                    }
                }
            }
            (Some((_, name)), _) => {
                faults.push(Fault::at(text, at, &format!("`{name}` must be a table"), &format!("write [{name}]")));
            }
            (None, _) => {
                let names = || Scope::ALL.iter().map(|(_, name)| *name);
                let all = format!("tables are {}", names().collect::<Vec<&str>>().join(", "));
                let hint = did_you_mean(key.get_ref(), names(), &all);
                faults.push(Fault::at(text, at, &format!("there is no scope `{}`", key.get_ref()), &hint));
            }
        }
    }
    let inherited_count = inherited.len();
    inherited.append(&mut own);
    faults.extend(conflicts(text, &inherited, inherited_count));
    if faults.is_empty() { Ok(Keymap { bindings: inherited }) } else { Err(faults) }
}

fn inherit(
    text: &str,
    parent: &toml::Spanned<DeValue<'_>>,
    resolve: &dyn Fn(&str) -> Option<String>,
    chain: &mut Vec<String>,
) -> Result<Keymap, Vec<Fault>> {
    let at = parent.span().start;
    let fault = |message: &str, hint: &str| vec![Fault::at(text, at, message, hint)];
    let Some(name) = parent.get_ref().as_str() else {
        return Err(fault("`inherits` must be the name of a keymap", "inherits = \"default\""));
    };
    if chain.iter().any(|known| known == name) {
        return Err(fault(&format!("`{name}` inherits from itself"), "take one `inherits` out"));
    }
    let Some(source) = resolve(name) else {
        return Err(fault(&format!("there is no keymap `{name}`"), "default is built in"));
    };
    chain.push(name.to_string());
    read(&source, resolve, chain).map_err(|faults| {
        let inner =
            faults.iter().map(|fault| format!("keymap `{name}`, {}:{}: {}", fault.line, fault.column, fault.message));
        inner.map(|message| Fault::at(text, at, &message, "correct the keymap that is inherited")).collect()
    })
}

type Read = (Vec<Key>, Option<&'static Command>);

fn read_binding(
    text: &str,
    scope: Scope,
    keys: &toml::Spanned<toml::de::DeString<'_>>,
    id: &toml::Spanned<DeValue<'_>>,
) -> Result<Read, Fault> {
    let at = keys.span().start;
    let sequence = Key::sequence(keys.get_ref()).map_err(|(wrong, offset)| {
        let hint = "keys are one character, space, enter, esc, tab, up, pgdn, f1 and the like, alt-x, ctrl-x; `g g` is one after the other";
        Fault::at(text, at + 1 + offset, &format!("`{wrong}` is no key"), hint)
    })?;
    let at = id.span().start;
    let Some(name) = id.get_ref().as_str() else {
        return Err(Fault::at(text, at, "a key must name a command", "\"x s\" = \"operation.stop\""));
    };
    if name == "none" {
        return Ok((sequence, None));
    }
    let Some(found) = command::find(name) else {
        let names = command::all().map(|command| command.id);
        let hint = did_you_mean(name, names, "`?` in the cockpit lists the commands; \"none\" unbinds a key");
        return Err(Fault::at(text, at, &format!("there is no command `{name}`"), &hint));
    };
    if !found.scope.may_be_bound_in(scope) {
        let message = format!("`{name}` can't be bound in [{}]", scope.as_str());
        return Err(Fault::at(text, at, &message, &format!("bind it in [{}]", found.scope.as_str())));
    }
    if found.risk != Risk::Look && sequence.iter().any(|key| key.is_ctrl()) {
        let message = format!("`{name}` acts, and {} is a Ctrl-key: tmux and terminals use those", show(&sequence));
        return Err(Fault::at(text, keys.span().start, &message, "take a plain letter, a sequence, or alt-x"));
    }
    Ok((sequence, Some(found)))
}

/// A key that is the start of another sequence would never let that one be typed.
fn conflicts(text: &str, bindings: &[Binding], inherited: usize) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, binding) in bindings.iter().enumerate() {
        for (other_number, other) in bindings.iter().enumerate() {
            let is_start = other.keys.len() > binding.keys.len() && other.keys.starts_with(&binding.keys);
            if !is_start || !meet(binding.scope, other.scope) {
                continue;
            }
            // Of two the one of this file is told; an inherited pair was told with its own file.
            let at = match (number >= inherited, other_number >= inherited) {
                (true, _) => binding.at,
                (false, true) => other.at,
                (false, false) => continue,
            };
            let message = format!(
                "{} in [{}] is the start of {} in [{}]",
                show(&binding.keys),
                binding.scope.as_str(),
                show(&other.keys),
                other.scope.as_str()
            );
            faults.push(Fault::at(text, at, &message, "a key is a command or the start of one, not both"));
        }
    }
    faults
}

/// Whether keys of two scopes can be meant at the same time.
fn meet(a: Scope, b: Scope) -> bool {
    let below = |wide: Scope, narrow: Scope| match wide {
        Scope::Global => !narrow.is_overlay(),
        Scope::Lists => narrow.is_screen(),
        Scope::Overlays => narrow.is_overlay(),
        _ => false,
    };
    a == b || below(a, b) || below(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(usize, &str)]) {
        let faults = Keymap::parse("mine", text, &Keymap::embedded).err().unwrap_or_default();
        let told: Vec<(usize, String)> =
            faults.iter().map(|fault| (fault.line, format!("{} {}", fault.message, fault.hint))).collect();
        assert_eq!(told.len(), expected.len(), "{told:?}");
        for (line, part) in expected {
            assert!(told.iter().any(|(at, message)| at == line && message.contains(part)), "{line} {part}: {told:?}");
        }
    }

    #[test]
    fn faults_are_told_all_at_once_with_what_would_be_right() {
        check(
            "[global]\n\"é é é\" = \"app.quit\"\nnope = \"app.quit\"\nz = \"app.quti\"\n[lsits]\n[plan]\nx = \"cursor.down\"\n",
            &[(3, "no key"), (4, "did you mean app.quit"), (5, "did you mean lists"), (7, "bind it in [lists]")],
        );
        check("inherits = \"default\"\n[lists]\n\"ctrl-r\" = \"plan.replace\"\n", &[(3, "Ctrl")]);
        check("inherits = \"default\"\n[lists]\ng = \"cursor.first\"\n", &[(3, "is the start of")]);
        check("inherits = \"default\"\n[drift]\ng = \"cursor.first\"\n", &[(3, "is the start of")]);
        check("inherits = \"default\"\n[global]\nq = \"none\"\nQ = \"app.quit\"\n", &[]);
        check("inherits = \"nowhere\"\n", &[(1, "no keymap")]);
    }

    #[test]
    fn every_command_of_the_table_has_a_key() {
        let keymap = Keymap::default();
        let without: Vec<&str> = command::all().map(|command| command.id).filter(|id| !keymap.is_bound(id)).collect();
        assert_eq!(without, [""; 0]);
    }

    #[test]
    fn arrows_work_wherever_letters_move() {
        let keymap = Keymap::default();
        for (letter, arrow) in [("j", "down"), ("k", "up"), ("h", "left"), ("l", "right")] {
            for (scope, name) in Scope::ALL {
                let bound = |raw: &str| {
                    let keys = Key::sequence(raw).expect("a key");
                    keymap.in_scope(scope).find(|binding| binding.keys == keys).map(|binding| binding.command.id)
                };
                let by_arrow = bound(arrow).or_else(|| {
                    let wider = if scope.is_overlay() { Scope::Overlays } else { Scope::Lists };
                    let keys = Key::sequence(arrow).expect("a key");
                    keymap.in_scope(wider).find(|binding| binding.keys == keys).map(|binding| binding.command.id)
                });
                assert!(bound(letter).is_none() || bound(letter) == by_arrow, "{letter} and {arrow} in [{name}]");
            }
        }
    }

    #[test]
    fn a_file_says_what_a_key_means_instead_of_what_it_inherits() {
        let text = "inherits = \"default\"\n[global]\nq = \"none\"\n";
        let keymap = Keymap::parse("mine", text, &Keymap::embedded).unwrap_or_else(|faults| panic!("{faults:?}"));
        let keys = Key::sequence("q").expect("a key");
        assert!(matches!(keymap.lookup(&[Scope::Global], &keys), Lookup::Unbound));
    }
}
