//! What is a simulated Auto Scaling group's own: it replaces by instance refreshes, launches from a numbered version of a
//! launch template, and runs machines. Told as the AWS provider tells a real one.
//!
//! Never does what a group can't: it has no pause but the end of a refresh, no mark, no image beside its template, and its
//! own settings follow only when a refresh has succeeded.

use sha2::{Digest as _, Sha256};

use super::blueprint::{Tick, hex};
use super::random::mix;
use super::scenario::{ScenePlace, SceneService, SceneVersion};
use super::workload::{Pace, Part, Stage, Workload};
use crate::domain::look::{LookCommands, quoted};
use crate::domain::observation::{Health, Phase, Running, Strategy, Yields};
use crate::domain::plan::{Action, Follows, Paused, Step};
use crate::domain::text::Text;

/// The one container of a machine.
pub(super) const MACHINE: &str = "machine";
/// Why one image can't be set.
pub(super) const NO_SINGLE_IMAGE: &str =
    "an image is part of a launch template version at AWS: make one with it, then go to its number";
/// Why there is nothing to hold.
pub(super) const NO_REFRESH: &str = "no instance refresh runs: it has come to its end";

impl Workload {
    /// Whether an instance refresh is under way.
    pub(super) fn is_refreshing(&self) -> bool {
        self.hold == Paused::Running && matches!(self.pace, Pace::Moving(_))
    }

    /// The refresh that is under way, as a rollout that yields to its own way back alone.
    pub(super) fn running(&self) -> Option<Running> {
        let edition = |index: u16| &self.revisions[usize::from(index)].edition;
        let number = self.revisions[usize::from(self.current)].number;
        self.is_refreshing().then(|| Running {
            id: Text::new(&format!("{}", self.generation)),
            what: Text::new(&format!("instance refresh to version {number}")),
            yields: Yields::ToWayBack(Some(edition(self.own).template.hash.clone())),
        })
    }

    /// Begins a refresh to a revision, or takes the running one back there. A version keeps its number.
    pub(super) fn refresh_to(&mut self, index: u16) {
        if self.is_refreshing() && index == self.own {
            let current = self.current;
            self.revisions[usize::from(current)].left = Some(Text::new("its instance refresh was rolled back"));
            self.changed.push(Part::Revision(current));
        }
        self.hold = Paused::Running;
        self.revisions[usize::from(index)].left = None;
    }

    /// Why a refresh to a revision can't begin now, and what to do.
    pub(super) fn why_not_refresh(&self, index: u16) -> Option<(Text, Text)> {
        let number = self.revisions[usize::from(index)].number;
        let is_in_the_way = self.is_refreshing() && index != self.own;
        is_in_the_way.then(|| {
            let why = format!("an instance refresh is under way that can't be taken back to version {number}");
            (Text::new(&why), Text::new("wait for its end, or cancel it, then plan again"))
        })
    }

    /// What would make its next launch differ from what is asked of it.
    pub(super) fn latent(&self) -> Option<Text> {
        let number = |index: u16| self.revisions[usize::from(index)].number;
        let is_left_half_way = self.own != self.current && !self.is_refreshing();
        is_left_half_way.then(|| {
            Text::new(&format!(
                "an instance launched now is of version {}: the refresh to version {} did not come to its end",
                number(self.own),
                number(self.current)
            ))
        })
    }

    /// The id of its launch template.
    fn template(&self) -> String {
        format!("lt-0{:016x}", mix(&self.uid().0.bytes().map(u64::from).collect::<Vec<u64>>()))
    }
}

/// The machine image of a version.
pub(super) fn ami(scene: &SceneService, version: &SceneVersion) -> String {
    version.ami.as_ref().map_or_else(
        || {
            let content = Sha256::digest(format!("{}:{}", scene.name.get_ref(), version.tag));
            format!("ami-0{}", hex(&content[..8]))
        },
        |ami| ami.get_ref().clone(),
    )
}

/// The id of a machine, from a number of its own.
pub(super) fn machine_id(fingerprint: u64) -> String {
    format!("i-0{fingerprint:016x}")
}

/// How a group replaces: the preferences of its refreshes.
pub(super) fn strategy(max_unavailable: Text, max_surge: Text) -> Strategy {
    let kind = Text::new("InstanceRefresh");
    Strategy { kind, max_unavailable: Some(max_unavailable), max_surge: Some(max_surge), partition: 0, first_number: 0 }
}

/// Why a refresh was given up.
pub(super) fn why_failed(deadline: Tick) -> String {
    format!("the instance refresh failed: no progress for {} s", deadline / 10)
}

/// The life of a machine in its group's words.
pub(super) fn state(stage: Stage) -> (Phase, Health, Option<Text>) {
    let say = |why: &str| Some(Text::new(why));
    match stage {
        Stage::Starting | Stage::Stuck => (Phase::Pending, Health::Unhealthy, say("it is being launched")),
        Stage::Healthy => (Phase::Running, Health::Healthy, None),
        Stage::Unhealthy => (Phase::Running, Health::Unhealthy, say("the group calls it Unhealthy")),
        Stage::Draining => (Phase::Draining, Health::Unhealthy, say("Terminating")),
    }
}

/// What somebody would look with.
pub(super) fn look(place: &ScenePlace) -> LookCommands {
    let of = |words: &str| Text::new(&command(place, words));
    LookCommands {
        workload: of("autoscaling describe-auto-scaling-groups --auto-scaling-group-names {name}"),
        instance: of("ec2 describe-instances --instance-ids {name}"),
        by_kind: Vec::new(),
    }
}

/// The command that would do the same as a step.
pub(super) fn equivalent(place: &ScenePlace, workload: &Workload, step: &Step) -> Text {
    let group = quoted(&step.workload.name);
    Text::new(&match &step.action {
        Action::Evict { name, .. } => {
            let words = format!(
                "autoscaling terminate-instance-in-auto-scaling-group --instance-id {} --no-should-decrement-desired-capacity",
                quoted(name)
            );
            command(place, &words)
        }
        Action::RestoreRevision { .. } if workload.is_refreshing() && step.follows == Follows::Nothing => {
            command(place, &format!("autoscaling rollback-instance-refresh --auto-scaling-group-name {group}"))
        }
        Action::RestoreRevision { number, .. } => {
            let desired = format!(
                r#"{{"LaunchTemplate":{{"LaunchTemplateId":"{}","Version":"{number}"}}}}"#,
                workload.template()
            );
            let words = format!(
                "autoscaling start-instance-refresh --auto-scaling-group-name {group} --desired-configuration '{desired}' --preferences '{}'",
                preferences(&workload.strategy)
            );
            command(place, &words)
        }
        Action::EndRollout { .. } => {
            command(place, &format!("autoscaling cancel-instance-refresh --auto-scaling-group-name {group}"))
        }
        // It is refused, or never asked of a group: no command would.
        Action::SetImage { .. } | Action::Promote { .. } | Action::Borrow { .. } | Action::GiveBack { .. } => {
            String::new()
        }
    })
}

fn command(place: &ScenePlace, words: &str) -> String {
    let region = place.server.as_ref().map(|region| format!(" --region {}", quoted(region))).unwrap_or_default();
    format!("aws {words}{region}")
}

fn preferences(strategy: &Strategy) -> String {
    let percent = |share: &Option<Text>| -> u32 {
        share.as_ref().and_then(|share| share.trim_end_matches('%').parse().ok()).unwrap_or_default()
    };
    let (least, most) = (100 - percent(&strategy.max_unavailable).min(100), 100 + percent(&strategy.max_surge));
    format!(r#"{{"MinHealthyPercentage":{least},"MaxHealthyPercentage":{most},"SkipMatching":true}}"#)
}
