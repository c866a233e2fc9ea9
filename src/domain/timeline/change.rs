//! The rule: two states of a workload become rows. A digest appears in a workload with its first instance and vanishes
//! with its last one; a requested image changes.
//!
//! Never makes a row of a state that nothing is compared with, but for what the platform's own history tells.

use std::time::Duration;

use jiff::Timestamp;

use super::past::{self, Told};
use super::state::{Asked, Known, Present, Ran, ends_by_itself};
use super::{Happened, Happening, to_millisecond};
use crate::domain::id::WorkloadId;
use crate::domain::image::{ImageId, ImageRef};
use crate::domain::text::Text;

/// A place that was not looked at for longer than this may have changed at any time in between.
const UNWATCHED: Duration = Duration::from_secs(120);

/// How far the time that a platform gives may lie before the last look: an image takes a while to be pulled, a list to
/// come.
const SLACK: Duration = Duration::from_secs(120);

/// What comes after something else is told as this much later at least.
const MOMENT: Duration = Duration::from_millis(1);

/// When a state is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Now.
    pub now: Timestamp,
    /// When its place was last known as a whole; `None`: never.
    pub last: Option<Timestamp>,
    /// Whether it was watched since.
    pub look: Look,
    /// Whether all of it is seen.
    pub sight: Sight,
    /// How far back rows are kept.
    pub reach: Duration,
}

/// Whether a place was watched since it was last known as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It was not: this process has just begun, or the place was silent.
    AfterBreak,
    /// It was, all the time.
    Watched,
}

/// Whether all lists of a place can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All that have rows.
    Whole,
    /// Not all: what is not seen may be there.
    Partial,
}

/// What a look at a workload brought.
#[derive(Debug)]
pub struct Noted {
    /// What happened, in the order in which it did.
    pub rows: Vec<Happening>,
    /// The state that the next look compares with.
    pub known: Known,
    /// Whether something waits for a later look.
    pub again: Again,
}

/// Whether a workload must be looked at once more although it may not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// No.
    Settled,
    /// A version has come of which nobody has said yet who asked for it.
    Waits,
}

impl Moment {
    /// Since when nobody has watched; `None` if it was watched all the time, or for all that anybody will ever ask.
    fn unwatched(&self) -> Option<Timestamp> {
        match self.look {
            Look::Watched => None,
            Look::AfterBreak => self.last.filter(|last| self.now.duration_since(*last).unsigned_abs() > UNWATCHED),
        }
    }

    /// When something happened: as the platform says, if that can be; else now, or at some time since the last look.
    fn of(&self, told: Option<Timestamp>) -> (Timestamp, Option<Timestamp>) {
        let can_be = |told: &Timestamp| self.last.is_none_or(|last| *told >= last - SLACK);
        match told.filter(can_be) {
            Some(told) => (to_millisecond(told.min(self.now)), None),
            None => (to_millisecond(self.now), self.unwatched().map(to_millisecond)),
        }
    }
}

/// Compares a workload with its last state; `None`: it was never seen.
pub fn note(before: Option<&Known>, present: &Present<'_>, moment: &Moment) -> Noted {
    let new = Known::default();
    let compared = before.or_else(|| is_new(present, moment).then_some(&new));
    let mut known = Known {
        service: present.service.clone(),
        hash: present.hash.clone(),
        asked: present.asked.clone(),
        since: before.and_then(|before| before.since),
        left: before.map(|before| before.left.clone()).unwrap_or_default(),
        runs: present.runs.iter().map(|(ran, _)| ran.clone()).collect(),
        told: before.map(|before| before.told.clone()).unwrap_or_default(),
        held: before.map(|before| before.held.clone()).unwrap_or_default(),
    };
    let mut rows = Vec::new();
    if let Some(before) = compared {
        if present.asked.is_empty() {
            // What it asks for can't be read now: what it asked for is not forgotten.
            known.hash = before.hash.clone();
            known.asked = before.asked.clone();
        } else {
            rows.extend(asked(before, present, moment));
        }
        let is_at_rest = present.runs.is_empty() && ends_by_itself(present.id.kind);
        if is_at_rest {
            known.runs = before.runs.clone();
        } else {
            rows.extend(ran(before, present, moment));
            known.left.retain(|(_, at)| moment.now.duration_since(*at).unsigned_abs() <= 2 * SLACK);
            let is_gone = |was: &&Ran| !present.runs.iter().any(|(now, _)| now.is_same(was));
            let gone = before.runs.iter().filter(is_gone);
            known.left.extend(gone.map(|was| (was.clone(), to_millisecond(moment.now))));
        }
        if moment.sight == Sight::Partial {
            rows.retain(|row| row.what != Happened::Vanished);
            known.runs.extend(
                before.runs.iter().filter(|was| !present.runs.iter().any(|(now, _)| now.is_same(was))).cloned(),
            );
        }
    }
    let told = match (compared, rows.iter().any(|row| is_request(row.what))) {
        (None, _) => Told::Nothing,
        (Some(_), true) => Told::Request,
        (Some(_), false) => Told::SameRequest,
    };
    let again = past::add(&mut rows, &mut known, present, moment, told);
    rows.sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.what.cmp(&b.what)));
    Noted { rows, known, again }
}

/// A workload is gone: so is what it ran. One whose runs end by themselves only ended.
pub fn gone(id: &WorkloadId, before: &Known, moment: &Moment) -> Vec<Happening> {
    if ends_by_itself(id.kind) {
        return Vec::new();
    }
    let (at, after) = moment.of(None);
    let vanished = |ran: &Ran| Happening {
        at,
        after,
        workload: id.clone(),
        service: before.service.clone(),
        what: Happened::Vanished,
        // Which container was the main one nobody knows any more; where there is one there is no doubt.
        container: (before.runs.len() > 1).then(|| ran.container.clone()),
        image: Some(ran.image.clone()),
        reference: ran.reference.clone(),
        version: ran.version.clone(),
        by: None,
        detail: Text::new("the workload is gone"),
    };
    before.runs.iter().map(vanished).collect()
}

/// Whether a row says that a template changed.
pub(super) fn is_request(what: Happened) -> bool {
    match what {
        Happened::Requested | Happened::Template => true,
        Happened::Operation | Happened::Appeared | Happened::Vanished | Happened::Ended => false,
    }
}

/// Whether a workload that was never seen came since the last look. What had begun before that was there then, and only
/// out of our sight.
fn is_new(present: &Present<'_>, moment: &Moment) -> bool {
    let Some(last) = moment.last else { return false };
    match present.began() {
        Some(began) => began >= last - SLACK,
        None => moment.look == Look::Watched,
    }
}

/// A row about an image of a workload.
pub(super) fn row(present: &Present<'_>, what: Happened, (at, after): (Timestamp, Option<Timestamp>)) -> Happening {
    Happening {
        at,
        after,
        workload: present.id.clone(),
        service: present.service.clone(),
        what,
        container: None,
        image: None,
        reference: None,
        version: None,
        by: None,
        detail: Text::default(),
    }
}

/// What a workload asks for now and did not before.
fn asked(before: &Known, present: &Present<'_>, moment: &Moment) -> Vec<Happening> {
    if before.hash == *present.hash {
        return Vec::new();
    }
    let at = moment.of(present.since);
    let evidence = present.version().map(past::evidence);
    let words = |first: String| {
        let parts = [Some(first), evidence.clone()].into_iter().flatten().filter(|part| !part.is_empty());
        Text::new(&parts.collect::<Vec<String>>().join("; "))
    };
    let was = |container: &str| before.asked.iter().find(|asked| *asked.container == *container);
    let others =
        present.asked.iter().filter(|now| was(&now.container).is_none_or(|was| was.reference != now.reference));
    let mut rows: Vec<Happening> = others
        .map(|now| Happening {
            container: present.named(&now.container),
            image: image_of(present, now),
            reference: Some(now.reference.clone()),
            version: now.version.clone(),
            by: present.by.clone(),
            detail: words(match was(&now.container) {
                Some(was) => format!("{} -> {}", called(was), called(now)),
                None if before.asked.is_empty() => "a new workload".to_string(),
                None => "a new container".to_string(),
            }),
            ..row(present, Happened::Requested, at)
        })
        .collect();
    if rows.is_empty() {
        let main = present.asked_in(present.main);
        rows.push(Happening {
            image: main.and_then(|main| image_of(present, main)),
            reference: main.map(|main| main.reference.clone()),
            version: main.and_then(|main| main.version.clone()),
            by: present.by.clone(),
            detail: words(match before.asked.iter().find(|was| present.asked_in(&was.container).is_none()) {
                Some(was) => format!("without the container {}", was.container),
                None => "the same images, another template".to_string(),
            }),
            ..row(present, Happened::Template, at)
        });
    }
    rows
}

/// What its instances run now and did not before, and what they run no more.
fn ran(before: &Known, present: &Present<'_>, moment: &Moment) -> Vec<Happening> {
    let mut rows = Vec::new();
    for (now, started) in present.runs.iter().filter(|(now, _)| !before.runs(now)) {
        let (by, detail) = why_appeared(before, present, now);
        let (at, after) = moment.of(*started);
        let left = before.left.iter().filter(|(was, _)| was.is_same(now)).map(|(_, left)| *left).max();
        let at = (left.map_or(at, |left| at.max(left + MOMENT)), after);
        rows.push(Happening { by, detail, ..of_run(present, Happened::Appeared, at, now) });
    }
    let is_left = |was: &&Ran| !present.runs.iter().any(|(now, _)| now.is_same(was));
    for was in before.runs.iter().filter(is_left) {
        let (by, detail) = why_vanished(present, was);
        rows.push(Happening { by, detail, ..of_run(present, Happened::Vanished, moment.of(None), was) });
    }
    rows
}

fn of_run(present: &Present<'_>, what: Happened, at: (Timestamp, Option<Timestamp>), ran: &Ran) -> Happening {
    Happening {
        container: present.named(&ran.container),
        image: Some(ran.image.clone()),
        reference: ran.reference.clone(),
        version: ran.version.clone(),
        ..row(present, what, at)
    }
}

fn why_appeared(before: &Known, present: &Present<'_>, now: &Ran) -> (Option<Text>, Text) {
    let asked = present.asked_in(&now.container);
    let is_asked = asked.is_some_and(|asked| Some(&asked.reference) == now.reference.as_ref());
    let is_as_before =
        |was: &Ran| was.container == now.container && was.reference == now.reference && !was.is_same(now);
    // Nobody asked for another image then: its name means another one now.
    if is_asked && before.hash == *present.hash && before.runs.iter().any(is_as_before) {
        return (None, Text::new("the same reference, another image: its tag has moved"));
    }
    match (is_asked, asked) {
        (true, _) => (present.by.clone(), Text::default()),
        (false, Some(asked)) => (None, Text::new(&format!("its template asks for {}", called(asked)))),
        (false, None) => (None, Text::default()),
    }
}

fn why_vanished(present: &Present<'_>, was: &Ran) -> (Option<Text>, Text) {
    let asked = present.asked_in(&was.container);
    match asked.filter(|asked| Some(&asked.reference) != was.reference.as_ref()) {
        Some(asked) => (present.by.clone(), Text::new(&format!("replaced by {}", called(asked)))),
        None => (None, present.empty.map(Text::new).unwrap_or_default()),
    }
}

/// The exact image that a container is asked to run, where that is known.
fn image_of(present: &Present<'_>, asked: &Asked) -> Option<ImageId> {
    let pinned = || asked.reference.parse::<ImageRef>().ok()?.pinned();
    let learnt = present.requested.filter(|_| asked.container == *present.main);
    learnt.cloned().or_else(pinned)
}

fn called(asked: &Asked) -> String {
    asked.version.as_ref().unwrap_or(&asked.reference).to_string()
}
