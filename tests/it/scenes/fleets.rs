//! Fleets made by hand: observations as a Kubernetes provider would report them.
//!
//! Never asks a simulation: each fact stands here.

use std::time::Duration;

use rolldeck::domain::expectation::Declaration;
use rolldeck::domain::id::{Uid, WorkloadKind};
use rolldeck::domain::image::{Digest, DigestKind, ImageId, ImageRef};
use rolldeck::domain::look::LookCommands;
use rolldeck::domain::observation::{
    Applies, ContainerSeen, ContainerSpec, FieldOwner, Health, InstanceSeen, Observation, Owner, Phase, PlaceIdentity,
    PlaceState, RevisionSeen, Role, Rollout, Source, Strategy, Template, TemplateHash, Undoer, WorkloadSeen,
};
use rolldeck::domain::text::Text;

use super::world::World;

const SOURCE: Source = Source("deployments");
const REVISIONS: Source = Source("replicasets");
const PODS: Source = Source("pods");

/// A Deployment in few words.
#[derive(Clone)]
pub(crate) struct Deployment<'a> {
    pub(crate) place: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// Its versions, oldest first; the last one is asked for.
    pub(crate) versions: &'a [&'a str],
    /// Version, healthy, unhealthy.
    pub(crate) pods: &'a [(&'a str, u32, u32)],
    /// Whether its template names digests.
    pub(crate) pins: Pins,
    pub(crate) rollout: Rollout,
    /// Minutes since its template changed.
    pub(crate) changed: u64,
    pub(crate) generation: u64,
    /// Whether one more pod runs another digest under the same tag.
    pub(crate) stray: bool,
    /// Pods that should be there and are not.
    pub(crate) missing: u32,
    /// In how many days the images of its earlier versions are deprecated.
    pub(crate) deprecated_in: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pins {
    Digest,
    Tag,
}

impl Default for Deployment<'_> {
    fn default() -> Self {
        Deployment {
            place: "k8s/prod-eu",
            namespace: "shop",
            name: "checkout",
            versions: &["v41", "v42"],
            pods: &[("v42", 4, 0)],
            pins: Pins::Tag,
            rollout: Rollout::Stable,
            changed: 3000,
            generation: 4,
            stray: false,
            missing: 0,
            deprecated_in: None,
        }
    }
}

/// A digest that always belongs to this name and version.
pub(crate) fn digest(name: &str, version: &str) -> Digest {
    let mut hex = String::new();
    for part in 0..4 {
        let text = format!("{part}{version}{name}");
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        hex.push_str(&format!("{:016x}", hash.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    }
    format!("sha256:{hex}").parse().expect("64 hexadecimal digits")
}

/// The image of a name and version, as a template names it.
pub(crate) fn image(name: &str, version: &str, pins: Pins) -> ImageRef {
    let reference = match pins {
        Pins::Digest => format!("registry.example/shop/{name}:{version}@{}", digest(name, version)),
        Pins::Tag => format!("registry.example/shop/{name}:{version}"),
    };
    reference.parse().expect("an image reference")
}

fn template(deployment: &Deployment<'_>, version: &str) -> Template {
    let image = image(deployment.name, version, deployment.pins);
    let spec =
        |name: &str, image: ImageRef| ContainerSpec { name: Text::new(name), role: Role::App, image: Some(image) };
    Template {
        hash: TemplateHash(Text::new(&format!("{}-{version}", deployment.name))),
        containers: vec![spec("app", image)],
        version: None,
        latent: None,
    }
}

impl World {
    /// A Deployment with its ReplicaSets and pods is seen.
    pub(crate) fn deploy(&mut self, deployment: &Deployment<'_>) {
        let observations = self.observations(deployment);
        self.observe(deployment.place, observations);
    }

    /// What a provider reports of it.
    pub(crate) fn observations(&self, deployment: &Deployment<'_>) -> Vec<Observation> {
        let uid = format!("{}/{}/{}", deployment.place, deployment.namespace, deployment.name);
        let asked = deployment.versions.last().copied().unwrap_or("v1");
        let pods: u32 = deployment.pods.iter().map(|(_, healthy, unhealthy)| healthy + unhealthy).sum();
        let desired = pods + u32::from(deployment.stray) + deployment.missing;
        let seen = WorkloadSeen {
            uid: Uid::new(&uid),
            kind: WorkloadKind::Deployment,
            namespace: Some(Text::new(deployment.namespace)),
            name: Text::new(deployment.name),
            service: Text::new(deployment.name),
            template: template(deployment, asked),
            main_container: None,
            expected_annotation: None,
            generation: deployment.generation,
            observed_generation: deployment.generation,
            desired,
            rollout: deployment.rollout.clone(),
            strategy: Strategy {
                kind: Text::new("RollingUpdate"),
                max_unavailable: Some(Text::new("25%")),
                max_surge: Some(Text::new("25%")),
                partition: 0,
                first_number: 0,
            },
            owners: vec![FieldOwner { manager: Text::new("kubectl"), applies: Applies::Once }],
            undoers: match deployment.place {
                "k8s/prod-eu" => vec![Undoer {
                    by: Text::new("Argo CD"),
                    what: Text::new("self-heal puts its own version back"),
                    how_fast: Text::new("in seconds"),
                    keeper: None,
                }],
                _ => Vec::new(),
            },
            running: None,
            canary: None,
            requested_since: Some(self.ago(deployment.changed)),
            touched_by: None,
            inoperable: None,
            trouble: None,
        };
        let mut observations = vec![Observation::Workload(SOURCE, Box::new(seen))];
        for (number, version) in deployment.versions.iter().enumerate() {
            let made = deployment.changed + 2000 * (deployment.versions.len() - 1 - number) as u64;
            observations.push(Observation::Revision(
                REVISIONS,
                Box::new(RevisionSeen {
                    uid: Uid::new(&format!("{uid}-{version}")),
                    workload: Uid::new(&uid),
                    number: number as u64 + 1,
                    past_numbers: Vec::new(),
                    template: template(deployment, version),
                    created_at: Some(self.ago(made)),
                    cause: (*version == "v42").then(|| Text::new("release 42, ticket OPS-7")),
                    left: None,
                    deprecated_at: deployment
                        .deprecated_in
                        .map(|days| self.now() + Duration::from_secs(3600) * (24 * days + 1)),
                    label: None,
                }),
            ));
        }
        for (version, healthy, unhealthy) in deployment.pods {
            for number in 0..healthy + unhealthy {
                let health = if number < *healthy { Health::Healthy } else { Health::Unhealthy };
                observations.push(self.pod(deployment, &uid, version, number, health));
            }
        }
        if let Observation::Instance(source, mut stray) = self.pod(deployment, &uid, asked, 99, Health::Healthy) {
            let mut containers = stray.containers.to_vec();
            containers[0].running = Some(ImageId::oci(digest("stray", asked), DigestKind::Repository));
            stray.containers = containers.into();
            observations.extend(deployment.stray.then_some(Observation::Instance(source, stray)));
        }
        observations
    }

    fn pod(&self, deployment: &Deployment<'_>, owner: &str, version: &str, number: u32, health: Health) -> Observation {
        let short = digest(deployment.name, version).short(10).to_string();
        let name = format!("{}-{short}-{number:05}", deployment.name);
        let running = ImageId::oci(digest(deployment.name, version), DigestKind::Repository);
        let age = if deployment.versions.last() == Some(&version) { deployment.changed } else { 5000 };
        Observation::Instance(
            PODS,
            Box::new(InstanceSeen {
                uid: Uid::new(&format!("{owner}-{version}-{number}")),
                owner: Some(std::sync::Arc::new(Owner {
                    uid: Uid::new(&format!("{owner}-{version}")),
                    kind: WorkloadKind::ReplicaSet,
                    name: Text::new(&format!("{}-{short}", deployment.name)),
                })),
                service: Text::new(deployment.name),
                namespace: Some(Text::new(deployment.namespace)),
                name: Text::new(&name),
                revision: None,
                phase: Phase::Running,
                health,
                reason: (health == Health::Unhealthy).then(|| Text::new("CrashLoopBackOff, restarts 7")),
                platform: Some(Text::new("linux/amd64")),
                containers: vec![ContainerSeen {
                    name: Text::new("app"),
                    role: Role::App,
                    asked: Some(image(deployment.name, version, deployment.pins)),
                    running: Some(running),
                }]
                .into(),
                started_at: Some(self.ago(age)),
                restarts: if health == Health::Unhealthy { 7 } else { 0 },
                touched: None,
            }),
        )
    }

    /// The pods of one version of a Deployment end.
    pub(crate) fn end_pods(&mut self, deployment: &Deployment<'_>, version: &str, numbers: std::ops::Range<u32>) {
        let owner = format!("{}/{}/{}", deployment.place, deployment.namespace, deployment.name);
        let gone = numbers.map(|number| Observation::Gone(PODS, Uid::new(&format!("{owner}-{version}-{number}"))));
        self.observe(deployment.place, gone.collect());
    }
}

const PLACES: &[&str] = &["k8s/prod-eu", "k8s/prod-us", "k8s/prod-ap", "k8s/staging", "k8s/dev", "k8s/edge", "k8s/lab"];

/// `checkout` is bad in three places of five, and four other things are as in DESIGN's drawing.
pub(crate) fn incident() -> World {
    let declared = Declaration {
        service: Text::new("checkout"),
        image: image("checkout", "v41", Pins::Digest),
        container: None,
        places: Vec::new(),
    };
    let also =
        Declaration { service: Text::new("search"), image: image("search", "v117", Pins::Digest), ..declared.clone() };
    let mut world = World::declared(PLACES, vec![declared, also]);
    world.pass(Duration::from_secs(1));
    for place in PLACES {
        world.live(place);
    }
    let bad = Deployment { pins: Pins::Digest, changed: 6, ..Deployment::default() };
    world.deploy(&Deployment { pods: &[("v42", 7, 3)], ..bad.clone() });
    world.deploy(&Deployment { place: "k8s/prod-us", pods: &[("v42", 10, 0)], ..bad.clone() });
    world.deploy(&Deployment { place: "k8s/prod-ap", pods: &[("v42", 4, 0)], ..bad.clone() });
    for place in ["k8s/staging", "k8s/dev"] {
        let good =
            Deployment { place, versions: &["v40", "v41"], pods: &[("v41", 2, 0)], changed: 9000, ..bad.clone() };
        world.deploy(&good);
    }
    let search =
        Deployment { name: "search", versions: &["v117", "v118"], pins: Pins::Digest, ..Deployment::default() };
    world.deploy(&Deployment { place: "k8s/prod-us", pods: &[("v117", 7, 0), ("v118", 5, 0)], ..search });
    let mailer = Deployment { name: "mailer", namespace: "mail", versions: &["v7"], ..Deployment::default() };
    world.deploy(&Deployment { pods: &[("v7", 8, 0)], stray: true, ..mailer });
    let billing = Deployment {
        name: "billing",
        namespace: "pay",
        versions: &["v7", "v8"],
        pods: &[("v8", 9, 3)],
        pins: Pins::Digest,
        rollout: Rollout::Progressing,
        changed: 11,
        ..Deployment::default()
    };
    world.deploy(&billing);
    let quiet =
        Deployment { versions: &["v1", "v2"], pods: &[("v2", 6, 0)], pins: Pins::Digest, ..Deployment::default() };
    for name in ["catalog", "gateway", "session"] {
        world.deploy(&Deployment { name, ..quiet.clone() });
        world.deploy(&Deployment { name, place: "k8s/prod-us", ..quiet.clone() });
    }
    world.deploy(&Deployment { place: "k8s/edge", name: "ledger", versions: &["v9"], pods: &[], missing: 6, ..quiet });
    world.observe(
        "k8s/prod-eu",
        vec![Observation::Identity(Box::new(PlaceIdentity {
            account: Some(Text::new("https://eu.example:6443")),
            identity: Some(Text::new("oidc:ada")),
            server: Some(Text::new("v1.34.1")),
            notes: vec![Text::new("impersonating ops")],
            can: vec![Text::new("look"), Text::new("rollback"), Text::new("replace")],
            cannot: vec![(Text::new("evict in kube-system"), Text::new("forbidden by RBAC"))],
            look: Some(LookCommands {
                workload: Text::new("kubectl --context prod-eu -n {namespace} get {kind}/{name} -o wide"),
                instance: Text::new("kubectl --context prod-eu -n {namespace} describe pod {name}"),
                by_kind: Vec::new(),
            }),
        }))],
    );
    world.observe("k8s/lab", vec![Observation::Place(PlaceState::NotConnected)]);
    // Four minutes later one place has gone silent, the others have not.
    world.pass(Duration::from_secs(1));
    let stale = PlaceState::Stale(Text::new("no answer: connection refused; retried every 10s"));
    world.observe("k8s/edge", vec![Observation::Place(stale)]);
    for minute in 0..8 {
        world.pass(Duration::from_secs(30));
        let heartbeat = || vec![Observation::Heartbeat];
        for place in PLACES.iter().filter(|place| !matches!(**place, "k8s/edge" | "k8s/lab")) {
            world.observe(place, heartbeat());
        }
        assert!(minute < 8);
    }
    world.settle();
    world
}

/// Nothing is off, nothing changed lately.
pub(crate) fn quiet() -> World {
    let mut world = World::new(&["k8s/prod-eu", "k8s/prod-us"]);
    for place in ["k8s/prod-eu", "k8s/prod-us"] {
        world.live(place);
        for name in ["catalog", "gateway"] {
            world.deploy(&Deployment { place, name, pins: Pins::Digest, ..Deployment::default() });
        }
    }
    world.settle();
    world
}

/// A rollback of `checkout` in three places: the first wave is done, the second on its way.
pub(crate) fn operation_half_way() -> World {
    let mut world = incident();
    world.press("b");
    world.type_code();
    world.settle();
    // prod-ap is first by name; its pods are all new.
    let back = Deployment {
        place: "k8s/prod-ap",
        versions: &["v42", "v41"],
        pods: &[("v41", 4, 0)],
        pins: Pins::Digest,
        changed: 0,
        generation: 5,
        ..Deployment::default()
    };
    world.pass(Duration::from_secs(5));
    world.deploy(&back);
    world.end_pods(&back, "v42", 0..4);
    world.pass(Duration::from_secs(30));
    world.observe("k8s/prod-ap", vec![Observation::Heartbeat]);
    for _ in 0..4 {
        world.pass(Duration::from_secs(25));
        for place in ["k8s/prod-eu", "k8s/prod-us", "k8s/prod-ap", "k8s/staging", "k8s/dev"] {
            world.observe(place, vec![Observation::Heartbeat]);
        }
    }
    let half = Deployment {
        place: "k8s/prod-eu",
        versions: &["v42", "v41"],
        pods: &[("v41", 4, 0), ("v42", 6, 0)],
        pins: Pins::Digest,
        rollout: Rollout::Progressing,
        changed: 0,
        generation: 5,
        ..Deployment::default()
    };
    world.deploy(&half);
    world.end_pods(&half, "v42", 6..10);
    world.settle();
    world
}
