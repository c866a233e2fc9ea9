//! Which image should run in a workload, and who says so (DESIGN section 5); and which service a workload belongs to.
//!
//! Never guesses silently: where two declarations contradict or none can be placed, the reason is part of the answer.

use serde::{Deserialize, Serialize};

use super::catalog::Catalog;
use super::id::{PlaceId, WorkloadId};
use super::image::{DigestKind, ImageId, ImageRef};
use super::observation::{Role, Template};
use super::release::Releases;
use super::selector::glob_matches;
use super::text::Text;

/// Who says what should run, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectationSource {
    /// `[[expect]]` in the configuration.
    Configuration,
    /// A release: a file that the configuration names, or `release add`.
    Release,
    /// The annotation `rolldeck.dev/expected-image` on the workload.
    Annotation,
    /// The workload's own template, which pins an exact image.
    Template,
    /// The workload's own template, whose moving reference was asked for when it was last read (launch template `$Latest`).
    Resolved,
    /// Nobody; the majority inside the workload is the measure, and what differs is an outlier.
    Majority,
}

/// One image that may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it was declared.
    pub reference: Option<ImageRef>,
    /// Exactly, where the declaration pins it.
    pub image: Option<ImageId>,
}

/// What should run in one container of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Who says so.
    pub source: ExpectationSource,
    /// The container meant.
    pub container: Text,
    /// The main target first, the others (a canary's) after it.
    pub targets: Vec<Target>,
    /// Who says so, in words, where the source alone does not tell: which release, of when.
    pub says: Option<Text>,
}

/// One `[[expect]]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The service meant.
    pub service: Text,
    /// The image that should run.
    pub image: ImageRef,
    /// The container; else the one whose repository is the image's.
    pub container: Option<Text>,
    /// Globs over place ids; empty means all.
    pub places: Vec<Text>,
}

/// Which labels name the service, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceKeys(pub Vec<Text>);

/// The answer for one workload: an expectation for each container that has one, or why none can be placed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// By container; the containers without an entry are judged by the majority.
    pub containers: Vec<Expectation>,
    /// A declaration that could not be placed; everything it might mean is `unknown`.
    pub problem: Option<Text>,
}

impl ExpectationSource {
    /// The word that scripts hold on to.
    pub fn as_str(self) -> &'static str {
        match self {
            ExpectationSource::Configuration => "configuration",
            ExpectationSource::Release => "release",
            ExpectationSource::Annotation => "annotation",
            ExpectationSource::Template => "template",
            ExpectationSource::Resolved => "resolved",
            ExpectationSource::Majority => "majority",
        }
    }
}

impl Target {
    /// Whether its exact image is what a registry says that its tag stands for.
    pub fn is_resolved(&self) -> bool {
        self.image.is_some() && self.reference.as_ref().is_some_and(|reference| reference.pinned().is_none())
    }
}

impl Expectation {
    /// The image that most instances should run.
    pub fn main(&self) -> Option<&Target> {
        self.targets.first()
    }
}

impl Expected {
    /// What is expected of one container.
    pub fn of(&self, container: &str) -> Option<&Expectation> {
        self.containers.iter().find(|expectation| expectation.container == *container)
    }
}

impl Default for ServiceKeys {
    fn default() -> ServiceKeys {
        ServiceKeys(["app.kubernetes.io/name", "app", "Service"].map(Text::new).to_vec())
    }
}

impl ServiceKeys {
    /// The service of a workload: the first key found on its labels, then on its template's, then its own name.
    pub fn service_of<'a>(
        &self,
        own: impl Fn(&str) -> Option<&'a str>,
        template: impl Fn(&str) -> Option<&'a str>,
        name: &'a str,
    ) -> Text {
        let found = self.0.iter().find_map(|key| own(key)).or_else(|| self.0.iter().find_map(|key| template(key)));
        Text::new(found.filter(|service| !service.is_empty()).unwrap_or(name))
    }
}

impl Declaration {
    /// Whether this declaration speaks of that service there.
    pub fn is_about(&self, service: &str, place: &PlaceId) -> bool {
        self.service == *service
            && (self.places.is_empty() || self.places.iter().any(|glob| glob_matches(glob, &place.0)))
    }
}

/// What should run in a workload: declarations first, then the annotation, then the template where it pins.
///
/// Where a tag is declared, or asked for by the template, and its registry is asked, what it stands for now is what should run.
///
/// Later declarations of the configuration win over earlier ones, so that a special case can follow the rule.
pub fn expected_of(
    (declarations, releases): (&[Declaration], &Releases),
    id: &WorkloadId,
    service: &str,
    annotation: Option<&Text>,
    template: &Template,
    catalog: &Catalog,
) -> Expected {
    let mut expected = Expected::default();
    let add =
        |expected: &mut Expected, source, container, image: &ImageRef| add(expected, catalog, source, container, image);
    for declaration in declarations.iter().rev().filter(|declaration| declaration.is_about(service, &id.place)) {
        match container_for(template, &declaration.image, declaration.container.as_ref()) {
            Ok(container) => add(&mut expected, ExpectationSource::Configuration, container, &declaration.image),
            Err(problem) => expected.problem = Some(problem),
        }
    }
    if let Some(release) = releases.expected(service, &id.place) {
        for placed in release.at(&id.place) {
            match container_for(template, &placed.image, placed.container.as_ref()) {
                Ok(container) => {
                    add(&mut expected, ExpectationSource::Release, container.clone(), &placed.image);
                    let own = expected.containers.iter_mut().find(|own| own.container == container);
                    if let Some(own) = own.filter(|own| own.source == ExpectationSource::Release) {
                        own.says = Some(release.says());
                    }
                }
                Err(problem) if expected.containers.is_empty() => expected.problem = Some(problem),
                Err(_) => {}
            }
        }
    }
    if let Some(annotation) = annotation {
        match annotation.parse::<ImageRef>() {
            Ok(image) => match container_for(template, &image, None) {
                Ok(container) => add(&mut expected, ExpectationSource::Annotation, container, &image),
                Err(problem) if expected.containers.is_empty() => expected.problem = Some(problem),
                Err(_) => {}
            },
            Err(error) => {
                expected.problem = Some(Text::new(&format!("annotation rolldeck.dev/expected-image: {error}")))
            }
        }
    }
    // What could not be placed may have meant any of them: a weaker word must not make it look well.
    let speaks = expected.problem.is_none();
    for container in template.containers.iter().filter(|container| speaks && container.role.is_judged()) {
        let Some(image) = &container.image else { continue };
        if image.pinned().is_some() {
            let moves = image.is_machine() && template.latent.is_some();
            let source = if moves { ExpectationSource::Resolved } else { ExpectationSource::Template };
            add(&mut expected, source, container.name.clone(), image);
        } else if matches!(catalog.resolve(image), Ok(Some(_))) {
            add(&mut expected, ExpectationSource::Resolved, container.name.clone(), image);
        }
    }
    expected
}

fn add(expected: &mut Expected, catalog: &Catalog, source: ExpectationSource, container: Text, image: &ImageRef) {
    if expected.of(&container).is_none() {
        let resolved = || {
            let digest = catalog.resolve(image).ok().flatten()?;
            Some(ImageId::oci(digest.clone(), DigestKind::Repository))
        };
        let target = Target { reference: Some(image.clone()), image: image.pinned().or_else(resolved) };
        expected.containers.push(Expectation { source, container, targets: vec![target], says: None });
    }
}

/// The container that a declaration means: the named one, else the only one with the image's repository.
fn container_for(template: &Template, image: &ImageRef, named: Option<&Text>) -> Result<Text, Text> {
    let candidates = || template.containers.iter().filter(|container| container.role != Role::Init);
    if let Some(named) = named {
        return candidates()
            .find(|container| container.name == *named)
            .map(|container| container.name.clone())
            .ok_or_else(|| {
                Text::new(&format!("the expectation names container {named}, which the template does not have"))
            });
    }
    let mut same =
        candidates().filter(|container| container.image.as_ref().is_some_and(|reference| image.is_alike(reference)));
    match (same.next(), same.next()) {
        (Some(only), None) => Ok(only.name.clone()),
        (None, _) => Err(Text::new(&format!(
            "no container runs an image of {}; name the container in the expectation",
            image.repository()
        ))),
        (Some(_), Some(_)) => Err(Text::new(&format!(
            "several containers run an image of {}; name the container in the expectation",
            image.repository()
        ))),
    }
}
