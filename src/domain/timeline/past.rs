//! Rows from the history that a platform keeps of a workload: what was asked for before anybody looked here.
//!
//! Never tells a fact twice: what was seen as a change has no second row as a version, and the other way round.

use std::time::Duration;

use jiff::Timestamp;

use super::change::{Again, Moment, row};
use super::state::{Known, Present, is_asked_when_made};
use super::{Happened, Happening, Look, to_millisecond};
use crate::domain::history::Version;
use crate::domain::text::Text;

/// A version and the change that asked for it are one fact if their times are no further apart than this.
const ONE_FACT: Duration = Duration::from_secs(10);

/// How long a version waits for its workload to ask for it: the two come in lists of their own.
const WAITS: Duration = Duration::from_secs(10);

/// What this look has already told of what the workload asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing was compared: this is the first state.
    Nothing,
    /// It asks for something else than before.
    Request,
    /// It asks for what it asked for before.
    SameRequest,
}

/// Where a version is written, and its author's words.
pub(super) fn evidence(version: &Version) -> String {
    match &version.cause {
        Some(cause) => format!("revision {}: {cause}", version.number),
        None => format!("revision {}", version.number),
    }
}

/// Adds a row for each version that has none.
pub(super) fn add(
    rows: &mut Vec<Happening>,
    known: &mut Known,
    present: &Present<'_>,
    moment: &Moment,
    told: Told,
) -> Again {
    let mut again = Again::Settled;
    if told == Told::Request {
        known.told.insert(known.hash.clone());
    }
    let mut versions: Vec<&Version> = present.versions.iter().collect();
    versions.sort_by(|a, b| a.created_at.cmp(&b.created_at).then_with(|| a.number.cmp(&b.number)));
    let mut newest: Option<Timestamp> = None;
    // What is asked for now was asked for after all of them, though it may be in the same second.
    let changes = std::mem::take(rows);
    for (at, version) in versions.iter().enumerate() {
        if known.told.contains(&version.hash) {
            known.held.remove(&version.hash);
            continue;
        }
        let is_current = version.hash == *present.hash;
        if moment.look == Look::Watched && told != Told::Nothing && !is_current {
            let held = *known.held.entry(version.hash.clone()).or_insert(moment.now);
            if moment.now.duration_since(held).unsigned_abs() < WAITS {
                again = Again::Waits;
                continue;
            }
        }
        known.held.remove(&version.hash);
        known.told.insert(version.hash.clone());
        // The workload asked for it before it was here, as the last look knew.
        let is_old_news = is_current && told == Told::SameRequest;
        let is_asked = is_asked_when_made(present.id.kind);
        let Some(created) = version.created_at.filter(|_| is_asked && !is_old_news) else { continue };
        if moment.now.duration_since(created).unsigned_abs() <= moment.reach {
            let before = at.checked_sub(1).map(|at| versions[at]);
            rows.push(made(present, version, before, created.min(moment.now)));
        }
        if !is_current {
            newest = newest.max(Some(created));
        }
    }
    rows.extend(changes);
    // Only what there still is can come again.
    let is_there = |hash: &crate::domain::observation::TemplateHash| {
        *hash == *present.hash || present.versions.iter().any(|version| version.hash == *hash)
    };
    known.told.retain(is_there);
    known.held.retain(|hash, _| present.versions.iter().any(|version| version.hash == *hash));
    match told {
        Told::Request => known.since = present.since,
        Told::Nothing => {
            known.since = present.since;
            rows.extend(came_back(present, moment, told, newest));
        }
        Told::SameRequest if present.since > known.since => {
            let again = came_back(present, moment, told, newest);
            known.since = if again.is_some() { present.since } else { known.since };
            rows.extend(again);
        }
        Told::SameRequest => {}
    }
    again
}

/// A version was made, and asked for.
fn made(present: &Present<'_>, version: &Version, before: Option<&Version>, at: Timestamp) -> Happening {
    let is_same = before.is_some_and(|before| before.reference.is_some() && before.reference == version.reference);
    let is_asked = version.hash == *present.hash && present.since.is_some_and(|since| is_one_fact(since, at));
    Happening {
        by: present.by.clone().filter(|_| is_asked),
        detail: Text::new(&format!("history: {}", evidence(version))),
        ..of_version(present, if is_same { Happened::Template } else { Happened::Requested }, at, version)
    }
}

/// What is asked for now was made before it was asked for: an earlier version came back. Where no version is kept, what is
/// asked for now is all that is known.
fn came_back(present: &Present<'_>, moment: &Moment, told: Told, newest: Option<Timestamp>) -> Option<Happening> {
    let since = present.since.filter(|since| moment.now.duration_since(*since).unsigned_abs() <= moment.reach)?;
    let at = since.min(moment.now);
    match present.version().filter(|_| is_asked_when_made(present.id.kind)) {
        Some(version) => {
            let is_again = match told {
                // It was asked for at the last look, and was asked for since.
                Told::SameRequest => newest.is_some_and(|newest| since >= newest),
                // Made long before it was asked for: an earlier one came back.
                Told::Nothing => version.created_at.is_some_and(|made| made < since && !is_one_fact(made, since)),
                Told::Request => false,
            };
            is_again.then(|| Happening {
                by: present.by.clone(),
                detail: Text::new(&format!("history: asked for again; {}", evidence(version))),
                ..of_version(present, Happened::Requested, at, version)
            })
        }
        None if told == Told::Nothing => {
            let main = present.asked_in(present.main)?;
            Some(Happening {
                image: present.requested.cloned(),
                reference: Some(main.reference.clone()),
                version: main.version.clone(),
                by: present.by.clone(),
                detail: Text::new(&format!(
                    "history: asked for since then{}",
                    present.version().map(|version| format!("; {}", evidence(version))).unwrap_or_default()
                )),
                ..row(present, Happened::Requested, (to_millisecond(at), None))
            })
        }
        None => None,
    }
}

fn of_version(present: &Present<'_>, what: Happened, at: Timestamp, version: &Version) -> Happening {
    Happening {
        image: version.image.clone(),
        reference: version.reference.as_ref().map(|reference| Text::new(reference.as_str())),
        version: version.version.clone(),
        ..row(present, what, (to_millisecond(at), None))
    }
}

fn is_one_fact(a: Timestamp, b: Timestamp) -> bool {
    a.duration_since(b).unsigned_abs() <= ONE_FACT
}
