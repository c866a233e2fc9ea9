//! Expected and running compared: a verdict for each instance, a judgement for each workload.
//!
//! Never calls unknown ok. Where two digests can't be compared without a registry it says so (`unknown`).

mod next_run;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::expectation::{Expectation, ExpectationSource, Expected, Target};
use super::history::{Version, is_earlier_run};
use super::id::Uid;
use super::image::{Comparison, ImageId, ImageRef};
use super::observation::{ContainerSeen, Health, InstanceSeen, Phase, RevisionSeen, Role, Rollout, WorkloadSeen};
use super::text::Text;
pub use next_run::{NextRun, next_run};

/// The verdict over an instance or, as the worst of its instances, over a row. Ordered from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Runs what it should.
    Ok,
    /// No data, or the two sides can't be compared.
    Unknown,
    /// A rollout is on its way.
    Mixed,
    /// Nothing is declared; it differs from the majority of its workload.
    Outlier,
    /// Runs something else than declared.
    Drift,
    /// Runs an image that is banned.
    Quarantined,
}

/// Counts of instances by verdict. A pod counts once, with its worst container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All that count.
    pub instances: u32,
    /// `ok`.
    pub ok: u32,
    /// `drift`.
    pub drift: u32,
    /// `mixed`.
    pub mixed: u32,
    /// `outlier`.
    pub outlier: u32,
    /// `unknown`.
    pub unknown: u32,
    /// `quarantined`.
    pub quarantined: u32,
    /// Mixed ones whose rollout does not go on by itself; they count as off.
    pub overdue: u32,
    /// Healthy ones.
    pub healthy: u32,
    /// How many there should be.
    pub desired: u32,
}

/// A remark on a row beside its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// It matches now, but the next launch would not have to.
    Latent,
    /// It was changed after its start.
    Touched,
    /// A rollout is held.
    Paused,
    /// The platform gave up on the rollout.
    Failed,
    /// A rollout is moving.
    Rolling,
    /// Somebody has locked it: it is not operated, or not moved away from its version.
    Locked,
    /// Somebody knows that it is off.
    Snoozed,
}

/// Instances of a workload that run one image in its main container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cohort {
    /// The exact image; `None` if it is not known (yet).
    pub image: Option<ImageId>,
    /// How it was asked for by most of them.
    pub reference: Option<ImageRef>,
    /// How many.
    pub instances: u32,
    /// Their verdict on the main container, the worst of them.
    pub verdict: Verdict,
}

/// What is said of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The worst of its instances.
    pub verdict: Verdict,
    /// Why, in words.
    pub reason: Text,
    /// By verdict.
    pub tally: Tally,
    /// The container that its row shows.
    pub main: Text,
    /// What should run there.
    pub expected: Option<Expectation>,
    /// The exact image that the template asks for: pinned, or learnt from an instance of the current revision.
    pub requested: Option<ImageId>,
    /// What runs there.
    pub running: Vec<Cohort>,
    /// Since when something is off, as far as the instances show.
    pub since: Option<Timestamp>,
    /// Remarks.
    pub marks: Vec<Mark>,
    /// Its versions, newest first, each with its evidence or why it is none to go back to.
    pub versions: Vec<Version>,
    /// The last good one's place in `versions`.
    pub last_good: Option<usize>,
}

/// The verdict over one instance, with the reason in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceVerdict {
    /// The worst of its containers.
    pub verdict: Verdict,
    /// Why.
    pub reason: Text,
}

/// What all instances of a workload are judged by.
pub struct Measure<'a> {
    /// The workload.
    pub workload: &'a WorkloadSeen,
    /// Its revisions, as far as they can be read.
    pub revisions: &'a [RevisionSeen],
    /// What should run.
    pub expected: &'a Expected,
    /// The current revision's uid, where revisions are known.
    pub current: Option<&'a Uid>,
    /// The image that more than half of the instances run, container by container.
    majority: Vec<(Text, ImageId)>,
    /// The containers whose images were counted.
    compared: Vec<Text>,
    aliases: Vec<(Text, ImageId)>,
}

/// What is said of a run that another template was asked for since.
const EARLIER_RUN: &str = "a run of an earlier version; it is left to end";
/// Half of the instances against the other half: nobody can say which half is off.
const NO_MAJORITY: &str = "its workload runs different images and none has a majority; nothing is declared";

impl Verdict {
    /// Every verdict, best first.
    pub const ALL: [Verdict; 6] =
        [Verdict::Ok, Verdict::Unknown, Verdict::Mixed, Verdict::Outlier, Verdict::Drift, Verdict::Quarantined];

    /// The word that screens and scripts use.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Unknown => "unknown",
            Verdict::Mixed => "mixed",
            Verdict::Outlier => "outlier",
            Verdict::Drift => "drift",
            Verdict::Quarantined => "quarantined",
        }
    }
}

impl Tally {
    /// Instances that are off: quarantined, drift, outlier, and mixed past its deadline.
    pub fn off(&self) -> u32 {
        self.quarantined + self.drift + self.outlier + self.overdue
    }

    /// Instances that should be there and healthy, and are not.
    pub fn unhealthy(&self) -> u32 {
        self.desired.max(self.instances).saturating_sub(self.healthy)
    }

    /// The worst verdict counted; nothing at all is `ok` only where nothing is wanted.
    pub fn worst(&self) -> Verdict {
        match self {
            _ if self.quarantined > 0 => Verdict::Quarantined,
            _ if self.drift > 0 => Verdict::Drift,
            _ if self.outlier > 0 => Verdict::Outlier,
            _ if self.mixed > 0 => Verdict::Mixed,
            _ if self.unknown > 0 || (self.instances == 0 && self.desired > 0) => Verdict::Unknown,
            _ => Verdict::Ok,
        }
    }

    /// Counts one instance.
    pub fn count(&mut self, verdict: Verdict, health: Health) {
        self.instances += 1;
        self.healthy += u32::from(health == Health::Healthy);
        match verdict {
            Verdict::Ok => self.ok += 1,
            Verdict::Unknown => self.unknown += 1,
            Verdict::Mixed => self.mixed += 1,
            Verdict::Outlier => self.outlier += 1,
            Verdict::Drift => self.drift += 1,
            Verdict::Quarantined => self.quarantined += 1,
        }
    }

    /// Both together.
    pub fn plus(self, other: Tally) -> Tally {
        self.combine(other, u32::saturating_add)
    }

    /// This one without the other, which was counted into it before.
    pub fn minus(self, other: Tally) -> Tally {
        self.combine(other, u32::saturating_sub)
    }

    fn combine(self, other: Tally, with: fn(u32, u32) -> u32) -> Tally {
        Tally {
            instances: with(self.instances, other.instances),
            ok: with(self.ok, other.ok),
            drift: with(self.drift, other.drift),
            mixed: with(self.mixed, other.mixed),
            outlier: with(self.outlier, other.outlier),
            unknown: with(self.unknown, other.unknown),
            quarantined: with(self.quarantined, other.quarantined),
            overdue: with(self.overdue, other.overdue),
            healthy: with(self.healthy, other.healthy),
            desired: with(self.desired, other.desired),
        }
    }
}

impl<'a> Measure<'a> {
    /// Takes the measure of a workload from all its instances: the majority of each container, and which exact images
    /// were seen under the expected references.
    pub fn of<'i>(
        workload: &'a WorkloadSeen,
        revisions: &'a [RevisionSeen],
        expected: &'a Expected,
        instances: impl Iterator<Item = &'i InstanceSeen> + Clone,
    ) -> Measure<'a> {
        let current =
            super::history::current_revision(revisions, &workload.template.hash).map(|revision| &revision.uid);
        let mut measure = Measure {
            workload,
            revisions,
            expected,
            current,
            majority: Vec::new(),
            compared: Vec::new(),
            aliases: Vec::new(),
        };
        let mut counts: Vec<(&Text, &ImageId, u32)> = Vec::new();
        for instance in instances.clone().filter(|instance| instance.phase.is_counted()) {
            for container in &instance.containers {
                let Some(running) = &container.running else { continue };
                if measure.is_alias(container) {
                    measure.learn(&container.name, running);
                }
                if expected.of(&container.name).is_some() || !measure.is_current(instance) {
                    continue;
                }
                match counts.iter_mut().find(|(name, image, _)| **name == container.name && *image == running) {
                    Some((_, _, count)) => *count += 1,
                    None => counts.push((&container.name, running, 1)),
                }
            }
        }
        let all = |name: &Text| counts.iter().filter(|(of, ..)| *of == name).map(|(.., count)| count).sum::<u32>();
        let more_than_half = counts.iter().filter(|(name, _, count)| *count * 2 > all(name));
        measure.majority = more_than_half.map(|(name, image, _)| ((*name).clone(), (*image).clone())).collect();
        measure.compared = counts.into_iter().map(|(name, ..)| name.clone()).collect();
        measure
    }

    /// Judges one instance: the worst of those of its containers that count.
    pub fn judge(&self, instance: &InstanceSeen) -> InstanceVerdict {
        if let Some(problem) = self.expected.problem.as_ref().filter(|_| self.expected.containers.is_empty()) {
            return InstanceVerdict { verdict: Verdict::Unknown, reason: problem.clone() };
        }
        let mut worst: Option<InstanceVerdict> = None;
        for container in instance.containers.iter().filter(|container| self.role(container).is_judged()) {
            let judged = self.judge_container(instance, container);
            if worst.as_ref().is_none_or(|worst| judged.verdict > worst.verdict) {
                worst = Some(judged);
            }
        }
        worst.unwrap_or_else(|| InstanceVerdict {
            verdict: Verdict::Unknown,
            reason: Text::new("it reports no container"),
        })
    }

    /// Judges one container of an instance.
    pub fn judge_container(&self, instance: &InstanceSeen, container: &ContainerSeen) -> InstanceVerdict {
        let say = |verdict, reason: &str| InstanceVerdict { verdict, reason: Text::new(reason) };
        let Some(running) = &container.running else {
            let why = instance.reason.as_deref().unwrap_or("no image was pulled yet");
            let is_moving = self.is_moving() && self.workload.rollout != Rollout::Paused;
            return if is_moving || instance.phase == Phase::Pending && self.is_replacing(instance) {
                say(Verdict::Mixed, &format!("starting: {why}"))
            } else {
                say(Verdict::Unknown, why)
            };
        };
        let Some(expectation) = self.expected.of(&container.name) else {
            // What could not be placed may have meant this container: it is not judged by its neighbours instead.
            if let Some(problem) = &self.expected.problem {
                return InstanceVerdict { verdict: Verdict::Unknown, reason: problem.clone() };
            }
            return self.judge_by_majority(instance, container, running);
        };
        let mut undecided = None;
        for target in &expectation.targets {
            match self.compare(target, container, running) {
                (Comparison::Same, why) => return say(Verdict::Ok, why),
                (Comparison::Different, _) => {}
                (Comparison::Undecidable, why) => undecided = Some(why),
            }
        }
        if let Some(why) = undecided {
            return say(Verdict::Unknown, why);
        }
        if self.is_earlier_run(instance) {
            return say(Verdict::Mixed, EARLIER_RUN);
        }
        if self.is_replacing(instance) && self.requests_expected(expectation) {
            return say(Verdict::Mixed, &self.why_not_yet());
        }
        let source = match expectation.source {
            ExpectationSource::Configuration => "runs another image than the configuration expects",
            ExpectationSource::Annotation => "runs another image than its annotation expects",
            ExpectationSource::Template => "runs another image than its template pins",
            ExpectationSource::Resolved => "runs another image than what its template stands for now",
            ExpectationSource::Majority => "runs another image than the majority",
        };
        say(Verdict::Drift, source)
    }

    /// What a container is: one that neither its revision's nor the workload's template has was added at admission.
    pub fn role(&self, container: &ContainerSeen) -> Role {
        let templates = self.revisions.iter().map(|revision| &revision.template).chain([&self.workload.template]);
        let mut known = templates.filter(|template| !template.containers.is_empty()).peekable();
        if container.role == Role::Debug || known.peek().is_none() {
            return container.role;
        }
        let in_template = known.flat_map(|template| &template.containers).any(|asked| asked.name == container.name);
        if in_template { container.role } else { Role::Injected }
    }

    /// Whether the platform is changing instances now.
    fn is_moving(&self) -> bool {
        matches!(self.workload.rollout, Rollout::Progressing | Rollout::Paused)
            || self.workload.observed_generation < self.workload.generation
    }

    /// Whether an instance is of the revision that the template asks for; where revisions are not known, all are.
    fn is_current(&self, instance: &InstanceSeen) -> bool {
        if self.workload.kind.has_runs() {
            // Each run is a revision of its own.
            return !self.is_earlier_run(instance);
        }
        let own = self.revisions.iter().find(|revision| revision.made(instance));
        own.zip(self.current).is_none_or(|(own, current)| own.uid == *current)
    }

    fn is_earlier_run(&self, instance: &InstanceSeen) -> bool {
        is_earlier_run(self.workload, self.revisions, instance)
    }

    /// Whether an instance is an old one in a rollout, on its way or stuck. Where nothing is moving it is a stray.
    fn is_replacing(&self, instance: &InstanceSeen) -> bool {
        let in_rollout = self.is_moving() || matches!(self.workload.rollout, Rollout::Failed(_));
        in_rollout && (!self.is_current(instance) || self.current.is_none())
    }

    /// Why an instance is still as it was.
    fn why_not_yet(&self) -> String {
        match &self.workload.rollout {
            Rollout::Paused => "the rollout is held, and has not come to it".to_string(),
            Rollout::Failed(why) => format!("the rollout failed before it came to it: {why}"),
            Rollout::Stable | Rollout::Progressing => "the rollout has not come to it yet".to_string(),
        }
    }

    fn requests_expected(&self, expectation: &Expectation) -> bool {
        let asked = self.workload.template.containers.iter().find(|asked| asked.name == expectation.container);
        asked.and_then(|asked| asked.image.as_ref()).is_some_and(|asked| {
            expectation
                .targets
                .iter()
                .filter_map(|target| target.reference.as_ref())
                .any(|target| target.asks_same(asked))
        })
    }

    fn judge_by_majority(
        &self,
        instance: &InstanceSeen,
        container: &ContainerSeen,
        running: &ImageId,
    ) -> InstanceVerdict {
        let say = |verdict, reason: &str| InstanceVerdict { verdict, reason: Text::new(reason) };
        if self.is_earlier_run(instance) {
            return say(Verdict::Mixed, EARLIER_RUN);
        }
        if !self.is_current(instance) && self.is_replacing(instance) {
            return say(Verdict::Mixed, &format!("of an earlier revision; {}", self.why_not_yet()));
        }
        let Some((_, majority)) = self.majority.iter().find(|(name, _)| *name == container.name) else {
            let is_split = self.compared.contains(&container.name);
            let why = if is_split { NO_MAJORITY } else { "there is nothing to compare it with" };
            return say(Verdict::Unknown, why);
        };
        match majority.compare(running) {
            Comparison::Same => say(Verdict::Ok, "like the majority; nothing is declared"),
            Comparison::Different => say(Verdict::Outlier, "differs from the majority; nothing is declared"),
            Comparison::Undecidable => say(Verdict::Unknown, "its digest is of another kind than the majority's"),
        }
    }

    /// Whether this container was asked for exactly what is expected, so that what it runs is that image by content.
    ///
    /// A runtime reports the index digest for a pod that is pinned to a platform manifest and the reverse (kubernetes
    /// issue 115199), so the pulled digest may differ from the pin although nothing else can run under a pin.
    fn is_alias(&self, container: &ContainerSeen) -> bool {
        let Some(expectation) = self.expected.of(&container.name) else { return false };
        let Some(asked) = &container.asked else { return false };
        expectation.targets.iter().filter_map(|target| target.reference.as_ref()).any(|target| target.asks_same(asked))
    }

    fn learn(&mut self, container: &Text, running: &ImageId) {
        if !self.aliases.iter().any(|(name, image)| name == container && image == running) {
            self.aliases.push((container.clone(), running.clone()));
        }
    }

    fn compare(&self, target: &Target, container: &ContainerSeen, running: &ImageId) -> (Comparison, &'static str) {
        let asked_for_it = target
            .reference
            .as_ref()
            .zip(container.asked.as_ref())
            .is_some_and(|(target, asked)| target.asks_same(asked));
        let is_known_alias = self.aliases.iter().any(|(name, image)| *name == container.name && image == running);
        let Some(expected) = &target.image else {
            return match () {
                () if asked_for_it && self.is_split(&container.name) => (
                    Comparison::Undecidable,
                    "its tag stands for two digests here; only a registry can tell which is right",
                ),
                () if asked_for_it => (Comparison::Same, "asked for the expected tag"),
                () if is_known_alias => (Comparison::Same, "the same digest under another tag"),
                () => (Comparison::Different, ""),
            };
        };
        if expected.compare(running) == Comparison::Same {
            return (Comparison::Same, "runs the expected image");
        }
        // A machine image has one id and no other documents: asking for it is not yet running it.
        if matches!(expected, ImageId::Machine { .. }) && matches!(running, ImageId::Machine { .. }) {
            return (Comparison::Different, "");
        }
        if asked_for_it || is_known_alias {
            return (
                Comparison::Same,
                "pinned to the expected digest; the runtime reports another document of that image",
            );
        }
        match expected.compare(running) {
            Comparison::Undecidable => {
                (Comparison::Undecidable, "its digest is of another kind; only a registry can tell")
            }
            _ if is_same_tag_unpinned(target, container) => (
                Comparison::Undecidable,
                "same tag, another digest; only a registry can tell whether it is another image",
            ),
            comparison => (comparison, ""),
        }
    }

    fn is_split(&self, container: &Text) -> bool {
        self.aliases.iter().filter(|(name, _)| name == container).count() > 1
    }
}

/// A pod that asks for the expected tag without a digest and reports another repository digest may run the expected
/// image under its index or its manifest digest: neither good nor drift without a registry.
fn is_same_tag_unpinned(target: &Target, container: &ContainerSeen) -> bool {
    use super::image::DigestKind::Repository;
    let Some((target_ref, asked)) = target.reference.as_ref().zip(container.asked.as_ref()) else { return false };
    let of_unknown_kind = matches!(container.running, Some(ImageId::Oci { kind: Repository, .. }));
    of_unknown_kind
        && asked.digest().is_none()
        && asked.is_same_repository(target_ref)
        && asked.tag() == target_ref.tag()
}
