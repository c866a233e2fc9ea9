//! Signatures: asked for what is looked at and for nothing else, shown as what they are, and a word of warning in a plan.

use std::time::Duration;

use rolldeck::app::effect::Effect;
use rolldeck::app::event::Event;
use rolldeck::domain::image::ImageRef;
use rolldeck::domain::signature::{Signature, SignatureHeard};
use rolldeck::domain::text::Text;

use super::fleets::{self, Pins, image};
use super::world::World;

fn about(version: &str) -> ImageRef {
    image("checkout", version, Pins::Digest)
}

/// Whose signatures were asked for since this was last asked, by digest.
fn asked(world: &mut World) -> Vec<String> {
    let effects = std::mem::take(&mut world.asked);
    let asked = effects.into_iter().filter_map(|effect| match effect {
        Effect::Signatures(about) => Some(about),
        _ => None,
    });
    asked.flatten().map(|about| about.digest().expect("a digest").to_string()).collect()
}

fn digest(version: &str) -> String {
    fleets::digest("checkout", version).to_string()
}

fn heard(world: &mut World, version: &str, said: Signature) {
    let about = about(version).at_digest(&fleets::digest("checkout", version)).expect("a reference");
    let heard = SignatureHeard { about, at: world.now(), said };
    world.happen(Event::Signed(vec![heard]));
    world.settle();
}

fn incident() -> World {
    let mut world = fleets::incident();
    world.model.fleet.set_registries(vec![Text::new("registry.example")]);
    world.pass(Duration::from_secs(1));
    world.settle();
    world
}

#[test]
fn the_detail_asks_for_its_own_images_and_shows_three_states() {
    let mut world = incident();
    world.find("checkout");
    assert!(asked(&mut world).is_empty(), "nobody looks at an image");
    world.press("d");
    let mut asked_for = asked(&mut world);
    asked_for.sort();
    let mut own = [digest("v41"), digest("v42")];
    own.sort();
    assert_eq!(asked_for, own, "what the service runs, and no other service");
    assert!(world.screen().contains("signature   not asked yet"), "{}", world.screen());
    for (said, expected) in [
        (Signature::Present("sigstore bundle"), "signature   present, not verified (sigstore bundle); heard <15s ago"),
        (Signature::None, "signature   none; heard"),
        (Signature::Unknown(Text::new("it does not answer")), "signature   unknown: it does not answer; heard"),
    ] {
        heard(&mut world, "v42", said);
        let screen = world.screen();
        assert!(screen.contains(expected), "{expected}: {screen}");
        assert_eq!(screen.matches("verified").count(), screen.matches("not verified").count(), "{screen}");
    }
    assert!(asked(&mut world).is_empty());
    world.pass(Duration::from_secs(61));
    assert_eq!(asked(&mut world), [digest("v42")], "what could not be asked is asked again");
    world.press("esc");
    world.pass(Duration::from_secs(3600));
    assert!(asked(&mut world).is_empty(), "nobody looks any more");
}

#[test]
fn a_plan_warns_where_it_leaves_what_is_signed_for_what_is_not_and_keeps_its_code() {
    let mut world = incident();
    world.find("checkout");
    world.press("b");
    let code = world.code().expect("a code");
    let mut asked_for = asked(&mut world);
    asked_for.sort();
    let mut own = [digest("v41"), digest("v42")];
    own.sort();
    assert_eq!(asked_for, own);
    let warning = "the target is not signed, what runs is (cosign, not verified)";
    heard(&mut world, "v42", Signature::Present("cosign"));
    assert!(!world.screen().contains(warning), "the target may be signed too: {}", world.screen());
    heard(&mut world, "v41", Signature::Unknown(Text::new("it does not answer")));
    assert!(!world.screen().contains(warning), "unknown is not none: {}", world.screen());
    heard(&mut world, "v41", Signature::None);
    assert!(world.screen().contains(warning), "{}", world.screen());
    assert_eq!(world.code(), Some(code), "what is to be done is the same");
    heard(&mut world, "v41", Signature::Present("cosign"));
    assert!(!world.screen().contains(warning), "{}", world.screen());
}
