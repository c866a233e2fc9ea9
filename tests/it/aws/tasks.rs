//! Tasks at the edges of their life: those that are stopping, and those that nobody has checked yet.

use jiff::{SignedDuration, Timestamp};
use rolldeck::domain::fleet::Fleet;
use rolldeck::domain::observation::{Health, Phase};

use super::fake::{Fake, tell_to_stop};
use super::watched::Watched;
use crate::real::moto::write_files;

async fn with_service(prepare: impl FnOnce(&Fake)) -> (Fake, Watched) {
    let fake = Fake::start().await;
    fake.with(|world| {
        world.now = Timestamp::now();
        world.cluster("shop");
        let definition = world.definition("pay", &[("app", "registry.example/pay:v1")]);
        world.service("shop", "pay", &definition, 3);
    });
    prepare(&fake);
    let files = tempfile::tempdir().expect("a folder");
    write_files(files.path());
    let region = fake.with(|world| world.region.clone());
    let watched = Watched::of(&region, &fake.url(), files);
    (fake, watched)
}

fn stop_one(fake: &Fake) {
    fake.with(|world| {
        let task = world.tasks.keys().next().cloned().expect("it has tasks");
        tell_to_stop(world, &task, "by the test");
        world.step();
    });
}

fn phases(fleet: &Fleet) -> (usize, usize) {
    let count = |phase| fleet.instances().filter(|(instance, _)| instance.seen.phase == phase).count();
    (count(Phase::Running), count(Phase::Draining))
}

#[tokio::test]
async fn a_task_that_stops_is_there_until_it_has_ended() {
    let (fake, mut watched) =
        with_service(|fake| fake.with(|world| world.stopping = SignedDuration::from_secs(5))).await;
    watched.until_live().await;
    stop_one(&fake);
    watched.until_fleet("it is seen to stop", |fleet| phases(fleet) == (3, 1)).await;
    fake.with(|world| (0..5).for_each(|_| world.step()));
    watched.until_fleet("it is gone", |fleet| phases(fleet) == (3, 0)).await;
}

#[tokio::test]
async fn a_task_that_was_stopping_before_the_first_look_is_there() {
    let begin = |fake: &Fake| {
        fake.with(|world| world.stopping = SignedDuration::from_secs(3600));
        stop_one(fake);
    };
    let (_fake, mut watched) = with_service(begin).await;
    watched.until_live().await;
    assert_eq!(phases(&watched.fleet), (3, 1));
}

#[tokio::test]
async fn a_task_is_healthy_once_its_check_has_passed() {
    let check = |fake: &Fake| {
        fake.with(|world| {
            let key = ("pay".to_string(), 1);
            world.definitions.get_mut(&key).expect("it is there").checked = Some(SignedDuration::from_secs(30));
        });
    };
    let (fake, mut watched) = with_service(check).await;
    let healthy =
        |fleet: &Fleet| fleet.instances().filter(|(instance, _)| instance.seen.health == Health::Healthy).count();
    watched.until_live().await;
    assert_eq!(healthy(&watched.fleet), 0, "nobody has checked them yet");
    let (instance, _) = watched.fleet.instances().next().expect("one");
    assert!(instance.seen.reason.as_ref().is_some_and(|why| why.contains("health check")), "{:?}", instance.seen);
    fake.with(|world| {
        world.now += SignedDuration::from_secs(30);
        world.step();
    });
    watched.until_fleet("they are healthy", |fleet| healthy(fleet) == 3).await;

    // Where nobody checks, a task that runs is as well as anybody knows.
    let (_fake, mut unchecked) = with_service(|_| {}).await;
    unchecked.until_live().await;
    assert_eq!(healthy(&unchecked.fleet), 3);
}
