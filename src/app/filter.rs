//! Filters: the line that an operator types, and filtering and sorting many rows beside the loop (a question goes to a
//! worker, an answer comes back as an event).
//!
//! Never touches the model; an answer for an older question is dropped by whoever asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::fuzzy::{Fuzzy, Word};
use crate::domain::drift::Verdict;
use crate::domain::fleet::{Instance, Snapshot};
use crate::domain::id::Uid;
use crate::domain::observation::{Health, Phase};
use crate::domain::selector::{Condition, Facts, Polarity, Selector, Term};
use crate::domain::text::Text;

/// The filter line of a screen. While what is typed can't be read, the last filter that could stays in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// As typed.
    pub(crate) typed: String,
    /// What its view came with: typed over, that is what Esc takes it back to.
    pub(crate) came_with: String,
    /// What is in force, as text.
    pub(crate) in_force: String,
    /// What is in force.
    pub(crate) selector: Selector,
    /// What is wrong with what is typed.
    pub(crate) error: Option<Text>,
}

impl Filter {
    /// The filter of a view that is shown.
    pub(crate) fn show(&mut self, typed: String) {
        self.came_with.clone_from(&typed);
        self.set(typed);
    }

    /// Takes over what is typed now. True if another filter is in force.
    ///
    /// While the last word can't be read, or is a key without its colon, the words before it are in force; while those
    /// can't be read either, what was in force stays.
    pub(crate) fn set(&mut self, typed: String) -> bool {
        self.typed = typed;
        let before = &self.typed[..self.typed.rfind(' ').map_or(0, |at| at + 1)];
        let (whole, is_key) = (Selector::parse(&self.typed), ends_in_key(&self.typed));
        self.error = whole.as_ref().err().map(|error| Text::new(&error.to_string()));
        let readable = match whole {
            Ok(selector) if !is_key => Some((self.typed.clone(), selector)),
            _ => Selector::parse(before).ok().map(|selector| (before.trim_end().to_string(), selector)),
        };
        let Some((text, selector)) = readable else { return false };
        let changed = selector != self.selector;
        self.in_force = text;
        self.selector = selector;
        changed
    }

    /// Whether rows are left out.
    pub(crate) fn is_on(&self) -> bool {
        !self.selector.terms.is_empty()
    }
}

/// Whether the last word is the name of a key whose colon is still to come: no word to look for yet.
fn ends_in_key(typed: &str) -> bool {
    let last = typed.rsplit(' ').next().unwrap_or_default().trim_start_matches('-');
    ["svc", "service", "place", "ns", "namespace", "kind", "state", "digest", "image", "age"].contains(&last)
}

/// Matches rows against a selector with fuzzy words.
pub(crate) struct Matcher<'a> {
    selector: &'a Selector,
    words: HashMap<&'a str, Word>,
    fuzzy: Fuzzy,
}

impl<'a> Matcher<'a> {
    /// For one selector.
    pub(crate) fn new(selector: &'a Selector) -> Matcher<'a> {
        let words = selector.words().map(|word| (word, Word::new(word))).collect();
        Matcher { selector, words, fuzzy: Fuzzy::new() }
    }

    /// The score of a row that is selected (0 where no word was typed).
    pub(crate) fn score(&self, facts: &Facts<'_>) -> Option<i64> {
        let mut score = 0;
        let is_match = self.selector.is_match(facts, &mut |word, facts| {
            let best = self
                .word(word)
                .and_then(|word| searched(facts).into_iter().filter_map(|text| self.fuzzy.score(word, text)).max());
            score += best.unwrap_or(0);
            best.is_some()
        });
        is_match.then_some(score)
    }

    /// Whether a row is selected: what `score` says, without what costs most of it.
    pub(crate) fn is_selected(&self, facts: &Facts<'_>) -> bool {
        self.selector.is_match(facts, &mut |word, facts| {
            self.word(word).is_some_and(|word| searched(facts).into_iter().any(|text| word.is_in(text)))
        })
    }

    fn word(&self, word: &str) -> Option<&Word> {
        self.words.get(word)
    }
}

/// What words are looked for in.
fn searched<'a>(facts: &Facts<'a>) -> [&'a str; 4] {
    [facts.name, facts.service, facts.namespace, facts.place]
}

/// What to filter.
#[derive(Clone, Debug)]
pub struct FilterQuestion {
    /// Rises with each question; the answer repeats it.
    pub number: u64,
    /// The rows.
    pub snapshot: Snapshot,
    /// The filter as typed, already found to be valid.
    pub filter: String,
    /// The column to sort by.
    pub sort: usize,
    /// Now.
    pub now: Timestamp,
    /// The rows of an answer for the same revision whose filter left at least what this one leaves.
    pub among: Option<Arc<Vec<FilteredRow>>>,
}

/// The rows that are left, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterAnswer {
    /// Of which question.
    pub number: u64,
    /// The fleet's revision that it was made for.
    pub revision: u64,
    /// The rows.
    pub rows: Arc<Vec<FilteredRow>>,
    /// How many of them are off.
    pub off: u32,
}

/// One row that is left: where it was, and which it was, so that a slot used again is not mistaken.
#[derive(Clone, Debug, PartialEq)]
pub struct FilteredRow {
    /// The slot in the snapshot.
    pub slot: u32,
    /// The instance.
    pub uid: Uid,
}

/// How instances can be sorted: the `sort` of a question is a number into this.
pub const INSTANCE_ORDERS: &[&str] = &["worst", "service", "name", "youngest", "oldest"];

/// Answers a question. Pure; a worker calls it.
pub fn answer(question: &FilterQuestion) -> FilterAnswer {
    let snapshot = &question.snapshot;
    let selector = Selector::parse(&question.filter).unwrap_or_default();
    let sieve = Sieve::new(&selector, snapshot, question.now);
    let mut state = SieveState::new(&sieve);
    let mut kept: Vec<Kept> = Vec::new();
    let mut off = 0;
    let mut look = |slot: u32, instance: &Instance| {
        if let Some(score) = sieve.score(&mut state, instance) {
            off += u32::from(snapshot.is_off(instance));
            let key = (best_first(score) << 8) | u64::from(rank(snapshot, instance));
            kept.push(Kept { key, workload: snapshot.workload_number(instance) as u32, slot });
        }
    };
    match &question.among {
        Some(among) => among.iter().for_each(|row| {
            if let Some(instance) = snapshot.instances.get(row.slot as usize) {
                look(row.slot, instance);
            }
        }),
        None => snapshot.instances.slots().for_each(|(slot, instance)| look(slot, instance)),
    }
    sort(&mut kept, question);
    let row = |kept: &Kept| {
        let instance = snapshot.instances.get(kept.slot as usize)?;
        Some(FilteredRow { slot: kept.slot, uid: instance.seen.uid.clone() })
    };
    let mut rows = Vec::with_capacity(kept.len());
    rows.extend(kept.iter().filter_map(row));
    FilterAnswer { number: question.number, revision: snapshot.revision, rows: Arc::new(rows), off }
}

/// A score as a number of which the smallest is the best.
fn best_first(score: i64) -> u64 {
    u64::from(u32::MAX) - u64::try_from(score).unwrap_or(0).min(u64::from(u32::MAX))
}

/// Whether everything that the new selector leaves was left by the old one: then only those rows are looked at.
pub(crate) fn narrows(new: &Selector, old: &Selector) -> bool {
    old.terms.iter().all(|before| {
        new.terms.iter().any(|after| {
            after == before
                || match (&before.condition, &after.condition) {
                    // A longer fuzzy word has the letters of the shorter one in their order.
                    (Condition::Word(short), Condition::Word(long)) => {
                        before.polarity == Polarity::Is
                            && after.polarity == Polarity::Is
                            && long.starts_with(short.as_str())
                    }
                    _ => false,
                }
        })
    })
}

/// One row on its way through the filter, ordered as its fields are. It is small: there may be a million of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    /// First the score and the rank, then what the rows are sorted by.
    key: u64,
    /// First the number of its workload, then that workload's place in the order of names.
    workload: u32,
    slot: u32,
}

/// A selector taken apart: what can be decided once for a workload, and what each instance must be asked.
struct Sieve<'a> {
    snapshot: &'a Snapshot,
    now: Timestamp,
    of_workload: Selector,
    of_instance: Selector,
    words: Vec<Word>,
    fuzzy: Fuzzy,
    needs_images: bool,
}

/// What is known of each workload so far: whether it is selected, and for each word how well it fits (the inner `None`: it
/// does not).
struct SieveState {
    selected: Vec<Option<bool>>,
    fits: Vec<Option<Option<i64>>>,
}

impl SieveState {
    fn new(sieve: &Sieve<'_>) -> SieveState {
        let count = sieve.snapshot.workload_count();
        SieveState { selected: vec![None; count], fits: vec![None; count * sieve.words.len()] }
    }
}

impl<'a> Sieve<'a> {
    fn new(selector: &Selector, snapshot: &'a Snapshot, now: Timestamp) -> Sieve<'a> {
        let is_of_workload = |term: &Term| match term.condition {
            Condition::Service(_) | Condition::Place(_) | Condition::Namespace(_) | Condition::Kind(_) => true,
            Condition::State(_)
            | Condition::Digest(_)
            | Condition::Image(_)
            | Condition::Age(..)
            | Condition::Word(_) => false,
        };
        let (of_workload, of_instance): (Vec<Term>, Vec<Term>) =
            selector.terms.iter().cloned().partition(is_of_workload);
        let needs_images =
            of_instance.iter().any(|term| matches!(term.condition, Condition::Digest(_) | Condition::Image(_)));
        Sieve {
            snapshot,
            now,
            of_workload: Selector { terms: of_workload },
            words: selector.words().map(Word::new).collect(),
            of_instance: Selector { terms: of_instance },
            fuzzy: Fuzzy::new(),
            needs_images,
        }
    }

    fn score(&self, state: &mut SieveState, instance: &Instance) -> Option<i64> {
        let number = self.snapshot.workload_number(instance);
        let (workload, service) = self.snapshot.workload_of(instance)?;
        let images: Vec<&str> = if self.needs_images { images_of(instance) } else { Vec::new() };
        let facts = Facts {
            service,
            place: &workload.place.0,
            namespace: workload.namespace.as_deref().unwrap_or_default(),
            kind: workload.kind.as_str(),
            name: &instance.seen.name,
            verdict: instance.verdict,
            is_off: self.snapshot.is_off(instance),
            is_unhealthy: instance.seen.health != Health::Healthy,
            images: &images,
            age: instance.seen.started_at.map(|at| age(at, self.now)),
        };
        let selected =
            state.selected[number].get_or_insert_with(|| self.of_workload.is_match(&facts, &mut |_, _| false));
        if !*selected {
            return None;
        }
        if self.of_instance.terms.is_empty() {
            return Some(0);
        }
        let fits = &mut state.fits[number * self.words.len()..][..self.words.len()];
        let (mut score, mut next) = (0, 0);
        let is_match = self.of_instance.is_match(&facts, &mut |_, facts| {
            // Words come in the order of the terms; a term before may already have ended the look.
            let (word, fit) = (&self.words[next], &mut fits[next]);
            next += 1;
            let best = match fit.get_or_insert_with(|| self.fit(word, facts)) {
                Some(score) => Some(*score),
                // Most names are ruled out without being read.
                None if !word.can_be_in(instance.letters) => None,
                None => self.fuzzy.score(word, facts.name),
            };
            score += best.unwrap_or(0);
            best.is_some()
        });
        is_match.then_some(score)
    }

    fn fit(&self, word: &Word, facts: &Facts<'_>) -> Option<i64> {
        let texts = [facts.service, facts.namespace, facts.place];
        texts.iter().filter_map(|text| self.fuzzy.score(word, text)).max()
    }
}

fn sort(kept: &mut [Kept], question: &FilterQuestion) {
    let snapshot = &question.snapshot;
    let instance = |kept: &Kept| snapshot.instances.get(kept.slot as usize);
    let started = |kept: &Kept| {
        let at = instance(kept).and_then(|instance| instance.seen.started_at).map_or(0, Timestamp::as_second);
        u64::try_from(at).unwrap_or(0)
    };
    let key: &dyn Fn(&Kept) -> u64 = match INSTANCE_ORDERS.get(question.sort).copied().unwrap_or("worst") {
        "name" => {
            let name = |kept: &Kept| instance(kept).map_or("", |instance| instance.seen.name.as_str());
            return kept.sort_unstable_by(|a, b| name(a).cmp(name(b)).then_with(|| a.slot.cmp(&b.slot)));
        }
        "service" => &|_| 0,
        "youngest" => &|kept| u64::MAX - started(kept),
        "oldest" => &started,
        _ => &|kept| kept.key,
    };
    let order = workload_order(snapshot, kept);
    for row in kept.iter_mut() {
        row.key = key(row);
        row.workload = order[row.workload as usize];
    }
    kept.sort_unstable();
}

/// Worst first: off and unhealthy, unhealthy, off, unknown, mixed, ok; what has ended comes last.
fn rank(snapshot: &Snapshot, instance: &Instance) -> u8 {
    let is_unhealthy = instance.seen.health != Health::Healthy;
    match (instance.seen.phase.is_counted(), snapshot.is_off(instance), is_unhealthy) {
        (false, ..) => {
            if instance.seen.phase == Phase::Draining {
                6
            } else {
                7
            }
        }
        (true, true, true) => 0,
        (true, false, true) => 1,
        (true, true, false) => 2,
        (true, false, false) => match instance.verdict {
            Verdict::Unknown => 3,
            Verdict::Mixed => 4,
            _ => 5,
        },
    }
}

/// A number for each workload that has a row, so that services, places and names come in their order.
fn workload_order(snapshot: &Snapshot, kept: &[Kept]) -> Vec<u32> {
    let mut order = vec![u32::MAX; snapshot.workload_count()];
    for row in kept {
        order[row.workload as usize] = 0;
    }
    let named = snapshot.workloads().filter(|(number, ..)| order[*number] == 0);
    let mut named: Vec<(usize, &Text, &crate::domain::id::WorkloadId)> = named.collect();
    named.sort_unstable_by(|a, b| a.1.cmp(b.1).then_with(|| a.2.cmp(b.2)));
    for (position, (number, ..)) in named.iter().enumerate() {
        order[*number] = position as u32;
    }
    order
}

fn images_of(instance: &Instance) -> Vec<&str> {
    let containers = &instance.seen.containers;
    let asked = containers.iter().filter_map(|container| container.asked.as_ref().map(|asked| asked.as_str()));
    let running = containers.iter().filter_map(|container| container.running.as_ref().map(|image| image.as_str()));
    asked.chain(running).collect()
}

fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(now.as_second() - at.as_second()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_a_filter_is_half_typed_the_last_one_stays_in_force() {
        let mut filter = Filter::default();
        assert!(filter.set("svc:checkout".to_string()));
        for typed in ["svc:checkout state", "svc:checkout state:", "svc:checkout state:dr"] {
            assert!(!filter.set(typed.to_string()), "{typed}");
            assert_eq!(filter.in_force, "svc:checkout");
        }
        assert!(filter.error.is_some() && filter.is_on());
        assert!(!filter.set("x: svc:checkout stat".to_string()) && filter.in_force == "svc:checkout");
        assert!(filter.set("svc:checkout state:drift".to_string()) && filter.error.is_none());
    }

    #[test]
    fn only_a_filter_that_leaves_less_may_look_at_the_last_answer() {
        for (old, new, expected) in [
            ("", "check", true),
            ("che", "check", true),
            ("check", "che", false),
            ("svc", "svc:a", false),
            ("-che", "-check", false),
            ("svc:a", "svc:a state:drift", true),
            ("state:drift", "state:ok", false),
        ] {
            let parse = |raw: &str| Selector::parse(raw).expect("valid");
            assert_eq!(narrows(&parse(new), &parse(old)), expected, "{old} -> {new}");
        }
    }
}
