//! A region of moto for the conformance suite: a Deployment of the suite is an Auto Scaling group here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use jiff::Timestamp;
use rolldeck::domain::id::PlaceId;
use rolldeck::providers::{AwsSurroundings, Connected, Mutations, PlaceSpec, Surroundings, kind};
use serde_json::json;

use super::{Deed, Lack, Subject};
use crate::journeys::relay::Relay;
use crate::real::cluster::PATIENCE;
use crate::real::moto::{Region, region_or_skip, write_files};

/// A region, the templates of its groups by name, and a second of AWS time every so often while it is used.
struct Stage {
    region: Region,
    templates: Mutex<BTreeMap<String, String>>,
}

/// What Auto Scaling groups do not have.
pub(super) const LACKS: &[Lack] = &[Lack::Mark, Lack::NewNumbers, Lack::SingleImage, Lack::CountedBrakes];

/// How long a second of AWS time takes.
pub(super) const SECOND: Duration = Duration::from_millis(600);

/// A region of its own.
pub(super) fn subject() -> Option<Subject> {
    let region = region_or_skip("the conformance suite on aws")?;
    let relay = Relay::to_aws(region.moto().port());
    let place = PlaceId::new(&format!("aws/{}", region.name()));
    let folder = tempfile::tempdir().expect("a folder");
    write_files(folder.path());
    let name = region.name();
    let stage = Arc::new(Stage { region, templates: Mutex::default() });
    let weak = Arc::downgrade(&stage);
    std::thread::spawn(move || pass_time(&weak));
    let own = place.clone();
    Some(Subject {
        place,
        connect: {
            let url = relay.url().to_string();
            Box::new(move |mutations| connected(&own, folder.path(), name, &url, mutations))
        },
        now: Box::new(Timestamp::now),
        act: Box::new(move |deed| stage.act(deed)),
        // Each look lists all: there is nothing that a server could forget.
        expire: None,
        requests: Box::new(move || relay.changes().len()),
        patience: PATIENCE,
        calm: Duration::from_secs(3),
        lacks: LACKS,
    })
}

/// A place of AWS whose own files are in a folder.
pub(super) fn connected(place: &PlaceId, folder: &Path, region: &str, url: &str, mutations: Mutations) -> Connected {
    let kind = kind("aws").expect("it is in KINDS");
    let aws = AwsSurroundings {
        config_file: Some(folder.join("config")),
        credentials_file: Some(folder.join("credentials")),
        ..AwsSurroundings::default()
    };
    let settings = json!({"region": region, "endpoint_url": url, "refresh": "1s"});
    let settings = settings.as_object().expect("a table").clone();
    let spec = PlaceSpec { id: place.clone(), kind: kind.name, settings };
    let surroundings = Surroundings { aws, ..Surroundings::default() };
    (kind.connect)(spec, surroundings, mutations).expect("it connects")
}

fn pass_time(stage: &Weak<Stage>) {
    while let Some(stage) = stage.upgrade() {
        stage.region.step(1);
        drop(stage);
        std::thread::sleep(SECOND);
    }
}

impl Stage {
    fn act(&self, deed: Deed<'_>) {
        // The suite runs on a runtime of its own, which must not be blocked by another.
        std::thread::scope(|scope| scope.spawn(|| self.really_act(deed)).join().expect("moto does it"));
    }

    fn really_act(&self, deed: Deed<'_>) {
        let region = &self.region;
        let template = |name: &str| self.templates.lock().expect("no thread broke off")[name].clone();
        match deed {
            Deed::Deploy(name, replicas, versions) => {
                let (first, rest) = versions.split_first().expect("at least one version");
                let template = region.template(name, &region.image(&format!("{name}-{first}"), first));
                self.templates.lock().expect("no thread broke off").insert(name.to_string(), template.clone());
                region.group(name, &template, "1", i32::try_from(replicas).expect("few"), &[]);
                for version in rest {
                    let number = region.version(&template, &region.image(&format!("{name}-{version}"), version));
                    region.refresh(name, &template, number, 0);
                    region.step(3);
                }
            }
            Deed::Request(name, version) => {
                let template = template(name);
                let number = region.version(&template, &region.image(&format!("{name}-{version}"), version));
                if region.is_busy(name) {
                    region.cancel(name);
                }
                region.refresh(name, &template, number, 50);
            }
            Deed::DeleteInstances(name, count) => {
                region.members(name).iter().take(count as usize).for_each(|(machine, _)| region.terminate(machine));
            }
            Deed::Remove(name) => region.remove(name),
        }
    }
}
