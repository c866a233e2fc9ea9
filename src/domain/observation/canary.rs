//! The steps that a platform takes a rollout through (an Argo Rollout's canary or its preview), and where it waits by itself.
//!
//! Never says that a rollout is held by somebody: that is `Rollout::Paused`, and it is let go otherwise.

use super::TemplateHash;
use crate::domain::text::Text;

/// How a workload takes a new template in, step by step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Canary {
    /// The template that its traffic falls back to, where known.
    pub stable: Option<TemplateHash>,
    /// How many steps there are before everything runs the new template; 0: none that could wait.
    pub steps: u32,
    /// What it waits for now, by its own plan or because it was aborted.
    pub halt: Option<Halt>,
}

/// Why a rollout goes no further although nobody holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// At a pause of its own.
    Pause {
        /// Which one: another pause has another.
        id: Text,
        /// Where, in words: `step 2 of 5 (20%)`.
        what: Text,
    },
    /// It was aborted: its traffic is back on the stable template, and its own template still asks for the new one.
    Aborted {
        /// Which one: another abort has another.
        id: Text,
        /// Where, in words.
        what: Text,
    },
}

impl Halt {
    /// Which one it is.
    pub fn id(&self) -> &Text {
        match self {
            Halt::Pause { id, .. } | Halt::Aborted { id, .. } => id,
        }
    }

    /// Where it waits, in words.
    pub fn what(&self) -> &Text {
        match self {
            Halt::Pause { what, .. } | Halt::Aborted { what, .. } => what,
        }
    }
}
