//! What all workloads of one service have in common: its editions (templates with what comes of them), its pace.
//!
//! Never changes once it is made; a template that nobody foresaw becomes a new edition of its own.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::group;
use super::keepers;
use super::scenario::{Failure, Pin, Platform, Replace, SceneKind, SceneService, SceneVersion, Sidecar, SidecarRole};
use crate::domain::id::WorkloadKind;
use crate::domain::image::{Digest, DigestKind, ImageId, ImageRef};
use crate::domain::observation::{
    Applies, ContainerSeen, ContainerSpec, FieldOwner, Role, Template, TemplateHash, Undoer,
};
use crate::domain::text::Text;

/// Tenths of a second since the world began; what was before is negative.
pub(super) type Tick = i32;

/// What a service is in each kind of place.
pub(super) struct Blueprints {
    in_clusters: Arc<Blueprint>,
    in_aws: Arc<Blueprint>,
}

/// What a workload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Its revisions own the instances.
    Deployment,
    /// Owns its instances itself, which keep their names.
    StatefulSet,
    /// Launches machines from versions of a template; see `group`.
    Group,
}

/// What all workloads of one service have in common, in one kind of place.
pub(super) struct Blueprint {
    /// The service, and the workload.
    pub(super) name: Text,
    pub(super) namespace: Option<Text>,
    pub(super) shape: Shape,
    pub(super) repository: String,
    /// The main container.
    pub(super) main: Text,
    sidecars: Vec<Sidecar>,
    /// The oldest first, each with its age.
    pub(super) editions: Vec<(Arc<Edition>, Tick)>,
    pub(super) replace: Replace,
    pub(super) max_unavailable: Text,
    pub(super) max_surge: Text,
    pub(super) start: Tick,
    pub(super) drain: Tick,
    pub(super) progress_deadline: Tick,
    /// Instances that go in each second.
    pub(super) churn: f64,
    /// The share that evictions must leave healthy, in percent.
    pub(super) pdb: Option<u8>,
    pub(super) owner: FieldOwner,
    /// Who puts the requested version back, and how soon.
    pub(super) reverter: Option<(Undoer, Tick)>,
    /// The minimum of its autoscaler.
    pub(super) autoscaled_from: Option<u32>,
    /// The annotation `rolldeck.dev/expected-image`.
    pub(super) expected: Option<Text>,
}

/// One template and what comes of it.
#[derive(Debug)]
pub(super) struct Edition {
    /// The main container's tag.
    pub(super) tag: Option<Text>,
    pub(super) template: Template,
    /// Environment and limits: what it is, its value.
    pub(super) settings: Vec<(Text, Text)>,
    /// The containers of a started instance: of the build that the tag means now, and of the one before.
    pub(super) containers: [Vec<ContainerSeen>; 2],
    /// How its instances go wrong, which share of them, and how late.
    pub(super) failure: Option<(Failure, f64, Tick)>,
    /// What the platform says of those.
    pub(super) why: Text,
    /// Why it was rolled out.
    pub(super) cause: Option<Text>,
}

impl Blueprints {
    /// Of a service that was checked.
    pub(super) fn new(scene: &SceneService) -> Blueprints {
        let of = |platform| Arc::new(Blueprint::new(scene, platform));
        Blueprints { in_clusters: of(Platform::Kubernetes), in_aws: of(Platform::Aws) }
    }

    /// The one for places of this kind.
    pub(super) fn of(&self, platform: Platform) -> &Arc<Blueprint> {
        match platform {
            Platform::Kubernetes => &self.in_clusters,
            Platform::Aws => &self.in_aws,
        }
    }
}

impl Shape {
    fn of(kind: SceneKind, platform: Platform) -> Shape {
        match (platform, kind) {
            (Platform::Kubernetes, SceneKind::Deployment) => Shape::Deployment,
            (Platform::Kubernetes, SceneKind::StatefulSet) => Shape::StatefulSet,
            (Platform::Aws, SceneKind::Deployment | SceneKind::StatefulSet) => Shape::Group,
        }
    }

    /// The word for it outside.
    pub(super) fn kind(self) -> WorkloadKind {
        match self {
            Shape::Deployment => WorkloadKind::Deployment,
            Shape::StatefulSet => WorkloadKind::StatefulSet,
            Shape::Group => WorkloadKind::AutoScalingGroup,
        }
    }
}

impl Blueprint {
    fn new(scene: &SceneService, platform: Platform) -> Blueprint {
        let name = scene.name.get_ref();
        let shape = Shape::of(scene.kind, platform);
        let is_group = shape == Shape::Group;
        let repository = scene
            .repository
            .clone()
            .unwrap_or_else(|| format!("registry.example/{}/{name}", scene.namespace.as_deref().unwrap_or("services")));
        let mut blueprint = Blueprint {
            name: Text::new(name),
            namespace: scene.namespace.as_deref().filter(|_| !is_group).map(Text::new),
            shape,
            main: Text::new(if is_group { group::MACHINE } else { scene.container.as_ref().unwrap_or(name) }),
            sidecars: if is_group { Vec::new() } else { scene.sidecars.clone() },
            editions: Vec::new(),
            replace: scene.replace,
            max_unavailable: Text::new(&scene.max_unavailable),
            max_surge: Text::new(&scene.max_surge),
            start: ticks(scene.start.0).max(1),
            drain: ticks(scene.drain.0).max(1),
            progress_deadline: ticks(scene.progress_deadline.0).max(1),
            churn: scene.churn,
            pdb: scene.pdb.filter(|_| !is_group).map(|percent| percent.0),
            owner: FieldOwner { manager: Text::new(&scene.owner), applies: Applies::Once },
            reverter: None,
            autoscaled_from: scene.autoscaled_from,
            expected: None,
            repository,
        };
        if let Some(reverter) = &scene.reverted_by {
            blueprint.owner = FieldOwner { manager: Text::new(&reverter.by), applies: Applies::Continuously };
            let undoer = Undoer {
                by: Text::new(&reverter.by),
                what: Text::new("self-heal puts the version of its repository back"),
                how_fast: Text::new(&format!("within {} s", reverter.after.0.as_secs())),
                keeper: (!is_group).then(|| keepers::application(&blueprint.name)),
            };
            blueprint.reverter = Some((undoer, ticks(reverter.after.0)));
        }
        for version in &scene.versions {
            let edition = match shape {
                Shape::Deployment | Shape::StatefulSet => {
                    blueprint.edition_of(version, blueprint.reference(version, scene.pin))
                }
                Shape::Group => blueprint.machine(version, &group::ami(scene, version)),
            };
            blueprint.editions.push((Arc::new(edition), ticks(version.age.0)));
        }
        blueprint.expected = scene.expected.as_ref().and_then(|tag| {
            let edition = blueprint.edition(tag.get_ref())?;
            let pinned = edition.template.containers.first()?.image.as_ref()?;
            Some(Text::new(pinned.as_str()))
        });
        blueprint
    }

    /// The edition of a tag.
    pub(super) fn edition(&self, tag: &str) -> Option<&Arc<Edition>> {
        self.editions.iter().map(|(edition, _)| edition).find(|edition| edition.tag.as_deref() == Some(tag))
    }

    /// What becomes of an edition when the image of one container is changed; `None` without that container.
    pub(super) fn with_image(&self, edition: &Edition, container: &str, image: &ImageRef) -> Option<Edition> {
        let mut template = edition.template.clone();
        template.containers.iter_mut().find(|asked| asked.name == *container)?.image = Some(image.clone());
        template.hash = hash_of(&template.containers, &edition.settings);
        template.latent = latent(&template.containers);
        if *container != *self.main {
            let mut containers = edition.containers.clone();
            for seen in containers.iter_mut().flatten().filter(|seen| seen.name == *container) {
                seen.asked = Some(image.clone());
                seen.running = image.pinned().or_else(|| Some(made_up(image.repository(), image.tag(), 0)));
            }
            return Some(Edition { template, containers, cause: None, ..edition.copied() });
        }
        let known = self.editions.iter().map(|(known, _)| known).find(|known| {
            let asked = known.template.containers.first().and_then(|asked| asked.image.as_ref());
            let runs = known.containers[0].first().and_then(|seen| seen.running.as_ref());
            asked.is_some_and(|asked| asked.is_same_repository(image))
                && match image.pinned() {
                    Some(pinned) => runs == Some(&pinned),
                    None => known.tag.as_deref() == image.tag(),
                }
        });
        let mut changed = Edition { template, cause: None, tag: image.version(), ..edition.copied() };
        match known {
            Some(known) => {
                changed.failure = known.failure;
                changed.why = known.why.clone();
                changed.containers = known.containers.clone();
                for seen in changed.containers.iter_mut().flatten().filter(|seen| seen.name == *container) {
                    seen.asked = Some(image.clone());
                }
            }
            None => {
                changed.failure = Some((Failure::ImagePull, 1.0, 0));
                changed.why = Text::new(&format!("ImagePullBackOff: {image}: manifest unknown"));
                for seen in changed.containers.iter_mut().flatten().filter(|seen| seen.name == *container) {
                    seen.asked = Some(image.clone());
                    seen.running = None;
                }
            }
        }
        Some(changed)
    }

    /// The edition of a machine image. A launch template sets no environment and no limits.
    fn machine(&self, version: &SceneVersion, ami: &str) -> Edition {
        let asked: Option<ImageRef> = ami.parse().ok();
        let spec = ContainerSpec { name: self.main.clone(), role: Role::App, image: asked.clone() };
        let seen = ContainerSeen {
            name: self.main.clone(),
            role: Role::App,
            running: asked.as_ref().and_then(ImageRef::pinned),
            asked,
        };
        let tag = Text::new(&version.tag);
        let containers = vec![spec];
        Edition {
            template: Template {
                hash: hash_of(&containers, &[]),
                containers,
                version: Some(tag.clone()),
                latent: None,
            },
            tag: Some(tag),
            settings: Vec::new(),
            containers: [vec![seen.clone()], vec![seen]],
            failure: failure_of(version),
            why: Text::default(),
            cause: version.cause.as_deref().map(Text::new),
        }
    }

    fn reference(&self, version: &SceneVersion, pin: Pin) -> Option<ImageRef> {
        let (repository, tag) = (&self.repository, &version.tag);
        let digest = self.digest(version)?;
        let raw = match pin {
            Pin::Digest => format!("{repository}:{tag}@{}", digest.as_str()),
            Pin::Tag => format!("{repository}:{tag}"),
        };
        raw.parse().ok()
    }

    fn digest(&self, version: &SceneVersion) -> Option<ImageId> {
        match &version.digest {
            Some(digest) => {
                let digest = digest.get_ref().parse().ok()?;
                Some(ImageId::oci(digest, DigestKind::Repository))
            }
            None => Some(made_up(&self.repository, Some(&version.tag), 0)),
        }
    }

    fn edition_of(&self, version: &SceneVersion, reference: Option<ImageRef>) -> Edition {
        let specified = |sidecar: &&Sidecar| sidecar.role != SidecarRole::Injected;
        let beside = self.sidecars.iter().filter(specified).map(|sidecar| ContainerSpec {
            name: Text::new(&sidecar.name),
            role: sidecar.role.role(),
            image: sidecar.image.get_ref().parse().ok(),
        });
        let main = ContainerSpec { name: self.main.clone(), role: Role::App, image: reference.clone() };
        let containers: Vec<ContainerSpec> = std::iter::once(main).chain(beside).collect();
        let env = version.env.iter().map(|(key, value)| (Text::new(&format!("env {key}")), Text::new(value)));
        let limits = version.limits.iter().map(|(key, value)| (Text::new(&format!("limit {key}")), Text::new(value)));
        let settings: Vec<(Text, Text)> = env.chain(limits).collect();
        let seen = |build: u8| {
            let running = match build {
                0 => self.digest(version),
                earlier => Some(made_up(&self.repository, Some(&version.tag), earlier)),
            };
            let main = ContainerSeen { name: self.main.clone(), role: Role::App, asked: reference.clone(), running };
            std::iter::once(main).chain(self.sidecars.iter().map(Sidecar::seen)).collect()
        };
        let why = version.why.clone().unwrap_or_else(|| match version.fails {
            Some(Failure::ImagePull) => {
                format!("ImagePullBackOff: {}:{}: manifest unknown", self.repository, version.tag)
            }
            Some(Failure::Readiness | Failure::Later) | None => "readiness probe failed: HTTP 503".to_string(),
        });
        Edition {
            tag: Some(Text::new(&version.tag)),
            template: Template {
                hash: hash_of(&containers, &settings),
                latent: latent(&containers),
                containers,
                version: None,
            },
            containers: [seen(0), seen(1)],
            settings,
            failure: failure_of(version),
            why: Text::new(&why),
            cause: version.cause.as_deref().map(Text::new),
        }
    }
}

impl Edition {
    fn copied(&self) -> Edition {
        Edition {
            tag: self.tag.clone(),
            template: self.template.clone(),
            settings: self.settings.clone(),
            containers: self.containers.clone(),
            failure: self.failure,
            why: self.why.clone(),
            cause: self.cause.clone(),
        }
    }

    /// Whether the instance made as the `made`-th of this edition (from 0) goes wrong: exactly the share does.
    pub(super) fn is_doomed(&self, made: u32) -> bool {
        let Some((_, share, _)) = self.failure else { return false };
        (f64::from(made + 1) * share).floor() > (f64::from(made) * share).floor()
    }
}

impl Sidecar {
    fn seen(&self) -> ContainerSeen {
        let asked: Option<ImageRef> = self.image.get_ref().parse().ok();
        let running =
            asked.as_ref().map(|asked| asked.pinned().unwrap_or_else(|| made_up(asked.repository(), asked.tag(), 0)));
        ContainerSeen { name: Text::new(&self.name), role: self.role.role(), asked, running }
    }
}

impl SidecarRole {
    fn role(self) -> Role {
        match self {
            SidecarRole::App => Role::App,
            SidecarRole::Init => Role::Init,
            SidecarRole::Injected => Role::Injected,
        }
    }
}

fn failure_of(version: &SceneVersion) -> Option<(Failure, f64, Tick)> {
    version.fails.map(|failure| (failure, version.share, ticks(version.after.0)))
}

/// A duration in ticks, as far as they reach (nearly seven years).
pub(super) fn ticks(duration: Duration) -> Tick {
    Tick::try_from(duration.as_millis() / 100).unwrap_or(Tick::MAX / 4).min(Tick::MAX / 4)
}

/// What a registry would say that a tag is, if there were one. Build 0 is the present one.
fn made_up(repository: &str, tag: Option<&str>, build: u8) -> ImageId {
    let content = format!("{repository}:{}#{build}", tag.unwrap_or("latest"));
    let digest: Digest = format!("sha256:{}", hex(&Sha256::digest(content.as_bytes())))
        .parse()
        .expect("64 hexadecimal digits are a digest");
    ImageId::oci(digest, DigestKind::Repository)
}

fn hash_of(containers: &[ContainerSpec], settings: &[(Text, Text)]) -> TemplateHash {
    let hash = Sha256::digest(format!("{containers:?} {settings:?}").as_bytes());
    TemplateHash(Text::new(&hex(&hash[..8])))
}

fn latent(containers: &[ContainerSpec]) -> Option<Text> {
    let moving = containers.iter().find_map(|asked| asked.image.as_ref().filter(|image| image.digest().is_none()));
    moving.map(|image| Text::new(&format!("{image} is a tag: the next pull may bring another image")))
}

/// In hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        text
    })
}
