//! Drift: what is off, how badly, since when, worst first; under it what changed lately. The first screen.
//!
//! A row is a service over the workloads that the filter leaves. First come rows that are off and not healthy, then
//! those not healthy, then those off, then those of which nothing is known. A second block has what changed within the
//! policy's time and is not in the first: there the commonest incident is found, a bad release that is pinned where
//! nothing is declared. Instances that are not ready while their rollout moves and is young belong there too: every
//! ordinary rollout has some, and one that sticks is off by its deadline.
//!
//! Never calls a row fine of which it knows nothing.

use std::collections::HashMap;

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::page::{self, Page, Slot};
use super::shown::{Shown, digest_length};
use super::totals::Totals;
use crate::app::age::Clock;
use crate::app::filter::Matcher;
use crate::app::model::Model;
use crate::app::rows::{Listing, RowId, Rows, ServiceKey};
use crate::app::theme::Meaning;
use crate::app::ui::{ColumnDetail, Known};
use crate::app::widgets::paint::Line;
use crate::app::widgets::table::{Align, Column, TableLine};
use crate::domain::drift::{Mark, Tally, Verdict};
use crate::domain::fleet::{Badness, Workload};
use crate::domain::id::{PlaceId, WorkloadId};
use crate::domain::selector::Facts;
use crate::domain::text::{Text, counted, plural};

/// The state of the screen.
#[derive(Debug, Default)]
pub(crate) struct DriftScreen {
    listing: Listing,
    rows: Vec<DriftRow>,
    /// How many rows are in the first block.
    bad: usize,
    totals: Totals,
}

/// One service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DriftRow {
    /// Which.
    pub(crate) key: ServiceKey,
    block: Block,
    rank: Badness,
    /// The worst of its workloads: the one whose images the row shows and whose release `b` goes back from.
    pub(crate) worst: WorkloadId,
    verdict: Verdict,
    is_rolling: bool,
    tally: Tally,
    unhealthy: u32,
    /// Places that are why the row is here, and all its places.
    bad_places: usize,
    places: usize,
    place: PlaceId,
    expected: Shown,
    running: Shown,
    since: Option<Timestamp>,
    changed_at: Option<Timestamp>,
    /// Which of its places was silent for longest.
    oldest: Option<PlaceId>,
    /// Of the worst workload, for the wide table.
    marks: String,
    says: &'static str,
    reason: Text,
}

/// Which part of the screen a row is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Block {
    Bad,
    Lately,
}

const ORDERS: &[&str] = &["worst", "service", "off", "since"];

const COLUMNS: &[Column<'_>] = &[
    Column { title: "SERVICE", least: 8, most: 40, align: Align::Left, rank: 0 },
    Column { title: "PLACE", least: 11, most: 40, align: Align::Left, rank: 0 },
    Column { title: "OFF", least: 5, most: 12, align: Align::Left, rank: 0 },
    Column { title: "EXPECTED", least: 16, most: 40, align: Align::Left, rank: 5 },
    Column { title: "RUNNING", least: 16, most: 40, align: Align::Left, rank: 0 },
    Column { title: "SINCE", least: 4, most: 6, align: Align::Left, rank: 2 },
    Column { title: "AGE", least: 4, most: 5, align: Align::Left, rank: 3 },
    Column { title: "READY", least: 5, most: 14, align: Align::Left, rank: 4 },
];

const WIDE: &[Column<'_>] = &[
    Column { title: "MARKS", least: 5, most: 30, align: Align::Left, rank: 6 },
    Column { title: "SAYS", least: 8, most: 13, align: Align::Left, rank: 6 },
    Column { title: "NAMESPACE", least: 5, most: 20, align: Align::Left, rank: 7 },
    Column { title: "REASON", least: 8, most: 60, align: Align::Left, rank: 8 },
];

impl Rows for DriftScreen {
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
        self.rows.get(at).map(|row| RowId::Service(row.key.clone()))
    }
    fn position(&self, id: &RowId) -> Option<usize> {
        let RowId::Service(key) = id else { return None };
        self.rows.iter().position(|row| row.key == *key)
    }
    fn orders(&self) -> &'static [&'static str] {
        ORDERS
    }
    fn sections(&self) -> Vec<usize> {
        let is_quiet = self.bad == 0;
        let has_lately = self.rows.len() > self.bad;
        [is_quiet.then_some(0), has_lately.then_some(self.bad)].into_iter().flatten().collect()
    }
    fn kept_block(&self) -> Option<usize> {
        (self.bad > 0 && self.bad < self.rows.len()).then_some(self.bad)
    }
    fn around(&self, known: &Known<'_>) -> Vec<Line> {
        let mut lines = self.details(known, usize::MAX);
        lines.extend([Line::plain(self.totals.counts()), self.quiet(known)]);
        lines
    }
    fn times(&self, at: usize, known: &Known<'_>) -> Vec<(Clock, Timestamp)> {
        let Some(row) = self.rows.get(at) else { return Vec::new() };
        // As it is now: heartbeats make no rows.
        let oldest = row.oldest.as_ref().and_then(|place| known.fleet.place(place));
        let since = row.since.map(|at| (Clock::Since, at));
        let changed = row.changed_at.map(|at| (Clock::Since, at));
        let heard = oldest.and_then(|place| place.heard_at).map(|at| (Clock::Age, at));
        [since, changed, heard].into_iter().flatten().collect()
    }
    fn is_bad(&self, at: usize, _: &Known<'_>) -> bool {
        at < self.bad && self.rows.get(at).is_some_and(|row| row.rank != Badness::Snoozed)
    }
}

impl DriftScreen {
    /// A row by its key.
    pub(crate) fn row(&self, key: &ServiceKey) -> Option<&DriftRow> {
        self.rows.iter().find(|row| row.key == *key)
    }

    /// Where the second block begins.
    pub(crate) fn lately_from(&self) -> usize {
        self.bad
    }

    /// Makes the rows again. True if they changed.
    pub(crate) fn rebuild(&mut self, known: &Known<'_>) -> bool {
        let (rows, totals) = build(known, &self.listing);
        let bad = rows.iter().filter(|row| row.block == Block::Bad).count();
        let changed = rows != self.rows || totals != self.totals;
        self.rows = rows;
        self.bad = bad;
        self.totals = totals;
        changed
    }
}

/// The workloads of a service row that the filter leaves.
pub(crate) fn workloads_of<'a>(known: &Known<'a>, listing: &Listing, key: &ServiceKey) -> Vec<&'a Workload> {
    let matcher = Matcher::new(&listing.filter.selector);
    let is_of_row = |workload: &&Workload| {
        workload.seen.service == key.service
            && key.namespace.as_ref().is_none_or(|namespace| workload.id.namespace == *namespace)
    };
    let mut workloads: Vec<&Workload> = known.fleet.workloads().filter(is_of_row).collect();
    workloads.retain(|workload| is_selected(&matcher, listing, workload, known.now));
    workloads.sort_by(|a, b| a.id.cmp(&b.id));
    workloads
}

/// Whether a filter leaves a workload.
pub(crate) fn is_selected(matcher: &Matcher<'_>, listing: &Listing, workload: &Workload, now: Timestamp) -> bool {
    if !listing.filter.is_on() {
        return true;
    }
    let texts = workload.image_texts();
    let images: Vec<&str> = texts.iter().map(Text::as_str).collect();
    let age = workload.seen.requested_since.map(|since| now.duration_since(since).unsigned_abs());
    matcher.score(&Facts { age, ..workload.facts(&images) }).is_some()
}

/// How bad a workload is, by the policy in force.
pub(crate) fn badness(workload: &Workload, known: &Known<'_>) -> Badness {
    known.fleet.badness(workload, known.now, known.settings.policy.changed_lately)
}

/// Orders workloads of one row: the worst first, then the one that changed last.
pub(crate) fn worst_first(a: &Workload, b: &Workload, known: &Known<'_>) -> std::cmp::Ordering {
    known.fleet.worst_first(a, b, known.now, known.settings.policy.changed_lately)
}

fn build(known: &Known<'_>, listing: &Listing) -> (Vec<DriftRow>, Totals) {
    let matcher = Matcher::new(&listing.filter.selector);
    let mut services: HashMap<&Text, Vec<&Workload>> = HashMap::new();
    for workload in known.fleet.workloads() {
        services.entry(&workload.seen.service).or_default().push(workload);
    }
    let mut totals = Totals::default();
    let mut rows = Vec::new();
    for (service, all) in services {
        for (namespace, workloads) in apart(&all) {
            let shown: Vec<&Workload> = if listing.filter.is_on() {
                workloads.into_iter().filter(|workload| is_selected(&matcher, listing, workload, known.now)).collect()
            } else {
                workloads
            };
            for tally in shown.iter().map(|workload| workload.judgement.tally) {
                totals.add(&tally);
            }
            rows.extend(row(known, ServiceKey { service: service.clone(), namespace }, &shown));
        }
    }
    sort(&mut rows, listing.order);
    totals.services = rows.len();
    (rows, totals)
}

/// One row for a service, or one for each namespace where a place has several of that name. What has no namespace (an Auto
/// Scaling group) is apart from nothing.
fn apart<'a>(workloads: &[&'a Workload]) -> Vec<(Option<Option<Text>>, Vec<&'a Workload>)> {
    let mut namespaces: HashMap<&PlaceId, &Text> = HashMap::new();
    let is_split = workloads.iter().any(|workload| {
        let Some(namespace) = &workload.id.namespace else { return false };
        *namespaces.entry(&workload.id.place).or_insert(namespace) != namespace
    });
    if !is_split {
        return vec![(None, workloads.to_vec())];
    }
    let mut groups: std::collections::BTreeMap<Option<Text>, Vec<&Workload>> = std::collections::BTreeMap::new();
    for workload in workloads {
        groups.entry(workload.id.namespace.clone()).or_default().push(workload);
    }
    groups.into_iter().map(|(namespace, workloads)| (Some(namespace), workloads)).collect()
}

fn row(known: &Known<'_>, key: ServiceKey, workloads: &[&Workload]) -> Option<DriftRow> {
    let lately = known.settings.policy.changed_lately;
    let is_lately = |workload: &Workload| workload.is_changed_within(known.now, lately);
    let worst = *workloads.iter().min_by(|a, b| worst_first(a, b, known))?;
    let rank = badness(worst, known);
    let block = match rank {
        Badness::OffAndUnhealthy | Badness::Unhealthy | Badness::Off | Badness::Unknown | Badness::Snoozed => {
            Block::Bad
        }
        Badness::Fine if workloads.iter().any(|workload| is_lately(workload)) => Block::Lately,
        Badness::Fine => return None,
    };
    let is_why = |workload: &&&Workload| match block {
        Block::Bad => badness(workload, known) < Badness::Fine,
        Block::Lately => is_lately(workload),
    };
    let tally = workloads.iter().fold(Tally::default(), |sum, workload| sum.plus(workload.judgement.tally));
    let mut places: Vec<PlaceId> = workloads.iter().map(|workload| workload.id.place.clone()).collect();
    places.sort();
    places.dedup();
    let mut bad: Vec<&PlaceId> = workloads.iter().filter(is_why).map(|workload| &workload.id.place).collect();
    bad.sort();
    bad.dedup();
    let heard = places.iter().filter_map(|place| known.fleet.place(place));
    let oldest = heard.min_by_key(|place| (place.state.is_live(), place.heard_at));
    Some(DriftRow {
        block,
        rank,
        verdict: workloads.iter().map(|workload| workload.judgement.verdict).max().unwrap_or(Verdict::Unknown),
        is_rolling: workloads.iter().any(|workload| workload.judgement.marks.contains(&Mark::Rolling)),
        unhealthy: workloads.iter().map(|workload| workload.judgement.tally.unhealthy()).sum(),
        tally,
        bad_places: bad.len(),
        oldest: oldest.map(|place| place.id.clone()),
        place: worst.id.place.clone(),
        places: places.len(),
        expected: Shown::expected(worst),
        running: Shown::running(worst),
        since: workloads.iter().filter_map(|workload| workload.judgement.since).min(),
        changed_at: workloads
            .iter()
            .filter(|workload| is_lately(workload))
            .filter_map(|workload| workload.seen.requested_since)
            .max(),
        marks: super::marks(&worst.judgement.marks),
        says: super::who_says(worst),
        reason: worst.judgement.reason.clone(),
        worst: worst.id.clone(),
        key,
    })
}

fn sort(rows: &mut [DriftRow], order: usize) {
    rows.sort_by(|a, b| {
        let own = match (a.block, ORDERS.get(order).copied().unwrap_or("worst")) {
            (_, "service") => a.key.cmp(&b.key),
            (_, "off") => b.tally.off().cmp(&a.tally.off()),
            (_, "since") => b.moment().cmp(&a.moment()),
            (Block::Lately, _) => b.changed_at.cmp(&a.changed_at),
            (Block::Bad, _) => {
                a.rank.cmp(&b.rank).then_with(|| (b.tally.off() + b.unhealthy).cmp(&(a.tally.off() + a.unhealthy)))
            }
        };
        a.block.cmp(&b.block).then(own).then_with(|| a.key.cmp(&b.key))
    });
}

impl DriftRow {
    /// Since when it is as it is: when something went off, else when it was changed.
    fn moment(&self) -> Option<Timestamp> {
        self.since.or(self.changed_at)
    }

    fn place(&self) -> String {
        match self.bad_places {
            1 => self.place.to_string(),
            bad => format!("{bad}/{} {}", self.places, plural(&self.places, "place")),
        }
    }

    fn glyph(&self) -> (Meaning, char) {
        match self.verdict {
            _ if self.rank == Badness::Snoozed => (Meaning::Dim, 'z'),
            Verdict::Ok if self.rank == Badness::Unhealthy => (Meaning::Unhealthy, '!'),
            Verdict::Ok | Verdict::Mixed if self.is_rolling => (Meaning::Rolling, '>'),
            verdict => super::glyph(verdict),
        }
    }

    fn cells(&self, length: usize, known: &Known<'_>, columns: usize) -> Vec<(Meaning, String)> {
        let meaning = self.glyph().0;
        let off = super::off(&self.tally, self.verdict);
        let since = self.moment().map_or("-".to_string(), |at| Clock::Since.show(at, known.now));
        let age = super::age(self.oldest.as_ref().and_then(|place| known.fleet.place(place)), known.now);
        let wanted = self.tally.healthy + self.unhealthy;
        let health = if self.unhealthy > 0 { Meaning::Unhealthy } else { Meaning::Text };
        let health = (health, format!("{}/{wanted}", self.tally.healthy));
        let service = match &self.key.namespace {
            Some(namespace) => format!("{}/{}", namespace.as_deref().unwrap_or("-"), self.key.service),
            None => self.key.service.to_string(),
        };
        let age_meaning = if age == "live" { Meaning::Dim } else { Meaning::Warning };
        let mut cells = vec![
            (meaning, service),
            (Meaning::Text, self.place()),
            (if self.tally.off() > 0 { Meaning::Drift } else { Meaning::Text }, off),
            (Meaning::Text, self.expected.text(length)),
            (meaning, self.running.text(length)),
            (Meaning::Text, since),
            (age_meaning, age),
            health,
        ];
        if columns > COLUMNS.len() {
            cells.push((Meaning::Warning, self.marks.clone()));
            cells.push((Meaning::Dim, self.says.to_string()));
            cells.push((Meaning::Text, self.worst.namespace.as_deref().unwrap_or("-").to_string()));
            cells.push((Meaning::Dim, self.reason.to_string()));
        }
        cells
    }
}

/// Draws the screen.
pub(crate) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let screen = &model.ui.screens.drift;
    let known = model.known();
    let sections = screen.sections();
    let columns = match model.ui.detail {
        ColumnDetail::Plain => COLUMNS.to_vec(),
        ColumnDetail::Wide => [COLUMNS, WIDE].concat(),
    };
    let height = area.height.saturating_sub(page::HEAD + page::DETAILS);
    let window = page::window(screen, usize::from(height));
    let visible =
        || window.iter().filter_map(|slot| if let Slot::Row(at) = slot { screen.rows.get(*at) } else { None });
    let length = digest_length(visible().flat_map(|row| [&row.expected, &row.running]));
    let lines = window.iter().filter_map(|slot| match slot {
        Slot::Section(section) => Some(TableLine::Words(screen.words(&known, sections.len() == 2 && *section == 0))),
        Slot::Row(at) => screen
            .rows
            .get(*at)
            .map(|row| page::row(screen, *at, row.glyph(), row.cells(length, &known, columns.len()))),
    });
    let page = Page {
        counts: screen.totals.counts(),
        columns: &columns,
        lines: lines.collect(),
        empty: screen.quiet(&known),
        details: screen.details(&known, length),
    };
    page::draw(model, area, buffer, &page);
}

impl DriftScreen {
    fn words(&self, known: &Known<'_>, is_first_of_two: bool) -> Line {
        if self.bad == 0 && (is_first_of_two || self.rows.is_empty()) {
            self.quiet(known)
        } else {
            Line::new(Meaning::Title, " CHANGED LATELY")
        }
    }

    fn quiet(&self, known: &Known<'_>) -> Line {
        self.totals.quiet(known, &self.listing.filter)
    }

    fn details(&self, known: &Known<'_>, length: usize) -> Vec<Line> {
        let blank = || vec![Line::default(), Line::default()];
        let Some(row) = self.rows.get(self.listing.at) else { return blank() };
        let Some(worst) = known.fleet.workload(&row.worst) else { return blank() };
        let workloads = workloads_of(known, &self.listing, &row.key);
        let requested = Shown::requested(worst);
        let came = match worst.seen.requested_since {
            Some(at) => format!("{} came {} ago", requested.spoken(), Clock::Since.show(at, known.now)),
            None => format!("asks for {}", requested.text(length)),
        };
        let same: Vec<&&Workload> = workloads.iter().filter(|workload| workload.asks_like(worst)).collect();
        let places = |of: &mut dyn Iterator<Item = &&Workload>| {
            of.map(|workload| &workload.id.place).collect::<std::collections::BTreeSet<_>>().len()
        };
        let usable = places(&mut same.iter().copied().filter(|workload| workload.last_good().is_some()));
        let all = places(&mut same.iter().copied());
        let good = match worst.last_good() {
            Some(good) => {
                let good = Shown::version(good).spoken();
                format!("; last good {good} usable in {usable} of {}", counted(all, "place"))
            }
            None => "; no last good version is known: B picks one".to_string(),
        };
        let reason = &worst.judgement.reason;
        let lock = known.fleet.lock_on(worst).map(|lock| format!("; locked {}", lock.describe()));
        let stay = || known.fleet.protections().stay_of(&worst.id).map(|stay| format!("; {}", stay.why_stays()));
        let snooze = || known.fleet.snooze_on(worst).map(|snooze| format!("; snoozed {}", snooze.describe()));
        let trouble = worst.seen.trouble.as_ref().map(|why| format!("; {why}"));
        let inoperable = || worst.seen.inoperable.as_ref().map(|why| format!("; can't be operated: {why}"));
        let deprecation = || worst.last_good().and_then(|good| good.deprecation(known.now));
        let deprecation = || deprecation().map(|why| format!("; the image of the last good version is {why}"));
        let hint = lock.or_else(stay).or_else(snooze).or(trouble).or_else(inoperable).or_else(deprecation);
        let hint = hint.unwrap_or_default();
        vec![
            Line::new(Meaning::Title, format!(" {}", row.key.service)).and(Meaning::Text, format!(": {came}{good}")),
            Line::new(Meaning::Dim, format!(" {}: {reason}{hint}", super::short(&worst.id))),
        ]
    }
}

/// The titles and cells of a row, for copies.
pub(crate) fn copied(model: &Model, key: &ServiceKey) -> Option<(Vec<&'static str>, Vec<String>)> {
    let columns = [COLUMNS, WIDE].concat();
    let cells = model.ui.screens.drift.row(key)?.cells(usize::MAX, &model.known(), columns.len());
    Some((columns.iter().map(|column| column.title).collect(), cells.into_iter().map(|(_, text)| text).collect()))
}
