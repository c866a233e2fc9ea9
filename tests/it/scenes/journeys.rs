//! Stories told with keys, through the same `update` that the program runs.
//!
//! Never looks into the model where a frame or an effect tells the same.

use std::time::Duration;

use rolldeck::app::effect::Effect;
use rolldeck::app::event::{Event, StoreEvent};
use rolldeck::domain::id::WorkloadKind;
use rolldeck::domain::journal::Call;
use rolldeck::domain::observation::{Observation, PlaceState, Rollout};
use rolldeck::domain::policy::{Confirm, Freeze};
use rolldeck::domain::protection::{Protected, Protection};
use rolldeck::domain::text::Text;

use super::fleets::{self, Deployment, Pins};
use super::world::{Inspects, World};

fn executed(world: &World) -> usize {
    world.asked.iter().filter(|effect| matches!(effect, Effect::Execute { .. })).count()
}

fn bad(place: &str, changed: u64) -> Deployment<'_> {
    Deployment { place, pods: &[("v42", 10, 0)], pins: Pins::Digest, changed, ..Deployment::default() }
}

#[test]
fn back_to_last_good_is_three_keys_and_a_code() {
    let mut world = fleets::incident();
    assert!(world.cursor().contains("checkout"), "the worst row is under the cursor: {}", world.cursor());
    world.press("b");
    let screen = world.screen();
    for part in ["PLAN", "wave 1", "wave 2", "wave 3", "k8s/prod-eu", "v41", "leaves  k8s/dev", "asks for v41, not v42"]
    {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    assert_eq!(executed(&world), 0, "a plan sends nothing");
    world.type_code();
    assert_eq!(executed(&world), 1, "one step of the first wave");
    let screen = world.screen();
    assert!(screen.contains("0 done, 1 going") && screen.contains("p pause"), "{screen}");
}

#[test]
fn a_wrong_letter_clears_and_enter_and_paste_start_nothing() {
    let mut world = fleets::incident();
    world.press("b");
    let code = world.code().expect("a code");
    let letters: Vec<char> = code.chars().collect();
    for letter in &letters[..3] {
        world.press(&letter.to_string());
    }
    assert!(world.screen().contains(&format!("[{}_]", &code[..3])), "{}", world.screen());
    let wrong = if letters[3] == 'b' { "c" } else { "b" };
    world.press(wrong);
    assert!(world.screen().contains("[____]") && world.footer().contains("not the next letter"), "{}", world.footer());
    world.press("enter");
    assert!(world.footer().contains("Enter starts nothing"), "{}", world.footer());
    world.paste(&code);
    assert!(world.footer().contains("paste is refused"), "{}", world.footer());
    assert!(world.screen().contains("[____]"));
    assert_eq!(executed(&world), 0);
    world.type_code();
    assert_eq!(executed(&world), 1);
}

#[test]
fn keys_typed_before_the_code_was_seen_are_dropped() {
    let mut world = fleets::incident();
    world.press("b");
    let code = world.code().expect("a code");
    world.press("esc");
    // The same plan at the same moment would have the same code: even that must be seen first.
    let letters: Vec<String> = code.chars().map(String::from).collect();
    world.press_at_once(&format!("b {}", letters.join(" ")));
    world.settle();
    world.press_at_once(&letters.join(" "));
    assert_eq!(executed(&world), 0);
    assert!(world.footer().contains("dropped"), "{}", world.footer());
}

#[test]
fn no_code_is_shown_while_providers_still_look() {
    let mut world = fleets::incident();
    world.inspects = Inspects::Never;
    world.press("b");
    assert!(world.screen().contains("looking: 0 of 3"), "{}", world.screen());
    assert_eq!(world.code(), None);
    world.press("b");
    assert!(world.footer().contains("looking"), "{}", world.footer());
}

#[test]
fn a_fact_that_moves_makes_the_plan_again_with_another_code() {
    let mut world = fleets::incident();
    world.press("b");
    let before = world.code().expect("a code");
    for letter in before.chars().take(3) {
        world.press(&letter.to_string());
    }
    let changed =
        Deployment { versions: &["v41", "v42", "v43"], pods: &[("v43", 10, 0)], changed: 0, ..bad("k8s/prod-us", 0) };
    world.deploy(&changed);
    world.settle();
    let screen = world.screen();
    assert!(screen.contains("plan moved:") && screen.contains("its template was changed"), "{screen}");
    let after = world.code().expect("another code");
    assert_ne!(before, after);
    world.press(&before[3..]);
    assert_eq!(executed(&world), 0, "the last letter of the old code is nothing");
}

#[test]
fn a_plan_never_goes_further_back_because_somebody_else_went_back_first() {
    let mut world = fleets::incident();
    world.press("b");
    assert!(world.code().is_some());
    // v40 is there as well: from v41 the last good version would be that one.
    for place in ["k8s/prod-us", "k8s/prod-eu", "k8s/prod-ap"] {
        let went_back = Deployment {
            place,
            versions: &["v40", "v42", "v41"],
            rollout: Rollout::Progressing,
            pins: Pins::Digest,
            pods: &[("v41", 10, 0)],
            changed: 0,
            ..Deployment::default()
        };
        world.deploy(&went_back);
    }
    world.settle();
    let screen = world.screen();
    assert!(screen.contains("plan moved:") && screen.contains("everything is there already"), "{screen}");
    assert_eq!(world.code(), None, "{screen}");
    assert!(!screen.contains("v40"), "{screen}");
}

#[test]
fn counts_may_move_without_a_new_code() {
    let mut world = fleets::incident();
    world.press("b");
    let before = world.code();
    world.deploy(&Deployment { pods: &[("v42", 9, 0)], ..bad("k8s/prod-us", 10) });
    world.settle();
    assert_eq!(world.code(), before);
}

#[test]
fn a_code_expires_and_the_plan_can_be_made_again() {
    let mut world = fleets::incident();
    world.press("b");
    for _ in 0..25 {
        world.pass(Duration::from_secs(25));
    }
    assert_eq!(world.code(), None);
    assert!(world.screen().contains("expired"), "{}", world.screen());
    world.press("alt-r");
    assert!(world.code().is_some());
}

#[test]
fn a_place_that_goes_dark_takes_the_code_away() {
    let mut world = fleets::incident();
    world.press("b");
    assert!(world.code().is_some());
    let stale = PlaceState::Stale(Text::new("no answer"));
    world.observe("k8s/prod-us", vec![Observation::Place(stale)]);
    assert_eq!(world.code(), None);
    assert!(world.screen().contains("does not answer now"), "{}", world.screen());
    world.press("alt-r");
    assert!(world.screen().contains("refused"), "{}", world.screen());
    world.press("alt-x");
    assert!(world.code().is_some(), "without the refused place it can start: {}", world.screen());
    assert!(world.screen().contains("wave 2") && !world.screen().contains("wave 3"));
}

#[test]
fn a_read_only_place_has_no_code() {
    let mut world = fleets::incident();
    world.model.settings.places[1].access =
        rolldeck::app::settings::Access::ReadOnly(Text::new("the configuration says so"));
    world.press("b");
    assert_eq!(world.code(), None);
    assert!(world.screen().contains("k8s/prod-us is read only: the configuration says so"), "{}", world.screen());
}

#[test]
fn y_is_enough_for_small_plans_where_the_policy_says_so() {
    let mut world = fleets::incident();
    world.press("2");
    world.press("/");
    world.type_text("checkout place:*ap");
    world.press("enter");
    world.press("b");
    world.press("y");
    assert_eq!(executed(&world), 0, "a production place wants its code");
    world.press("esc");
    world.model.settings.policy.base.confirm = Confirm::YesForSmall;
    world.press("b");
    assert!(world.screen().contains("y, or the code"), "{}", world.screen());
    world.press("y");
    assert_eq!(executed(&world), 1);
}

#[test]
fn instances_that_are_older_than_the_policy_lets_them_be_are_counted_with_the_words_that_replace_them() {
    let mut world = fleets::incident();
    world.press("2");
    world.press("/");
    world.type_text("checkout place:*ap");
    world.press("enter");
    assert!(!world.screen().contains("older than"), "{}", world.screen());
    world.model.settings.policy.base.max_age = Some(Duration::from_secs(3600));
    world.pass(Duration::from_secs(2 * 3600));
    world.settle();
    assert!(world.screen().contains("older than 1h: plan replace --oldest"), "{}", world.screen());
    world.model.settings.policy.base.max_age = Some(Duration::from_secs(365 * 24 * 3600));
    world.pass(Duration::from_secs(1));
    world.settle();
    assert!(!world.screen().contains("older than"), "{}", world.screen());
}

#[test]
fn a_cron_job_whose_next_run_is_bad_stands_out_and_nothing_of_it_is_replaced() {
    let mut world = World::new(&["k8s/prod-us"]);
    world.live("k8s/prod-us");
    let nightly = Deployment {
        name: "report",
        namespace: "batch",
        place: "k8s/prod-us",
        versions: &["v41", "v42"],
        pins: Pins::Digest,
        ..Deployment::default()
    };
    let mut observations = world.observations(&Deployment { pods: &[("v41", 1, 0)], ..nightly });
    let declared = observations.iter().find_map(|observation| match observation {
        Observation::Revision(_, revision) => revision.template.containers[0].image.clone(),
        _ => None,
    });
    for observation in &mut observations {
        if let Observation::Workload(_, seen) = observation {
            (seen.kind, seen.desired) = (WorkloadKind::CronJob, 0);
            seen.expected_annotation = declared.as_ref().map(|image| Text::new(image.as_str()));
        }
    }
    world.observe("k8s/prod-us", observations);
    world.press("2");
    let screen = world.screen();
    assert!(world.cursor().contains(" next "), "{screen}");
    assert!(screen.contains("the next run would start v42, not what its annotation expects"), "{screen}");
    world.press("r");
    assert!(world.screen().contains("a CronJob replaces nothing"), "{}", world.screen());
    world.press("esc");
    world.press("b");
    let screen = world.screen();
    assert!(screen.contains("no instance is replaced") && world.code().is_some(), "{screen}");
    assert!(screen.contains("k8s/prod-us  the next run"), "{screen}");
}

#[test]
fn a_place_is_locked_from_its_row_and_says_so() {
    let mut world = fleets::incident();
    world.press("7");
    world.find("k8s/prod-eu");
    world.press("L");
    assert!(world.footer().contains("lock place:k8s/prod-eu: why?"), "{}", world.footer());
    world.type_text("auditors");
    world.press("enter");
    let locked = world.asked.iter().rev().find_map(|effect| match effect {
        Effect::Protect { what, reason, expires_at } => Some((what.clone(), reason.clone(), *expires_at)),
        _ => None,
    });
    let (what, reason, expires_at) = locked.expect("it is asked for");
    let lock = Protection { number: 7, what, reason, by: Text::new("ada"), at: world.now(), expires_at };
    world.happen(Event::Store(StoreEvent::Protected(vec![lock])));
    world.settle();
    world.find("k8s/prod-eu");
    let narrow = crate::scenes::text(&world.frame(80, 24));
    assert!(narrow.contains("locked by ada: auditors, until"), "{narrow}");
    world.press("2");
    world.press("/");
    world.type_text("checkout place:*prod-eu");
    world.press("enter");
    world.press("r");
    assert!(world.screen().contains("it is locked by ada: auditors"), "{}", world.screen());
    world.press("esc");
    world.press("7");
    world.find("k8s/prod-us");
    world.press("L");
    assert!(world.footer().contains("lock place:k8s/prod-us"), "the next place has no lock: {}", world.footer());
    world.press("esc");
    world.find("k8s/prod-eu");
    world.press("L");
    assert!(world.asked.iter().any(|effect| matches!(effect, Effect::Lift(7))), "the same key lifts it");
}

#[test]
fn a_freeze_refuses_what_moves_on_and_lets_the_way_back_pass() {
    let mut world = fleets::incident();
    world.model.settings.policy.freezes = vec![Freeze {
        places: vec![Text::new("k8s/*ap*")],
        from: world.ago(10),
        until: world.now() + Duration::from_secs(3600),
        reason: Text::new("holidays"),
    }];
    world.press("2");
    world.press("/");
    world.type_text("checkout place:*ap");
    world.press("enter");
    world.press("r");
    let screen = world.screen();
    assert!(screen.contains("is frozen until") && screen.contains("holidays"), "{screen}");
    assert_eq!(world.code(), None, "{screen}");
    world.press("esc");
    world.press("b");
    let screen = world.screen();
    assert!(screen.contains("this is a way back"), "{screen}");
    assert!(world.code().is_some(), "{screen}");
    world.press("esc");
    world.pass(Duration::from_secs(2 * 3600));
    world.press("r");
    assert!(!world.screen().contains("frozen"), "{}", world.screen());
}

#[test]
fn marks_and_the_cursor_stay_on_their_rows_while_rows_move() {
    let mut world = fleets::incident();
    world.press("2");
    world.press("/");
    world.type_text("svc:search,mailer");
    world.press("enter");
    world.press("G");
    world.press("space");
    let before = world.cursor();
    assert!(before.contains("+search") && before.contains("prod-us"), "{before}");
    world.deploy(&Deployment { name: "mailer", namespace: "mail", place: "k8s/dev", ..Deployment::default() });
    world.settle();
    assert!(world.cursor().contains("+search"), "{}", world.cursor());
    world.press("b");
    assert!(
        world.screen().contains("Deployment shop/search") && !world.screen().contains("mailer"),
        "{}",
        world.screen()
    );
}

#[test]
fn a_range_marks_what_lies_between() {
    let mut world = fleets::incident();
    world.press("2");
    world.press("v");
    world.press("j j");
    assert!(world.screen().contains("3 marked"), "{}", world.screen());
    world.press("v");
    world.press("*");
    world.press("*");
    assert!(!world.screen().contains("marked"), "{}", world.screen());
}

#[test]
fn the_filter_follows_each_letter_and_esc_takes_it_back() {
    let mut world = fleets::incident();
    world.press("/");
    world.type_text("mlr");
    assert!(!world.screen().contains("checkout"), "{}", world.screen());
    world.press("esc");
    assert!(world.screen().contains("checkout"), "{}", world.screen());
    world.press("4");
    world.settle();
    world.press("/");
    world.type_text("svc:checkout place:k8s/prod-eu state:unhealthy");
    assert!(world.screen().contains("3 of "), "{}", world.screen());
    world.type_text(" state:");
    assert!(world.screen().contains("needs a value") && world.screen().contains("3 of "), "{}", world.screen());
}

#[test]
fn what_is_typed_into_a_filter_reaches_the_terminal_harmless() {
    let mut world = fleets::incident();
    world.press("/");
    world.paste("a\u{1b}[31mb\u{202e}");
    let screen = world.screen();
    assert!(screen.chars().all(|character| character == '\n' || !character.is_control()), "{screen}");
    assert!(!screen.contains('\u{202e}'));
}

#[test]
fn enter_opens_the_service_and_the_history_goes_back() {
    let mut world = fleets::incident();
    world.press("enter");
    assert!(world.screen().contains("FLEET") && world.screen().contains("svc:checkout"), "{}", world.screen());
    world.press("enter");
    world.settle();
    assert!(world.screen().contains("INSTANCES"), "{}", world.screen());
    world.press("[ [");
    assert!(world.screen().contains("DRIFT"), "{}", world.screen());
    world.press("]");
    assert!(world.screen().contains("FLEET"));
    world.press("esc");
    assert!(world.screen().contains("DRIFT"), "esc goes back one step: {}", world.screen());
}

#[test]
fn keys_that_do_nothing_say_why() {
    let mut world = fleets::incident();
    for (keys, part) in [
        ("o", "later version"),
        ("x z", "no operation runs"),
        ("p", "no operation runs"),
        ("x s", "no operation runs"),
        ("u", "no operation has ended"),
        ("T", "no operation runs"),
        ("Z", "Z is not bound here; ? shows the keys"),
        ("x q", "x q is not bound here"),
        ("[", "no view before"),
    ] {
        world.press(keys);
        assert!(world.footer().contains(part), "{keys}: {}", world.footer());
    }
}

#[test]
fn a_fast_plan_bakes_shortly_and_says_what_it_leaves_out() {
    let mut world = fleets::incident();
    world.find("checkout");
    world.press("b");
    let careful = world.code().expect("a code");
    assert!(world.screen().contains("stayed healthy for 60s"), "{}", world.screen());
    world.press("alt-f");
    let screen = world.screen();
    assert!(screen.contains("FAST") && screen.contains("stayed healthy for 5s"), "{screen}");
    assert!(screen.contains("nobody watches at the end"), "{screen}");
    assert_ne!(world.code(), Some(careful), "another plan has another code");
    world.press("alt-f");
    assert!(!world.screen().contains("FAST"), "{}", world.screen());
}

/// Instances that are replaced one by one leave no version of their own: what was begun is said all the same.
#[test]
fn before_a_stop_of_replacements_it_says_how_many_are_begun() {
    let mut world = fleets::incident();
    world.find("mailer");
    world.press("r");
    world.settle();
    world.type_code();
    world.settle();
    world.press("x");
    let screen = world.screen();
    assert!(screen.contains("begun with 1 of "), "{screen}");
    assert!(!screen.contains("nothing was changed yet") && !screen.contains("not begun, stays"), "{screen}");
}

#[test]
fn before_the_second_key_of_a_stop_both_outcomes_are_shown() {
    let mut world = fleets::operation_half_way();
    world.press("x");
    let screen = world.screen();
    assert!(screen.contains("s stop here: ") && screen.contains("z go back to v42: 4 replaced"), "{screen}");
    assert!(screen.contains("! v42 is not a last good version: an operation went away from it"), "{screen}");
    assert!(screen.contains("k8s/prod-eu"), "{screen}");
    super::check("stop", &mut world);
    world.press("esc");
    assert!(!world.screen().contains("z go back"), "{}", world.screen());
    world.press("x z");
    world.settle();
    assert!(world.screen().contains("stops here, then goes back"), "{}", world.screen());
}

#[test]
fn pause_holds_with_the_brake_and_stop_ends_with_what_is_owed() {
    let mut world = fleets::operation_half_way();
    world.press("p");
    world.settle();
    assert!(world.screen().contains("paused by ada@ops-1"), "{}", world.screen());
    let brakes =
        world.asked.iter().filter(|effect| matches!(effect, Effect::Execute { call: Call::Brake(_), .. })).count();
    assert_eq!(brakes, 1, "the step in flight is held");
    assert!(world.screen().contains("debts 1"), "{}", world.screen());
    world.press("x s");
    world.settle();
    let screen = world.screen();
    assert!(screen.contains("1 of 3 steps done") && screen.contains("owed"), "{screen}");
    world.press("esc");
    assert!(!world.screen().contains("puts this away"), "{}", world.screen());
    assert!(world.screen().contains("owed: k8s/prod-eu"), "the debt stays: {}", world.screen());
}

#[test]
fn q_asks_while_this_process_runs_an_operation() {
    let mut world = fleets::operation_half_way();
    world.press("q");
    assert!(world.screen().contains("This process runs an operation"), "{}", world.screen());
    world.press("esc");
    assert!(world.screen().contains("DRIFT") && !world.screen().contains("QUIT"));
    assert!(!world.asked.iter().any(|effect| matches!(effect, Effect::Quit | Effect::Detach)));
    world.press("q");
    world.press("d");
    assert!(world.asked.iter().any(|effect| matches!(effect, Effect::Detach)));
    world.press("ctrl-z");
    assert!(world.footer().contains("can't be stopped"), "{}", world.footer());
    let mut calm = fleets::quiet();
    calm.press("q");
    assert!(calm.asked.iter().any(|effect| matches!(effect, Effect::Quit)));
}

#[test]
fn the_version_picker_plans_what_is_under_its_cursor() {
    let mut world = fleets::incident();
    world.press("B");
    assert!(world.screen().contains("last good, history"), "{}", world.screen());
    world.press("j enter");
    let screen = world.screen();
    assert!(screen.contains("to a picked version") && screen.contains("wave 3"), "{screen}");
    world.press("alt-i");
    assert!(world.screen().contains("image only"), "{}", world.screen());
    world.press("esc");
    assert!(world.screen().contains("VERSIONS"), "esc goes back one step");
}

#[test]
fn the_palette_goes_by_letters_and_says_why_not() {
    let mut world = fleets::incident();
    world.press(":");
    world.type_text("oprtns");
    world.press("enter");
    assert!(world.screen().contains("OPERATIONS"), "{}", world.screen());
    world.press(":");
    world.type_text("console");
    assert!(world.screen().contains("not now: console links come with a later version"), "{}", world.screen());
    world.press("esc");
    world.press(":");
    world.type_text("billing");
    world.press("enter");
    assert!(world.screen().contains("svc:billing"), "{}", world.screen());
}

#[test]
fn an_idle_screen_is_not_drawn_again_until_a_text_changes() {
    let mut world = fleets::quiet();
    world.settle();
    let mut frames = 0;
    for _ in 0..14 {
        world.happen(rolldeck::app::event::Event::Ticked(world.now() + Duration::from_secs(1)));
        for place in ["k8s/prod-eu", "k8s/prod-us"] {
            world.observe(place, vec![Observation::Heartbeat]);
        }
        if world.model.is_dirty() {
            let _ = rolldeck::app::ui::refresh(&mut world.model);
            frames += u32::from(world.model.take_redraw());
        }
    }
    assert_eq!(frames, 0);
}

#[test]
fn a_place_that_answers_stays_live_on_the_screen_though_nothing_changes() {
    let mut world = fleets::incident();
    world.settle();
    for second in 0..50 {
        world.happen(rolldeck::app::event::Event::Ticked(world.now() + Duration::from_secs(1)));
        if second % 5 == 0 {
            for place in ["k8s/prod-eu", "k8s/prod-us", "k8s/prod-ap", "k8s/staging", "k8s/dev"] {
                world.observe(place, vec![Observation::Heartbeat]);
            }
        }
        let screen = world.screen();
        let row = screen.lines().find(|line| line.contains("checkout")).expect("its row");
        assert!(row.contains(" live "), "after {second} s: {row}");
    }
}

#[test]
fn copies_hold_whole_digests_and_markdown() {
    let mut world = fleets::incident();
    world.press("y d");
    world.press("y m");
    world.press("y c");
    let copied: Vec<&str> = world
        .asked
        .iter()
        .filter_map(|effect| if let Effect::Copy { text, .. } = effect { Some(text.as_str()) } else { None })
        .collect();
    assert_eq!(copied[0], fleets::digest("checkout", "v42").as_str());
    assert!(copied[1].starts_with("| SERVICE | PLACE |") && copied[1].contains("| checkout |"), "{}", copied[1]);
    assert_eq!(copied[2..], ["kubectl --context prod-eu -n shop get deployment/checkout -o wide"]);
}

#[test]
fn the_commands_of_a_row_look_at_it_where_its_place_has_said_how() {
    let mut world = fleets::incident();
    let mut copied = Vec::new();
    for keys in ["2", "y c", "4", "y c", "7", "y c", "1", "j", "y c"] {
        world.press(keys);
        if keys == "y c" {
            let last = world.asked.iter().rev().find_map(|effect| match effect {
                Effect::Copy { text, .. } => Some(text.clone()),
                _ => None,
            });
            copied.push((last.unwrap_or_default(), world.footer()));
        }
    }
    assert_eq!(copied[0].0, "kubectl --context prod-eu -n pay get deployment/billing -o wide");
    assert!(copied[1].0.starts_with("kubectl --context prod-eu -n shop describe pod checkout-"), "{}", copied[1].0);
    assert!(copied[2].1.contains("a place has no command"), "{}", copied[2].1);
    assert!(copied[3].1.contains("its place has not said (yet) how to look there"), "{}", copied[3].1);
}

#[test]
fn an_operation_that_nobody_drives_is_taken_over_after_a_question() {
    use rolldeck::app::event::{Event, StoreEvent};
    use rolldeck::domain::operation::Alive;
    let mut world = fleets::operation_half_way();
    let id = world.model.operations.iter().next().expect("one").operation.id.clone();
    world.happen(Event::Store(StoreEvent::Driven { operation: id.clone(), alive: Alive::Nobody }));
    assert!(world.screen().contains("interrupted"), "{}", world.screen());
    world.press("p");
    assert!(world.footer().contains("T takes it over"), "{}", world.footer());
    world.press("T");
    assert!(world.screen().contains("done: k8s/prod-ap"), "{}", world.screen());
    world.press("y");
    assert!(world.asked.iter().any(|effect| matches!(effect, Effect::Claim(claimed) if *claimed == id)));
}

#[test]
fn names_that_would_steer_a_terminal_are_shown_harmless_on_every_screen() {
    let mut world = World::new(&["k8s/prod-eu"]);
    world.live("k8s/prod-eu");
    let name = "evil\u{1b}]52;c;cHduZWQ=\u{7}\u{202e}\u{9b}2J\u{200b}";
    world.deploy(&Deployment {
        name: "checkout",
        namespace: name,
        pods: &[("v42", 1, 1)],
        changed: 3,
        ..Deployment::default()
    });
    for keys in ["1", "2", "4", "7", "1", "d", "esc", "B", "esc", "b", "esc", ":"] {
        world.press(keys);
        let buffer = world.frame(120, 40);
        let is_plain = |symbol: &str| symbol.chars().all(rolldeck::domain::text::is_plain);
        assert!(buffer.content.iter().all(|cell| is_plain(cell.symbol())), "{keys}");
    }
}

#[test]
fn an_answer_to_a_filter_that_was_typed_over_is_dropped() {
    use rolldeck::app::event::Event;
    let mut world = fleets::incident();
    world.press("4");
    world.press("/");
    let mut late = Vec::new();
    for letter in "svc:search".chars() {
        world.press_at_once(&letter.to_string());
        late.extend(rolldeck::app::ui::refresh(&mut world.model));
    }
    assert_eq!(late.len(), 1, "one question at a time");
    for effect in late {
        let Effect::Filter(question) = effect else { panic!("{effect:?}") };
        world.happen(Event::Filtered(rolldeck::app::filter::answer(&question)));
    }
    world.settle();
    assert!(world.screen().contains("12 of 97 instances, 5 off"), "{}", world.screen());
}

#[test]
fn notices_of_the_configuration_stay_until_they_are_put_away() {
    let mut world = fleets::quiet();
    world.model.settings.notices = vec![Text::new("floor is 75%: `floor` could not be read")];
    assert!(world.screen().contains("! floor is 75%"), "{}", world.screen());
    world.press("esc");
    assert!(!world.screen().contains("! floor is 75%"));
}

#[test]
fn the_incident_is_named_and_shown() {
    let mut world = fleets::quiet();
    world.press("I");
    world.type_text("INC-7");
    world.press("enter");
    assert!(world.screen().contains("incident INC-7"), "{}", world.screen());
}

#[test]
fn a_lock_and_a_quarantine_take_a_reason_and_are_lifted_by_the_same_key() {
    let mut world = fleets::incident();
    world.find("checkout");
    world.press("L");
    assert!(world.footer().contains("lock svc:checkout: why?"), "{}", world.footer());
    world.press("enter");
    assert!(world.footer().contains("a reason is needed"), "{}", world.footer());
    world.type_text("auditors for 2h");
    world.press("enter");
    let locked = world.asked.iter().rev().find_map(|effect| match effect {
        Effect::Protect { what, reason, expires_at } => Some((what.clone(), reason.clone(), *expires_at)),
        _ => None,
    });
    let (what, reason, expires_at) = locked.expect("it is asked for");
    assert_eq!(reason, Text::new("auditors"));
    let now = world.model.now;
    assert_eq!(expires_at, Some(now + Duration::from_secs(7200)));
    let protection = Protection { number: 1, what, reason, by: Text::new("ada"), at: now, expires_at };
    world.happen(Event::Store(StoreEvent::Protected(vec![protection.clone()])));
    world.press("b");
    assert!(world.screen().contains("it is locked by ada: auditors"), "{}", world.screen());
    world.press("esc");
    world.press("L");
    assert!(world.asked.iter().any(|effect| matches!(effect, Effect::Lift(1))), "the same key lifts it");

    world.press("!");
    world.type_text("loses orders");
    let asked = world.lines(80, 24)[23].clone();
    assert_eq!(asked, " quarantine v42 7f9db0e2157e: why? loses orders_  \"for 4h\" at its end, else 24h");
    world.type_text(&format!(" {}since the migration", "and more ".repeat(9)));
    let narrow = world.lines(80, 24);
    assert!(narrow[23].ends_with("more since the migration_"), "{narrow:#?}");
    world.press("enter");
    let banned = world.asked.iter().rev().find_map(|effect| match effect {
        Effect::Protect { what: Protected::Quarantine(image), .. } => Some(image.to_string()),
        _ => None,
    });
    assert!(banned.is_some_and(|image| image.starts_with("sha256:7f9db0e2157e")), "the whole digest is banned");

    // A banned image is an alarm on every screen.
    let what = Protected::Quarantine(Text::new("7f9db0e2157e"));
    world.happen(Event::Store(StoreEvent::Protected(vec![Protection { what, ..protection }])));
    for screen in ["1", "2", "4", "5", "7"] {
        world.press(screen);
        assert!(world.screen().contains("instances run a quarantined image"), "{screen}: {}", world.screen());
    }
    world.press("1");
    world.find("checkout");
    world.press("!");
    assert!(
        world.footer().starts_with("the quarantine of v42 7f9db0e2157e is lifted; it was by ada"),
        "{}",
        world.footer()
    );
    assert!(world.asked.iter().any(|effect| matches!(effect, Effect::Lift(1))), "the same key lifts it");
}

#[test]
fn a_quarantine_by_name_is_lifted_from_a_row_that_runs_the_image() {
    let mut world = World::new(&["k8s/prod-eu"]);
    world.live("k8s/prod-eu");
    world.deploy(&Deployment::default());
    let what = Protected::Quarantine(Text::new("registry.example/shop/checkout:v42"));
    let protection = Protection {
        number: 9,
        what,
        reason: Text::new("bad"),
        by: Text::new("ada"),
        at: world.now(),
        expires_at: None,
    };
    world.happen(Event::Store(StoreEvent::Protected(vec![protection])));
    world.settle();
    world.find("checkout");
    world.press("!");
    assert!(world.asked.iter().any(|effect| matches!(effect, Effect::Lift(9))), "{}", world.footer());
}

#[test]
fn what_is_not_off_is_not_put_off() {
    let mut world = fleets::incident();
    world.press("2");
    world.find("k8s/staging");
    world.press("m");
    assert!(world.footer().contains("m: it is not off: there is nothing to put off"), "{}", world.footer());
    world.press("1");
    world.find("checkout");
    world.press("m");
    assert!(world.footer().contains("snooze svc:checkout: why?"), "{}", world.footer());
}
