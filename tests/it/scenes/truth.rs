//! What the frame says must be so: places that fail, rollouts on their way, a block that stays in sight, counts of one.
//!
//! Never looks into the model for what a screen would show.

use std::time::Duration;

use rolldeck::app::effect::Effect;
use rolldeck::app::event::{Event, TerminalEvent};
use rolldeck::app::settings::Access;
use rolldeck::app::ui::refresh;
use rolldeck::domain::observation::{Observation, PlaceState, Rollout};
use rolldeck::domain::text::Text;

use super::fleets::{self, Deployment, Pins};
use super::world::World;

impl World {
    /// Whether what happened since the last frame makes a new one.
    pub(crate) fn is_drawn_again(&mut self) -> bool {
        let _ = refresh(&mut self.model);
        self.model.take_redraw()
    }

    /// The lines of the frame at this size.
    pub(crate) fn lines(&mut self, width: u16, height: u16) -> Vec<String> {
        let buffer = self.frame(width, height);
        super::text(&buffer).lines().map(str::to_string).collect()
    }
}

#[test]
fn a_place_that_fails_at_once_is_shown_at_once() {
    let mut world = World::new(&["k8s/prod-eu"]);
    assert!(world.screen().contains("1 place has not answered"), "{}", world.screen());
    let failed = PlaceState::Unreachable(Text::new("connection refused"));
    world.observe("k8s/prod-eu", vec![Observation::Place(failed.clone())]);
    assert!(world.is_drawn_again(), "no row changed, and still the screen is another");
    let screen = world.screen();
    assert!(screen.contains("places 0/1 ok (1 unreachable)"), "{screen}");
    assert!(screen.contains("nothing is known yet: k8s/prod-eu is unreachable: connection refused"), "{screen}");
    world.observe("k8s/prod-eu", vec![Observation::Place(failed)]);
    assert!(!world.is_drawn_again(), "the same again is no news");
}

#[test]
fn what_changes_beside_the_rows_is_drawn_and_what_stays_is_not() {
    let mut world = fleets::quiet();
    world.observe("k8s/prod-us", vec![Observation::Place(PlaceState::Forbidden(Text::new("no list")))]);
    assert!(world.is_drawn_again());
    assert!(world.screen().contains("as far as is known; 1 place is not live"), "{}", world.screen());
    // A rollout begins where Drift has no row for it yet: only the words tell.
    world.observe("k8s/prod-us", vec![Observation::Place(PlaceState::Live)]);
    assert!(world.is_drawn_again());
    world.live("k8s/prod-eu");
    assert!(!world.is_drawn_again());
}

#[test]
fn nothing_off_is_not_called_well_while_a_rollout_crashes() {
    let mut world = World::new(&["k8s/prod-eu"]);
    world.live("k8s/prod-eu");
    let calm = Deployment { name: "gateway", pins: Pins::Digest, pods: &[("v42", 6, 0)], ..Deployment::default() };
    world.deploy(&calm);
    assert!(world.screen().contains(" = nothing is off: 6 instances run what they should"), "{}", world.screen());
    world.deploy(&Deployment {
        pods: &[("v41", 3, 0), ("v42", 1, 2)],
        pins: Pins::Digest,
        rollout: Rollout::Progressing,
        changed: 2,
        ..Deployment::default()
    });
    let screen = world.screen();
    assert!(screen.contains("! nothing is off; 3 of 12 being replaced, 2 not healthy"), "{screen}");
    assert!(!screen.contains("what they should"), "{screen}");
    world.press("/");
    world.type_text("svc:checkout");
    world.press("enter");
    let screen = world.screen();
    assert!(screen.contains("nothing that the filter leaves is off; 3 of 6 being replaced, 2 not healthy"), "{screen}");
}

/// Many services that are off, and some that only changed lately.
fn crowded() -> World {
    let mut world = World::new(&["k8s/prod-eu"]);
    world.pass(Duration::from_secs(1));
    world.live("k8s/prod-eu");
    for number in 0..60 {
        let name = format!("off-{number:02}");
        world.deploy(&Deployment { name: &name, pods: &[("v42", 3, 0)], stray: true, ..Deployment::default() });
    }
    for number in 0..8 {
        let name = format!("new-{number:02}");
        let changed = 10 + number;
        world.deploy(&Deployment {
            name: &name,
            pods: &[("v42", 3, 0)],
            changed,
            pins: Pins::Digest,
            ..Deployment::default()
        });
    }
    world.settle();
    world
}

#[test]
fn what_changed_lately_stays_in_sight_however_much_is_off() {
    for (width, height, rows) in [(60, 16, 2), (80, 24, 3), (200, 50, 3)] {
        let mut world = crowded();
        let lines = world.lines(width, height);
        let heading = lines.iter().position(|line| line == " CHANGED LATELY");
        let heading = heading.unwrap_or_else(|| panic!("{width}x{height}: {lines:#?}"));
        assert_eq!(lines.iter().filter(|line| line[2..].starts_with(" new-")).count(), rows, "{lines:#?}");
        assert!(lines[heading + 1].contains("new-00"), "the newest first: {lines:#?}");
        assert!(lines[3].starts_with(">* off-00"), "{lines:#?}");
        // The rows above move behind the block, and the cursor goes into it without a jump.
        for _ in 0..59 {
            world.press("j");
        }
        let lines = world.lines(width, height);
        assert!(lines[heading - 1].starts_with(">* off-59"), "{lines:#?}");
        assert_eq!(lines[heading], " CHANGED LATELY");
        world.press("j");
        let after = world.lines(width, height);
        assert!(after[heading + 1].starts_with(">") && after[heading + 1].contains("new-00"), "{after:#?}");
        assert!(after[heading - 1].contains("off-59"), "{after:#?}");
        world.press("G");
        assert!(world.lines(width, height).iter().any(|line| line.starts_with('>') && line.contains("new-07")));
        for _ in 0..9 {
            world.press("k");
        }
        let lines = world.lines(width, height);
        assert!(lines.iter().any(|line| line.starts_with(">* off-58")), "{lines:#?}");
        assert!(lines.iter().any(|line| line == " CHANGED LATELY"), "{lines:#?}");
        // The other pane begins with its words and as many rows as were seen before.
        world.press("g g tab");
        let lines = world.lines(width, height);
        let cursor = lines.iter().position(|line| line.starts_with('>')).expect("a cursor");
        assert!(lines[cursor].contains("new-00") && lines[cursor - 1] == " CHANGED LATELY", "{lines:#?}");
        assert_eq!(lines.iter().filter(|line| line[2..].starts_with(" new-")).count(), rows, "{lines:#?}");
    }
}

#[test]
fn ages_of_the_block_that_is_kept_in_sight_move() {
    let mut world = crowded();
    let _ = world.frame(80, 24);
    let before = world.lines(80, 24).iter().find(|line| line.contains("new-00")).cloned();
    world.pass(Duration::from_secs(60));
    assert!(world.is_drawn_again());
    assert_ne!(world.lines(80, 24).iter().find(|line| line.contains("new-00")).cloned(), before);
}

#[test]
fn the_header_keeps_the_places_and_the_help_key_at_every_width() {
    let places: Vec<String> = (0..12).map(|number| format!("k8s/place-{number}")).collect();
    let ids: Vec<&str> = places.iter().map(String::as_str).collect();
    let mut world = World::new(&ids);
    world.model.settings.scenario = Some(Text::new("kubernetes-incident"));
    world.model.settings.incident = Some(Text::new("INC-2026-1121-checkout-down"));
    world.model.settings.access = Access::ReadOnly(Text::new("asked for"));
    let states = [
        PlaceState::Unreachable(Text::new("refused")),
        PlaceState::Stale(Text::new("no answer")),
        PlaceState::AuthExpired(Text::new("login again")),
        PlaceState::Forbidden(Text::new("no list")),
    ];
    for (id, state) in ids.iter().zip(states) {
        world.observe(id, vec![Observation::Place(state)]);
    }
    for width in [60, 70, 80, 100, 120, 200] {
        let header = world.lines(width, 24)[0].clone();
        let has_help = header.ends_with("READ ONLY  ? help");
        assert!(header.contains("DRIFT  places 0/12 ok (") && has_help && !header.contains(".."), "{header}");
    }
    let header = world.lines(200, 24)[0].clone();
    assert!(header.contains("kubernetes-incident") && header.contains("INC-2026-1121"), "{header}");
}

#[test]
fn one_of_a_thing_is_not_many() {
    let mut world = World::new(&["k8s/prod-eu"]);
    world.live("k8s/prod-eu");
    world.deploy(&Deployment { pods: &[("v42", 1, 0)], changed: 3, pins: Pins::Digest, ..Deployment::default() });
    let (mut seen, plural) =
        (String::new(), ["1 services", "1 places", "1 instances", "1 steps", "1 workloads", "1 operations"]);
    for keys in ["1", "2", "4", "5", "7", "1", "b"] {
        world.press(keys);
        seen.push_str(&world.screen());
    }
    world.type_code();
    seen.push_str(&world.screen());
    world.press("5");
    seen.push_str(&world.screen());
    for words in plural {
        assert!(!seen.contains(words), "{words}: {seen}");
    }
    assert!(seen.contains("1 service, ") && seen.contains("1 operation, "), "{seen}");
}

#[test]
fn a_place_that_fell_silent_is_not_called_live_however_young_its_data_is() {
    let mut world = fleets::incident();
    let stale = PlaceState::Stale(Text::new("connection refused"));
    world.observe("k8s/prod-eu", vec![Observation::Place(stale)]);
    for keys in ["1", "2", "7"] {
        world.press(keys);
        let lines = world.lines(120, 30);
        let line = lines.iter().find(|line| line.contains("prod-eu") || line.contains("3/5 places"));
        assert!(line.is_some_and(|line| line.contains("<15s") && !line.contains("live")), "{keys}: {lines:#?}");
    }
}

#[test]
fn places_say_how_often_they_are_asked_where_that_is_known() {
    let mut world = fleets::quiet();
    world.press("7 w");
    assert!(!world.screen().contains("a minute"), "{}", world.screen());
    world.observe("k8s/prod-eu", vec![Observation::Calls(17)]);
    let lines = world.lines(200, 50);
    assert!(lines[2].trim_end().ends_with("CALLS/MIN") && lines[3].trim_end().ends_with(" 17"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("17 calls a minute")), "{lines:#?}");
}

#[test]
fn an_ended_operation_is_driven_by_nobody_any_more() {
    let mut world = fleets::operation_half_way();
    world.press("5");
    assert!(world.screen().contains("this process drives it"), "{}", world.screen());
    world.press("x s");
    world.settle();
    let screen = world.screen();
    assert!(screen.contains("ada@ops-1 drove it") && !screen.contains("drives it"), "{screen}");
}

/// Nobody sees what lies under a terminal that is too small: nothing is typed into it.
#[test]
fn in_a_terminal_that_is_too_small_nothing_is_typed_into_what_nobody_sees() {
    let mut world = fleets::incident();
    world.press("b");
    let code = world.code().expect("a plan");
    world.happen(Event::Terminal(TerminalEvent::Resized(20, 5)));
    let _ = world.frame(20, 5);
    world.type_text(&code);
    let started = world.asked.iter().any(|effect| matches!(effect, Effect::Append { .. }));
    assert!(!started, "a plan that nobody sees is not started");
    world.press("esc");
    world.press("L");
    world.type_text("because");
    world.press("enter");
    assert!(!world.asked.iter().any(|effect| matches!(effect, Effect::Protect { .. })));
}

/// What only shows something takes nobody's brake away.
#[test]
fn an_operation_is_stopped_while_a_detail_is_open() {
    let mut world = fleets::operation_half_way();
    world.press("5 d");
    assert!(world.screen().contains("DETAIL"), "{}", world.screen());
    world.press("x");
    assert!(world.screen().contains("stop here"), "{}", world.screen());
    world.press("s");
    assert!(world.screen().contains("o-wsmapd stops here: 1 of 3 steps done"), "{}", world.screen());
}
