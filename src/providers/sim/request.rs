//! What a simulated place does when it is asked to change something: by an order of ours, or by somebody else.
//!
//! Never adapts an order: where a bound fact moved nothing is done, and the answer says what is different.

use std::sync::Arc;

use super::blueprint::{Shape, Tick};
use super::cloud::Cloud;
use super::group;
use super::keepers;
use super::report;
use super::scenario::{ScenePlace, Verb};
use super::workload::{Stage, Workload};
use crate::domain::id::Uid;
use crate::domain::image::ImageRef;
use crate::domain::journal::{Call, Receipt};
use crate::domain::keeper::Setting;
use crate::domain::observation::{Applies, FieldOwner};
use crate::domain::plan::{Action, Bound, Marked, Paused, Step, Unpause};
use crate::domain::text::Text;
use crate::providers::{Answer, Order};

/// What somebody else does to a workload.
#[derive(Clone, Debug, PartialEq)]
pub enum Intervention {
    /// Asks for another of its versions, by tag.
    Request(Text),
    /// Sets the image of one container.
    SetImage {
        /// The container.
        container: Text,
        /// The image.
        image: ImageRef,
    },
    /// Deletes so many instances, the oldest first.
    DeleteInstances(u32),
    /// Puts a debug container into an instance.
    Touch,
    /// Holds its rollout.
    Pause,
    /// Lets its rollout go on.
    Resume,
    /// Asks for so many instances.
    Scale(u32),
    /// Has its keeper of this number suspended, or lets it act again.
    Keep(u8, Setting),
    /// Deletes it, with all that it owns.
    Remove,
}

/// Reads the workload and compares it with what the order is bound to; nothing is changed.
///
/// # Errors
/// The answer, if the order must not be sent.
pub(super) fn compare(cloud: &Cloud, order: &Order) -> Result<u32, Answer> {
    let step = &order.step;
    let Some((number, workload)) = cloud.find(&step.workload) else {
        let differences = vec![Text::new("the workload is gone")];
        return Err(Answer::Moved { differences, bound: Box::new(step.bound.clone()) });
    };
    if let (Call::Step(_), Some(wanted)) = (order.call, step.action.turns()) {
        return match keepers::why_not(workload, &wanted) {
            Some(why) => Err(Answer::Refused(why)),
            None => Ok(number),
        };
    }
    let now = report::bound(cloud, workload);
    let differences = match order.call {
        Call::Step(_) => differences(workload, step, &now),
        Call::Brake(_) => return held_by_us(workload, order, Paused::Paused, &now).map(|()| number),
        Call::Release(_) => return held_by_us(workload, order, Paused::Running, &now).map(|()| number),
    };
    if differences.is_empty() { Ok(number) } else { Err(Answer::Moved { differences, bound: Box::new(now) }) }
}

/// Why nothing is promoted here.
pub(super) const NO_STEPS: &str = "nothing there has steps that wait for a promotion";

/// Does what the order asks for. It was compared before, and nothing has changed since.
pub(super) fn apply(cloud: &mut Cloud, number: u32, order: &Order, place: &ScenePlace) -> Answer {
    let now = cloud.now();
    let verb = match (order.call, &order.step.action) {
        (Call::Brake(_) | Call::Release(_), _) => Verb::Pause,
        (Call::Step(_), Action::Evict { .. }) => Verb::Evict,
        (Call::Step(_), Action::RestoreRevision { .. } | Action::SetImage { .. }) => Verb::Rollback,
        (Call::Step(_), Action::EndRollout { .. } | Action::Promote { .. }) => Verb::Pause,
        (Call::Step(_), Action::Borrow { .. } | Action::GiveBack { .. }) => Verb::Suspend,
    };
    if let Some(why) = place.cannot.get(&verb) {
        return Answer::Refused(Text::new(&format!("forbidden: {why}")));
    }
    let mark = Text::new(&format!("{} {} {}", order.operation, order.who, cloud.time(now)));
    let done = cloud.change(number, |workload| match order.call {
        Call::Step(_) => take_step(workload, &order.step, mark, now),
        Call::Brake(_) => {
            workload.set_hold(Paused::Paused, now);
            workload.set_mark(mark);
            Answer::Accepted(receipt(workload))
        }
        Call::Release(_) => {
            workload.set_hold(Paused::Running, now);
            workload.set_mark(mark);
            Answer::Accepted(receipt(workload))
        }
    });
    done.unwrap_or_else(|| Answer::Refused(Text::new("the workload is gone")))
}

/// Does what somebody else does; `false` where there is no such version or container.
pub(super) fn intervene(cloud: &mut Cloud, number: u32, intervention: &Intervention) -> bool {
    let now = cloud.now();
    if *intervention == Intervention::Remove {
        return cloud.remove(number).is_some();
    }
    let somebody = FieldOwner { manager: Text::new("kubectl-edit"), applies: Applies::Once };
    cloud.change(number, |workload| interfere(workload, intervention, somebody, now)).unwrap_or(false)
}

/// How many healthy instances an eviction must leave, and how many there are.
pub(super) fn budget(workload: &Workload) -> Option<(u32, u32)> {
    let percent = workload.blueprint.pdb?;
    let needed = (u64::from(workload.desired) * u64::from(percent)).div_ceil(100) as u32;
    let healthy = workload.instances.iter().filter(|instance| instance.stage == Stage::Healthy).count();
    Some((needed, healthy as u32))
}

fn differences(workload: &Workload, step: &Step, now: &Bound) -> Vec<Text> {
    let mut differences = step.bound.differences(now);
    match &step.action {
        Action::RestoreRevision { revision, hash, .. } => match revision_of(workload, revision) {
            None => differences.push(Text::new("the revision to go back to is gone")),
            Some(index) if workload.revisions[usize::from(index)].edition.template.hash != *hash => {
                differences.push(Text::new("the revision to go back to has changed"));
            }
            Some(_) => {}
        },
        Action::SetImage { .. }
        | Action::EndRollout { .. }
        | Action::Promote { .. }
        | Action::Borrow { .. }
        | Action::GiveBack { .. } => {}
        Action::Evict { instance, name, image, .. } => {
            let present = workload.instances.iter().find(|present| workload.instance_uid(present) == *instance);
            match present.filter(|present| present.stage != Stage::Draining) {
                None => differences.push(Text::new(&format!("instance {name} is gone"))),
                Some(present) => {
                    let edition = &workload.revisions[usize::from(present.revision)].edition;
                    let build = usize::from(present.quirk == super::workload::Quirk::Stale);
                    let main = edition.containers[build].iter().find(|seen| seen.name == step.from.container);
                    let running =
                        main.and_then(|seen| seen.running.clone()).filter(|_| workload.is_image_known(present));
                    if running != *image {
                        differences.push(Text::new(&format!("instance {name} runs another image now")));
                    }
                }
            }
        }
    }
    differences
}

/// A brake may only hold what this operation has set in motion.
fn held_by_us(workload: &Workload, order: &Order, wanted: Paused, now: &Bound) -> Result<(), Answer> {
    if let Some(why) = order.step.why_not_hold(wanted, now) {
        return Err(Answer::Refused(why));
    }
    if !Marked::is_by(workload.mark.as_ref(), &order.operation) {
        return Err(Answer::Refused(Text::new("somebody else has changed the workload since")));
    }
    if wanted == Paused::Paused && workload.blueprint.shape == Shape::Group && !workload.is_refreshing() {
        return Err(Answer::Refused(Text::new(group::NO_REFRESH)));
    }
    Ok(())
}

fn take_step(workload: &mut Workload, step: &Step, mark: Text, now: Tick) -> Answer {
    let owner = FieldOwner { manager: Text::new("rolldeck"), applies: Applies::Once };
    match &step.action {
        Action::RestoreRevision { revision, .. } => {
            let Some(index) = revision_of(workload, revision) else {
                return Answer::Refused(Text::new("the revision to go back to is gone"));
            };
            if workload.blueprint.shape == Shape::Group
                && let Some((why, hint)) = workload.why_not_refresh(index)
            {
                return Answer::Refused(Text::new(&format!("{why}; {hint}")));
            }
            workload.request_revision(index, now, owner, Some(mark));
        }
        Action::SetImage { .. } if workload.blueprint.shape == Shape::Group => {
            return Answer::Refused(Text::new(group::NO_SINGLE_IMAGE));
        }
        Action::SetImage { container, image } => {
            let edition = workload.revisions[usize::from(workload.current)].edition.clone();
            let Some(changed) = workload.blueprint.with_image(&edition, container, image) else {
                return Answer::Refused(Text::new(&format!("it has no container {container}")));
            };
            workload.request(Arc::new(changed), now, owner, Some(mark));
        }
        Action::Evict { instance, .. } => return evict(workload, instance, now),
        Action::EndRollout { .. } if workload.is_refreshing() && workload.blueprint.shape == Shape::Group => {
            workload.set_hold(Paused::Paused, now);
        }
        Action::EndRollout { .. } => return Answer::Refused(Text::new("nothing there has to be ended first")),
        Action::Borrow { .. } | Action::GiveBack { .. } => {
            let turns = step.action.turns();
            return turns.map_or_else(no_loan, |turns| keepers::set(workload, &turns, mark, now));
        }
        Action::Promote { .. } => return Answer::Refused(Text::new(NO_STEPS)),
    }
    if step.unpause == Unpause::Release {
        workload.set_hold(Paused::Running, now);
    }
    Answer::Accepted(receipt(workload))
}

fn no_loan() -> Answer {
    Answer::Refused(Text::new("it borrows nothing"))
}

fn evict(workload: &mut Workload, uid: &Uid, now: Tick) -> Answer {
    let found = workload.instances.iter().find(|present| workload.instance_uid(present) == *uid).copied();
    let Some(instance) = found else {
        return Answer::Refused(Text::new("the instance is gone"));
    };
    if let Some((needed, healthy)) = budget(workload)
        && instance.stage == Stage::Healthy
        && healthy <= needed
    {
        let name = &workload.blueprint.name;
        return Answer::Blocked(Text::new(&format!(
            "Cannot evict pod as it would violate the pod's disruption budget: {name} needs {needed} healthy pods and has {healthy} currently"
        )));
    }
    workload.take_away(instance.serial, now);
    Answer::Accepted(receipt(workload))
}

fn receipt(workload: &Workload) -> Receipt {
    let edition = &workload.revisions[usize::from(workload.current)].edition;
    Receipt { generation: workload.generation, template: Some(edition.template.hash.clone()), notes: Vec::new() }
}

fn revision_of(workload: &Workload, uid: &Uid) -> Option<u16> {
    (0..workload.revisions.len() as u16).find(|index| workload.revision_uid(*index) == *uid)
}

fn interfere(workload: &mut Workload, what: &Intervention, somebody: FieldOwner, now: Tick) -> bool {
    match what {
        // Neither can be done to machines.
        Intervention::SetImage { .. } | Intervention::Touch if workload.blueprint.shape == Shape::Group => {
            return false;
        }
        Intervention::Request(tag) => {
            let Some(edition) = workload.blueprint.edition(tag).cloned() else { return false };
            workload.request(edition, now, somebody, None);
        }
        Intervention::SetImage { container, image } => {
            let edition = workload.revisions[usize::from(workload.current)].edition.clone();
            let Some(changed) = workload.blueprint.with_image(&edition, container, image) else { return false };
            workload.request(Arc::new(changed), now, somebody, None);
        }
        Intervention::DeleteInstances(count) => {
            let present = workload.instances.iter().filter(|instance| instance.stage != Stage::Draining);
            let serials: Vec<u32> = present.take(*count as usize).map(|instance| instance.serial).collect();
            serials.into_iter().for_each(|serial| workload.take_away(serial, now));
        }
        Intervention::Touch => workload.touch(0),
        Intervention::Pause => workload.set_hold(Paused::Paused, now),
        Intervention::Resume => workload.set_hold(Paused::Running, now),
        Intervention::Scale(desired) => workload.scale(*desired, now),
        Intervention::Keep(index, setting) => workload.set_keeper(usize::from(*index), *setting, None, now),
        Intervention::Remove => {}
    }
    true
}
