//! The fleet as its users see it: what a sequence of observations comes to, and the verdicts over it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::domain::id::WorkloadKind;
use crate::domain::image::{DigestKind, ImageId};
use crate::domain::observation::{
    Batch, ContainerSeen, ContainerSpec, Health, Owner, Phase, Role, Rollout, Template, TemplateHash,
};

const PODS: Source = Source("pods");
const SETS: Source = Source("replicasets");
const DEPLOYMENTS: Source = Source("deployments");

fn place() -> PlaceId {
    PlaceId::new("k8s/eu")
}

fn digest(seed: u8) -> String {
    format!("sha256:{}", format!("{seed:02x}").repeat(32))
}

fn reference(tag: &str, seed: Option<u8>) -> String {
    let pin = seed.map(|seed| format!("@{}", digest(seed))).unwrap_or_default();
    format!("registry.example/checkout:{tag}{pin}")
}

fn template(image: &str) -> Template {
    let container = ContainerSpec { name: Text::new("app"), role: Role::App, image: image.parse().ok() };
    Template { hash: TemplateHash(Text::new(image)), containers: vec![container], version: None, latent: None }
}

fn workload(image: &str, rollout: Rollout) -> Observation {
    Observation::Workload(
        DEPLOYMENTS,
        Box::new(WorkloadSeen {
            uid: Uid::new("w"),
            kind: WorkloadKind::Deployment,
            namespace: Some(Text::new("shop")),
            name: Text::new("checkout"),
            service: Text::new("checkout"),
            template: template(image),
            main_container: None,
            expected_annotation: None,
            generation: 1,
            observed_generation: 1,
            desired: 2,
            rollout,
            running: None,
            canary: None,
            strategy: crate::domain::observation::Strategy::default(),
            owners: Vec::new(),
            undoers: Vec::new(),
            requested_since: None,
            touched_by: None,
            inoperable: None,
            trouble: None,
        }),
    )
}

fn revision(image: &str, number: u64) -> Observation {
    Observation::Revision(
        SETS,
        Box::new(RevisionSeen {
            uid: Uid::new(&format!("rs {image}")),
            workload: Uid::new("w"),
            number,
            past_numbers: Vec::new(),
            template: template(image),
            created_at: None,
            cause: None,
            left: None,
            deprecated_at: None,
            label: None,
        }),
    )
}

struct Pod<'a> {
    uid: &'a str,
    of: &'a str,
    running: Option<ImageId>,
    sidecar: Option<u8>,
}

fn runs(seed: u8, kind: DigestKind) -> Option<ImageId> {
    Some(ImageId::oci(digest(seed).parse().expect("a digest"), kind))
}

fn pod(pod: Pod<'_>) -> Observation {
    let asked = pod.of.parse().ok();
    let mut containers = vec![ContainerSeen { name: Text::new("app"), role: Role::App, asked, running: pod.running }];
    containers.extend(pod.sidecar.map(|seed| ContainerSeen {
        name: Text::new("istio-proxy"),
        role: Role::App,
        asked: "docker.io/istio/proxyv2:1".parse().ok(),
        running: runs(seed, DigestKind::Repository),
    }));
    Observation::Instance(
        PODS,
        Box::new(InstanceSeen {
            uid: Uid::new(pod.uid),
            owner: Some(std::sync::Arc::new(Owner {
                uid: Uid::new(&format!("rs {}", pod.of)),
                kind: WorkloadKind::ReplicaSet,
                name: Text::new("checkout-1"),
            })),
            service: Text::new("checkout"),
            namespace: Some(Text::new("shop")),
            name: Text::new(pod.uid),
            revision: None,
            phase: Phase::Running,
            health: Health::Healthy,
            reason: None,
            platform: None,
            containers: containers.into(),
            started_at: None,
            restarts: 0,
            touched: None,
        }),
    )
}

fn simple<'a>(uid: &'a str, of: &'a str, seed: u8) -> Observation {
    pod(Pod { uid, of, running: runs(seed, DigestKind::Repository), sidecar: None })
}

fn fleet(declarations: Vec<Declaration>, observations: Vec<Observation>) -> Fleet {
    let mut fleet = Fleet::new(declarations);
    fleet.add_place(place());
    fleet.apply(Batch { place: place(), fetched_at: Timestamp::UNIX_EPOCH, observations });
    fleet
}

fn expect(image: &str) -> Vec<Declaration> {
    let image = image.parse().expect("a reference");
    vec![Declaration { service: Text::new("checkout"), image, container: None, places: Vec::new() }]
}

/// The verdict of each pod, by name.
fn check(declarations: Vec<Declaration>, observations: Vec<Observation>, wanted: &[(&str, Verdict)]) {
    let fleet = fleet(declarations, observations);
    let found: BTreeMap<String, (Verdict, Text)> = fleet
        .instances()
        .map(|(instance, _)| (instance.seen.name.to_string(), (instance.verdict, instance.reason.clone())))
        .collect();
    for (name, verdict) in wanted {
        let (found, reason) = &found[*name];
        assert_eq!(found, verdict, "{name}: {reason}");
        assert!(!reason.is_empty(), "{name} says why");
    }
    assert_eq!(found.len(), wanted.len());
}

#[test]
fn a_pinned_template_is_the_expectation_where_nothing_is_declared() {
    let (good, bad) = (reference("v41", Some(1)), reference("v42", Some(2)));
    let observations = vec![
        workload(&good, Rollout::Stable),
        revision(&good, 1),
        revision(&bad, 2),
        simple("a", &good, 1),
        simple("b", &bad, 2),
    ];
    check(Vec::new(), observations, &[("a", Verdict::Ok), ("b", Verdict::Drift)]);
}

#[test]
fn a_declaration_speaks_before_the_template() {
    let (good, bad) = (reference("v41", Some(1)), reference("v42", Some(2)));
    let observations = vec![workload(&bad, Rollout::Stable), revision(&bad, 2), simple("a", &bad, 2)];
    check(expect(&good), observations, &[("a", Verdict::Drift)]);
}

#[test]
fn an_old_pod_of_a_rollout_on_its_way_is_mixed_and_not_drift() {
    let (old, new) = (reference("v41", Some(1)), reference("v42", Some(2)));
    let both = |rollout| {
        vec![
            workload(&new, rollout),
            revision(&old, 1),
            revision(&new, 2),
            simple("old", &old, 1),
            simple("new", &new, 2),
        ]
    };
    check(Vec::new(), both(Rollout::Progressing), &[("old", Verdict::Mixed), ("new", Verdict::Ok)]);
    let failed = fleet(Vec::new(), both(Rollout::Failed(Text::new("ProgressDeadlineExceeded"))));
    assert_eq!(failed.total().off(), 1, "mixed past its deadline is off");
}

#[test]
fn two_digests_under_one_tag_are_outliers_where_nothing_is_declared() {
    let tag = reference("stable", None);
    let observations = vec![
        workload(&tag, Rollout::Stable),
        revision(&tag, 1),
        simple("a", &tag, 1),
        simple("b", &tag, 1),
        simple("c", &tag, 9),
    ];
    check(Vec::new(), observations, &[("a", Verdict::Ok), ("b", Verdict::Ok), ("c", Verdict::Outlier)]);
}

#[test]
fn an_equal_digest_under_another_tag_is_not_drift() {
    let other = reference("release-41", None);
    let observations = vec![workload(&other, Rollout::Stable), revision(&other, 1), simple("a", &other, 1)];
    check(expect(&reference("v41", Some(1))), observations, &[("a", Verdict::Ok)]);
}

#[test]
fn a_digest_of_another_kind_is_unknown_and_never_ok() {
    let (good, other) = (reference("v41", Some(1)), reference("v42", None));
    let config = pod(Pod { uid: "a", of: &other, running: runs(7, DigestKind::Config), sidecar: None });
    let observations = vec![workload(&other, Rollout::Stable), revision(&other, 1), config];
    check(expect(&good), observations, &[("a", Verdict::Unknown)]);
}

#[test]
fn a_pod_pinned_to_the_expected_manifest_is_ok_although_the_runtime_reports_the_index() {
    let pinned = reference("v41", Some(1));
    let observations = vec![workload(&pinned, Rollout::Stable), revision(&pinned, 1), simple("a", &pinned, 8)];
    check(Vec::new(), observations, &[("a", Verdict::Ok)]);
}

#[test]
fn the_same_tag_with_another_digest_needs_a_registry() {
    let tag = reference("v41", None);
    let observations = vec![workload(&tag, Rollout::Stable), revision(&tag, 1), simple("a", &tag, 8)];
    check(expect(&reference("v41", Some(1))), observations, &[("a", Verdict::Unknown)]);
}

#[test]
fn an_injected_sidecar_is_judged_by_nobodys_template() {
    let pinned = reference("v41", Some(1));
    let running = || runs(1, DigestKind::Repository);
    let observations = vec![
        workload(&pinned, Rollout::Stable),
        revision(&pinned, 1),
        pod(Pod { uid: "a", of: &pinned, running: running(), sidecar: Some(50) }),
        pod(Pod { uid: "b", of: &pinned, running: running(), sidecar: Some(51) }),
    ];
    check(Vec::new(), observations, &[("a", Verdict::Ok), ("b", Verdict::Ok)]);
}

#[test]
fn an_image_that_was_not_pulled_is_unknown() {
    let pinned = reference("v41", Some(1));
    let observations = vec![
        workload(&pinned, Rollout::Stable),
        revision(&pinned, 1),
        pod(Pod { uid: "a", of: &pinned, running: None, sidecar: None }),
    ];
    check(Vec::new(), observations, &[("a", Verdict::Unknown)]);
}

#[test]
fn an_expectation_that_fits_no_container_is_unknown_with_that_reason() {
    let pinned = reference("v41", None);
    let observations = vec![workload(&pinned, Rollout::Stable), revision(&pinned, 1), simple("a", &pinned, 1)];
    check(expect("registry.example/other:v1"), observations, &[("a", Verdict::Unknown)]);
}

#[test]
fn an_expectation_that_fits_no_container_is_not_made_well_by_a_pin() {
    let pinned = reference("v41", Some(1));
    let observations = vec![workload(&pinned, Rollout::Stable), revision(&pinned, 1), simple("a", &pinned, 1)];
    check(expect("registry.example/other:v1"), observations, &[("a", Verdict::Unknown)]);
}

#[test]
fn a_relist_is_swapped_at_once_and_never_half() {
    let image = reference("v41", Some(1));
    let mut fleet = fleet(
        Vec::new(),
        vec![
            Observation::ListStarted(PODS),
            workload(&image, Rollout::Stable),
            revision(&image, 1),
            simple("a", &image, 1),
            simple("b", &image, 1),
            Observation::ListFinished(PODS),
            Observation::Place(PlaceState::Live),
        ],
    );
    let apply = |fleet: &mut Fleet, observations| {
        fleet.apply(Batch { place: place(), fetched_at: Timestamp::UNIX_EPOCH, observations });
    };
    apply(&mut fleet, vec![Observation::ListStarted(PODS), simple("c", &image, 1)]);
    assert_eq!(fleet.total().instances, 2, "nothing of the new list is shown, nothing of the old one is gone");
    apply(&mut fleet, vec![Observation::ListFinished(PODS)]);
    let names: Vec<String> = fleet.instances().map(|(instance, _)| instance.seen.name.to_string()).collect();
    assert_eq!(names, ["c"]);
    assert_eq!(fleet.total().instances, 1);
}

#[test]
fn what_is_said_to_be_as_it_was_stays_and_the_rest_goes() {
    let image = reference("v41", Some(1));
    let rows = vec![Observation::ListStarted(PODS), simple("a", &image, 1), simple("b", &image, 1)];
    let mut fleet = fleet(Vec::new(), rows);
    let later = Timestamp::UNIX_EPOCH + std::time::Duration::from_secs(9);
    let still = |name: &str| Observation::Still(PODS, Uid::new(name));
    let again = vec![Observation::ListStarted(PODS), still("a"), still("nobody"), Observation::ListFinished(PODS)];
    fleet.apply(Batch { place: place(), fetched_at: later, observations: again });
    let seen: Vec<(String, Timestamp)> =
        fleet.instances().map(|(instance, _)| (instance.seen.name.to_string(), instance.fetched_at)).collect();
    assert_eq!(seen, [("a".to_string(), later)]);
}

#[test]
fn a_pod_whose_owner_comes_later_finds_it() {
    let image = reference("v41", Some(1));
    let fleet = fleet(Vec::new(), vec![simple("a", &image, 1), revision(&image, 1), workload(&image, Rollout::Stable)]);
    let (_, owner) = fleet.instances().next().expect("one");
    assert_eq!((owner.id.kind, owner.seen.inoperable.clone()), (WorkloadKind::Deployment, None));
    assert_eq!(fleet.workloads().count(), 1, "what stood in for it is gone");
}

/// A ReplicaSet that nothing owns.
fn bare(image: &str) -> Observation {
    let Observation::Workload(_, mut seen) = workload(image, Rollout::Stable) else { panic!("it is a workload") };
    seen.uid = Uid::new(&format!("rs {image}"));
    seen.kind = WorkloadKind::ReplicaSet;
    seen.name = Text::new("checkout-1");
    Observation::Workload(SETS, seen)
}

fn rows(fleet: &Fleet) -> Vec<(WorkloadKind, u32)> {
    let mut rows: Vec<(WorkloadKind, u32)> =
        fleet.workloads().map(|workload| (workload.id.kind, workload.judgement.tally.instances)).collect();
    rows.sort();
    rows
}

#[test]
fn a_replica_set_that_was_orphaned_takes_its_pods_and_not_the_row_of_its_deployment() {
    let (old, new) = (reference("v41", Some(1)), reference("v42", Some(2)));
    let mut fleet = fleet(
        Vec::new(),
        vec![
            workload(&new, Rollout::Stable),
            revision(&old, 1),
            revision(&new, 2),
            simple("a", &old, 1),
            simple("b", &new, 2),
        ],
    );
    let observations = vec![bare(&old)];
    fleet.apply(Batch { place: place(), fetched_at: Timestamp::UNIX_EPOCH, observations });
    assert_eq!(rows(&fleet), [(WorkloadKind::Deployment, 1), (WorkloadKind::ReplicaSet, 1)]);
    // Its Deployment deleted with --cascade=orphan: nothing is left of it once its last revision has left.
    let observations = vec![Observation::Gone(DEPLOYMENTS, Uid::new("w")), bare(&new)];
    fleet.apply(Batch { place: place(), fetched_at: Timestamp::UNIX_EPOCH, observations });
    assert_eq!(rows(&fleet).len(), 2, "two ReplicaSets of the same name in this test, no Deployment");
    assert!(rows(&fleet).iter().all(|(kind, _)| *kind == WorkloadKind::ReplicaSet));
    assert_eq!(fleet.total().instances, 2);
}

#[test]
fn a_replica_set_that_is_adopted_again_leaves_no_row_of_its_own() {
    let image = reference("v41", Some(1));
    let mut fleet = fleet(Vec::new(), vec![bare(&image), simple("a", &image, 1)]);
    assert_eq!(rows(&fleet), [(WorkloadKind::ReplicaSet, 1)]);
    let observations = vec![workload(&image, Rollout::Stable), revision(&image, 1)];
    fleet.apply(Batch { place: place(), fetched_at: Timestamp::UNIX_EPOCH, observations });
    assert_eq!(rows(&fleet), [(WorkloadKind::Deployment, 1)]);
    assert_eq!(fleet.total().instances, 1, "it counts once");
}

#[test]
fn a_sign_in_that_fails_is_no_sign_of_life() {
    let mut fleet = fleet(Vec::new(), vec![Observation::Place(PlaceState::Live)]);
    let heard = fleet.places()[0].heard_at;
    let later = Timestamp::UNIX_EPOCH + std::time::Duration::from_secs(3600);
    let observations = vec![Observation::Place(PlaceState::AuthExpired(Text::new("the plugin failed: request 77")))];
    fleet.apply(Batch { place: place(), fetched_at: later, observations });
    assert_eq!(fleet.places()[0].heard_at, heard);
}

#[test]
fn a_deployment_deleted_at_zero_replicas_leaves_no_row() {
    let image = reference("v41", Some(1));
    let mut fleet = fleet(Vec::new(), vec![workload(&image, Rollout::Stable), revision(&image, 1)]);
    let gone = |source, uid: &str| Observation::Gone(source, Uid::new(uid));
    let observations = vec![gone(DEPLOYMENTS, "w"), gone(SETS, &format!("rs {image}"))];
    fleet.apply(Batch { place: place(), fetched_at: Timestamp::UNIX_EPOCH, observations });
    assert_eq!(rows(&fleet), []);
    assert_eq!(fleet.total(), Tally::default());
}

#[test]
fn half_against_half_is_unknown_and_no_outlier() {
    let tag = reference("stable", None);
    let observations =
        vec![workload(&tag, Rollout::Stable), revision(&tag, 1), simple("a", &tag, 1), simple("b", &tag, 9)];
    check(Vec::new(), observations, &[("a", Verdict::Unknown), ("b", Verdict::Unknown)]);
}

/// One change of a small world.
#[derive(Clone, Debug)]
enum Change {
    Put { pod: u8, version: u8, seed: u8 },
    Remove { pod: u8 },
    Ask { version: u8 },
    Relist,
}

fn changes() -> impl proptest::strategy::Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        4 => (0u8..6, 0u8..3, 0u8..4).prop_map(|(pod, version, seed)| Change::Put { pod, version, seed }),
        2 => (0u8..6).prop_map(|pod| Change::Remove { pod }),
        1 => (0u8..3).prop_map(|version| Change::Ask { version }),
        1 => Just(Change::Relist),
    ];
    proptest::collection::vec(change, 0..40)
}

fn image_of(version: u8) -> String {
    reference(&format!("v{version}"), (version != 2).then_some(version))
}

proptest! {
    /// Whatever order observations came in, the fleet is what one fresh list of the end would make it.
    #[test]
    fn a_fleet_after_any_changes_equals_a_fresh_list(changes in changes()) {
        let mut now: BTreeMap<u8, (u8, u8)> = BTreeMap::new();
        let mut asked = 0;
        let mut tracked = fleet(Vec::new(), vec![workload(&image_of(0), Rollout::Stable)]);
        let everything = |now: &BTreeMap<u8, (u8, u8)>| -> Vec<Observation> {
            now.iter().map(|(pod, (version, seed))| simple(&format!("p{pod}"), &image_of(*version), *seed)).collect()
        };
        let revisions: Vec<Observation> = (0..3).map(|version| revision(&image_of(version), u64::from(version))).collect();
        tracked.apply(Batch { place: place(), fetched_at: Timestamp::UNIX_EPOCH, observations: revisions.clone() });
        for change in changes {
            let observations = match change {
                Change::Put { pod, version, seed } => {
                    now.insert(pod, (version, seed));
                    vec![simple(&format!("p{pod}"), &image_of(version), seed)]
                }
                Change::Remove { pod } => {
                    now.remove(&pod);
                    vec![Observation::Gone(PODS, Uid::new(&format!("p{pod}")))]
                }
                Change::Ask { version } => {
                    asked = version;
                    vec![workload(&image_of(version), Rollout::Stable)]
                }
                Change::Relist => {
                    let mut list = vec![Observation::ListStarted(PODS)];
                    // Half of them as they are, of the others only that they are as they were.
                    let still = |pod: &u8| Observation::Still(PODS, Uid::new(&format!("p{pod}")));
                    list.extend(now.keys().zip(everything(&now)).map(|(pod, row)| if pod % 2 == 0 { still(pod) } else { row }));
                    list.push(Observation::ListFinished(PODS));
                    list
                }
            };
            tracked.apply(Batch { place: place(), fetched_at: Timestamp::UNIX_EPOCH, observations });
        }
        let mut fresh = vec![workload(&image_of(asked), Rollout::Stable)];
        fresh.extend(revisions);
        fresh.extend(everything(&now));
        let fresh = fleet(Vec::new(), fresh);
        let rows = |fleet: &Fleet| -> BTreeMap<Text, (Verdict, Text)> {
            fleet.instances().map(|(row, _)| (row.seen.name.clone(), (row.verdict, row.reason.clone()))).collect()
        };
        prop_assert_eq!(rows(&tracked), rows(&fresh));
        prop_assert_eq!(tracked.total(), fresh.total());
        let sum = |fleet: &Fleet| fleet.services().map(|(_, tally)| *tally).collect::<Vec<Tally>>();
        prop_assert_eq!(sum(&tracked), sum(&fresh));
    }

    /// Taking knowledge away never makes an instance look well.
    #[test]
    fn noise_never_turns_unknown_into_ok(version in 0u8..3, seed in 0u8..4, declared in 0u8..2) {
        let image = image_of(version);
        let with = |running| vec![
            workload(&image, Rollout::Stable),
            revision(&image, 1),
            pod(Pod { uid: "a", of: &image, running, sidecar: None }),
        ];
        let declaration = expect(&reference(&format!("v{declared}"), Some(declared)));
        let without = fleet(declaration.clone(), with(None));
        let verdict = |fleet: &Fleet| fleet.instances().next().map(|(instance, _)| instance.verdict);
        prop_assert_eq!(verdict(&without), Some(Verdict::Unknown));
        let config = fleet(declaration, with(runs(seed + 100, DigestKind::Config)));
        let pinned_to_it = image == reference(&format!("v{declared}"), Some(declared));
        prop_assert!(verdict(&config) != Some(Verdict::Ok) || pinned_to_it);
    }
}
