//! The fake AWS for the conformance suite: it must not agree with itself alone, and is held to what moto is held to.

use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use aws_sdk_autoscaling::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_autoscaling::types::{DesiredConfiguration, LaunchTemplateSpecification, RefreshPreferences};
use jiff::Timestamp;
use rolldeck::domain::id::PlaceId;
use tokio::runtime::Runtime;

use super::aws::{LACKS, SECOND, connected};
use super::{Deed, Subject};
use crate::aws::fake::{Fake, Launches, TemplateAt};
use crate::real::cluster::PATIENCE;
use crate::real::moto::write_files;

/// Of the servers: the suite's own runtimes end with each check.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
});

struct Stage {
    fake: Fake,
    client: aws_sdk_autoscaling::Client,
}

/// A fake of its own.
pub(super) fn subject() -> Option<Subject> {
    // Nothing may wait for a runtime inside of another.
    let fake = std::thread::scope(|scope| scope.spawn(|| RUNTIME.block_on(Fake::start())).join().expect("it starts"));
    fake.with(|world| world.now = Timestamp::now());
    let (region, url) = (fake.with(|world| world.region.clone()), fake.url());
    let config = aws_sdk_autoscaling::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.clone()))
        .credentials_provider(Credentials::new("AKIATEST", "s3cret-canary", None, None, "test"))
        .endpoint_url(&url)
        .build();
    let stage = Arc::new(Stage { fake, client: aws_sdk_autoscaling::Client::from_conf(config) });
    let weak = Arc::downgrade(&stage);
    std::thread::spawn(move || pass_time(&weak));
    let folder = tempfile::tempdir().expect("a folder");
    write_files(folder.path());
    let place = PlaceId::new("aws/fake");
    let (own, acting) = (place.clone(), stage.clone());
    Some(Subject {
        place,
        connect: Box::new(move |mutations| connected(&own, folder.path(), &region, &url, mutations)),
        now: Box::new(Timestamp::now),
        act: Box::new(move |deed| {
            std::thread::scope(|scope| scope.spawn(|| acting.act(deed)).join().expect("the fake does it"));
        }),
        expire: None,
        requests: Box::new(move || {
            const CHANGES: [&str; 4] = ["Start", "Rollback", "Cancel", "Terminate"];
            let is_ours = |action: &str| CHANGES.iter().any(|change| action.starts_with(change));
            let by_the_suite = stage.fake.with(|world| world.by_suite);
            stage.fake.requests().iter().filter(|request| is_ours(&request.action)).count() - by_the_suite
        }),
        patience: PATIENCE,
        calm: Duration::from_secs(3),
        lacks: LACKS,
    })
}

fn pass_time(stage: &Weak<Stage>) {
    while let Some(stage) = stage.upgrade() {
        stage.fake.with(|world| world.step());
        drop(stage);
        std::thread::sleep(SECOND);
    }
}

impl Stage {
    fn act(&self, deed: Deed<'_>) {
        match deed {
            Deed::Deploy(name, replicas, versions) => self.fake.with(|world| {
                let template = format!("lt-{name:0>17}");
                let images: Vec<String> = versions.iter().map(|version| image(name, version)).collect();
                for (id, version) in images.iter().zip(versions) {
                    world.image(id, &format!("{name}-{version}")).tags.insert("version".into(), (*version).into());
                }
                let ids: Vec<&str> = images.iter().map(String::as_str).collect();
                world.template(&template, name, &ids);
                let newest = TemplateAt::new(&template, &versions.len().to_string());
                world.group(name, Launches::Template(newest), replicas as usize);
            }),
            Deed::Request(name, version) => {
                let template = format!("lt-{name:0>17}");
                let number = self.fake.with(|world| {
                    let id = image(name, version);
                    world.image(&id, &format!("{name}-{version}")).tags.insert("version".into(), version.into());
                    let versions = &mut world.templates.get_mut(&template).expect("it was deployed").versions;
                    let number = versions.len() as u64 + 1;
                    versions.insert(number, Some(id));
                    number
                });
                self.refresh(name, &template, number);
            }
            Deed::DeleteInstances(name, count) => self.fake.with(|world| {
                let members: Vec<String> = world.groups[name].members.keys().take(count as usize).cloned().collect();
                for member in members {
                    world.groups.get_mut(name).expect("it was deployed").members.remove(&member);
                    world.machines.remove(&member);
                }
            }),
            Deed::Remove(name) => self.fake.with(|world| {
                let group = world.groups.remove(name).expect("it was deployed");
                group.members.keys().for_each(|member| drop(world.machines.remove(member)));
            }),
        }
    }

    /// As somebody else would, who cancels what is under way.
    fn refresh(&self, group: &str, template: &str, number: u64) {
        let cancel = self.client.cancel_instance_refresh().auto_scaling_group_name(group).send();
        // Nothing may be under way.
        let _ = RUNTIME.block_on(cancel);
        self.fake.with(|world| world.step());
        let spec = LaunchTemplateSpecification::builder().launch_template_id(template).version(number.to_string());
        let desired = DesiredConfiguration::builder().launch_template(spec.build()).build();
        let preferences = RefreshPreferences::builder().min_healthy_percentage(50).skip_matching(true).build();
        let start = self.client.start_instance_refresh().auto_scaling_group_name(group);
        let start = start.desired_configuration(desired).preferences(preferences).send();
        RUNTIME.block_on(start).expect("the fake takes it");
        self.fake.with(|world| world.by_suite += 2);
    }
}

fn image(name: &str, version: &str) -> String {
    let digits: String = format!("{name}{version}").bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("ami-{digits:0>17}")
}
