//! The four letters that start a plan, made from its content: another plan has another code.
//!
//! Never random: the same plan shows the same code in every process.

use sha2::{Digest as _, Sha256};

use super::{Plan, Step};

/// The four letters that start a plan. Made from its content: another plan has another code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code([u8; 4]);

/// Letters of codes: no vowels (no words), nothing that looks like another.
const CODE_LETTERS: &[u8; 18] = b"bcdfghjkmnpqrstvwx";

impl Plan {
    /// The code that starts it; `None` if it can't start.
    pub fn code(&self) -> Option<Code> {
        if !self.refusals.is_empty() || self.steps().next().is_none() {
            return None;
        }
        let mut hash = Sha256::new();
        hash.update(self.id.0.as_bytes());
        for step in self.steps() {
            let content = content_of(step);
            hash.update((content.len() as u64).to_be_bytes());
            hash.update(content);
        }
        Some(Code::of(&hash.finalize()))
    }
}

impl Code {
    /// From a hash.
    fn of(hash: &[u8]) -> Code {
        let mut number = hash.iter().take(8).fold(0u64, |number, &byte| number << 8 | u64::from(byte));
        let mut letters = [0; 4];
        for letter in &mut letters {
            *letter = CODE_LETTERS[(number % CODE_LETTERS.len() as u64) as usize];
            number /= CODE_LETTERS.len() as u64;
        }
        Code(letters)
    }

    /// The four letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("????")
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The content of a step that its code stands for. Written out field by field: `domain` has no JSON.
fn content_of(step: &Step) -> String {
    let Step {
        id,
        workload,
        action,
        from,
        to,
        instances: _,
        total: _,
        also_goes_back: _,
        brake,
        unpause,
        first,
        follows,
        left_out: _,
        equivalent: _,
        bound,
    } = step;
    format!(
        "{id}|{workload}|{action:?}|{}|{}|{brake:?}|{unpause:?}|{first:?}|{follows:?}|{bound:?}",
        from.label(),
        to.label()
    )
}
