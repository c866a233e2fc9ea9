//! Fleet: every workload by service and place: what runs in which version, what should, counts, ages.
//!
//! Never makes cells of rows that are not visible: a row is a name until it is drawn.

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::drift::{badness, is_selected};
use super::page::{self, Page, Slot};
use super::shown::{Shown, digest_length};
use crate::app::age::Clock;
use crate::app::filter::Matcher;
use crate::app::model::Model;
use crate::app::rows::{Listing, RowId, Rows};
use crate::app::theme::Meaning;
use crate::app::ui::{ColumnDetail, Known};
use crate::app::widgets::paint::Line;
use crate::app::widgets::table::{Align, Column};
use crate::domain::drift::Tally;
use crate::domain::fleet::{Badness, Workload};
use crate::domain::id::WorkloadId;
use crate::domain::text::counted;

/// The state of the screen.
#[derive(Debug, Default)]
pub(crate) struct FleetScreen {
    listing: Listing,
    rows: Vec<WorkloadId>,
    totals: Tally,
    /// The fleet's revision that was shown last: cells are read from the fleet.
    revision: u64,
}

const ORDERS: &[&str] = &["service", "worst", "place", "newest"];

const COLUMNS: &[Column<'_>] = &[
    Column { title: "SERVICE", least: 8, most: 40, align: Align::Left, rank: 0 },
    Column { title: "PLACE", least: 11, most: 40, align: Align::Left, rank: 0 },
    Column { title: "RUNNING", least: 20, most: 70, align: Align::Left, rank: 0 },
    Column { title: "EXPECTED", least: 16, most: 40, align: Align::Left, rank: 4 },
    Column { title: "OFF", least: 4, most: 12, align: Align::Left, rank: 0 },
    Column { title: "READY", least: 5, most: 13, align: Align::Left, rank: 2 },
    Column { title: "SINCE", least: 4, most: 6, align: Align::Left, rank: 3 },
    Column { title: "AGE", least: 4, most: 5, align: Align::Left, rank: 1 },
    Column { title: "MARKS", least: 5, most: 30, align: Align::Left, rank: 5 },
];

const WIDE: &[Column<'_>] = &[
    Column { title: "SAYS", least: 8, most: 13, align: Align::Left, rank: 6 },
    Column { title: "NAMESPACE", least: 5, most: 20, align: Align::Left, rank: 6 },
    Column { title: "WORKLOAD", least: 8, most: 40, align: Align::Left, rank: 7 },
    Column { title: "REASON", least: 8, most: 60, align: Align::Left, rank: 8 },
];

impl Rows for FleetScreen {
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
        self.rows.get(at).cloned().map(RowId::Workload)
    }
    fn position(&self, id: &RowId) -> Option<usize> {
        let RowId::Workload(id) = id else { return None };
        self.rows.iter().position(|row| row == id)
    }
    fn orders(&self) -> &'static [&'static str] {
        ORDERS
    }
    fn times(&self, at: usize, known: &Known<'_>) -> Vec<(Clock, Timestamp)> {
        let Some(workload) = self.rows.get(at).and_then(|id| known.fleet.workload(id)) else { return Vec::new() };
        let since = since(workload).map(|at| (Clock::Since, at));
        let heard = known.fleet.place(&workload.id.place).and_then(|place| place.heard_at);
        [since, heard.map(|at| (Clock::Age, at))].into_iter().flatten().collect()
    }
    fn is_bad(&self, at: usize, known: &Known<'_>) -> bool {
        let workload = self.rows.get(at).and_then(|id| known.fleet.workload(id));
        workload.is_some_and(|workload| badness(workload, known) < Badness::Fine)
    }
}

impl FleetScreen {
    /// Makes the rows again. True if anything that they show may have changed.
    pub(crate) fn rebuild(&mut self, known: &Known<'_>) -> bool {
        let matcher = Matcher::new(&self.listing.filter.selector);
        let mut selected: Vec<&Workload> = known
            .fleet
            .workloads()
            .filter(|workload| is_selected(&matcher, &self.listing, workload, known.now))
            .collect();
        self.totals = selected.iter().fold(Tally::default(), |sum, workload| sum.plus(workload.judgement.tally));
        let by_service =
            |a: &&Workload, b: &&Workload| a.seen.service.cmp(&b.seen.service).then_with(|| a.id.cmp(&b.id));
        match ORDERS.get(self.listing.order).copied().unwrap_or("service") {
            "worst" => {
                selected.sort_by(|a, b| badness(a, known).cmp(&badness(b, known)).then_with(|| by_service(a, b)))
            }
            "place" => selected.sort_by(|a, b| a.id.cmp(&b.id)),
            "newest" => selected
                .sort_by(|a, b| b.seen.requested_since.cmp(&a.seen.requested_since).then_with(|| by_service(a, b))),
            _ => selected.sort_by(by_service),
        }
        let rows: Vec<WorkloadId> = selected.into_iter().map(|workload| workload.id.clone()).collect();
        let changed = rows != self.rows || self.revision != known.fleet.revision();
        self.rows = rows;
        self.revision = known.fleet.revision();
        changed
    }
}

/// Since when it is as it is: when something went off, else when it was changed.
fn since(workload: &Workload) -> Option<Timestamp> {
    workload.judgement.since.or(workload.seen.requested_since)
}

/// What runs, version by version, the biggest first: `12x 9f2c41d0aabb v41, 3x v42`.
fn cohorts(workload: &Workload, length: usize) -> String {
    let cohorts = &workload.judgement.running;
    let texts: Vec<String> = cohorts
        .iter()
        .enumerate()
        .map(|(at, cohort)| {
            let shown = Shown::cohort(workload, cohort);
            // One digest is enough to recognise; the others are told by their versions where those differ.
            let is_told = cohorts[..at].iter().all(|other| Shown::cohort(workload, other).spoken() != shown.spoken());
            let text = if at > 0 && is_told { shown.spoken() } else { shown.text(length) };
            if cohorts.len() == 1 { text } else { format!("{}x {text}", cohort.instances) }
        })
        .collect();
    if texts.is_empty() { Shown::running(workload).text(length) } else { texts.join(", ") }
}

/// Draws the screen.
pub(crate) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let screen = &model.ui.screens.fleet;
    let known = model.known();
    let columns = match model.ui.detail {
        ColumnDetail::Plain => COLUMNS.to_vec(),
        ColumnDetail::Wide => [COLUMNS, WIDE].concat(),
    };
    let height = area.height.saturating_sub(page::HEAD + page::DETAILS);
    let window = page::window(screen, usize::from(height));
    let visible: Vec<(usize, &Workload)> = window
        .iter()
        .filter_map(|slot| {
            if let Slot::Row(at) = slot { Some((*at, known.fleet.workload(screen.rows.get(*at)?)?)) } else { None }
        })
        .collect();
    let shown: Vec<Shown> = visible
        .iter()
        .flat_map(|(_, workload)| {
            let running = workload.judgement.running.iter().map(|cohort| Shown::cohort(workload, cohort));
            running.chain([Shown::expected(workload)])
        })
        .collect();
    let length = digest_length(shown.iter());
    let lines = visible
        .iter()
        .map(|(at, workload)| page::row(screen, *at, glyph(workload), cells(workload, &known, length, columns.len())));
    let page = Page {
        counts: format!(
            "{}, {} of {} off",
            counted(screen.rows.len(), "workload"),
            screen.totals.off(),
            screen.totals.instances
        ),
        columns: &columns,
        lines: lines.collect(),
        empty: Line::new(Meaning::Dim, "no workload is known, or the filter leaves none"),
        details: details(screen, &known),
    };
    page::draw(model, area, buffer, &page);
}

fn glyph(workload: &Workload) -> (Meaning, char) {
    let judgement = &workload.judgement;
    let is_rolling = judgement.marks.contains(&crate::domain::drift::Mark::Rolling);
    match judgement.verdict {
        crate::domain::drift::Verdict::Ok | crate::domain::drift::Verdict::Mixed if is_rolling => {
            (Meaning::Rolling, '>')
        }
        verdict => super::glyph(verdict),
    }
}

fn cells(workload: &Workload, known: &Known<'_>, length: usize, columns: usize) -> Vec<(Meaning, String)> {
    let judgement = &workload.judgement;
    let tally = judgement.tally;
    let meaning = glyph(workload).0;
    let off = super::off(&tally, judgement.verdict);
    let age = super::age(known.fleet.place(&workload.id.place), known.now);
    let healthy = format!("{}/{}", tally.healthy, tally.desired.max(tally.instances));
    let mut cells = vec![
        (meaning, workload.seen.service.to_string()),
        (Meaning::Text, workload.id.place.to_string()),
        (meaning, cohorts(workload, length)),
        (Meaning::Text, Shown::expected(workload).text(length)),
        (if tally.off() > 0 { Meaning::Drift } else { Meaning::Text }, off),
        (if tally.unhealthy() > 0 { Meaning::Unhealthy } else { Meaning::Text }, healthy),
        (Meaning::Text, since(workload).map_or("-".to_string(), |at| Clock::Since.show(at, known.now))),
        (if age == "live" { Meaning::Dim } else { Meaning::Warning }, age),
        (Meaning::Warning, super::marks(&judgement.marks)),
    ];
    if columns > COLUMNS.len() {
        cells.push((Meaning::Dim, super::who_says(workload).to_string()));
        cells.push((Meaning::Text, workload.id.namespace.as_deref().unwrap_or("-").to_string()));
        cells.push((Meaning::Text, format!("{}/{}", workload.id.kind, workload.id.name)));
        cells.push((Meaning::Dim, judgement.reason.to_string()));
    }
    cells
}

fn details(screen: &FleetScreen, known: &Known<'_>) -> Vec<Line> {
    let workload = screen.rows.get(screen.listing.at).and_then(|id| known.fleet.workload(id));
    let Some(workload) = workload else { return vec![Line::default(), Line::default()] };
    let good = workload.last_good().map_or("none known".to_string(), |good| Shown::version(good).spoken());
    let requested = Shown::requested(workload).spoken();
    let first = Line::new(Meaning::Title, format!(" {}", workload.id))
        .and(Meaning::Text, format!(": asks for {requested}; last good {good}"));
    let (meaning, reason) = match (known.fleet.lock_on(workload), &workload.seen.inoperable) {
        (Some(lock), _) => (Meaning::Locked, format!(" L locked {}", lock.describe())),
        (None, Some(why)) => (Meaning::Warning, format!(" can't be operated: {why}")),
        (None, None) => (Meaning::Dim, format!(" {}", workload.judgement.reason)),
    };
    let old = too_old(known, workload);
    let old = old.map(|old| format!("; {old}: plan replace --oldest makes them anew")).unwrap_or_default();
    vec![first, Line::new(meaning, reason).and(Meaning::Warning, old)]
}

/// How many instances are older than the policy lets them become, in words; nothing where none is.
fn too_old(known: &Known<'_>, workload: &Workload) -> Option<String> {
    let age = known.settings.policy.for_place(&workload.id.place).max_age?;
    let count = known.fleet.older_than(workload, age, known.now);
    let hours = age.as_secs() / 3600;
    let limit = if hours >= 48 { format!("{}d", hours / 24) } else { format!("{hours}h") };
    (count > 0).then(|| format!("{count} older than {limit}"))
}

/// The titles and cells of a row, for copies.
pub(crate) fn copied(known: &Known<'_>, id: &WorkloadId) -> Option<(Vec<&'static str>, Vec<String>)> {
    let workload = known.fleet.workload(id)?;
    let columns = [COLUMNS, WIDE].concat();
    let cells = cells(workload, known, usize::MAX, columns.len());
    Some((columns.iter().map(|column| column.title).collect(), cells.into_iter().map(|(_, text)| text).collect()))
}
