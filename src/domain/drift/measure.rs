//! What the instances of one workload are measured by: what should run, what registries tell of it, and what most of them run.
//!
//! Never calls two digests different images that may be one, and never takes a tag's word for what runs.

use super::{InstanceVerdict, Verdict};
use crate::domain::catalog::Catalog;
use crate::domain::expectation::{Expectation, ExpectationSource, Expected, Target};
use crate::domain::history::{current_revision, is_earlier_run};
use crate::domain::id::Uid;
use crate::domain::image::{Comparison, DigestKind, ImageId};
use crate::domain::observation::{ContainerSeen, InstanceSeen, Phase, RevisionSeen, Role, Rollout, WorkloadSeen};
use crate::domain::text::Text;

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
    /// What registries have told.
    catalog: &'a Catalog,
}

/// What is said of a run that another template was asked for since.
const EARLIER_RUN: &str = "a run of an earlier version; it is left to end";
/// Half of the instances against the other half: nobody can say which half is off.
const NO_MAJORITY: &str = "its workload runs different images and none has a majority; nothing is declared";

impl<'a> Measure<'a> {
    /// Takes the measure of a workload from all its instances: the majority of each container, and which exact images
    /// were seen under the expected references.
    pub fn of<'i>(
        workload: &'a WorkloadSeen,
        revisions: &'a [RevisionSeen],
        expected: &'a Expected,
        catalog: &'a Catalog,
        instances: impl Iterator<Item = &'i InstanceSeen> + Clone,
    ) -> Measure<'a> {
        let current = current_revision(revisions, &workload.template.hash).map(|revision| &revision.uid);
        let mut measure = Measure {
            workload,
            revisions,
            expected,
            current,
            majority: Vec::new(),
            compared: Vec::new(),
            aliases: Vec::new(),
            catalog,
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
        let mut moved = None;
        for target in &expectation.targets {
            match self.compare(target, container, running) {
                (Comparison::Same, why) => return say(Verdict::Ok, why),
                (Comparison::Different, _) => {
                    moved = moved.or_else(|| self.why_moved(target, instance, container, running))
                }
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
        if let Some(why) = moved {
            return say(Verdict::Drift, &why);
        }
        let source = match expectation.source {
            ExpectationSource::Configuration => "runs another image than the configuration expects",
            ExpectationSource::Release => "runs another image than its release names",
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
        // What the tag of its template stands for decides, where somebody is asked for that: its neighbours may all be stale.
        let resolved =
            container.asked.as_ref().filter(|asked| asked.pinned().is_none()).map(|asked| self.catalog.resolve(asked));
        let unresolved = resolved.and_then(Result::err);
        let Some((_, majority)) = self.majority.iter().find(|(name, _)| *name == container.name) else {
            let is_split = self.compared.contains(&container.name);
            let why = if is_split { NO_MAJORITY } else { "there is nothing to compare it with" };
            return say(Verdict::Unknown, why);
        };
        match self.catalog.compare(majority, running) {
            Comparison::Same if unresolved.is_some() => say(Verdict::Unknown, &unresolved.unwrap_or_default()),
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
        let mut exact = expectation.targets.iter().filter(|target| !target.is_resolved());
        exact.any(|target| target.reference.as_ref().is_some_and(|target| target.asks_same(asked)))
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
        let compared = self.catalog.compare(expected, running);
        if compared == Comparison::Same {
            return (Comparison::Same, "runs the expected image");
        }
        // A machine image has one id and no other documents: asking for it is not yet running it.
        if matches!(expected, ImageId::Machine { .. }) && matches!(running, ImageId::Machine { .. }) {
            return (Comparison::Different, "");
        }
        let is_by_pin = asked_for_it && !target.is_resolved();
        if is_by_pin || is_known_alias {
            return (
                Comparison::Same,
                "pinned to the expected digest; the runtime reports another document of that image",
            );
        }
        match compared {
            Comparison::Different if self.catalog.knows(expected) && self.catalog.knows(running) => {
                (Comparison::Different, "")
            }
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

    /// Why an instance does not run what its tag stands for now, where a registry has told that: the tag moved, its node had an
    /// older image, or it is one of two halves.
    fn why_moved(
        &self,
        target: &Target,
        instance: &InstanceSeen,
        container: &ContainerSeen,
        running: &ImageId,
    ) -> Option<String> {
        let reference = target.reference.as_ref().filter(|_| target.is_resolved())?;
        let asks_for_it = container.asked.as_ref().is_some_and(|asked| asked.asks_same(reference));
        let (tag, image) = (self.catalog.tag(reference)?, target.image.as_ref().filter(|_| asks_for_it)?);
        let name = reference.tag().unwrap_or("latest");
        let now = image.short(12);
        let was =
            tag.before.as_ref().map(|(digest, heard)| (ImageId::oci(digest.clone(), DigestKind::Repository), *heard));
        let is_of_before = was.as_ref().is_some_and(|(was, _)| self.catalog.compare(was, running) == Comparison::Same);
        let built = self.catalog.images_of(image).find_map(|documents| documents.labels.created.as_ref()?.parse().ok());
        let started = instance.started_at;
        Some(match (started, was.filter(|_| is_of_before), built) {
            (Some(started), _, _) if started >= tag.since && is_of_before => format!(
                "stale pull: it started after tag {name} had moved to {now}, and runs the image from before: its node had that cached (pull policy IfNotPresent); pin a digest, or pull Always, then replace it"
            ),
            (Some(started), Some((_, heard)), _) if started <= heard => {
                format!("tag {name} moved after it had started, and stands for {now} now; replace it to get that")
            }
            (Some(started), None, Some(built)) if started < built => {
                format!("tag {name} stands for {now} now, which was built after it had started; replace it to get that")
            }
            _ => format!(
                "tag {name} stands for {now} now: the tag moved since it was pulled, or its node had an older image; replace it to get that"
            ),
        })
    }

    fn is_split(&self, container: &Text) -> bool {
        self.aliases.iter().filter(|(name, _)| name == container).count() > 1
    }
}

/// A pod that asks for the expected tag without a digest and reports another repository digest may run the expected
/// image under its index or its manifest digest: neither good nor drift without a registry.
fn is_same_tag_unpinned(target: &Target, container: &ContainerSeen) -> bool {
    use DigestKind::Repository;
    let Some((target_ref, asked)) = target.reference.as_ref().zip(container.asked.as_ref()) else { return false };
    let of_unknown_kind = matches!(container.running, Some(ImageId::Oci { kind: Repository, .. }));
    of_unknown_kind
        && asked.digest().is_none()
        && asked.is_same_repository(target_ref)
        && asked.tag() == target_ref.tag()
}
