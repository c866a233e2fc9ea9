//! Why AWS can't start what it should: told with the group or service that is short of instances, as long as it is.

use jiff::Timestamp;
use rolldeck::domain::fleet::Fleet;

use super::fake::Fake;
use super::watched::Watched;
use crate::real::moto::write_files;

fn trouble(fleet: &Fleet) -> String {
    let workload = fleet.workloads().next();
    workload.and_then(|workload| workload.seen.trouble.as_ref()).map(ToString::to_string).unwrap_or_default()
}

async fn watched(fake: &Fake) -> Watched {
    let files = tempfile::tempdir().expect("a folder");
    write_files(files.path());
    let region = fake.with(|world| world.region.clone());
    Watched::of(&region, &fake.url(), files)
}

#[tokio::test]
async fn a_group_that_cant_launch_says_why_until_it_can() {
    let fake = Fake::start().await;
    fake.seed_fleet(1, 3);
    fake.with(|world| {
        let group = world.groups.get_mut("group-000").expect("there");
        group.cannot_launch = Some("no capacity in this zone".into());
        let member = group.members.keys().next().cloned().expect("it has members");
        group.members.remove(&member);
        world.machines.remove(&member);
        world.step();
    });
    let mut watched = watched(&fake).await;
    watched.until_live().await;
    assert!(trouble(&watched.fleet).contains("no capacity in this zone"), "{}", trouble(&watched.fleet));
    fake.with(|world| {
        world.groups.get_mut("group-000").expect("there").cannot_launch = None;
        world.step();
    });
    watched.until_fleet("it has launched", |fleet| trouble(fleet).is_empty()).await;
}

#[tokio::test]
async fn a_service_that_cant_place_its_tasks_says_why_until_it_can() {
    let fake = Fake::start().await;
    let key = fake.with(|world| {
        world.now = Timestamp::now();
        world.cluster("shop");
        let definition = world.definition("pay", &[("app", "registry.example/pay:v1")]);
        world.service("shop", "pay", &definition, 3);
        world.services.keys().next().cloned().expect("one")
    });
    fake.with(|world| {
        let service = world.services.get_mut(&key).expect("there");
        (service.cannot_start, service.desired) = (Some("no container instance has enough memory".into()), 4);
        world.step();
    });
    let mut watched = watched(&fake).await;
    watched.until_live().await;
    assert!(trouble(&watched.fleet).contains("has enough memory"), "{}", trouble(&watched.fleet));
    fake.with(|world| {
        world.services.get_mut(&key).expect("there").cannot_start = None;
        (0..3).for_each(|_| world.step());
    });
    watched.until_fleet("it has started", |fleet| trouble(fleet).is_empty()).await;
}
