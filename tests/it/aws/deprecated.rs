//! An image that will be taken away soon: told with the versions that have it, and before a plan goes to it.

use std::time::Duration;

use jiff::Timestamp;
use rolldeck::domain::fleet::Fleet;
use rolldeck::domain::plan::CheckVerdict;

use super::fake::Fake;
use super::fake_server::OLD;
use super::watched::Watched;
use crate::real::moto::write_files;

/// Days from now; half a day is on top, so that no minute of a test matters.
fn in_days(days: i64) -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second() + days * 86_400 + 43_200).expect("in range")
}

fn deprecate(fake: &Fake, at: Option<Timestamp>) {
    fake.with(|world| world.images.get_mut(OLD).expect("there").deprecated = at);
}

async fn watched(at: Option<Timestamp>) -> (Fake, Watched) {
    let fake = Fake::start().await;
    fake.seed_fleet(1, 3);
    // The group's service: what `Watched::rollback` goes back with.
    fake.with(|world| {
        let group = world.groups.get_mut("group-000").expect("there");
        group.tags.insert("Service".into(), "checkout".into());
    });
    deprecate(&fake, at);
    let files = tempfile::tempdir().expect("a folder");
    write_files(files.path());
    let mut watched = Watched::of(&fake.with(|world| world.region.clone()), &fake.url(), files);
    watched.until_live().await;
    (fake, watched)
}

/// What is said of the last good version's image.
fn said(fleet: &Fleet) -> Option<String> {
    let workload = fleet.workloads().next().expect("one");
    workload.last_good().expect("the first one").deprecation(Timestamp::now())
}

#[tokio::test]
async fn an_image_that_is_deprecated_soon_is_told_with_the_last_good_version_and_in_a_plan() {
    for (at, expected) in [(Some(in_days(9)), "deprecated from"), (Some(in_days(-9)), "deprecated since")] {
        let (_fake, watched) = watched(at).await;
        let why = said(&watched.fleet).expect("it is close");
        assert!(why.starts_with(expected), "{why}");
        let inspection = watched.inspect(&watched.rollback()).await;
        let image = inspection.checks.iter().find(|check| check.name.as_str() == "image").expect("it is looked at");
        assert_eq!(image.verdict, CheckVerdict::Warn, "{image:?}");
        assert!(image.detail.contains(&format!("{OLD} is available, and {why}")), "{image:?}");
    }
    for at in [Some(in_days(90)), None] {
        let (_fake, watched) = watched(at).await;
        assert_eq!(said(&watched.fleet), None);
        let inspection = watched.inspect(&watched.rollback()).await;
        let image = inspection.checks.iter().find(|check| check.name.as_str() == "image").expect("it is looked at");
        assert_eq!(image.verdict, CheckVerdict::Pass, "{image:?}");
    }
}

#[tokio::test]
async fn that_is_found_out_within_an_hour_and_is_not_forgotten_when_it_can_not_be_asked() {
    let (fake, mut watched) = watched(None).await;
    let asked = fake.count("DescribeImages");
    deprecate(&fake, Some(in_days(9)));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3601)).await;
    tokio::time::resume();
    watched.until_fleet("it is told", |fleet| said(fleet).is_some()).await;
    assert_eq!(fake.count("DescribeImages"), asked + 1, "both images by one request");
    fake.fail("DescribeImages", super::fake::Fault::Throttle, usize::MAX);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3601)).await;
    tokio::time::resume();
    fake.with(|world| world.groups.get_mut("group-000").expect("there").desired = 4);
    let is_seen = |fleet: &Fleet| fleet.workloads().next().is_some_and(|workload| workload.seen.desired == 4);
    watched.until_fleet("another pass was made", is_seen).await;
    assert!(fake.count("DescribeImages") > asked + 1, "it was asked again");
    assert!(said(&watched.fleet).is_some() && watched.place().state.is_live());
}
