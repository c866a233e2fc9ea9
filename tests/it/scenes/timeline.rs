//! The Timeline screen: what it shows, what its filters leave, which keys lead there, and that it is not made again where
//! nothing happened.

use std::time::Duration;

use rolldeck::app::effect::Effect;
use rolldeck::app::event::Event;
use rolldeck::domain::audit::{Audit, AuditQuestion, AuditRecord};
use rolldeck::domain::observation::{Observation, PlaceState};
use rolldeck::domain::text::Text;
use rolldeck::domain::timeline::HappeningId;

use super::check;
use super::fleets::{self, Deployment, Pins};
use super::world::World;

/// A rollback in one place, seen from its start to what it left.
fn rolled_back() -> World {
    let mut world = fleets::operation_half_way();
    world.pass(Duration::from_secs(15));
    world
}

/// The words of the rows that are seen.
fn rows(world: &mut World) -> Vec<String> {
    let lines = world.lines(200, 50);
    let titles = lines.iter().position(|line| line.contains("AT (UTC)")).expect("a table");
    let end = lines.len() - 3;
    lines[titles + 1..end].iter().filter(|line| !line.trim().is_empty()).cloned().collect()
}

#[test]
fn a_rollback_reads_as_who_did_what_where_and_what_came_of_it() {
    let mut world = rolled_back();
    world.press("6");
    check("timeline-rollback", &mut world);
    super::picture("timeline", &mut world, 120, 28);
    let all = rows(&mut world);
    let line = |parts: &[&str]| {
        let has = |line: &&String| parts.iter().all(|part| line.contains(part));
        assert!(all.iter().any(|line| has(&line)), "{parts:?}: {all:#?}");
    };
    line(&["checkout", "k8s/prod-ap", "operation", "v41", "ada@ops-1", "4 instances here"]);
    line(&["checkout", "k8s/prod-ap", "appeared", "v41"]);
    line(&["checkout", "k8s/prod-ap", "vanished", "v42", "replaced by v41"]);
    line(&["checkout", "k8s/prod-ap", "ended", "v41", "ada@ops-1", "done"]);
    line(&["checkout", "k8s/prod-eu", "requested", "v42", "history: revision 2: release 42, ticket OPS-7"]);
    world.press("d");
    check("timeline-detail", &mut world);
}

#[test]
fn what_changed_in_the_last_hour_is_one_key_from_drift() {
    let mut world = fleets::incident();
    world.press("H");
    let screen = world.screen();
    assert!(screen.contains("TIMELINE") && screen.contains("age<1h"), "{screen}");
    let rows = rows(&mut world);
    assert!(!rows.is_empty() && rows.iter().all(|row| row.contains("v42") || row.contains("v8")), "{rows:#?}");
    assert!(screen.contains("last hour 4, all 4 of "), "{screen}");
    world.press("esc");
    assert!(world.screen().contains("DRIFT"), "{}", world.screen());
}

#[test]
fn t_shows_what_happened_to_a_row_of_any_list() {
    let mut world = rolled_back();
    for (keys, filter) in [
        ("1 g g t", "svc:checkout"),
        ("2 g g t", "ns:pay svc:billing kind:Deployment"),
        ("4 g g t", "ns:pay svc:billing kind:Deployment"),
        ("5 g g t", " /o-"),
        ("7 g g t", "place:k8s/"),
        ("6 g g t", "ns:shop svc:"),
    ] {
        world.press(keys);
        let screen = world.screen();
        assert!(screen.contains("TIMELINE") && screen.contains(filter), "{keys}: {screen}");
        assert!(!rows(&mut world).is_empty(), "{keys}: {}", world.screen());
        world.press("esc");
    }
}

#[test]
fn filters_leave_service_place_digest_age_and_words() {
    let mut world = rolled_back();
    for (filter, part) in [
        ("svc:billing", " billing "),
        ("place:k8s/prod-ap", " k8s/prod-ap "),
        ("digest:ba337ca7", "ba337ca7"),
        ("appeared", " appeared "),
        ("age<1h svc:checkout", " checkout "),
        ("vanished", " vanished "),
    ] {
        world.press("6 / ctrl-u");
        world.type_text(filter);
        world.press("enter");
        let left = rows(&mut world);
        assert!(!left.is_empty() && left.iter().all(|row| row.contains(part)), "{filter}: {left:#?}");
    }
    world.press("/ ctrl-u");
    world.type_text("svc:nothing");
    world.press("enter");
    assert!(world.screen().contains("is left by the filter"), "{}", world.screen());
}

#[test]
fn cursor_and_marks_stay_on_their_rows_while_rows_come() {
    let mut world = fleets::incident();
    world.press("6 j j space");
    let marked = |world: &mut World| rows(world).into_iter().find(|row| row.starts_with('>')).expect("a cursor");
    let before = marked(&mut world);
    let deployment = Deployment {
        name: "gateway",
        versions: &["v1", "v2", "v3"],
        pods: &[("v3", 6, 0)],
        changed: 0,
        ..Deployment::default()
    };
    let deployment = Deployment { pins: Pins::Digest, ..deployment };
    world.deploy(&deployment);
    world.pass(Duration::from_secs(15));
    world.settle();
    let row = rows(&mut world);
    assert!(
        row[0].contains("gateway") && row.iter().any(|row| row.contains("requested") && row.contains("v3")),
        "{row:#?}"
    );
    let now = marked(&mut world);
    assert_eq!(now[20..], before[20..]);
    assert!(world.screen().contains("1 marked"), "{}", world.screen());
}

#[test]
fn copies_of_a_row_hold_the_whole_digest_its_workload_and_its_time() {
    let mut world = rolled_back();
    world.press("6 /");
    world.type_text("appeared place:k8s/prod-ap");
    world.press("enter g g");
    world.asked.clear();
    for keys in ["y d", "y i", "y r", "y m"] {
        world.press(keys);
    }
    let copies: Vec<String> = world
        .asked
        .iter()
        .filter_map(|effect| if let Effect::Copy { text, .. } = effect { Some(text.clone()) } else { None })
        .collect();
    assert!(copies[0].starts_with("sha256:ba337ca7") && copies[0].len() == 71, "{copies:#?}");
    assert_eq!(copies[1], "k8s/prod-ap Deployment shop/checkout");
    assert!(copies[2].starts_with("2026-11-") && copies[2].contains("appeared"), "{copies:#?}");
    assert!(copies[3].starts_with("| AT (UTC) | AGO | SERVICE |"), "{copies:#?}");
}

#[test]
fn before_a_place_was_seen_as_a_whole_it_says_so_and_names_from_outside_are_harmless() {
    let mut world = World::new(&["k8s/prod-eu"]);
    world.press("6");
    check("timeline-start", &mut world);
    world.deploy(&Deployment { namespace: "evil\u{1b}[2J", changed: 5, ..Deployment::default() });
    world.live("k8s/prod-eu");
    world.pass(Duration::from_secs(1));
    let screen = world.screen();
    assert!(screen.contains("evil?[2J") && !screen.contains('\u{1b}'), "{screen}");
}

#[test]
fn an_idle_timeline_is_not_drawn_again_and_a_silent_place_adds_nothing() {
    let mut world = fleets::incident();
    world.press("6");
    let before = rows(&mut world).len();
    for _ in 0..3 {
        world.pass(Duration::from_secs(1));
        world.observe("k8s/prod-eu", vec![Observation::Heartbeat]);
        assert!(!world.is_drawn_again(), "{}", world.screen());
    }
    let stale = PlaceState::Stale(Text::new("no answer"));
    world.observe("k8s/prod-us", vec![Observation::Place(stale)]);
    world.pass(Duration::from_secs(1));
    world.live("k8s/prod-us");
    world.pass(Duration::from_secs(1));
    assert_eq!(rows(&mut world).len(), before);
}

/// Who asked for a change is asked for when somebody looks, once, and shown with what is not known of it.
#[test]
fn a_detail_shows_what_the_audit_log_has_and_asks_for_it_once() {
    let mut world = rolled_back();
    world.press("6 d");
    let asked = |world: &World| -> Vec<(HappeningId, AuditQuestion)> {
        let asked = world.asked.iter().filter_map(|effect| match effect {
            Effect::Audit(rows) => Some(rows.clone()),
            _ => None,
        });
        asked.flatten().collect()
    };
    let [(row, question)] = &asked(&world)[..] else { panic!("{:?}", asked(&world)) };
    let row = row.clone();
    assert_eq!(question.workload, *row.workload());
    assert!(world.screen().contains("its place is asked who asked for it"), "{}", world.screen());
    world.pass(Duration::from_secs(100));
    assert_eq!(asked(&world).len(), 1, "it is under way");
    let record = |action: &str, refused: Option<&str>| AuditRecord {
        at: world.now(),
        action: Text::new(action),
        target: Text::new("group checkout"),
        by: Text::new("arn:aws:sts::1:assumed-role/deploy/anna"),
        from: None,
        with: Some(Text::new("aws-cli/2.31")),
        refused: refused.map(Text::new),
    };
    let records = vec![record("StartInstanceRefresh", None), record("UpdateAutoScalingGroup", Some("AccessDenied"))];
    let missing = Some(Text::new("there is more of StopTask than was read"));
    world.happen(Event::Audited(vec![(row.clone(), Audit::Said { records, missing, may_grow: false })]));
    let screen = world.lines(200, 50).join("\n");
    for part in [
        "StartInstanceRefresh of group checkout by arn:aws:sts::1:assumed-role/deploy/anna with \"aws-cli/2.31\"",
        "UpdateAutoScalingGroup REFUSED (AccessDenied) of group checkout",
        "there is more of StopTask than was read",
    ] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    world.pass(Duration::from_secs(61));
    assert_eq!(asked(&world).len(), 2, "it may have grown");
    let said = |missing: Option<&str>, may_grow| Audit::Said {
        records: Vec::new(),
        missing: missing.map(Text::new),
        may_grow,
    };
    for (said, part) in [
        (said(None, false), "nothing that changes it was found from"),
        (said(Some("CloudTrail was too slow"), false), "nothing that changes it was found in what was read"),
        (said(None, true), "what was asked for a moment ago may come in later"),
        (Audit::Unknown(Text::new("it is not granted")), "it is not granted"),
    ] {
        world.happen(Event::Audited(vec![(row.clone(), said)]));
        assert!(world.screen().contains(part), "{part}: {}", world.screen());
    }
}
