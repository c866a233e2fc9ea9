//! The facts that a plan was decided on, and how it is told that one of them moved.
//!
//! Never adapts a plan: it only says what is different.

use serde::{Deserialize, Serialize};

use super::{Action, Follows, Plan, Step};
use crate::domain::fleet::Fleet;
use crate::domain::id::{StepId, Uid};
use crate::domain::image::{Comparison, DigestKind, ImageId};
use crate::domain::observation::{FieldOwner, Rollout, Strategy, TemplateHash, WorkloadSeen};
use crate::domain::operation::loan_moved;
use crate::domain::text::Text;

/// The facts that a step was decided on. If one of them moved the step is refused, not adapted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The workload's incarnation.
    pub uid: Uid,
    /// What it asked for.
    pub template: TemplateHash,
    /// Whether its rollout was held.
    pub paused: Paused,
    /// How it replaces.
    pub strategy: Strategy,
    /// Who owned the image field.
    pub owners: Vec<FieldOwner>,
    /// Which rollout ran, where its platform tells it apart from others.
    #[serde(default)]
    pub running: Option<Text>,
}

/// Whether a workload's rollout is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paused {
    /// It is.
    Paused,
    /// It is not.
    Running,
}

impl Plan {
    /// The bound facts that are no longer so, step by step, in words; empty while the plan holds.
    pub fn moved(&self, fleet: &Fleet) -> Vec<(StepId, Vec<Text>)> {
        let differences = self.steps().map(|step| (step.id, step.moved(fleet)));
        differences.filter(|(_, moved)| !moved.is_empty()).collect()
    }
}

impl Step {
    /// Which of its bound facts are no longer so.
    pub fn moved(&self, fleet: &Fleet) -> Vec<Text> {
        if let Some(loan) = self.action.loan() {
            return match (&self.action, self.follows) {
                // Not borrowed yet.
                (_, Follows::Loan) => Vec::new(),
                (Action::GiveBack { .. }, _) => loan_moved(fleet, &loan.what.turned()),
                (_, _) => loan_moved(fleet, &loan.what),
            };
        }
        let Some(workload) = fleet.workload(&self.workload) else {
            return vec![Text::new("the workload is gone")];
        };
        let now = Bound::of(&workload.seen);
        if let (Action::EndRollout { what }, None) = (&self.action, &now.running) {
            return vec![Text::new(&format!("the {what} has come to its end"))];
        }
        let mut moved = self.differences(&now);
        moved.extend(self.moved_on(workload.seen.canary.as_ref()));
        moved.extend(self.tag_moved(fleet));
        if let Action::RestoreRevision { revision, hash, .. } = &self.action {
            match workload.revisions.iter().find(|known| known.uid == *revision) {
                Some(known) if known.template.hash == *hash => {}
                Some(_) => moved.push(Text::new("the revision to go back to has changed")),
                None => moved.push(Text::new("the revision to go back to is gone")),
            }
        }
        if let Action::Evict { instance, image, name, .. } = &self.action {
            let present = fleet.instances_of(workload).find(|present| present.seen.uid == *instance);
            let running = present.and_then(|present| {
                let main = present.seen.containers.iter().find(|seen| seen.name == self.from.container);
                main.and_then(|container| container.running.clone())
            });
            match present {
                None => moved.push(Text::new(&format!("instance {name} is gone"))),
                // What follows a rollout was chosen for its version.
                Some(_) if running != *image && self.follows != Follows::NewTemplate => {
                    moved.push(Text::new(&format!("instance {name} runs another image now")))
                }
                Some(_) => {}
            }
        }
        moved
    }
}

impl Step {
    /// Whether the tag that an instance is made again from stands for another image now: what it must run then is decided anew.
    fn tag_moved(&self, fleet: &Fleet) -> Option<Text> {
        let is_made_again = matches!(self.action, Action::Evict { .. });
        let tag = self.to.reference.as_ref().filter(|tag| is_made_again && tag.pinned().is_none())?;
        let (decided, now) = (self.to.image.as_ref()?, fleet.catalog().resolve(tag).ok()??);
        let now = ImageId::oci(now.clone(), DigestKind::Repository);
        let is_other = fleet.catalog().compare(decided, &now) != Comparison::Same;
        is_other.then(|| Text::new(&format!("{tag} stands for {} now", now.short(12))))
    }

    /// What is different now, in words. A promotion that hurries on the rollout of its own plan has nothing left to do once that
    /// has come to its end, and is not in anybody's way.
    pub fn differences(&self, now: &Bound) -> Vec<Text> {
        let has_ended = self.follows == Follows::OwnRollout && now.running.is_none();
        let running = if has_ended { None } else { self.bound.running.clone() };
        Bound { running, ..self.bound.clone() }.differences(now)
    }

    /// Why its brake or release must not be sent as things are now; `None` if it may. `self.bound` must hold the template as
    /// the step has left it: what somebody else has put in since is neither ours to hold nor ours to let go.
    pub fn why_not_hold(&self, wanted: Paused, now: &Bound) -> Option<Text> {
        let why = if now.uid != self.bound.uid {
            "the workload was deleted and made again"
        } else if now.template != self.bound.template {
            "its template was changed since the step was taken; look at who changed it"
        } else if wanted == Paused::Paused && now.paused == Paused::Paused {
            "it is held already, by somebody else"
        } else {
            return None;
        };
        Some(Text::new(why))
    }
}

impl Bound {
    /// The facts as they are now.
    pub fn of(seen: &WorkloadSeen) -> Bound {
        Bound {
            uid: seen.uid.clone(),
            template: seen.template.hash.clone(),
            paused: if seen.rollout == Rollout::Paused { Paused::Paused } else { Paused::Running },
            strategy: seen.strategy.clone(),
            owners: seen.owners.clone(),
            running: seen.running.as_ref().map(|running| running.id.clone()),
        }
    }

    /// What is different now, in words.
    pub fn differences(&self, now: &Bound) -> Vec<Text> {
        let managers = |owners: &[FieldOwner]| {
            let names: Vec<&str> = owners.iter().map(|owner| owner.manager.as_str()).collect();
            if names.is_empty() { "nobody".to_string() } else { names.join(", ") }
        };
        let mut differences = Vec::new();
        if self.uid != now.uid {
            differences.push(Text::new("the workload was deleted and made again"));
        }
        if self.template != now.template {
            differences.push(Text::new("its template was changed"));
        }
        match (self.paused, now.paused) {
            (Paused::Running, Paused::Paused) => differences.push(Text::new("its rollout was paused")),
            (Paused::Paused, Paused::Running) => differences.push(Text::new("its rollout was resumed")),
            _ => {}
        }
        match (&self.running, &now.running) {
            (Some(_), None) => differences.push(Text::new("the rollout that ran has come to its end")),
            (None, Some(_)) => differences.push(Text::new("a rollout has begun")),
            (Some(before), Some(after)) if before != after => differences.push(Text::new("another rollout runs now")),
            (Some(_), Some(_)) | (None, None) => {}
        }
        if self.strategy != now.strategy {
            differences.push(Text::new("its update strategy was changed"));
        }
        if self.owners != now.owners {
            let (before, after) = (managers(&self.owners), managers(&now.owners));
            differences.push(Text::new(&format!("the image field was owned by {before}, now by {after}")));
        }
        differences
    }
}
