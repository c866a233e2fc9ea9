//! Simulated places for the conformance suite: a cluster, and one of AWS.

use std::sync::Arc;
use std::time::Duration;

use rolldeck::domain::id::{PlaceId, WorkloadId, WorkloadKind};
use rolldeck::domain::text::Text;
use rolldeck::providers::sim::{Intervention, Scenario, SimWorld};

use super::{Deed, Lack, Subject};
use crate::harness::{BASE, deployment};

const PLACE: &str = "sim/one";
const WORLD: &str = r#"
name = "empty"
title = "One place"
description = "For the conformance suite."
services = []
places = [{ id = "sim/one", latency = "20ms" }]
"#;

/// A new world with one cluster.
pub(super) fn subject() -> Option<Subject> {
    Some(one_place(WORLD, |name| deployment(PLACE, "shop", name), &[]))
}

/// A new world with one place of AWS.
pub(super) fn group() -> Option<Subject> {
    let world = WORLD.replace("id = \"sim/one\"", "id = \"sim/one\", kind = \"aws\"");
    let id = |name: &str| WorkloadId {
        place: PlaceId::new(PLACE),
        namespace: None,
        kind: WorkloadKind::AutoScalingGroup,
        name: Text::new(name),
    };
    Some(one_place(&world, id, &[Lack::Mark, Lack::NewNumbers, Lack::SingleImage]))
}

fn one_place(text: &str, id: fn(&str) -> WorkloadId, lacks: &'static [Lack]) -> Subject {
    let scenario = Scenario::parse(text).expect("a good scenario");
    let world = Arc::new(SimWorld::new(&scenario, BASE.parse().expect("a time")));
    let place = PlaceId::new(PLACE);
    let (acting, connecting, telling, expiring) = (world.clone(), world.clone(), world.clone(), world.clone());
    let (own, expired) = (place.clone(), place.clone());
    Subject {
        place,
        connect: Box::new(move |mutations| connecting.connect(&own, mutations).expect("it is there")),
        now: Box::new(move || telling.now()),
        act: Box::new(move |deed| act(&acting, id, deed)),
        expire: Some(Box::new(move || expiring.expire(&expired))),
        requests: Box::new(move || world.calls().len()),
        patience: Duration::from_secs(60),
        calm: Duration::from_secs(20),
        lacks,
    }
}

fn act(world: &SimWorld, id: fn(&str) -> WorkloadId, deed: Deed<'_>) {
    let (name, intervention) = match deed {
        Deed::Deploy(name, replicas, versions) => {
            return world.deploy(&service(name, replicas, versions)).expect("a good service");
        }
        Deed::Request(name, version) => (name, Intervention::Request(Text::new(version))),
        Deed::DeleteInstances(name, count) => (name, Intervention::DeleteInstances(count)),
        Deed::Remove(name) => (name, Intervention::Remove),
    };
    assert!(world.intervene(&id(name), &intervention), "{deed:?}");
}

fn service(name: &str, replicas: u32, versions: &[&str]) -> String {
    let all = ["v1", "v2", "v3", "v4", "v5"];
    let known = all.iter().zip(["9d", "8d", "7d", "6d", "5d"]);
    let versions_table: Vec<String> =
        known.map(|(tag, age)| format!("{{ tag = \"{tag}\", age = \"{age}\" }}")).collect();
    let last = versions.last().expect("at least one version");
    assert_eq!(versions, &all[..versions.len()], "versions come in their order");
    format!(
        "name = \"{name}\"\nnamespace = \"shop\"\nversions = [{}]\nat = [{{ place = \"{PLACE}\", replicas = {replicas}, requested = \"{last}\" }}]\n",
        versions_table.join(", ")
    )
}
