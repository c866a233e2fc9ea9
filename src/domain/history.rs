//! The versions that a workload had, and which of them is the last good one (DESIGN section 6).
//!
//! Never calls a version good that it can't show evidence for, and never offers one that was gone away from.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{Uid, WorkloadKind};
use super::image::{Comparison, ImageId, ImageRef};
use super::observation::{InstanceSeen, RevisionSeen, Role, Template, TemplateHash, WorkloadSeen};
use super::text::{Text, counted};

/// Why a version is believed to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoodEvidence {
    /// Our own record saw it healthy.
    Observed,
    /// The provider's history holds it and nothing speaks against it.
    History,
}

impl GoodEvidence {
    /// The word that scripts hold on to.
    pub fn as_str(self) -> &'static str {
        match self {
            GoodEvidence::Observed => "observed",
            GoodEvidence::History => "history",
        }
    }
}

/// One version of a workload that can be gone back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The revision that holds it.
    pub revision: Uid,
    /// Its number.
    pub number: u64,
    /// Its whole template's hash.
    pub hash: TemplateHash,
    /// The main container's image, as asked for.
    pub reference: Option<ImageRef>,
    /// The exact image: pinned, or learnt from an instance of that revision.
    pub image: Option<ImageId>,
    /// What a person calls it.
    pub version: Option<Text>,
    /// When it was first made.
    pub created_at: Option<Timestamp>,
    /// Its author's words.
    pub cause: Option<Text>,
    /// From when on its platform calls its image deprecated.
    pub deprecated_at: Option<Timestamp>,
    /// What our journal or our record says of it.
    pub own: Option<OwnVerdict>,
    /// Whether healthy instances of it run now.
    pub is_running: bool,
    /// What speaks for it; `None` if it is no candidate.
    pub evidence: Option<GoodEvidence>,
    /// Why it is no candidate, where it is not.
    pub rejected: Option<Text>,
}

/// What our own journal knows about versions of one workload, by template hash; the newest entry counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnRecord(pub BTreeMap<TemplateHash, OwnVerdict>);

/// What an operation of ours did with a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnVerdict {
    /// An operation went to it and saw it healthy.
    WentTo,
    /// An operation went away from it.
    WentFrom,
    /// No operation was about it; our record saw all its instances healthy.
    SeenHealthy,
}

/// Why an image is quarantined, by what it is exactly or by how it was asked for; `None` if it is not.
pub type Banned<'a> = &'a dyn Fn(Option<&ImageId>, Option<&ImageRef>) -> Option<Text>;

/// What is known beside the revisions when candidates are judged.
pub struct Knowledge<'a> {
    /// What the workload asks for now.
    pub requested: &'a Template,
    /// The main container's name.
    pub main: &'a str,
    /// The exact image that instances of a revision were seen to run in a container.
    pub learnt: &'a dyn Fn(&Uid, &str) -> Option<ImageId>,
    /// Whether healthy instances of a revision run now.
    pub running: &'a dyn Fn(&Uid) -> bool,
    /// Our journal.
    pub own: &'a OwnRecord,
    /// Whether an image is declared (configuration or annotation) for the main container.
    pub declared: Option<&'a ImageRef>,
    /// Which images are bad wherever they run.
    pub banned: Banned<'a>,
}

/// How long before its image is deprecated a version is worth a warning.
const SOON: Duration = Duration::from_secs(14 * 86_400);
/// Why what a workload asks for now is no way back.
const REQUESTED: &str = "requested now";

impl Version {
    /// Whether it is what its workload asks for.
    pub fn is_requested(&self) -> bool {
        self.rejected.as_deref() == Some(REQUESTED)
    }

    /// That its image will be deprecated soon, or is, in words.
    pub fn deprecation(&self, now: Timestamp) -> Option<String> {
        deprecation(self.deprecated_at?, now)
    }

    /// What speaks for it, in words.
    pub fn why_good(&self, kind: WorkloadKind) -> &'static str {
        match self.own {
            // Nobody waited for its next run.
            Some(OwnVerdict::WentTo) if kind.has_runs() => "an operation of ours went to it",
            Some(OwnVerdict::WentTo) => "an operation of ours went to it and saw it healthy",
            Some(OwnVerdict::SeenHealthy) => "it was seen healthy here before",
            Some(OwnVerdict::WentFrom) | None if self.is_running => "healthy instances of it run now",
            Some(OwnVerdict::WentFrom) | None => "assumed good",
        }
    }
}

/// That an image is deprecated from that day on, where it is so or will be within two weeks.
pub fn deprecation(from: Timestamp, now: Timestamp) -> Option<String> {
    let (day, left) = (from.strftime("%Y-%m-%d"), from.duration_since(now));
    match left.as_secs() {
        ..=0 => Some(format!("deprecated since {day}: whoever keeps it may take it away")),
        seconds if left.unsigned_abs() <= SOON => {
            Some(format!("deprecated from {day} on, in {}", counted(seconds / 86_400, "day")))
        }
        _ => None,
    }
}

/// All versions of a workload, newest first, each judged.
pub fn versions(revisions: &[RevisionSeen], knowledge: &Knowledge<'_>) -> Vec<Version> {
    let current = current_revision(revisions, &knowledge.requested.hash);
    let left = left_behind(revisions, knowledge);
    let mut sorted: Vec<&RevisionSeen> = revisions.iter().collect();
    sorted.sort_by(|a, b| b.number.cmp(&a.number).then_with(|| a.uid.cmp(&b.uid)));
    sorted
        .into_iter()
        .map(|revision| {
            let main = revision.template.containers.iter().find(|container| container.name == *knowledge.main);
            let reference = main.and_then(|container| container.image.clone());
            let image = exact(revision, knowledge.main, knowledge);
            let rejected = rejection(revision, current, &left, reference.as_ref(), knowledge);
            let own = knowledge.own.0.get(&revision.template.hash).copied();
            let is_running = (knowledge.running)(&revision.uid);
            let evidence = match (&rejected, own) {
                (Some(_), _) => None,
                (None, Some(OwnVerdict::WentTo | OwnVerdict::SeenHealthy)) => Some(GoodEvidence::Observed),
                (None, _) if is_running => Some(GoodEvidence::Observed),
                (None, Some(OwnVerdict::WentFrom) | None) => Some(GoodEvidence::History),
            };
            Version {
                revision: revision.uid.clone(),
                number: revision.number,
                hash: revision.template.hash.clone(),
                version: revision.template.version.clone().or_else(|| reference.as_ref().and_then(ImageRef::version)),
                reference,
                image,
                created_at: revision.created_at,
                cause: revision.cause.clone(),
                deprecated_at: revision.deprecated_at,
                own,
                is_running,
                evidence,
                rejected,
            }
        })
        .collect()
}

/// The last good version: a declared one first, then the newest that our record went to, then the newest candidate.
pub fn last_good<'a>(versions: &'a [Version], declared: Option<&ImageRef>) -> Option<&'a Version> {
    let candidates = || versions.iter().filter(|version| version.evidence.is_some());
    candidates()
        .find(|version| {
            declared.zip(version.reference.as_ref()).is_some_and(|(declared, reference)| declared.asks_same(reference))
        })
        .or_else(|| candidates().find(|version| version.own == Some(OwnVerdict::WentTo)))
        // A version that is seen to work is better than a newer one of which nothing is known.
        .or_else(|| candidates().find(|version| version.is_running))
        .or_else(|| candidates().next())
}

/// The revision that the workload asks for now: the oldest one whose template equals the workload's (as the Deployment
/// controller itself decides).
pub fn current_revision<'a>(revisions: &'a [RevisionSeen], requested: &TemplateHash) -> Option<&'a RevisionSeen> {
    revisions
        .iter()
        .filter(|revision| revision.template.hash == *requested)
        .min_by(|a, b| a.created_at.cmp(&b.created_at).then_with(|| a.uid.cmp(&b.uid)))
}

/// Whether an instance is a run of another version than its workload's next run will be.
pub fn is_earlier_run(workload: &WorkloadSeen, revisions: &[RevisionSeen], instance: &InstanceSeen) -> bool {
    let own = || revisions.iter().find(|revision| revision.made(instance));
    workload.kind.has_runs() && own().is_some_and(|own| own.template.hash != workload.template.hash)
}

/// One version for each template, newest first: each run holds its own copy of one. The newest is the one that its platform
/// keeps longest, but one that failed says less than another that did not.
pub fn one_of_each(versions: Vec<Version>, requested: &TemplateHash) -> Vec<Version> {
    let mut kept: Vec<Version> = Vec::new();
    for mut version in versions {
        if version.hash == *requested {
            version.rejected = Some(Text::new(REQUESTED));
        }
        // An operation that went to it has seen no run of it.
        version.evidence = version.evidence.map(|evidence| match version.is_running {
            true => evidence,
            false => GoodEvidence::History,
        });
        match kept.iter_mut().find(|known| known.hash == version.hash) {
            Some(known) if known.evidence.is_none() && version.evidence.is_some() => *known = version,
            Some(_) => {}
            None => kept.push(version),
        }
    }
    kept
}

fn rejection(
    revision: &RevisionSeen,
    current: Option<&RevisionSeen>,
    left: &[Uid],
    reference: Option<&ImageRef>,
    knowledge: &Knowledge<'_>,
) -> Option<Text> {
    if current.is_some_and(|current| current.uid == revision.uid) {
        return Some(Text::new(REQUESTED));
    }
    if !images_differ(&revision.template, revision, current, knowledge) {
        return Some(Text::new("same image as requested now"));
    }
    let image = exact(revision, knowledge.main, knowledge);
    if let Some(why) = (knowledge.banned)(image.as_ref(), reference) {
        return Some(why);
    }
    let Some(reference) = reference else {
        return Some(Text::new("its main image is not known"));
    };
    match knowledge.own.0.get(&revision.template.hash) {
        Some(OwnVerdict::WentTo) => return None,
        Some(OwnVerdict::WentFrom) => return Some(Text::new("an operation went away from it")),
        Some(OwnVerdict::SeenHealthy) | None => {}
    }
    if knowledge.declared.is_some_and(|declared| declared.asks_same(reference)) {
        return None;
    }
    // What was seen to be healthy is good whatever became of one attempt.
    let was_healthy = knowledge.own.0.contains_key(&revision.template.hash) || (knowledge.running)(&revision.uid);
    if let Some(why) = revision.left.as_ref().filter(|_| !was_healthy) {
        return Some(why.clone());
    }
    // Where numbers do not rise when a version comes back, one that was never used looks the same.
    let is_newer = current.is_some_and(|current| revision.number > current.number);
    let why =
        if is_newer { "newer than what is asked for: rolled back from, or never used" } else { "was rolled back from" };
    left.contains(&revision.uid).then(|| Text::new(why))
}

/// Whether a revision's template asks for another image than the workload does now, in any of its own containers.
fn images_differ(
    template: &Template,
    revision: &RevisionSeen,
    current: Option<&RevisionSeen>,
    knowledge: &Knowledge<'_>,
) -> bool {
    let own = |template: &Template| -> Vec<(Text, Option<ImageRef>)> {
        let judged = template.containers.iter().filter(|container| container.role != Role::Injected);
        judged.map(|container| (container.name.clone(), container.image.clone())).collect()
    };
    let (theirs, now) = (own(template), own(knowledge.requested));
    theirs.len() != now.len()
        || theirs.iter().any(|(name, asked)| {
            let Some((_, wanted)) = now.iter().find(|(other, _)| other == name) else {
                return true;
            };
            match (asked, wanted) {
                (Some(asked), Some(wanted)) if asked.asks_same(wanted) => false,
                (Some(_), Some(_)) => {
                    // Another tag may still be the same image: equal digests under two tags are one version.
                    let before = exact(revision, name, knowledge);
                    let after = current.and_then(|current| exact(current, name, knowledge));
                    !matches!(before.zip(after), Some((before, after)) if before.compare(&after) == Comparison::Same)
                }
                _ => true,
            }
        })
}

fn exact(revision: &RevisionSeen, container: &str, knowledge: &Knowledge<'_>) -> Option<ImageId> {
    let asked = revision.template.containers.iter().find(|asked| asked.name == *container)?;
    asked.image.as_ref().and_then(ImageRef::pinned).or_else(|| (knowledge.learnt)(&revision.uid, container))
}

/// Revisions that the provider's history shows were rolled back from: an older one came again after them. One that came
/// again although it had itself been rolled back from proves nothing against the one between.
fn left_behind(revisions: &[RevisionSeen], knowledge: &Knowledge<'_>) -> Vec<Uid> {
    let mut sequence: Vec<(u64, &RevisionSeen)> = revisions
        .iter()
        .flat_map(|revision| {
            let numbers = revision.past_numbers.iter().copied().chain([revision.number]);
            numbers.map(move |number| (number, revision))
        })
        .collect();
    let returns = revisions.iter().filter_map(|came| Some((overtaken(revisions, came)?, came)));
    sequence.extend(returns);
    // Stable: what is only known to have been there before stands before what came then.
    sequence.sort_by_key(|(number, _)| *number);
    // What is requested now came last, even where its platform has not given it its new number yet.
    if let Some(current) = current_revision(revisions, &knowledge.requested.hash)
        && let Some((highest, newest)) = sequence.last().copied()
        && newest.uid != current.uid
    {
        sequence.push((highest + 1, current));
    }
    let mut left: Vec<Uid> = Vec::new();
    let has_images_of = |revision: &RevisionSeen, came: &RevisionSeen| {
        let knowledge = Knowledge { requested: &came.template, ..*knowledge };
        revision.uid == came.uid || !images_differ(&revision.template, revision, Some(came), &knowledge)
    };
    for (position, (_, came)) in sequence.iter().enumerate() {
        // By what it runs, not by its name: a revert in Git may change an annotation and make another revision.
        let Some(before) = sequence[..position].iter().rposition(|(_, earlier)| has_images_of(earlier, came)) else {
            continue;
        };
        if left.contains(&came.uid) {
            continue;
        }
        for (_, between) in &sequence[before + 1..position] {
            if !left.contains(&between.uid) && !has_images_of(between, came) {
                left.push(between.uid.clone());
            }
        }
    }
    left
}

/// ControllerRevisions keep no past numbers, but still show that a version came back: it was made before another one and
/// has a higher number. It had been there before the lowest of those. (Elsewhere a version's time may be that of its last
/// use, which proves nothing.)
fn overtaken(revisions: &[RevisionSeen], came: &RevisionSeen) -> Option<u64> {
    came.label.as_ref()?;
    let between = revisions.iter().filter(|other| {
        let is_younger = other.created_at.zip(came.created_at).is_some_and(|(other, came)| other > came);
        is_younger && other.number < came.number
    });
    between.map(|other| other.number.saturating_sub(1)).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::observation::ContainerSpec;

    fn template(image: &str) -> Template {
        let container =
            ContainerSpec { name: Text::new("app"), role: Role::App, image: Some(image.parse().expect("valid")) };
        Template { hash: TemplateHash(Text::new(image)), containers: vec![container], version: None, latent: None }
    }

    fn revision(image: &str, number: u64, past: &[u64]) -> RevisionSeen {
        RevisionSeen {
            uid: Uid::new(image),
            workload: Uid::new("w"),
            number,
            past_numbers: past.to_vec(),
            template: template(image),
            created_at: None,
            cause: None,
            left: None,
            deprecated_at: None,
            label: None,
        }
    }

    fn check(revisions: &[RevisionSeen], requested: &str, own: &[(&str, OwnVerdict)], expected: Option<&str>) {
        let own = OwnRecord(own.iter().map(|(hash, verdict)| (TemplateHash(Text::new(hash)), *verdict)).collect());
        let requested = template(requested);
        let knowledge = Knowledge {
            banned: &|_, _| None,
            requested: &requested,
            main: "app",
            learnt: &|_, _| None,
            running: &|_| false,
            own: &own,
            declared: None,
        };
        let versions = versions(revisions, &knowledge);
        let found = last_good(&versions, None).and_then(|version| version.reference.clone());
        assert_eq!(found.as_ref().map(ImageRef::as_str), expected);
    }

    #[test]
    fn runs_of_one_template_are_one_version_and_one_that_failed_stands_for_no_other() {
        let run = |image: &str, number: u64, left: Option<&str>| RevisionSeen {
            uid: Uid::new(&format!("run {number}")),
            left: left.map(Text::new),
            ..revision(image, number, &[])
        };
        let failed = Some("its run failed");
        let runs = [
            run("a:0", 1, None),
            run("a:1", 2, None),
            run("a:1", 3, failed),
            run("a:2", 4, failed),
            run("a:3", 5, None),
            run("a:3", 6, None),
        ];
        let (requested, own) = (template("a:3"), OwnRecord::default());
        let knowledge = Knowledge {
            banned: &|_, _| None,
            requested: &requested,
            main: "app",
            learnt: &|_, _| None,
            running: &|_| false,
            own: &own,
            declared: None,
        };
        let versions = one_of_each(versions(&runs, &knowledge), &requested.hash);
        let told: Vec<(u64, Option<&str>)> =
            versions.iter().map(|version| (version.number, version.rejected.as_deref())).collect();
        assert_eq!(told, [(6, Some("requested now")), (4, failed), (2, None), (1, None)]);
        assert_eq!(last_good(&versions, None).map(|version| version.number), Some(2));
    }

    #[test]
    fn the_version_before_is_the_last_good_one() {
        check(&[revision("a:1", 1, &[]), revision("a:2", 2, &[])], "a:2", &[], Some("a:1"));
    }

    #[test]
    fn a_second_rollback_never_brings_the_bad_image_back() {
        // v1, v2 (bad), back to v1: revision numbers 1, 2, 3. v2 was rolled back from.
        check(&[revision("a:1", 3, &[1]), revision("a:2", 2, &[])], "a:1", &[], None);
        // With an older v0 the version before is offered instead.
        let revisions = [revision("a:0", 1, &[]), revision("a:1", 4, &[2]), revision("a:2", 3, &[])];
        check(&revisions, "a:1", &[], Some("a:0"));
    }

    #[test]
    fn a_bad_version_that_came_again_proves_nothing_against_the_good_one() {
        // v1, v2 (bad), back to v1, then somebody ships v2 again: v1 stays the last good.
        check(&[revision("a:1", 3, &[1]), revision("a:2", 4, &[2])], "a:2", &[], Some("a:1"));
    }

    #[test]
    fn a_revert_that_made_another_revision_of_the_same_image_leaves_the_bad_one_behind() {
        let (mut reverted, mut requested) = (revision("a:1", 3, &[]), template("a:1"));
        for hash in [&mut reverted.template.hash, &mut requested.hash] {
            *hash = TemplateHash(Text::new("a:1 with another annotation"));
        }
        reverted.uid = Uid::new("reverted");
        let own = OwnRecord::default();
        let knowledge = Knowledge {
            banned: &|_, _| None,
            requested: &requested,
            main: "app",
            learnt: &|_, _| None,
            running: &|_| false,
            own: &own,
            declared: None,
        };
        let versions = versions(&[revision("a:1", 1, &[]), revision("a:2", 2, &[]), reverted], &knowledge);
        assert_eq!(last_good(&versions, None), None, "v2 was rolled back from");
    }

    #[test]
    fn our_own_record_speaks_before_the_history_of_the_provider() {
        let revisions = [revision("a:1", 1, &[]), revision("a:2", 2, &[]), revision("a:3", 3, &[])];
        check(&revisions, "a:3", &[("a:2", OwnVerdict::WentFrom)], Some("a:1"));
        check(&revisions, "a:3", &[("a:1", OwnVerdict::WentTo)], Some("a:1"));
        check(&revisions, "a:3", &[("a:1", OwnVerdict::SeenHealthy)], Some("a:2"));
    }

    #[test]
    fn having_been_seen_healthy_does_not_excuse_a_version_that_was_rolled_back_from() {
        let revisions = [revision("a:1", 3, &[1]), revision("a:2", 2, &[])];
        check(&revisions, "a:1", &[("a:2", OwnVerdict::SeenHealthy)], None);
    }

    #[test]
    fn what_came_back_before_its_number_did_leaves_the_bad_one_behind_all_the_same() {
        check(&[revision("a:1", 1, &[]), revision("a:2", 2, &[])], "a:1", &[], None);
    }

    #[test]
    fn a_version_with_healthy_instances_is_better_than_a_newer_one_of_which_nothing_is_known() {
        let revisions = [revision("a:1", 1, &[]), revision("a:2", 2, &[]), revision("a:3", 3, &[])];
        let (requested, own) = (template("a:3"), OwnRecord::default());
        let knowledge = Knowledge {
            banned: &|_, _| None,
            requested: &requested,
            main: "app",
            learnt: &|_, _| None,
            running: &|uid| *uid == Uid::new("a:1"),
            own: &own,
            declared: None,
        };
        let versions = versions(&revisions, &knowledge);
        assert_eq!(last_good(&versions, None).map(|good| good.number), Some(1));
    }

    #[test]
    fn a_change_that_kept_the_image_is_no_version_to_go_back_to() {
        let mut restarted = revision("a:1", 2, &[]);
        restarted.uid = Uid::new("restarted");
        restarted.template.hash = TemplateHash(Text::new("restarted"));
        let mut requested = template("a:1");
        requested.hash = TemplateHash(Text::new("restarted"));
        let own = OwnRecord::default();
        let knowledge = Knowledge {
            banned: &|_, _| None,
            requested: &requested,
            main: "app",
            learnt: &|_, _| None,
            running: &|_| false,
            own: &own,
            declared: None,
        };
        let versions = versions(&[revision("a:1", 1, &[]), restarted], &knowledge);
        assert_eq!(last_good(&versions, None), None);
    }

    #[test]
    fn that_a_controller_revision_came_back_shows_in_its_age() {
        let at = |second: i64| jiff::Timestamp::from_second(second).ok();
        let made = |image: &str, number: u64, second: i64| RevisionSeen {
            created_at: at(second),
            label: Some(Text::new(image)),
            ..revision(image, number, &[])
        };
        // v1, v2 (bad), back to v1: its number rose, and its old one is kept nowhere.
        check(&[made("a:1", 3, 10), made("a:2", 2, 20)], "a:1", &[], None);
        check(&[made("a:0", 1, 5), made("a:1", 4, 10), made("a:2", 3, 20)], "a:1", &[], Some("a:0"));
        // Nothing came back here.
        check(&[made("a:1", 1, 10), made("a:2", 2, 20)], "a:2", &[], Some("a:1"));
    }

    #[test]
    fn an_image_that_is_deprecated_within_two_weeks_or_already_says_so() {
        let now = Timestamp::from_second(1_764_115_200).expect("2025-11-26");
        let check = |seconds: i64, expected: Option<&str>| {
            let at = Timestamp::from_second(now.as_second() + seconds).expect("in range");
            assert_eq!(deprecation(at, now).as_deref(), expected, "{seconds}");
        };
        check(15 * 86_400, None);
        check(14 * 86_400, Some("deprecated from 2025-12-10 on, in 14 days"));
        check(3600, Some("deprecated from 2025-11-26 on, in 0 days"));
        check(0, Some("deprecated since 2025-11-26: whoever keeps it may take it away"));
        check(-90 * 86_400, Some("deprecated since 2025-08-28: whoever keeps it may take it away"));
    }
}
