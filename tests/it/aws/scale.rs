//! 10,000 machines in 40 groups and 10,000 tasks, read within a budget of calls; figures are in `benches/aws.py`.

use rolldeck::domain::fleet::Fleet;
use rolldeck::domain::id::PlaceId;
use rolldeck::domain::observation::Observation;
use rolldeck::providers::{AwsSurroundings, Mutations, PlaceSpec, Sink, Surroundings, kind};
use serde_json::json;
use tokio::sync::mpsc;

use super::fake::Fake;
use crate::real::cluster::PATIENCE;
use crate::real::moto::write_files;

/// Actions of a look at machines and groups.
const OF_GROUPS: [&str; 6] = [
    "DescribeAutoScalingGroups",
    "DescribeInstanceImageMetadata",
    "DescribeInstanceRefreshes",
    "DescribeLaunchTemplates",
    "DescribeLaunchTemplateVersions",
    "DescribeImages",
];

#[test]
fn ten_thousand_of_each_take_no_call_for_each() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let fake = Fake::start().await;
        fake.seed_fleet(40, 10_000);
        fake.seed_tasks(200, 10_000);
        let folder = tempfile::tempdir().expect("a folder");
        let (config, credentials) = write_files(folder.path());
        let aws = AwsSurroundings {
            config_file: Some(config),
            credentials_file: Some(credentials),
            ..AwsSurroundings::default()
        };
        let kind = kind("aws").expect("it is in KINDS");
        let region = fake.with(|world| world.region.clone());
        let settings = json!({"region": region, "endpoint_url": fake.url(), "refresh": "1s"});
        let settings = settings.as_object().expect("a table").clone();
        let place = PlaceId::new("aws/large");
        let spec = PlaceSpec { id: place.clone(), kind: kind.name, settings };
        let surroundings = Surroundings { aws, ..Surroundings::default() };
        let provider = (kind.connect)(spec, surroundings, Mutations::Forbidden).expect("it connects").provider;
        let (sender, mut batches) = mpsc::channel(16);
        let mut fleet = Fleet::new(Vec::new());
        fleet.add_place(place.clone());
        let watcher = tokio::spawn(provider.watch(Sink::new(place, sender)));
        let take = async |batches: &mut mpsc::Receiver<_>| {
            tokio::time::timeout(PATIENCE, batches.recv()).await.expect("in time").expect("watchers never end")
        };
        while !fleet.places()[0].state.is_live() {
            fleet.apply(take(&mut batches).await);
        }
        assert_eq!(fleet.instance_count(), 20_000);
        assert_eq!((fleet.total().ok, fleet.total().off()), (20_000, 0));
        let first = fake.requests().len();
        assert!(first <= 700, "{first} calls for the first look");

        // Two more looks, in which nothing has moved.
        let mut looks = 0;
        while looks < 2 {
            let batch = take(&mut batches).await;
            let is_anew = |row: &Observation| matches!(row, Observation::Instance(..));
            assert!(!batch.observations.iter().any(is_anew), "what did not move is only said to be as it was");
            looks += usize::from(batch.observations.contains(&Observation::Heartbeat));
            fleet.apply(batch);
        }
        watcher.abort();
        let later = &fake.requests()[first..];
        let of_groups = later.iter().filter(|request| OF_GROUPS.contains(&request.action.as_str())).count();
        // Two looks, and perhaps the beginning of a third.
        assert!((2 * 10..=3 * 30).contains(&of_groups), "{of_groups} calls for groups and machines");
        assert_eq!(fleet.instance_count(), 20_000);
        assert!(fleet.places()[0].heard_at.is_some());
    });
}
