//! What the store keeps of the timeline: over a restart, bounded, each fact once.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::domain::timeline::Retention;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_230_000 + second).expect("a time")
}

fn id(place: &str) -> WorkloadId {
    WorkloadId {
        place: PlaceId::new(place),
        namespace: Some(Text::new("shop")),
        kind: WorkloadKind::Deployment,
        name: Text::new("checkout"),
    }
}

fn row(second: i64, what: Happened, digest: u8) -> Happening {
    let image = ImageId::oci(format!("sha256:{digest:064x}").parse().expect("a digest"), DigestKind::Repository);
    Happening {
        at: at(second),
        after: (second % 2 == 0).then(|| at(second - 100)),
        workload: id("k8s/eu"),
        service: Text::new("checkout"),
        what,
        container: None,
        image: Some(image),
        reference: Some(Text::new("registry.example/checkout:v1")),
        version: Some(Text::new("v1")),
        by: Some(Text::new("ci")),
        detail: Text::new("v0 -> v1"),
    }
}

fn notes(rows: Vec<Happening>, second: i64) -> Notes {
    let watched = vec![(PlaceId::new("k8s/eu"), Watched { first: at(second - 10), last: at(second) })];
    Notes {
        rows: rows.into_iter().map(Arc::new).collect(),
        states: vec![(id("k8s/eu"), Some(Known::default()))],
        watched,
        retention: Retention { age: Duration::from_secs(1_000), count: 3 },
        at: at(second),
    }
}

fn check(directory: &tempfile::TempDir, expected: &[i64]) {
    let (observations, note) = Observations::open(directory.path()).expect("opens");
    assert_eq!(note, None);
    let kept = observations.kept().expect("readable");
    let seconds: Vec<i64> = kept.rows.iter().map(|row| row.at.as_second() - 1_795_230_000).collect();
    assert_eq!(seconds, expected);
}

fn open(directory: &tempfile::TempDir) -> Observations {
    Observations::open(directory.path()).expect("opens").0
}

#[test]
fn what_happened_is_there_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let machine = Happening { image: Some(ImageId::machine("ami-0123456789abcdef0")), ..row(2, Happened::Appeared, 1) };
    let bare = Happening { image: None, reference: None, version: None, by: None, ..row(3, Happened::Template, 1) };
    let rows = vec![row(1, Happened::Requested, 1), machine, bare];
    open(&directory).note(&notes(rows.clone(), 10)).expect("written");
    let kept = open(&directory).kept().expect("readable");
    assert_eq!(kept.rows, rows);
    assert_eq!(kept.states, [(id("k8s/eu"), Known::default())]);
    assert_eq!(kept.watched, [(PlaceId::new("k8s/eu"), Watched { first: at(0), last: at(10) })]);
    // It goes on: a later look keeps the first moment, and a workload that is gone has no state.
    let later = Notes { states: vec![(id("k8s/eu"), None)], ..notes(Vec::new(), 60) };
    open(&directory).note(&later).expect("written");
    let kept = open(&directory).kept().expect("readable");
    assert!(kept.states.is_empty());
    assert_eq!(kept.watched[0].1, Watched { first: at(0), last: at(60) });
}

#[test]
fn rows_go_by_age_and_by_number_the_oldest_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let rows = |seconds: &[i64]| {
        let each =
            seconds.iter().map(|&second| row(second, Happened::Appeared, u8::try_from(second % 200).expect("small")));
        each.collect::<Vec<Happening>>()
    };
    open(&directory).note(&notes(rows(&[5, 1, 3, 7, 9]), 10)).expect("written");
    check(&directory, &[5, 7, 9]);
    open(&directory).note(&notes(rows(&[1_006]), 1_006)).expect("written");
    check(&directory, &[7, 9, 1_006]);
}

#[test]
fn two_processes_that_watch_one_place_write_each_fact_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut one, mut other) = (open(&directory), open(&directory));
    let roomy = |rows, second| Notes { retention: Retention::default(), ..notes(rows, second) };
    one.note(&roomy(vec![row(1, Happened::Requested, 1), row(2, Happened::Appeared, 1)], 10)).expect("written");
    // What is learnt of the image later does not make it another request.
    let learnt = Happening { image: None, ..row(1, Happened::Requested, 1) };
    other.note(&roomy(vec![learnt, row(3, Happened::Appeared, 1)], 10)).expect("written");
    check(&directory, &[1, 2]);
    one.note(&roomy(vec![row(20, Happened::Vanished, 1), row(25, Happened::Appeared, 1)], 30)).expect("written");
    other.note(&roomy(vec![row(26, Happened::Appeared, 1)], 30)).expect("written");
    check(&directory, &[1, 2, 20, 25]);
    // Another version, and back, all within a minute.
    let second = |second| Happening {
        reference: Some(Text::new("registry.example/checkout:v2")),
        ..row(second, Happened::Requested, 2)
    };
    one.note(&roomy(vec![second(29), row(40, Happened::Requested, 1)], 41)).expect("written");
    other.note(&roomy(vec![second(30), row(41, Happened::Requested, 1)], 42)).expect("written");
    check(&directory, &[1, 2, 20, 25, 29, 40]);
    // The same was asked for again, much later.
    one.note(&roomy(vec![row(500, Happened::Requested, 1)], 500)).expect("written");
    check(&directory, &[1, 2, 20, 25, 29, 40, 500]);
}

#[test]
fn a_record_of_an_older_program_is_kept_and_a_damaged_one_set_aside() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("observations.db");
    let old = rusqlite::Connection::open(&path).expect("opens");
    old.execute_batch(
        "CREATE TABLE healthy (
            place TEXT NOT NULL, namespace TEXT NOT NULL, kind TEXT NOT NULL, workload TEXT NOT NULL,
            template TEXT NOT NULL, first_seen TEXT NOT NULL, last_seen TEXT NOT NULL,
            PRIMARY KEY (place, namespace, kind, workload, template)) STRICT, WITHOUT ROWID;
         INSERT INTO healthy VALUES ('k8s/eu', 'shop', 'Deployment', 'checkout', 't', '2026-11-21T00:00:00Z', '2026-11-21T00:00:00Z');
         PRAGMA user_version = 1;",
    )
    .expect("written");
    drop(old);
    let mut observations = open(&directory);
    assert_eq!(observations.read().expect("readable").len(), 1);
    observations.note(&notes(vec![row(1, Happened::Requested, 1)], 10)).expect("written");
    drop(observations);
    check(&directory, &[1]);
    std::fs::write(&path, "no database any more, but long enough to be read as one").expect("written");
    for end in ["observations.db-wal", "observations.db-shm"] {
        let _ = std::fs::remove_file(directory.path().join(end));
    }
    let (observations, note) = Observations::open(directory.path()).expect("opens anew");
    assert!(note.is_some_and(|note| note.contains("the timeline") && note.contains("begins anew")));
    assert!(observations.kept().expect("readable").rows.is_empty());
}
