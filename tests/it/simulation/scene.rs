//! What a seed makes of the world: places, a service in them, its versions, how careful operations are, what is planned.
//!
//! Never plays anything.

use std::time::Duration;

use rolldeck::domain::id::{PlaceId, WorkloadId, WorkloadKind};
use rolldeck::domain::plan::{Change, Goto, Pace, Pick, PlanRequest, Scope, Suspend, Tempo};
use rolldeck::domain::selector::Selector;
use rolldeck::domain::text::Text;

use super::dice::Dice;

/// A world to play in.
pub(super) struct Scene {
    /// The scenario file.
    pub(super) text: String,
    /// Where the service runs.
    pub(super) workloads: Vec<WorkloadId>,
    /// Tags of its versions.
    pub(super) tags: Vec<&'static str>,
    /// Whether instances of some version fail after they were healthy, or somebody puts the version before back: then health
    /// falls without our doing.
    pub(super) changes_by_itself: bool,
    /// Whether others change things there too.
    pub(super) is_lonely: bool,
    /// The share of a workload that goes first, in percent.
    pub(super) first: Option<u8>,
    /// Healthy ones never fall below this share through us, in percent.
    pub(super) floor: u32,
}

const PLACES: [&str; 3] = ["k8s/a", "k8s/b", "aws/c"];

impl Scene {
    /// The world of a seed.
    pub(super) fn of(dice: &mut Dice) -> Scene {
        let places: Vec<&str> = match dice.below(6) {
            0 | 1 => vec!["k8s/a"],
            2 => vec!["aws/c"],
            3 | 4 => vec!["k8s/a", "k8s/b"],
            _ => PLACES.to_vec(),
        };
        let kind = *dice.pick(&["Deployment", "Deployment", "StatefulSet"]);
        let replace = *dice.pick(&["RollingUpdate", "RollingUpdate", "OnDelete"]);
        let fails = *dice.pick(&[
            "",
            ", fails = \"readiness\"",
            ", fails = \"image_pull\"",
            ", fails = \"later\", after = \"20s\"",
        ]);
        // A machine pulls no image.
        let is_machine = fails.contains("image_pull") && places.contains(&"aws/c");
        let fails = if is_machine { ", fails = \"readiness\"" } else { fails };
        let share = *dice.pick(&["", ", share = 0.5"]);
        let share = if fails.is_empty() { "" } else { share };
        let floor = *dice.pick(&[0, 25, 50, 50, 75]);
        let mut text = format!(
            "name = \"seed\"\ntitle = \"A seed\"\ndescription = \"For tests.\"\nseed = {}\n\
             policy = {{ bake = \"{}s\", step_timeout = \"{}s\", floor = \"{floor}%\", order = [\"k8s/a\", \"aws/c\"] }}\n",
            dice.below(1000),
            dice.pick(&[1, 5, 20]),
            dice.pick(&[60, 120])
        );
        for place in &places {
            let platform = if place.starts_with("aws") { "kind = \"aws\"\nserver = \"us-east-1\"\n" } else { "" };
            let cannot = if dice.one_in(12) { "cannot = { pause = \"not yours\" }\n" } else { "" };
            let latency = dice.pick(&[5, 50, 400]);
            text += &format!("[[places]]\nid = \"{place}\"\nlatency = \"{latency}ms\"\n{platform}{cannot}");
        }
        let pdb = *dice.pick(&["", "", "pdb = \"50%\"\n", "pdb = \"75%\"\n"]);
        let pin = *dice.pick(&["digest", "digest", "tag"]);
        let scaled = if dice.one_in(4) { "autoscaled_from = 1\n" } else { "" };
        let reverted = if dice.one_in(8) { "reverted_by = { by = \"Argo CD\", after = \"30s\" }\n" } else { "" };
        text += &format!(
            "[[services]]\nname = \"app\"\nnamespace = \"shop\"\nkind = \"{kind}\"\nreplace = \"{replace}\"\npin = \"{pin}\"\n\
             max_unavailable = \"{}\"\nmax_surge = \"{}\"\nstart = \"{}s\"\ndrain = \"{}s\"\nprogress_deadline = \"{}\"\n{pdb}{reverted}{scaled}",
            dice.pick(&["25%", "25%", "50%", "0%"]),
            dice.pick(&["25%", "50%", "0%"]),
            dice.pick(&[1, 3, 8, 25]),
            dice.pick(&[1, 4]),
            dice.pick(&["90s", "10m"]),
        );
        text += &format!(
            "versions = [{{ tag = \"v1\", age = \"9d\" }}, {{ tag = \"v2\", age = \"2d\" }}, \
             {{ tag = \"v3\", age = \"{}\"{fails}{share} }}]\n",
            dice.pick(&["20s", "6m", "3h"])
        );
        for place in &places {
            let replicas = 1 + dice.below(6);
            let more = match dice.below(8) {
                0 => format!("running = {{ v2 = {replicas} }}\n"),
                1 if replicas > 1 => format!("running = {{ v2 = 1, v3 = {} }}\n", replicas - 1),
                2 => "paused = true\n".to_string(),
                3 if pin == "tag" && !place.starts_with("aws") => "stale = 1\n".to_string(),
                4 => "requested = \"v2\"\n".to_string(),
                _ => String::new(),
            };
            text += &format!("[[services.at]]\nplace = \"{place}\"\nreplicas = {replicas}\n{more}");
        }
        if dice.one_in(3) {
            text += &format!("[[expect]]\nservice = \"app\"\nversion = \"{}\"\n", dice.pick(&["v2", "v3"]));
        }
        let workload = |place: &&str| WorkloadId {
            place: PlaceId::new(place),
            namespace: (!place.starts_with("aws")).then(|| Text::new("shop")),
            kind: match (place.starts_with("aws"), kind) {
                (true, _) => WorkloadKind::AutoScalingGroup,
                (false, "StatefulSet") => WorkloadKind::StatefulSet,
                (false, _) => WorkloadKind::Deployment,
            },
            name: Text::new("app"),
        };
        Scene {
            workloads: places.iter().map(workload).collect(),
            tags: vec!["v1", "v2", "v3"],
            changes_by_itself: fails.contains("later") || !reverted.is_empty(),
            is_lonely: dice.one_in(2),
            first: dice.one_in(4).then_some(if dice.one_in(2) { 25 } else { 50 }),
            floor,
            text,
        }
    }

    /// What somebody wants to have done, in the order in which it is tried.
    pub(super) fn requests(&self, dice: &mut Dice) -> Vec<PlanRequest> {
        let selector = match dice.below(3) {
            0 => format!("svc:app place:{}", dice.pick(&self.workloads).place),
            _ => "svc:app".to_string(),
        };
        let pace = if dice.one_in(4) { Pace::Fast } else { Pace::Careful };
        let suspend = *dice.pick(&[Suspend::Nobody, Suspend::UntilGivenBack, Suspend::UntilDone]);
        let tempo = match dice.below(8) {
            0 => Tempo::default().faster(),
            1 => Tempo::default().slower(),
            _ => Tempo::default(),
        };
        let request = |goto: Goto, pick: Pick, change: Change| PlanRequest {
            pick,
            change,
            pace,
            suspend,
            tempo,
            ..PlanRequest::of(
                goto,
                Scope::Matching(Selector::parse(&selector).expect("a selector")),
                Duration::from_secs(600),
            )
        };
        let change = if dice.one_in(4) { Change::ImageOnly } else { Change::WholeTemplate };
        let pick = match dice.below(3) {
            0 => Pick::Oldest(1 + dice.below(3) as u32),
            1 => Pick::Random { count: 1 + dice.below(3) as u32, seed: dice.below(100) },
            _ => Pick::Off,
        };
        let mut requests = vec![
            request(Goto::LastGood, Pick::Off, change),
            request(Goto::Expected, pick, Change::WholeTemplate),
            request(Goto::Image(Text::new(dice.pick::<&str>(&self.tags))), Pick::Off, change),
            request(Goto::Revision(1 + dice.below(3)), Pick::Off, Change::WholeTemplate),
        ];
        for at in (1..requests.len()).rev() {
            requests.swap(at, dice.below(at as u64 + 1) as usize);
        }
        requests
    }
}
