//! The call budget: what is counted for a place, and that telling it is no sign of life and no reason to draw.

use std::time::Duration;

use jiff::Timestamp;
use rolldeck::domain::fleet::Fleet;
use rolldeck::domain::id::PlaceId;
use rolldeck::domain::observation::{Batch, Observation, PlaceState};
use rolldeck::domain::text::Text;

use crate::harness::Harness;
use crate::pty::quick::QUICK;

#[tokio::test(start_paused = true)]
async fn each_place_counts_its_own_calls_and_an_idle_one_says_so_once() {
    let mut harness = Harness::open(QUICK).await;
    let counts = |harness: &Harness| -> Vec<Option<u32>> {
        harness.fleet.places().iter().map(|place| place.calls_per_minute).collect()
    };
    assert_eq!(counts(&harness), [None, None], "not known yet is not none");
    harness.run_for(Duration::from_secs(130)).await;
    // A sign of life every five seconds.
    assert_eq!(counts(&harness), [Some(12), Some(12)]);
}

#[test]
fn a_count_of_calls_is_no_answer_of_its_place() {
    let mut fleet = Fleet::new(Vec::new());
    let place = PlaceId::new("k8s/a");
    fleet.add_place(place.clone());
    let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).expect("a time");
    let mut tell = |second, observation| {
        fleet.apply(Batch { place: place.clone(), fetched_at: at(second), observations: vec![observation] });
        let place = &fleet.places()[0];
        (place.heard_at, place.state.clone(), place.calls_per_minute)
    };
    tell(0, Observation::Place(PlaceState::Live));
    let stale = PlaceState::Stale(Text::new("no answer"));
    tell(30, Observation::Place(stale.clone()));
    assert_eq!(tell(60, Observation::Calls(9)), (Some(at(0)), stale, Some(9)));
}
