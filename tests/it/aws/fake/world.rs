//! What there is, how the simplest of it comes to be, and what images things mean.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::records::{
    Activity, Definition, Group, Image, Launches, Machine, Member, Refresh, Revision, Rollout, Service, Tags, Task,
    Template, TemplateAt,
};
use super::trail::Trace;
use super::{refresh, rollout};

/// One account in one region.
pub(crate) struct World {
    pub(crate) account: String,
    pub(crate) region: String,
    /// Moves by one second a step.
    pub(crate) now: Timestamp,
    /// By id, as are the next two.
    pub(crate) images: BTreeMap<String, Image>,
    pub(crate) templates: BTreeMap<String, Template>,
    pub(crate) machines: BTreeMap<String, Machine>,
    /// SSM parameters that hold an image id.
    pub(crate) parameters: BTreeMap<String, String>,
    /// Launch configurations: their images by their names.
    pub(crate) configurations: BTreeMap<String, String>,
    /// By name.
    pub(crate) groups: BTreeMap<String, Group>,
    /// The oldest first.
    pub(crate) refreshes: Vec<Refresh>,
    pub(crate) activities: Vec<Activity>,
    /// By name.
    pub(crate) clusters: BTreeSet<String>,
    /// By ARN.
    pub(crate) services: BTreeMap<String, Service>,
    pub(crate) tasks: BTreeMap<String, Task>,
    pub(crate) revisions: BTreeMap<String, Revision>,
    /// The oldest first.
    pub(crate) rollouts: Vec<Rollout>,
    /// By family and revision.
    pub(crate) definitions: BTreeMap<(String, u64), Definition>,
    /// Who asked for what, the oldest first.
    pub(crate) trail: Vec<Trace>,
    /// What an image reference resolves to now. Without an entry: to a digest made from the reference.
    pub(crate) digests: BTreeMap<String, String>,
    /// How long a task that was told to stop goes on.
    pub(crate) stopping: SignedDuration,
    /// Requests that a test has sent itself, which are none of the program's.
    pub(crate) by_suite: usize,
    serial: u64,
}

impl Default for World {
    fn default() -> World {
        World {
            account: "123456789012".into(),
            region: "us-east-1".into(),
            now: "2026-11-01T00:00:00Z".parse().expect("a moment"),
            images: BTreeMap::new(),
            templates: BTreeMap::new(),
            machines: BTreeMap::new(),
            parameters: BTreeMap::new(),
            configurations: BTreeMap::new(),
            groups: BTreeMap::new(),
            refreshes: Vec::new(),
            activities: Vec::new(),
            clusters: BTreeSet::new(),
            services: BTreeMap::new(),
            tasks: BTreeMap::new(),
            revisions: BTreeMap::new(),
            rollouts: Vec::new(),
            definitions: BTreeMap::new(),
            digests: BTreeMap::new(),
            trail: Vec::new(),
            stopping: SignedDuration::ZERO,
            by_suite: 0,
            serial: 0,
        }
    }
}

impl World {
    /// Time moves by a second: what was terminated goes, refreshes replace a batch, groups launch what they lack, services
    /// replace a third of their tasks.
    pub(crate) fn step(&mut self) {
        self.now += SignedDuration::from_secs(1);
        refresh::step(self);
        rollout::step(self);
    }

    /// An image of this account.
    pub(crate) fn image(&mut self, id: &str, name: &str) -> &mut Image {
        let image = Image {
            name: name.into(),
            owner: self.account.clone(),
            state: "available".into(),
            created: self.now,
            deprecated: None,
            source: None,
            tags: Tags::new(),
        };
        self.images.entry(id.into()).or_insert(image)
    }

    /// A template with a version for each image; the first is the default.
    pub(crate) fn template(&mut self, id: &str, name: &str, images: &[&str]) -> &mut Template {
        let versions = (1..).zip(images.iter().map(|image| Some(image.to_string()))).collect();
        let template = Template { name: name.into(), versions, default: 1, created: self.now, tags: Tags::new() };
        self.templates.entry(id.into()).or_insert(template)
    }

    /// A group with all its instances in service.
    pub(crate) fn group(&mut self, name: &str, launches: Launches, size: usize) -> &mut Group {
        let group = Group {
            launches: launches.clone(),
            kind: "m5.large".into(),
            desired: size,
            min: 0,
            max: size * 2,
            members: BTreeMap::new(),
            suspended: Vec::new(),
            maintenance: None,
            operator: None,
            status: None,
            cannot_launch: None,
            fails_after: None,
            tags: Tags::new(),
        };
        self.groups.insert(name.into(), group);
        for _ in 0..size {
            self.launch(name, &launches);
        }
        self.groups.get_mut(name).expect("just made")
    }

    /// An instance outside any group.
    pub(crate) fn machine(&mut self, image: &str, kind: &str) -> String {
        let number = self.next();
        let id = format!("i-{number:017x}");
        let zone = format!("{}{}", self.region, ["a", "b", "c"][number as usize % 3]);
        let (image, kind, launched) = (image.to_string(), kind.to_string(), self.now);
        let tags = Tags::from([("Name".to_string(), format!("machine-{number}"))]);
        self.machines.insert(id.clone(), Machine { image, kind, zone, state: "running".into(), launched, tags });
        id
    }

    /// A cluster without services.
    pub(crate) fn cluster(&mut self, name: &str) {
        self.clusters.insert(name.into());
    }

    /// The next revision of a task definition: names and images of its containers.
    pub(crate) fn definition(&mut self, family: &str, containers: &[(&str, &str)]) -> (String, u64) {
        let last = self.definitions.keys().rev().find(|(name, _)| name == family).map_or(0, |(_, number)| *number);
        let key = (family.to_string(), last + 1);
        let containers = containers.iter().map(|(name, image)| (name.to_string(), image.to_string())).collect();
        let definition = Definition { containers, status: "ACTIVE".into(), registered: self.now, checked: None };
        self.definitions.insert(key.clone(), definition);
        key
    }

    /// A service with all its tasks running.
    pub(crate) fn service(
        &mut self,
        cluster: &str,
        name: &str,
        definition: &(String, u64),
        desired: usize,
    ) -> &mut Service {
        let arn = self.ecs_arn("service", &format!("{cluster}/{name}"));
        let service = Service {
            cluster: cluster.into(),
            name: name.into(),
            status: "ACTIVE".into(),
            desired,
            definition: definition.clone(),
            controller: "ECS".into(),
            strategy: "ROLLING".into(),
            deployments: Vec::new(),
            events: Vec::new(),
            cannot_start: None,
            breaker: None,
            created: self.now,
        };
        self.services.insert(arn.clone(), service);
        rollout::begin(self, &arn);
        rollout::complete(self, &arn);
        self.services.get_mut(&arn).expect("just made")
    }

    /// Launches an instance of a group from this, in service at once.
    pub(super) fn launch(&mut self, group: &str, launches: &Launches) -> String {
        let kinds: Vec<String> = match launches {
            Launches::Mixed(mixed) => mixed.overrides.iter().map(|entry| entry.kind.clone()).collect(),
            Launches::Template(_) | Launches::Configuration(_) => Vec::new(),
        };
        let kind = match kinds.len() {
            0 => self.groups[group].kind.clone(),
            count => kinds[self.serial as usize % count].clone(),
        };
        let (image, member) = self.member(launches, &kind);
        let id = self.machine(&image, &kind);
        let machine = self.machines.get_mut(&id).expect("just made");
        machine.tags.insert("Name".into(), group.into());
        machine.tags.insert("aws:autoscaling:groupName".into(), group.into());
        if let Some(template) = &member.template {
            machine.tags.insert("aws:ec2launchtemplate:id".into(), template.id.clone());
            machine.tags.insert("aws:ec2launchtemplate:version".into(), template.version.clone().unwrap_or_default());
        }
        self.groups.get_mut(group).expect("it is there").members.insert(id.clone(), member);
        id
    }

    /// The image that an instance of this kind would get, and what its group would say of it.
    pub(super) fn member(&self, launches: &Launches, kind: &str) -> (String, Member) {
        let (template, own) = match launches {
            Launches::Template(template) => (Some(template), None),
            Launches::Configuration(_) => (None, None),
            Launches::Mixed(mixed) => {
                let entry = mixed.overrides.iter().find(|entry| entry.kind == kind);
                let template = entry.and_then(|entry| entry.template.as_ref()).unwrap_or(&mixed.base);
                (Some(template), entry.and_then(|entry| entry.image.clone()))
            }
        };
        let numbered = template.and_then(|template| self.numbered(template));
        let image = match launches {
            Launches::Configuration(name) => self.configurations.get(name).cloned(),
            Launches::Template(_) | Launches::Mixed(_) => {
                own.clone().or_else(|| Some(self.resolved(self.image_at(numbered.as_ref()?)?)))
            }
        };
        let member = Member {
            lifecycle: "InService".into(),
            health: "Healthy".into(),
            template: numbered,
            image: own,
            is_protected: false,
        };
        (image.unwrap_or_else(|| "ami-00000000000000000".into()), member)
    }

    /// The same template with the number of its version, when both exist.
    pub(super) fn numbered(&self, at: &TemplateAt) -> Option<TemplateAt> {
        let number = self.templates.get(&at.id)?.number(at.version.as_deref().unwrap_or("$Default"))?;
        Some(TemplateAt { id: at.id.clone(), version: Some(number.to_string()) })
    }

    /// The image that a version names, as it names it.
    pub(super) fn image_at(&self, at: &TemplateAt) -> Option<&String> {
        let template = self.templates.get(&at.id)?;
        template.versions.get(&template.number(at.version.as_deref().unwrap_or("$Default"))?)?.as_ref()
    }

    /// An image id for what a template names; what is no parameter, or an unknown one, stays.
    pub(super) fn resolved(&self, image: &str) -> String {
        let name = image.strip_prefix("resolve:ssm:").map(|name| name.split(':').next().unwrap_or(name));
        name.and_then(|name| self.parameters.get(name)).cloned().unwrap_or_else(|| image.to_string())
    }

    /// What an image reference means now.
    pub(super) fn digest(&self, image: &str) -> String {
        if let Some((_, digest)) = image.split_once('@') {
            return digest.to_string();
        }
        let made = || {
            let hash = Sha256::digest(image.as_bytes());
            format!("sha256:{}", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        };
        self.digests.get(image).cloned().unwrap_or_else(made)
    }

    pub(super) fn ecs_arn(&self, kind: &str, name: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{kind}/{name}", self.region, self.account)
    }

    /// A number that nothing else has.
    pub(super) fn next(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// An id in the form of the ones that Auto Scaling gives.
    pub(super) fn uuid(&mut self) -> String {
        format!("{:08x}-0000-4000-8000-000000000000", self.next())
    }
}
