//! What 500 images cost their registry: how many requests, how many at once, and nothing once they are known.

use jiff::Timestamp;
use rolldeck::app::resolving::Resolving;

use super::many::{IMAGES, fleet, registry, settle};
use super::registries;

#[tokio::test]
async fn five_hundred_images_cost_four_requests_each_four_at_a_time_and_nothing_in_a_quiet_minute() {
    let fake = registry().await;
    let host = fake.host();
    let (mut fleet, mut resolving, registries) = (fleet(&host), Resolving::default(), registries(&[&host]));
    let now = Timestamp::from_second(1_795_230_600).expect("in range");
    settle(&mut fleet, &mut resolving, &registries, now).await;
    assert_eq!(fleet.catalog().counts(), (IMAGES, IMAGES));
    let count = |kind: &str| fake.asked().iter().filter(|asked| asked.method == kind).count();
    // A tag costs a HEAD; a digest its index, one manifest and its configuration.
    assert_eq!((count("HEAD"), count("GET")), (IMAGES, 3 * IMAGES));
    assert_eq!(fake.most_at_once(), 4);
    let before = fake.asked().len();
    for second in 1..=60 {
        let later = Timestamp::from_second(now.as_second() + second).expect("in range");
        settle(&mut fleet, &mut resolving, &registries, later).await;
    }
    assert_eq!(fake.asked().len(), before, "a quiet minute has no request");
    let later = Timestamp::from_second(now.as_second() + 600).expect("in range");
    settle(&mut fleet, &mut resolving, &registries, later).await;
    assert_eq!(fake.asked().len(), before + IMAGES, "then each tag is asked for again, and no digest");
}
