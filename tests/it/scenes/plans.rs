//! The plan overlay's own keys: what is no letter never counts as a letter of the code.
//!
//! Never looks into the model for what a screen would show.

use jiff::Timestamp;
use rolldeck::app::effect::Effect;
use rolldeck::app::event::{Event, StoreEvent};
use rolldeck::domain::anatomy::{Anatomy, Field, Origin, Topic};
use rolldeck::domain::release::{Placed, Release};

use super::fleets;
use super::world::World;

/// The top line of the plan's body at this size.
fn top_line(world: &mut World, width: u16, height: u16) -> String {
    let buffer = world.frame(width, height);
    super::text(&buffer).lines().nth(2).unwrap_or_default().to_string()
}

#[test]
fn tab_goes_from_wave_to_wave_and_around() {
    let mut world = fleets::incident();
    world.press("b");
    let _ = world.frame(80, 16);
    let mut tops = Vec::new();
    for _ in 0..5 {
        tops.push(top_line(&mut world, 80, 16).split_whitespace().take(2).collect::<Vec<_>>().join(" "));
        world.press("tab");
    }
    assert_eq!(tops[..3], ["wave 1", "wave 2", "wave 3"], "{tops:?}");
    assert!(tops[3].starts_with("leaves"), "{tops:?}");
    for _ in 0..10 {
        if top_line(&mut world, 80, 16).contains("wave 1") {
            break;
        }
        world.press("tab");
    }
    assert!(top_line(&mut world, 80, 16).contains("wave 1"), "around to the start");
    assert!(world.code().is_some(), "the code is untouched");
    let _ = world.frame(200, 60);
    world.press("tab");
    assert!(world.footer().contains("all of the plan is shown"), "{}", world.footer());
}

#[test]
fn keys_that_are_no_letters_leave_the_typed_part_of_the_code_alone() {
    let mut world = fleets::incident();
    world.press("b");
    let code = world.code().expect("a code");
    let (first, rest) = code.split_at(2);
    world.press(&first.chars().map(|letter| letter.to_string()).collect::<Vec<_>>().join(" "));
    for key in ["tab", "7", "space", "?", "/", "pgdn", "up", "alt-e", "f5", "home"] {
        world.press(key);
        assert!(world.screen().contains(&format!("[{first}__]")), "{key}: {}", world.screen());
    }
    assert!(!world.asked.iter().any(|effect| matches!(effect, Effect::Execute { .. })));
    world.press(&rest.chars().map(|letter| letter.to_string()).collect::<Vec<_>>().join(" "));
    assert!(world.screen().contains(" starts; 5 shows its steps"), "{}", world.screen());
}

#[test]
fn plus_and_minus_change_the_pace_by_steps_of_the_plan_and_give_it_back() {
    let mut world = fleets::incident();
    world.press("b");
    let own = world.code().expect("a code");
    world.press("+");
    let screen = world.screen();
    assert!(screen.contains("has it replace with max surge 50% instead of 25%"), "{screen}");
    assert!(screen.contains("has it replace with max surge 25% again"), "{screen}");
    assert_ne!(world.code(), Some(own), "another plan has another code");
    world.press("-");
    assert!(!world.screen().contains("has it replace"), "{}", world.screen());
    world.press("-");
    assert!(
        world.screen().contains("has it replace with max unavailable 12% instead of 25%, max surge"),
        "{}",
        world.screen()
    );
}

#[test]
fn a_reason_is_typed_beside_the_code_and_makes_another_plan() {
    let mut world = fleets::incident();
    world.press("b");
    let code = world.code().expect("a code");
    world.press("alt-w");
    world.press("h o t f i x");
    assert!(world.footer().contains("why, all the same? hotfix_"), "{}", world.footer());
    world.press("enter");
    assert!(world.code().is_some_and(|again| again != code), "{}", world.screen());
}

/// One service side by side, from its row, and back: places that have no room come into sight.
#[test]
fn c_compares_the_service_of_a_row_and_enter_shows_who_runs_an_image() {
    let mut world = fleets::incident();
    world.press("c");
    world.settle();
    let screen = world.screen();
    assert!(screen.contains("COMPARE") && screen.contains("checkout: 2 images"), "{screen}");
    assert!(screen.contains("= 2") && screen.contains("> 10"), "expected and asked for: {screen}");
    world.press("tab");
    world.settle();
    assert!(!world.screen().contains("checkout: 2 images"), "another service: {}", world.screen());
    world.press("backtab");
    world.settle();
    world.press("enter");
    world.settle();
    assert!(world.screen().contains("INSTANCES") && world.screen().contains("digest:"), "{}", world.screen());
}

/// Two marked rows: how their versions differ. What was not read in time is said, and a secret is never shown.
#[test]
fn c_compares_two_marked_versions_field_by_field() {
    let mut world = fleets::incident();
    world.press("2");
    world.settle();
    world.press("space j space c");
    world.settle();
    let pair = world.asked.iter().rev().find_map(|effect| match effect {
        Effect::Dissect(pair) => Some(pair.clone()),
        _ => None,
    });
    let pair = pair.unwrap_or_else(|| panic!("{}", world.screen()));
    let screen = world.screen();
    assert!(screen.contains("COMPARE") && screen.contains("both are taken apart"), "{screen}");
    let image =
        "registry.example/shop/checkout:v42@sha256:7f9db0e2157e7f9db0e2157e7f9db0e2157e7f9db0e2157e7f9db0e2157e7f9d";
    let left = vec![
        Field::shown(Topic::Image, "asked as", image),
        Field::shown(Topic::Resource, "memory limit", "768Mi"),
        Field::hidden(Topic::Environment, "TOKEN", "hush1"),
        Field::shown(Topic::Port, "8080/tcp", "open"),
    ];
    let right = vec![
        Field::shown(Topic::Image, "asked as", "ami-0aa1b2c3d4e5f6071"),
        Field::hidden(Topic::Environment, "TOKEN", "hush2"),
        Field::shown(Topic::Port, "8080/tcp", "open"),
    ];
    let known = [
        Anatomy::of(Origin::Template, Ok(left)),
        Anatomy::of(Origin::Template, Ok(right)).with(Anatomy::of(Origin::Image, Err("its registry is silent".into()))),
    ];
    world.happen(Event::Dissected(Box::new((*pair, known))));
    super::check("difference", &mut world);
    let screen = world.screen();
    for part in ["? b: its registry is silent", "set to something else", "memory limit", "the same  port 1"] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    assert!(screen.contains("ckout:v42@7f9db0e2157e"), "a long value goes on in the next line: {screen}");
    world.press("esc j space c");
    assert!(world.footer().contains("3 rows are marked"), "{}", world.footer());
}

/// How far each place is among the releases is a glance; what another process adds is known at once.
#[test]
fn compare_says_how_many_releases_each_place_is_behind() {
    let mut world = fleets::incident();
    let release = |version: &str, at: i64, image: &str| Release {
        service: "checkout".into(),
        version: version.into(),
        made_at: Timestamp::from_second(at).ok(),
        commit: None,
        source: "ci.toml".into(),
        declared_by: None,
        images: vec![Placed { places: Vec::new(), image: image.parse().expect("valid"), container: None }],
    };
    let image = |tag: &str| format!("registry.example/shop/checkout:{tag}");
    let running = |world: &World, version: &str| {
        let workloads = world.model.fleet.workloads().filter(|workload| workload.seen.service == *"checkout");
        let mut cohorts =
            workloads.flat_map(|workload| workload.judgement.running.iter().map(move |cohort| (workload, cohort)));
        let found = cohorts.find_map(|(workload, cohort)| {
            let name = workload.name_of(cohort.image.as_ref(), cohort.reference.as_ref())?;
            (*name == *version).then(|| cohort.reference.clone())?
        });
        found.map(|reference| reference.to_string()).unwrap_or_else(|| image(version))
    };
    let (old, new) = (running(&world, "v41"), running(&world, "v42"));
    let releases = vec![
        release("v41", 1_790_000_000, &old),
        release("v42", 1_791_000_000, &new),
        release("v43", 1_792_000_000, &image("v43")),
    ];
    world.happen(Event::Store(StoreEvent::Released(releases)));
    world.press("c");
    world.settle();
    let screen = super::text(&world.frame(120, 24));
    assert!(
        screen.contains("newest release v43  2 behind: dev, staging  1 behind: prod-ap, prod-eu, prod-us"),
        "{screen}"
    );
    world.press("2");
    world.find("checkout");
    world.press("d");
    let detail = super::text(&world.frame(120, 50));
    assert!(detail.contains("runs v41, 2 behind v43; should run v41"), "{detail}");
    // One version of two images: a ban is of one of them, and would leave the other as it is.
    world.press("esc 3");
    world.settle();
    let both = Release {
        images: [&old, &new]
            .map(|image| Placed { places: Vec::new(), image: image.parse().expect("valid"), container: None })
            .to_vec(),
        ..release("v43", 1_792_000_000, &new)
    };
    world.happen(Event::Store(StoreEvent::Released(vec![both])));
    world.settle();
    let screen = super::text(&world.frame(120, 24));
    assert!(screen.contains("2 images"), "{screen}");
    world.press("!");
    assert!(world.footer().contains("this version is 2 images"), "{}", world.footer());
    // Taken away by another process: nothing is behind any more.
    world.press("esc");
    world.happen(Event::Store(StoreEvent::Released(Vec::new())));
    world.press("3");
    world.settle();
    assert!(!super::text(&world.frame(120, 24)).contains("newest release"));
}
