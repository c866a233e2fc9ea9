//! A deterministic simulation of whole operations: model, `update`, store and the simulated provider under paused time, with
//! everything that can go wrong drawn from a seed.
//!
//! `cargo test --test it simulation` plays a few hundred seeds. More of them, as a nightly job would:
//!
//!     ROLLDECK_SEEDS=10000 cargo test --release --test it simulation
//!
//! One that has failed, alone and with its whole story:
//!
//!     ROLLDECK_SEED=4711 cargo test --test it simulation -- --nocapture
//!
//! Start with `play`; what must hold is in `witness`. Never reads the real clock.

mod dice;
mod play;
mod process;
mod scene;
mod wire;
mod witness;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use play::{Played, play};

/// How many seeds are played where nobody says otherwise.
const SEEDS: u64 = 400;
/// What must have happened in so many: else the dice are wrong.
const HAPPENS: [&str; 22] = [
    "crash",
    "claimed",
    "blocked",
    "unanswered",
    "moved",
    "rebound",
    "not done",
    "verified",
    "step failed",
    "step unresolved",
    "wave healthy",
    "debt paid",
    "started back",
    "done",
    "failed",
    "refused",
    "stopped",
    "unresolved",
    "evict",
    "restore_revision",
    "brake",
    "release",
];
/// Seeds that are played at the same time.
const PLAYERS: usize = 2;

#[test]
fn a_few_hundred_seeds_of_faults_and_crashes_break_no_promise() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let (first, count) = match number("ROLLDECK_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("ROLLDECK_SEEDS").unwrap_or(SEEDS)),
    };
    let next = AtomicU64::new(first);
    let player = || {
        let mut played = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return played;
            }
            played.push((seed, play_one(seed)));
        }
    };
    let all: Vec<(u64, Played)> = std::thread::scope(|scope| {
        let players: Vec<_> = (0..PLAYERS).map(|_| scope.spawn(player)).collect();
        players.into_iter().flat_map(|player| player.join().expect("panics are caught")).collect()
    });
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    for (word, times) in all.iter().flat_map(|(_, played)| &played.tally) {
        *tally.entry(word).or_default() += times;
    }
    if number("ROLLDECK_SEED").or(number("ROLLDECK_SEEDS")).is_some() {
        tell(&format!("{count} seeds from {first}: {tally:?}"));
    }
    if count == 1 {
        tell(&all[0].1.story);
    }
    let mut failed: Vec<&(u64, Played)> = all.iter().filter(|(_, played)| !played.faults.is_empty()).collect();
    failed.sort_by_key(|(seed, _)| *seed);
    let faults = failed.iter().map(|(seed, played)| format!("ROLLDECK_SEED={seed}: {}", played.faults.join("; ")));
    let story = failed.first().map(|(_, played)| played.story.as_str()).unwrap_or_default();
    let faults: Vec<String> = faults.collect();
    assert!(failed.is_empty(), "{} of {count} seeds failed:\n{}\n\n{story}", faults.len(), faults.join("\n"));
    if count >= SEEDS {
        let missing: Vec<&&str> = HAPPENS.iter().filter(|word| !tally.contains_key(**word)).collect();
        assert!(missing.is_empty(), "these never happened, so nothing was learnt of them: {missing:?} of {tally:?}");
    }
}

#[test]
fn a_seed_plays_the_same_twice() {
    for seed in [3, 23, 42] {
        assert_eq!(play_one(seed).story, play_one(seed).story, "seed {seed}");
    }
}

/// For whoever asked for it: a nightly job, or a person who looks at one seed.
fn tell(text: &str) {
    // Nothing depends on its being read.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn play_one(seed: u64) -> Played {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(play(seed))
    }));
    played.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Played { faults: vec![format!("it panicked: {}", said.unwrap_or("?"))], ..Played::default() }
    })
}
