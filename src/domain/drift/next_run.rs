//! What the next run of a workload would start (a CronJob's), compared with what is declared and with what is banned.
//!
//! Never speaks of what runs now, and never calls two images different that may be one.

use super::Verdict;
use crate::domain::expectation::{Expectation, ExpectationSource, Expected, Target};
use crate::domain::history::Banned;
use crate::domain::image::{Comparison, ImageId, ImageRef};
use crate::domain::observation::WorkloadSeen;
use crate::domain::text::Text;

/// What is said of a next run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextRun {
    /// The worst of its containers. Drift: it would start something else than declared.
    pub verdict: Verdict,
    /// Why.
    pub reason: Text,
}

/// Judges the next run of a workload; `None` for kinds that start no runs. `learnt` is the exact image that runs of this
/// template ran in the container `main`.
pub fn next_run(
    workload: &WorkloadSeen,
    expected: &Expected,
    (main, learnt): (&str, Option<&ImageId>),
    banned: Banned<'_>,
) -> Option<NextRun> {
    if !workload.kind.has_runs() {
        return None;
    }
    let mut worst = match expected.problem.as_ref().filter(|_| expected.containers.is_empty()) {
        Some(problem) => NextRun { verdict: Verdict::Unknown, reason: problem.clone() },
        None => NextRun {
            verdict: Verdict::Ok,
            reason: Text::new("nothing runs now; the next run starts what its template asks for"),
        },
    };
    for container in workload.template.containers.iter().filter(|container| container.role.is_judged()) {
        let Some(asked) = &container.image else { continue };
        let pinned = asked.pinned();
        let image = pinned.as_ref().or(learnt.filter(|_| container.name == *main));
        let judged = match (banned(image, Some(asked)), declared(expected, &container.name)) {
            (Some(why), _) => (Verdict::Quarantined, format!("the next run would start {}: {why}", called(asked))),
            (None, Some(expectation)) if is_another(expectation, asked) => {
                (Verdict::Drift, format!("the next run would start {}, not what {}", called(asked), who(expectation)))
            }
            (None, _) => continue,
        };
        if judged.0 > worst.verdict {
            worst = NextRun { verdict: judged.0, reason: Text::new(&judged.1) };
        }
    }
    Some(worst)
}

fn declared<'a>(expected: &'a Expected, container: &str) -> Option<&'a Expectation> {
    expected.of(container).filter(|expectation| expectation.source < ExpectationSource::Template)
}

/// Whether what is asked for is certainly none of the images that may run.
fn is_another(expectation: &Expectation, asked: &ImageRef) -> bool {
    let differs = |target: &Target| {
        let exactly = target.image.as_ref().zip(asked.pinned()).map(|(target, asked)| target.compare(&asked));
        match (&target.reference, exactly) {
            (Some(reference), _) if reference.asks_same(asked) => false,
            (_, Some(comparison)) => comparison == Comparison::Different,
            // One is pinned and the other names a tag: the same tag may stand for that digest.
            (Some(reference), None) => !reference.is_same_repository(asked) || reference.tag() != asked.tag(),
            (None, None) => false,
        }
    };
    expectation.targets.iter().all(differs)
}

fn called(asked: &ImageRef) -> String {
    asked.version().map_or_else(|| asked.as_str().to_string(), |version| version.to_string())
}

fn who(expectation: &Expectation) -> &'static str {
    match expectation.source {
        ExpectationSource::Configuration => "the configuration expects",
        ExpectationSource::Release => "its release is",
        ExpectationSource::Annotation => "its annotation expects",
        ExpectationSource::Template | ExpectationSource::Resolved | ExpectationSource::Majority => "is expected",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::catalog::Catalog;
    use crate::domain::expectation::expected_of;
    use crate::domain::id::{PlaceId, Uid, WorkloadId, WorkloadKind};
    use crate::domain::observation::{ContainerSpec, Role, Rollout, Strategy, Template, TemplateHash};
    use crate::domain::release::Releases;

    const V41: &str = "shop/app:v41@sha256:9f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d09f2c41d0";

    fn workload(kind: WorkloadKind, image: &str) -> WorkloadSeen {
        let container = ContainerSpec { name: Text::new("app"), role: Role::App, image: image.parse().ok() };
        let hash = TemplateHash(Text::new(image));
        WorkloadSeen {
            uid: Uid::new("w"),
            kind,
            namespace: None,
            name: Text::new("report"),
            service: Text::new("report"),
            template: Template { hash, containers: vec![container], version: None, latent: None },
            main_container: None,
            expected_annotation: None,
            generation: 1,
            observed_generation: 1,
            desired: 0,
            rollout: Rollout::Stable,
            running: None,
            canary: None,
            strategy: Strategy::default(),
            owners: Vec::new(),
            undoers: Vec::new(),
            requested_since: None,
            touched_by: None,
            inoperable: None,
            trouble: None,
        }
    }

    #[test]
    fn a_next_run_is_judged_by_what_is_declared_and_by_what_is_banned() {
        let check = |annotation: Option<&str>, ban: Option<&str>, expected: (Verdict, &str)| {
            let workload = workload(WorkloadKind::CronJob, "shop/app:v42");
            let (place, name) = (PlaceId::new("k8s/eu"), workload.name.clone());
            let id = WorkloadId { place, namespace: None, kind: workload.kind, name };
            let annotation = annotation.map(Text::new);
            let said = expected_of(
                (&[], &Releases::default()),
                &id,
                "report",
                annotation.as_ref(),
                &workload.template,
                &Catalog::default(),
            );
            let banned = |_: Option<&ImageId>, _: Option<&ImageRef>| ban.map(Text::new);
            let next = next_run(&workload, &said, ("app", None), &banned).expect("it starts runs");
            assert_eq!((next.verdict, next.reason.as_str()), expected);
        };
        check(None, None, (Verdict::Ok, "nothing runs now; the next run starts what its template asks for"));
        check(
            Some("shop/app:v42"),
            None,
            (Verdict::Ok, "nothing runs now; the next run starts what its template asks for"),
        );
        check(Some(V41), None, (Verdict::Drift, "the next run would start v42, not what its annotation expects"));
        check(Some(V41), Some("bad"), (Verdict::Quarantined, "the next run would start v42: bad"));
        check(
            Some("other/thing:v1"),
            None,
            (Verdict::Unknown, "no container runs an image of other/thing; name the container in the expectation"),
        );
        let deployment = workload(WorkloadKind::Deployment, V41);
        assert_eq!(next_run(&deployment, &Expected::default(), ("app", None), &|_, _| None), None);
    }

    #[test]
    fn what_is_certainly_another_image_is_drift() {
        let check = |declared: &str, asked: &str, expected: bool| {
            let image = |text: &str| text.parse::<ImageRef>().expect("a reference");
            let target = Target { reference: Some(image(declared)), image: image(declared).pinned() };
            let expectation = Expectation {
                says: None,
                source: ExpectationSource::Configuration,
                container: Text::new("app"),
                targets: vec![target],
            };
            assert_eq!(is_another(&expectation, &image(asked)), expected, "{declared} {asked}");
        };
        check(V41, V41, false);
        check(V41, &V41.replace("9f2c", "c0ff"), true);
        check(V41, "shop/app:v42", true);
        check("shop/app:v41", "shop/app:v41", false);
        check("shop/app:v41", "shop/app:v42", true);
        // Only a registry could tell.
        check(V41, "shop/app:v41", false);
        check("shop/app:v41", V41, false);
    }
}
