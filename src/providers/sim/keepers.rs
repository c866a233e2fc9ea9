//! What keeps a simulated workload: the Argo CD that puts its version back, the autoscaler that scales it.
//!
//! Never acts by itself: the workload asks whether it may be put back.

use super::blueprint::{Blueprint, Shape, Tick};
use super::workload::{Part, Workload};
use crate::domain::id::Uid;
use crate::domain::journal::Receipt;
use crate::domain::keeper::{Borrowed, KeeperKind, KeeperName, KeeperSeen, Setting};
use crate::domain::text::Text;
use crate::providers::Answer;

/// Where applications live.
const NAMESPACE: &str = "argocd";

/// One keeper of one workload.
pub(super) struct Keeper {
    pub(super) kind: KeeperKind,
    pub(super) setting: Setting,
    generation: u64,
    /// `OPERATION WHO TIME` of the last Rolldeck that changed it.
    mark: Option<Text>,
}

/// The keepers of a workload when its world begins.
pub(super) fn of(blueprint: &Blueprint) -> Vec<Keeper> {
    let keeper = |kind, setting| Keeper { kind, setting, generation: 1, mark: None };
    if blueprint.shape == Shape::Group {
        return Vec::new();
    }
    let application = blueprint.reverter.iter().map(|_| keeper(KeeperKind::Application, Setting::Acts));
    let minimum = blueprint.autoscaled_from.iter();
    let autoscaler = minimum.map(|minimum| keeper(KeeperKind::Autoscaler, Setting::AtLeast(*minimum)));
    application.chain(autoscaler).collect()
}

/// How a workload names its application.
pub(super) fn application(workload: &Text) -> KeeperName {
    KeeperName { kind: KeeperKind::Application, namespace: Some(Text::new(NAMESPACE)), name: workload.clone() }
}

/// A keeper as it is now.
pub(super) fn seen(workload: &Workload, index: u8) -> Option<KeeperSeen> {
    let keeper = workload.keepers.get(usize::from(index))?;
    let blueprint = &workload.blueprint;
    let (namespace, scales) = match keeper.kind {
        KeeperKind::Autoscaler => {
            let scaled = (blueprint.shape.kind(), blueprint.name.clone());
            (blueprint.namespace.clone().unwrap_or_default(), Some(scaled))
        }
        KeeperKind::Application | KeeperKind::Kustomization | KeeperKind::HelmRelease => (Text::new(NAMESPACE), None),
    };
    Some(KeeperSeen {
        uid: uid(workload, index),
        kind: keeper.kind,
        namespace,
        name: blueprint.name.clone(),
        generation: keeper.generation,
        setting: keeper.setting,
        scales,
        busy: None,
        kept_by: None,
        touched_by: keeper.mark.clone(),
    })
}

/// Why a step about a keeper can't be done, if so.
pub(super) fn why_not(workload: &Workload, wanted: &Borrowed) -> Option<Text> {
    let (keeper, from, to) = match wanted {
        Borrowed::Keeper { keeper, from, to, .. } => (keeper, from, to),
        Borrowed::Pace { from, to } => {
            let now = &workload.strategy;
            return (now != from && now != to).then(|| Text::new("its update strategy was changed"));
        }
    };
    match find(workload, wanted) {
        None => Some(Text::new(&format!("{keeper} is gone"))),
        Some(index) => {
            let now = workload.keepers[index].setting;
            (now != *from && now != *to).then(|| Text::new(&format!("{keeper} is to {now} now")))
        }
    }
}

/// Has a keeper do something else.
pub(super) fn set(workload: &mut Workload, wanted: &Borrowed, mark: Text, now: Tick) -> Answer {
    if let Some(why) = why_not(workload, wanted) {
        return Answer::Refused(why);
    }
    if let Borrowed::Pace { to, .. } = wanted {
        workload.set_pace(to.clone(), mark, now);
        return Answer::Accepted(Receipt { generation: workload.generation, template: None, notes: Vec::new() });
    }
    let (Some(index), Borrowed::Keeper { to, .. }) = (find(workload, wanted), wanted) else {
        return Answer::Refused(Text::new("there is no such keeper"));
    };
    workload.set_keeper(index, *to, Some(mark), now);
    Answer::Accepted(Receipt { generation: workload.keepers[index].generation, template: None, notes: Vec::new() })
}

/// The uid of a keeper.
pub(super) fn uid(workload: &Workload, index: u8) -> Uid {
    workload.uid_of_keeper(index)
}

/// The number of the keeper that is meant, if it is this workload's.
fn find(workload: &Workload, wanted: &Borrowed) -> Option<usize> {
    let Borrowed::Keeper { uid: wanted, .. } = wanted else { return None };
    (0..workload.keepers.len()).find(|index| uid(workload, *index as u8) == *wanted)
}

/// Whether the workload's application puts back what somebody has changed.
pub(super) fn puts_back(workload: &Workload) -> bool {
    let mut applications = workload.keepers.iter().filter(|keeper| keeper.kind == KeeperKind::Application);
    applications.all(|keeper| keeper.setting == Setting::Acts)
}

impl Workload {
    /// Has one of its keepers do something else, as somebody did at this tick.
    pub(super) fn set_keeper(&mut self, index: usize, setting: Setting, mark: Option<Text>, now: Tick) {
        let Some(keeper) = self.keepers.get_mut(index) else { return };
        if keeper.setting != setting {
            keeper.setting = setting;
            keeper.generation += 1;
        }
        keeper.mark = mark.or(keeper.mark.take());
        self.changed.push(Part::Keeper(index as u8));
        self.plan_revert(now);
    }
}
