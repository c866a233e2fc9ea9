//! Instances: every pod, task and machine: expected, requested, running, age, health.
//!
//! Never filters or sorts by itself: with a million rows that outlasts a frame, so it is a question to a worker. Rows are
//! slots of the fleet; what they show is read from it when they are drawn.

use std::sync::Arc;

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::page::{self, Page, Slot};
use super::shown::{Shown, digest_length};
use crate::app::age::Clock;
use crate::app::effect::Effect;
use crate::app::filter::{FilterAnswer, FilterQuestion, FilteredRow, INSTANCE_ORDERS, narrows};
use crate::app::model::Model;
use crate::app::rows::{Listing, RowId, Rows};
use crate::app::theme::Meaning;
use crate::app::ui::{ColumnDetail, Known};
use crate::app::widgets::paint::Line;
use crate::app::widgets::table::{Align, Column};
use crate::domain::fleet::{Instance, Workload};
use crate::domain::observation::Health;
use crate::domain::selector::Selector;
use crate::domain::text::counted;

/// The state of the screen.
#[derive(Debug, Default)]
pub(crate) struct InstancesScreen {
    listing: Listing,
    rows: Arc<Vec<FilteredRow>>,
    off: u32,
    /// What the rows were made for.
    answered: Option<Asked>,
    /// What a worker is busy with. One question at a time: a fast typist must not queue up a dozen.
    asked: Option<Asked>,
    number: u64,
    revision: u64,
    /// Whether the fleet moved on since the last question; asked again with the next tick.
    pub(crate) waits: Waits,
}

/// Whether a question is due as soon as time allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Waits {
    /// It is.
    ForTick,
    /// It is not.
    #[default]
    No,
}

/// Where there are more instances than this, a fleet that moves all the time is asked about once a second and not at
/// each change.
const MANY: usize = 5_000;

/// A question in short.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    number: u64,
    revision: u64,
    filter: String,
    order: usize,
    second: i64,
}

impl Asked {
    /// Whether the rows of the other question are those of this one.
    fn is_same(&self, other: &Asked) -> bool {
        self.revision == other.revision && self.is_alike(other) && self.minute() == other.minute()
    }

    /// Whether the operator asked the same, though things may have moved since.
    fn is_alike(&self, other: &Asked) -> bool {
        self.filter == other.filter && self.order == other.order
    }

    /// Ages in filters move with time.
    fn minute(&self) -> i64 {
        self.second.div_euclid(60)
    }
}

const COLUMNS: &[Column<'_>] = &[
    Column { title: "INSTANCE", least: 14, most: 60, align: Align::Middle, rank: 0 },
    Column { title: "PLACE", least: 11, most: 40, align: Align::Left, rank: 4 },
    Column { title: "EXPECTED", least: 16, most: 40, align: Align::Left, rank: 5 },
    Column { title: "REQUESTED", least: 16, most: 40, align: Align::Left, rank: 6 },
    Column { title: "RUNNING", least: 16, most: 40, align: Align::Left, rank: 0 },
    Column { title: "UP", least: 3, most: 5, align: Align::Left, rank: 2 },
    Column { title: "HEALTH", least: 9, most: 9, align: Align::Left, rank: 1 },
    Column { title: "PHASE", least: 7, most: 9, align: Align::Left, rank: 3 },
];

const WIDE: &[Column<'_>] = &[
    Column { title: "SERVICE", least: 8, most: 40, align: Align::Left, rank: 7 },
    Column { title: "NAMESPACE", least: 5, most: 20, align: Align::Left, rank: 8 },
    Column { title: "RESTARTS", least: 4, most: 8, align: Align::Right, rank: 9 },
    Column { title: "REASON", least: 8, most: 60, align: Align::Left, rank: 10 },
];

impl Rows for InstancesScreen {
    fn listing(&self) -> &Listing {
        &self.listing
    }
    fn listing_mut(&mut self) -> &mut Listing {
        &mut self.listing
    }
    fn len(&self) -> usize {
        self.rows.len()
    }
    fn id_at(&self, at: usize) -> Option<RowId> {
        self.rows.get(at).map(|row| RowId::Instance(row.slot, row.uid.clone()))
    }
    fn position(&self, id: &RowId) -> Option<usize> {
        let RowId::Instance(slot, uid) = id else { return None };
        self.rows.iter().position(|row| row.slot == *slot && row.uid == *uid)
    }
    fn orders(&self) -> &'static [&'static str] {
        INSTANCE_ORDERS
    }
    fn is_settled(&self) -> bool {
        let last = self.answered.as_ref();
        last.is_some_and(|last| last.filter == self.listing.filter.in_force && last.order == self.listing.order)
    }
    fn times(&self, at: usize, known: &Known<'_>) -> Vec<(Clock, Timestamp)> {
        let instance = self.instance(at, known).and_then(|(instance, _)| instance.seen.started_at);
        instance.map(|at| (Clock::Since, at)).into_iter().collect()
    }
    fn is_bad(&self, at: usize, known: &Known<'_>) -> bool {
        self.instance(at, known)
            .is_some_and(|(instance, workload)| instance.is_off(workload) || instance.seen.health != Health::Healthy)
    }
}

impl InstancesScreen {
    /// Asks for rows where what they are made from changed. True if something that is shown may have changed.
    pub(crate) fn rebuild(&mut self, known: &Known<'_>, effects: &mut Vec<Effect>) -> bool {
        let changed = self.revision != known.fleet.revision();
        self.revision = known.fleet.revision();
        let wanted = Asked {
            number: self.number + 1,
            revision: known.fleet.revision(),
            filter: self.listing.filter.in_force.clone(),
            order: self.listing.order,
            second: known.now.as_second(),
        };
        self.waits = Waits::No;
        let last = self.answered.as_ref();
        if self.asked.is_none() && !last.is_some_and(|last| last.is_same(&wanted)) {
            let is_early = last.is_some_and(|last| last.is_alike(&wanted) && last.second == wanted.second);
            if is_early && known.fleet.instance_count() > MANY {
                self.waits = Waits::ForTick;
                return changed;
            }
            self.number = wanted.number;
            effects.push(Effect::Filter(FilterQuestion {
                number: wanted.number,
                snapshot: known.fleet.snapshot(),
                filter: wanted.filter.clone(),
                sort: wanted.order,
                now: known.now,
                among: self.among(&wanted),
            }));
            self.asked = Some(wanted);
        }
        changed
    }

    /// Takes an answer. True if the rows must be looked at again. An answer to another filter or order than is wanted
    /// by now is dropped: what is shown must be what the filter line says.
    pub(crate) fn answered(&mut self, answer: FilterAnswer) -> bool {
        let Some(asked) = self.asked.take_if(|asked| asked.number == answer.number) else { return false };
        if asked.filter == self.listing.filter.in_force && asked.order == self.listing.order {
            self.answered = Some(asked);
            self.rows = answer.rows;
            self.off = answer.off;
            self.follow_cursor();
        }
        true
    }

    /// The last answer, if the new question can only leave less of it.
    fn among(&self, wanted: &Asked) -> Option<Arc<Vec<FilteredRow>>> {
        let last = self
            .answered
            .as_ref()
            .filter(|last| last.revision == wanted.revision && last.minute() == wanted.minute())?;
        let (old, new) = (Selector::parse(&last.filter).ok()?, Selector::parse(&wanted.filter).ok()?);
        (!old.terms.is_empty() && narrows(&new, &old)).then(|| self.rows.clone())
    }

    fn instance<'a>(&self, at: usize, known: &Known<'a>) -> Option<(&'a Instance, &'a Workload)> {
        let row = self.rows.get(at)?;
        known.fleet.instance_at(row.slot).filter(|(instance, _)| instance.seen.uid == row.uid)
    }
}

/// What the main container of an instance runs.
fn running(instance: &Instance, workload: &Workload) -> Shown {
    let main = instance.seen.containers.iter().find(|container| container.name == workload.judgement.main);
    let Some(container) = main.or(instance.seen.containers.first()) else { return Shown::Words("no data") };
    let version = container.asked.as_ref().and_then(crate::domain::image::ImageRef::version);
    match &container.running {
        Some(image) => Shown::Image { image: Some(image.clone()), version },
        None => Shown::Words("not pulled"),
    }
}

/// Draws the screen.
pub(crate) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let screen = &model.ui.screens.instances;
    let known = model.known();
    let columns = match model.ui.detail {
        ColumnDetail::Plain => COLUMNS.to_vec(),
        ColumnDetail::Wide => [COLUMNS, WIDE].concat(),
    };
    let height = area.height.saturating_sub(page::HEAD + page::DETAILS);
    let window = page::window(screen, usize::from(height));
    // An instance that went away since the rows were made leaves an empty line until the next answer.
    let visible: Vec<(usize, Option<(&Instance, &Workload)>)> = window
        .iter()
        .filter_map(|slot| if let Slot::Row(at) = slot { Some((*at, screen.instance(*at, &known))) } else { None })
        .collect();
    let shown: Vec<Shown> = visible
        .iter()
        .filter_map(|(_, found)| *found)
        .flat_map(|(instance, workload)| {
            [running(instance, workload), Shown::expected(workload), Shown::requested(workload)]
        })
        .collect();
    let length = digest_length(shown.iter());
    let lines = visible.iter().map(|(at, found)| match found {
        Some((instance, workload)) => {
            page::row(screen, *at, glyph(instance), cells(instance, workload, &known, length, columns.len()))
        }
        None => {
            let mut cells = vec![(Meaning::Dim, "gone".to_string())];
            cells.resize(columns.len(), (Meaning::Dim, String::new()));
            page::row(screen, *at, (Meaning::Dim, ' '), cells)
        }
    });
    let busy = if screen.asked.is_some() { ", looking" } else { "" };
    let page = Page {
        counts: format!(
            "{} of {}, {} off{busy}",
            screen.rows.len(),
            counted(known.fleet.instance_count(), "instance"),
            screen.off
        ),
        columns: &columns,
        lines: lines.collect(),
        empty: Line::new(
            Meaning::Dim,
            if screen.asked.is_some() { "looking" } else { "no instance is known, or the filter leaves none" },
        ),
        details: details(screen, &known),
    };
    page::draw(model, area, buffer, &page);
}

fn glyph(instance: &Instance) -> (Meaning, char) {
    super::glyph(instance.verdict)
}

fn cells(
    instance: &Instance,
    workload: &Workload,
    known: &Known<'_>,
    length: usize,
    columns: usize,
) -> Vec<(Meaning, String)> {
    let seen = &instance.seen;
    let meaning = glyph(instance).0;
    let health = if seen.health == Health::Healthy { Meaning::Text } else { Meaning::Unhealthy };
    let mut cells = vec![
        (meaning, seen.name.to_string()),
        (Meaning::Text, workload.id.place.to_string()),
        (Meaning::Text, Shown::expected(workload).text(length)),
        (Meaning::Text, Shown::requested(workload).text(length)),
        (meaning, running(instance, workload).text(length)),
        (Meaning::Text, seen.started_at.map_or("-".to_string(), |at| Clock::Since.show(at, known.now))),
        (health, seen.health.as_str().to_string()),
        (Meaning::Text, seen.phase.as_str().to_string()),
    ];
    if columns > COLUMNS.len() {
        cells.push((Meaning::Text, workload.seen.service.to_string()));
        cells.push((Meaning::Text, seen.namespace.as_deref().unwrap_or("-").to_string()));
        cells.push((Meaning::Text, seen.restarts.to_string()));
        cells.push((Meaning::Dim, seen.reason.as_ref().unwrap_or(&instance.reason).to_string()));
    }
    cells
}

fn details(screen: &InstancesScreen, known: &Known<'_>) -> Vec<Line> {
    let Some((instance, workload)) = screen.instance(screen.listing.at, known) else {
        return vec![Line::default(), Line::default()];
    };
    let (meaning, glyph) = glyph(instance);
    let age = super::age(known.fleet.place(&workload.id.place), known.now);
    let why = instance.seen.reason.as_ref().map(|reason| format!("; {reason}")).unwrap_or_default();
    vec![
        Line::new(meaning, format!(" {glyph} {}", instance.verdict.as_str()))
            .and(Meaning::Text, format!(": {}{why}", instance.reason)),
        Line::new(Meaning::Dim, format!(" {}, {age}", workload.id)),
    ]
}

/// The titles and cells of a row, for copies.
pub(crate) fn copied(known: &Known<'_>, slot: u32) -> Option<(Vec<&'static str>, Vec<String>)> {
    let (instance, workload) = known.fleet.instance_at(slot)?;
    let columns = [COLUMNS, WIDE].concat();
    let cells = cells(instance, workload, known, usize::MAX, columns.len());
    Some((columns.iter().map(|column| column.title).collect(), cells.into_iter().map(|(_, text)| text).collect()))
}
