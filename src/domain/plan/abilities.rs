//! What can be done with workloads of a kind, and why not: what plans refuse with, and the table in the README.
//!
//! Never looks at a workload: what one of them adds (a strategy, a rollout that runs) is said where it is chosen.

use crate::domain::id::WorkloadKind;

/// Whether something can be done, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// It can, and how.
    Can(&'static str),
    /// It can't, and why.
    Cannot(&'static str),
}

/// What can be done with a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Go back to an earlier version.
    pub go_back: Ability,
    /// Change one image alone.
    pub set_image: Ability,
    /// Have single instances replaced.
    pub replace: Ability,
    /// Hold a rollout where it is.
    pub hold: Ability,
    /// Replace a share first, then wait.
    pub first: Ability,
    /// Replace more or fewer at once.
    pub pace: Ability,
    /// Let go on what waits at a step of its own.
    pub promote: Ability,
}

impl Abilities {
    /// Of a kind.
    pub fn of(kind: WorkloadKind) -> Abilities {
        use Ability::{Can, Cannot};
        let no_steps = Cannot("has no steps that wait for a promotion");
        match kind {
            WorkloadKind::Deployment => Abilities {
                go_back: Can("its ReplicaSets"),
                set_image: Can("yes"),
                replace: Can("evicted"),
                hold: Can("`spec.paused`"),
                first: Can("held by us after it"),
                pace: Can("on top, or fewer"),
                promote: no_steps,
            },
            WorkloadKind::StatefulSet => Abilities {
                go_back: Can("ControllerRevisions"),
                set_image: Can("yes"),
                replace: Can("evicted"),
                hold: Can("its `partition`"),
                first: Can("held by us after it"),
                pace: Cannot("replaces one at a time"),
                promote: no_steps,
            },
            WorkloadKind::DaemonSet => Abilities {
                go_back: Can("ControllerRevisions"),
                set_image: Can("yes"),
                replace: Can("evicted"),
                hold: Cannot("has no brake: the platform finishes what it has started"),
                first: Cannot("has no brake that could hold it there"),
                pace: Can("on top, or fewer"),
                promote: no_steps,
            },
            WorkloadKind::CronJob => Abilities {
                go_back: Can("its Jobs, as long as they are kept"),
                set_image: Can("yes"),
                replace: Cannot("what runs is left to end"),
                hold: Cannot("has no brake: its next run is the first that changes; suspend it to hold that"),
                first: Cannot("replaces nothing"),
                pace: Cannot("replaces nothing"),
                promote: no_steps,
            },
            WorkloadKind::Rollout => Abilities {
                go_back: Can("its ReplicaSets"),
                set_image: Can("yes"),
                replace: Can("evicted"),
                hold: Can("`spec.paused`"),
                first: Cannot("goes by the steps that it has"),
                pace: Cannot("goes by the steps that it has"),
                promote: Can("next step, end, retry"),
            },
            WorkloadKind::AutoScalingGroup => Abilities {
                go_back: Can("launch template versions"),
                set_image: Cannot("an image is part of a launch template version"),
                replace: Can("terminated"),
                hold: Can("its refresh is cancelled"),
                first: Can("a checkpoint of the refresh"),
                pace: Cannot("takes its pace from its own instance maintenance policy; change that"),
                promote: no_steps,
            },
            WorkloadKind::EcsService => Abilities {
                go_back: Can("task definitions"),
                set_image: Cannot("an image is part of a task definition"),
                replace: Can("stopped"),
                hold: Can("its deployment is stopped"),
                first: Cannot("knows no such halt"),
                pace: Cannot("takes its pace from its deployment configuration; change that"),
                promote: no_steps,
            },
            WorkloadKind::ReplicaSet
            | WorkloadKind::Job
            | WorkloadKind::Pod
            | WorkloadKind::EcsTask
            | WorkloadKind::Machine
            | WorkloadKind::Unknown => {
                let nothing = Cannot("can't be operated by this version");
                Abilities {
                    go_back: nothing,
                    set_image: nothing,
                    replace: nothing,
                    hold: nothing,
                    first: nothing,
                    pace: nothing,
                    promote: nothing,
                }
            }
        }
    }

    /// Each with its name, as the README has them.
    pub fn named(&self) -> [(&'static str, Ability); 7] {
        [
            ("go back", self.go_back),
            ("one image alone", self.set_image),
            ("replace instances", self.replace),
            ("hold (`p`, `x s`)", self.hold),
            ("a share first", self.first),
            ("pace (`+ -`)", self.pace),
            ("promote (`P`)", self.promote),
        ]
    }
}

impl Ability {
    /// Why not, if so.
    pub fn why_not(self) -> Option<&'static str> {
        match self {
            Ability::Can(_) => None,
            Ability::Cannot(why) => Some(why),
        }
    }
}

/// The table of kinds: what plans can do with each.
pub fn kinds_as_markdown() -> String {
    let operated = |kind: &WorkloadKind| Abilities::of(*kind).go_back.why_not().is_none();
    let kinds: Vec<WorkloadKind> = WorkloadKind::ALL.into_iter().filter(operated).collect();
    let names = Abilities::of(WorkloadKind::Deployment).named().map(|(name, _)| name);
    let mut table = format!("| | {} |\n|{}\n", names.join(" | "), "---|".repeat(names.len() + 1));
    for kind in kinds {
        let cells = Abilities::of(kind).named().map(|(_, ability)| match ability {
            Ability::Can(how) => how.to_string(),
            Ability::Cannot(why) => format!("no: {why}"),
        });
        table.push_str(&format!("| {kind} | {} |\n", cells.join(" | ")));
    }
    let others = WorkloadKind::ALL.into_iter().filter(|kind| !operated(kind) && *kind != WorkloadKind::Unknown);
    let others: Vec<&str> = others.map(WorkloadKind::as_str).collect();
    let why = Abilities::of(WorkloadKind::Unknown).go_back.why_not().unwrap_or_default();
    table.push_str(&format!("\n{}, and kinds that it does not know: shown, and {why}.\n", others.join(", ")));
    table
}
