//! Judging the workloads that a batch has changed, and keeping the tallies of services and places in step.
//!
//! Never looks at a workload that did not change.

use super::{Fleet, Instance, Workload, is_off};
use crate::domain::drift::{Cohort, InstanceVerdict, Judgement, Mark, Measure, Tally, Verdict, next_run};
use crate::domain::expectation::{ExpectationSource, Expected, expected_of};
use crate::domain::history::{self, Banned, Knowledge, OwnRecord};
use crate::domain::id::{Uid, WorkloadId};
use crate::domain::image::{ImageId, ImageRef};
use crate::domain::observation::{Health, InstanceSeen, Phase, RevisionSeen, Rollout};
use crate::domain::protection::Protections;
use crate::domain::text::Text;

impl Fleet {
    /// Takes over what the journal knows of a workload's versions.
    pub fn set_record(&mut self, id: WorkloadId, record: OwnRecord) {
        if let Some(&slot) = self.workload_slots.get(&id) {
            self.dirty.insert(slot);
        }
        self.records.insert(id, record);
        self.judge_dirty();
        self.revision += 1;
    }

    /// Takes over what is protected now; every workload is judged again where that is something else than before.
    pub fn set_protections(&mut self, protections: Protections) {
        if self.protections == protections {
            return;
        }
        self.protections = protections;
        let slots = self.workloads.iter().enumerate().filter(|(_, workload)| workload.is_some());
        self.dirty.extend(slots.map(|(slot, _)| slot as u32));
        self.judge_dirty();
        self.revision += 1;
    }

    pub(super) fn judge_dirty(&mut self) {
        let mut dirty: Vec<u32> = self.dirty.drain().collect();
        dirty.sort_unstable();
        for slot in dirty {
            self.judge(slot);
        }
    }

    fn judge(&mut self, slot: u32) {
        let Some(workload) = self.workloads.get(slot as usize).and_then(Option::as_ref) else { return };
        let annotation = workload.seen.expected_annotation.as_ref();
        let template = &workload.seen.template;
        let expected = expected_of(
            (&self.declarations, &self.releases),
            &workload.id,
            &workload.seen.service,
            annotation,
            template,
            &self.catalog,
        );
        let rows: Vec<(u32, &Instance)> = workload
            .instances
            .iter()
            .filter_map(|&at| self.instances.get(at as usize).map(|instance| (at, instance)))
            .collect();
        let seen = rows.iter().map(|(_, instance)| &instance.seen);
        let measure = Measure::of(&workload.seen, &workload.revisions, &expected, &self.catalog, seen);
        let mut judged = Judged::new(workload, &expected);
        let mut verdicts = Vec::new();
        for (at, instance) in &rows {
            let verdict = match self.ban_of(&measure, &instance.seen) {
                Some(reason) => InstanceVerdict { verdict: Verdict::Quarantined, reason },
                None => measure.judge(&instance.seen),
            };
            judged.add(workload, &measure, instance, verdict.verdict, &verdict.reason);
            if verdict.verdict != instance.verdict || verdict.reason != instance.reason {
                verdicts.push((*at, verdict));
            }
        }
        let revision_of = |uid: &Uid| workload.revisions.iter().find(|revision| revision.uid == *uid);
        let learnt = |owner: &Uid, container: &str| match revision_of(owner) {
            Some(revision) => learnt_image(&rows, |seen| revision.made(seen), container),
            None => learnt_image(&rows, |seen| seen.owner.as_ref().is_some_and(|known| known.uid == *owner), container),
        };
        let own = self.records.get(&workload.id).cloned().unwrap_or_default();
        let running = |uid: &Uid| {
            rows.iter().any(|(_, instance)| {
                let is_of = revision_of(uid).is_some_and(|revision| revision.made(&instance.seen));
                is_of && instance.seen.phase == Phase::Running && instance.seen.health == Health::Healthy
            })
        };
        let banned = |image: Option<&ImageId>, reference: Option<&ImageRef>| self.why_banned(image, reference);
        let seen = Seen { learnt: &learnt, running: &running, banned: &banned };
        let mut judgement = judged.finish(workload, &expected, &seen, &own);
        let is_locked = self.lock_on(workload).is_some() || self.protections.stay_of(&workload.id).is_some();
        judgement.labels = self.labels_of(workload, &judgement);
        judgement.name_versions();
        judgement.marks.extend(is_locked.then_some(Mark::Locked));
        judgement.marks.extend(self.snooze_on(workload).map(|_| Mark::Snoozed));
        for (at, mut verdict) in verdicts {
            self.interned.share(&mut verdict.reason);
            if let Some(instance) = self.instances.get_mut(at as usize) {
                instance.verdict = verdict.verdict;
                instance.reason = verdict.reason;
            }
        }
        self.put_judgement(slot, judgement);
    }

    /// What releases, and else the labels of a workload's images, call them.
    fn labels_of(&self, workload: &Workload, judgement: &Judgement) -> Vec<(ImageId, Text)> {
        let compare = |mine: &ImageId, theirs: &ImageId| self.catalog.compare(mine, theirs);
        let targets = judgement.expected.iter().flat_map(|expected| &expected.targets);
        let images = targets.filter_map(|target| target.image.as_ref());
        let running = judgement.running.iter().filter_map(|cohort| cohort.image.as_ref());
        let versions = judgement.versions.iter().filter_map(|version| version.image.as_ref());
        let mut labels: Vec<(ImageId, Text)> = Vec::new();
        for image in images.chain(running).chain(&judgement.requested).chain(versions) {
            let of_release = self.releases.version_of(&workload.seen.service, Some(image), None, &compare);
            if let Some(version) = of_release.or_else(|| self.catalog.version_of(image))
                && !labels.iter().any(|(known, _)| known == image)
            {
                labels.push((image.clone(), version.clone()));
            }
        }
        labels
    }

    /// Why an instance runs what it must not, if it does.
    fn ban_of(&self, measure: &Measure<'_>, instance: &InstanceSeen) -> Option<Text> {
        if self.protections.is_empty() {
            return None;
        }
        let judged = instance.containers.iter().filter(|container| measure.role(container).is_judged());
        let mut bans = judged.map(|container| self.why_banned(container.running.as_ref(), container.asked.as_ref()));
        bans.find_map(|ban| ban)
    }

    fn why_banned(&self, image: Option<&ImageId>, reference: Option<&ImageRef>) -> Option<Text> {
        let ban = self.quarantine_of(image, reference)?;
        Some(Text::new(&format!("its image is quarantined {}", ban.describe())))
    }

    fn put_judgement(&mut self, slot: u32, judgement: Judgement) {
        let Some(workload) = self.workloads[slot as usize].as_mut() else { return };
        let (before, after) = (workload.judgement.tally, judgement.tally);
        workload.judgement = judgement;
        let service = workload.seen.service.clone();
        let place = &mut self.places[usize::from(self.place_numbers[&workload.id.place])];
        place.tally = place.tally.minus(before).plus(after);
        self.count_service(&service, before, after);
    }

    pub(super) fn count_service(&mut self, service: &Text, before: Tally, after: Tally) {
        let tally = self.services.entry(service.clone()).or_default();
        *tally = tally.minus(before).plus(after);
        if *tally == Tally::default() {
            self.services.remove(service);
        }
    }
}

impl Judgement {
    /// What a release or a label calls an image is its name everywhere.
    fn name_versions(&mut self) {
        for version in &mut self.versions {
            let named = self.labels.iter().find(|(image, _)| version.image.as_ref() == Some(image));
            if let Some((_, name)) = named {
                version.version = Some(name.clone());
            }
        }
    }

    /// Whether something is off: instances, or what the next run would start.
    pub fn is_off(&self) -> bool {
        self.tally.off() > 0 || matches!(self.verdict, Verdict::Drift | Verdict::Outlier | Verdict::Quarantined)
    }

    /// Before anything was judged.
    pub(super) fn empty() -> Judgement {
        Judgement {
            verdict: Verdict::Unknown,
            reason: Text::default(),
            tally: Tally::default(),
            main: Text::default(),
            expected: None,
            requested: None,
            running: Vec::new(),
            labels: Vec::new(),
            since: None,
            marks: Vec::new(),
            versions: Vec::new(),
            last_good: None,
        }
    }
}

/// What the instances of a workload tell of its revisions.
struct Seen<'a> {
    /// The exact image that they run.
    learnt: &'a dyn Fn(&Uid, &str) -> Option<ImageId>,
    /// Whether healthy ones run.
    running: &'a dyn Fn(&Uid) -> bool,
    /// Why an image is quarantined.
    banned: Banned<'a>,
}

/// What comes together while the instances of one workload are gone through.
struct Judged {
    main: Text,
    tally: Tally,
    cohorts: Vec<Cohort>,
    worst: Option<(Verdict, Text)>,
    since: Option<jiff::Timestamp>,
    is_touched: bool,
}

impl Judged {
    fn new(workload: &Workload, expected: &Expected) -> Judged {
        let tally = Tally { desired: workload.seen.desired, ..Tally::default() };
        let main = main_container(workload, expected);
        Judged { main, tally, cohorts: Vec::new(), worst: None, since: None, is_touched: false }
    }

    fn add(&mut self, workload: &Workload, measure: &Measure<'_>, instance: &Instance, verdict: Verdict, why: &Text) {
        if !instance.seen.phase.is_counted() {
            return;
        }
        let is_healthy = instance.seen.phase == Phase::Running && instance.seen.health == Health::Healthy;
        self.tally.count(verdict, if is_healthy { Health::Healthy } else { Health::Unhealthy });
        let off = is_off(verdict, &workload.seen);
        self.tally.overdue += u32::from(off && verdict == Verdict::Mixed);
        if off {
            self.since = match (self.since, instance.seen.started_at) {
                (Some(since), Some(started)) => Some(since.min(started)),
                (since, started) => since.or(started),
            };
        }
        self.is_touched |= instance.seen.touched.is_some();
        if self.worst.as_ref().is_none_or(|(worst, _)| verdict > *worst) {
            self.worst = Some((verdict, why.clone()));
        }
        if self.main.is_empty() {
            self.main = instance.seen.containers.first().map(|first| first.name.clone()).unwrap_or_default();
        }
        let Some(container) = instance.seen.containers.iter().find(|container| container.name == self.main) else {
            return;
        };
        let own = match verdict {
            Verdict::Quarantined => verdict,
            _ => measure.judge_container(&instance.seen, container).verdict,
        };
        match self.cohorts.iter_mut().find(|cohort| cohort.image == container.running) {
            Some(cohort) => {
                cohort.instances += 1;
                cohort.verdict = cohort.verdict.max(own);
            }
            None => self.cohorts.push(Cohort {
                image: container.running.clone(),
                reference: container.asked.clone(),
                instances: 1,
                verdict: own,
            }),
        }
    }

    fn finish(mut self, workload: &Workload, expected: &Expected, seen_now: &Seen<'_>, own: &OwnRecord) -> Judgement {
        let Seen { learnt, running, banned } = *seen_now;
        self.cohorts.sort_by(|a, b| b.instances.cmp(&a.instances).then_with(|| a.image.cmp(&b.image)));
        let seen = &workload.seen;
        let main = self.main;
        let expectation = expected.of(&main).cloned();
        let declared = expectation
            .as_ref()
            .filter(|spoken| spoken.source < ExpectationSource::Template)
            .and_then(|spoken| spoken.main()?.reference.clone());
        let knowledge = Knowledge {
            requested: &seen.template,
            main: &main,
            learnt,
            running,
            banned,
            own,
            declared: declared.as_ref(),
        };
        let mut versions = history::versions(&workload.revisions, &knowledge);
        if seen.kind.has_runs() {
            versions = history::one_of_each(versions, &seen.template.hash);
        }
        let last_good = history::last_good(&versions, declared.as_ref())
            .and_then(|good| versions.iter().position(|version| version.revision == good.revision));
        let current = history::current_revision(&workload.revisions, &seen.template.hash);
        let asked =
            seen.template.containers.iter().find(|asked| asked.name == main).and_then(|asked| asked.image.as_ref());
        let is_run = |run: &&RevisionSeen| seen.kind.has_runs() && run.template.hash == seen.template.hash;
        let runs = workload.revisions.iter().filter(is_run);
        // Each run is a version of its own: the newest one that has told.
        let newest =
            runs.filter_map(|run| Some((run.number, learnt(&run.uid, &main)?))).max_by_key(|(number, _)| *number);
        let requested = newest
            .map(|(_, image)| image)
            .or_else(|| current.and_then(|current| learnt(&current.uid, &main)))
            .or_else(|| asked.and_then(|asked| asked.pinned()))
            .or_else(|| learnt(&seen.uid, &main).filter(|_| workload.revisions.is_empty()));
        let next = next_run(seen, expected, (&main, requested.as_ref()), banned);
        let mut marks = marks(workload, self.is_touched);
        let is_next_off =
            next.as_ref().is_some_and(|next| matches!(next.verdict, Verdict::Drift | Verdict::Quarantined));
        if is_next_off && !marks.contains(&Mark::Latent) {
            marks.insert(0, Mark::Latent);
        }
        let own = self.tally.worst();
        let verdict = next.as_ref().map_or(own, |next| own.max(next.verdict));
        let reason = match (self.worst, next) {
            // What is certain to come is told before what is on its way out.
            (Some((_, reason)), None) => reason,
            (Some((worst, reason)), Some(next)) => {
                if next.verdict > worst {
                    next.reason
                } else {
                    reason
                }
            }
            (None, Some(next)) => next.reason,
            (None, None) if seen.desired > 0 => Text::new("no instance was seen"),
            (None, None) => seen.inoperable.clone().unwrap_or_else(|| Text::new("scaled to zero")),
        };
        Judgement {
            verdict,
            reason,
            tally: self.tally,
            expected: expectation,
            requested,
            running: self.cohorts,
            labels: Vec::new(),
            since: self.since,
            marks,
            versions,
            last_good,
            main,
        }
    }
}

/// The container that a row shows: the one its owner names, else the one that a declaration means, else the first.
fn main_container(workload: &Workload, expected: &Expected) -> Text {
    let containers = &workload.seen.template.containers;
    let exists = |name: &Text| containers.is_empty() || containers.iter().any(|asked| asked.name == *name);
    let spoken = || {
        let declared = expected.containers.iter().find(|said| said.source < ExpectationSource::Template);
        declared.map(|said| said.container.clone())
    };
    let named = workload.seen.main_container.clone().filter(exists).or_else(spoken);
    named.or_else(|| containers.first().map(|first| first.name.clone())).unwrap_or_default()
}

fn marks(workload: &Workload, is_touched: bool) -> Vec<Mark> {
    let rollout = match workload.seen.rollout {
        Rollout::Stable => None,
        Rollout::Progressing => Some(Mark::Rolling),
        Rollout::Paused => Some(Mark::Paused),
        Rollout::Failed(_) => Some(Mark::Failed),
    };
    let latent = workload.seen.template.latent.as_ref().map(|_| Mark::Latent);
    [latent, is_touched.then_some(Mark::Touched), rollout].into_iter().flatten().collect()
}

/// The exact image that instances of a revision (or, where there are none, of a workload) run in a container, if they
/// all agree.
fn learnt_image(rows: &[(u32, &Instance)], is_of: impl Fn(&InstanceSeen) -> bool, container: &str) -> Option<ImageId> {
    let mut found: Option<&ImageId> = None;
    for instance in rows.iter().map(|(_, instance)| *instance).filter(|instance| is_of(&instance.seen)) {
        let running = instance.seen.containers.iter().find(|seen| seen.name == *container);
        match (found, running.and_then(|seen| seen.running.as_ref())) {
            (_, None) => {}
            (None, Some(image)) => found = Some(image),
            (Some(known), Some(image)) if known == image => {}
            (Some(_), Some(_)) => return None,
        }
    }
    found.cloned()
}
