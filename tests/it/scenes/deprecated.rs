//! A last good version whose image is about to be taken away: told on Drift, in the detail and where a version is picked.

use super::fleets::{Deployment, Pins};
use super::world::World;

fn incident(deprecated_in: Option<u32>) -> World {
    let mut world = World::new(&["k8s/prod-eu"]);
    world.live("k8s/prod-eu");
    world.deploy(&Deployment {
        pods: &[("v42", 2, 2)],
        pins: Pins::Digest,
        changed: 6,
        deprecated_in,
        ..Deployment::default()
    });
    world.settle();
    world
}

#[test]
fn what_is_taken_away_soon_is_told_wherever_the_way_back_is_shown() {
    let mut world = incident(Some(9));
    world.find("checkout");
    let why = "deprecated from 2026-11-30 on, in 9 days";
    let drift = world.screen();
    assert!(drift.contains(&format!("the image of the last good version is {why}")), "{drift}");
    world.press("d");
    let detail = world.screen();
    assert!(detail.contains(&format!("last good   its image is {why}")), "{detail}");
    assert!(detail.contains(&format!("assumed good; ! its image is {why}")), "{detail}");
    world.press("esc B");
    assert!(world.screen().contains(why), "{}", world.screen());
    for far in [Some(15), None] {
        let mut world = incident(far);
        world.find("checkout");
        assert!(!world.screen().contains("deprecated"), "{}", world.screen());
        world.press("d");
        assert!(!world.screen().contains("deprecated"), "{}", world.screen());
    }
}
