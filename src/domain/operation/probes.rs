//! Who is asked before a wave counts as healthy: once its bake is over the probe of its place is asked, and a no stops the
//! operation.
//!
//! Never asks: it says that somebody should be asked, and what the answer means.

use super::Operation;
use super::bakes::Baked;
use super::decide::{Gates, World};
use crate::domain::id::PlaceId;
use crate::domain::journal::Entry;
use crate::domain::plan::Step;
use crate::domain::policy::Probe;
use crate::domain::text::Text;

/// How the probe of a wave stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// It should be asked.
    Wanted(Probe),
    /// It is being asked.
    UnderWay,
    /// Yes.
    Passed(Text),
    /// No, and what it said.
    Failed(Text),
}

impl Gates {
    /// The probe that should be asked now, for which wave, and which of its place's it is. From then on it is under way.
    pub fn next_probe(&mut self) -> Option<(u16, u16, Probe)> {
        let (key, asked) = self.probes.iter_mut().find(|(_, asked)| matches!(asked, Asked::Wanted(_)))?;
        match std::mem::replace(asked, Asked::UnderWay) {
            Asked::Wanted(probe) => Some((key.0, key.1, probe)),
            Asked::UnderWay | Asked::Passed(_) | Asked::Failed(_) => None,
        }
    }

    /// Forgets what was answered: health that has broken off is asked for again. Who is being asked now still answers.
    pub(super) fn forget_answers(&mut self) {
        self.probes.retain(|_, asked| matches!(asked, Asked::UnderWay));
    }

    /// The same for one wave.
    pub(super) fn forget_answer(&mut self, wave: u16) {
        self.probes.retain(|(of, _), asked| *of != wave || matches!(asked, Asked::UnderWay));
    }

    /// A probe has answered.
    pub fn probed(&mut self, wave: u16, number: u16, answer: Asked) {
        if matches!(self.probes.get(&(wave, number)), Some(Asked::UnderWay)) {
            self.probes.insert((wave, number), answer);
        }
    }
}

/// A wave whose bake is over: whether its probes say so too, each of them.
pub(super) fn after_bake(gates: &mut Gates, world: &World<'_>, number: u16, place: &PlaceId, steps: &[&Step]) -> Baked {
    let mut all_said = Baked::Through;
    for (which, probe) in world.policy.probes_at(place).enumerate() {
        let asked = gates.probes.entry((number, which as u16)).or_insert_with(|| Asked::Wanted(probe.clone()));
        match asked {
            Asked::Wanted(_) | Asked::UnderWay => {
                let text = format!("wave {number} is healthy; its probe is asked: {}", probe.describe());
                gates.waiting_for = Some(Text::new(&text));
                all_said = Baked::NotYet;
            }
            Asked::Passed(_) => {}
            Asked::Failed(said) => {
                let reason = Text::new(&format!("the probe of wave {number} says no ({}): {said}", probe.describe()));
                match steps.iter().rev().find(|step| step.action.replaces()).or(steps.last()) {
                    Some(step) => return Baked::Failed(Entry::Failed { step: step.id, reason }),
                    None => return Baked::Through,
                }
            }
        }
    }
    all_said
}

impl Operation {
    /// The place whose probe speaks for a wave: that of the wave itself.
    pub(super) fn place_of_wave(&self, number: u16) -> Option<&PlaceId> {
        self.plan.waves.get(usize::from(number).checked_sub(1)?).map(|wave| &wave.place)
    }
}
