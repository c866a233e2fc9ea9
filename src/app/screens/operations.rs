//! Operations: running and finished ones, and the steps of the one under the cursor.
//!
//! Only shows: the keys that steer an operation are `commands::steering`.

use jiff::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::page::{self, Page, Slot};
use crate::app::age::Clock;
use crate::app::banner;
use crate::app::cells;
use crate::app::filter::Matcher;
use crate::app::model::Model;
use crate::app::operations::Tracked;
use crate::app::rows::{Listing, RowId, Rows};
use crate::app::step_text::{self, Sides};
use crate::app::theme::Meaning;
use crate::app::ui::Known;
use crate::app::widgets::paint::{self, Line};
use crate::app::widgets::table::{Align, Column};
use crate::domain::drift::Verdict;
use crate::domain::id::OperationId;
use crate::domain::journal::Outcome;
use crate::domain::operation::{Alive, Mode, Operation, OperationState, StepState};
use crate::domain::selector::Facts;
use crate::domain::text::counted;

/// The state of the screen.
#[derive(Debug, Default)]
pub(crate) struct OperationsScreen {
    listing: Listing,
    rows: Vec<OperationId>,
    /// Where the arrows go.
    pub(crate) pane: Pane,
}

/// The part of the screen that has the most space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pane {
    /// The list.
    #[default]
    List,
    /// The steps of the operation under the cursor.
    Steps,
}

const COLUMNS: &[Column<'_>] = &[
    Column { title: "OPERATION", least: 8, most: 14, align: Align::Left, rank: 0 },
    Column { title: "STATE", least: 11, most: 11, align: Align::Left, rank: 0 },
    Column { title: "WHAT", least: 10, most: 90, align: Align::Left, rank: 0 },
    Column { title: "STEPS", least: 5, most: 9, align: Align::Left, rank: 0 },
    Column { title: "OWES", least: 4, most: 5, align: Align::Left, rank: 2 },
    Column { title: "STARTED", least: 7, most: 7, align: Align::Left, rank: 1 },
    Column { title: "WHO", least: 6, most: 30, align: Align::Left, rank: 3 },
];

impl Rows for OperationsScreen {
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
        self.rows.get(at).cloned().map(RowId::Operation)
    }
    fn position(&self, id: &RowId) -> Option<usize> {
        let RowId::Operation(id) = id else { return None };
        self.rows.iter().position(|row| row == id)
    }
    fn orders(&self) -> &'static [&'static str] {
        &["newest"]
    }
    fn times(&self, at: usize, known: &Known<'_>) -> Vec<(Clock, Timestamp)> {
        let tracked = self.rows.get(at).and_then(|id| known.operations.get(id));
        tracked.map(|tracked| (Clock::Since, tracked.operation.started_at)).into_iter().collect()
    }
    fn is_bad(&self, at: usize, known: &Known<'_>) -> bool {
        let tracked = self.rows.get(at).and_then(|id| known.operations.get(id));
        tracked.is_some_and(|tracked| {
            !matches!(tracked.operation.state(tracked.alive), OperationState::Ended(Outcome::Done))
        })
    }
}

impl OperationsScreen {
    /// Makes the rows again. True if they changed; steps change with the journal, which redraws by itself.
    pub(crate) fn rebuild(&mut self, known: &Known<'_>) -> bool {
        let matcher = Matcher::new(&self.listing.filter.selector);
        let selected =
            known.operations.newest_first().into_iter().filter(|tracked| is_selected(&matcher, &tracked.operation));
        let rows: Vec<OperationId> = selected.map(|tracked| tracked.operation.id.clone()).collect();
        let changed = rows != self.rows;
        self.rows = rows;
        changed || known.operations.on_banner().is_some()
    }
}

fn is_selected(matcher: &Matcher<'_>, operation: &Operation) -> bool {
    let facts = |place: &str, namespace: &str, kind: &str, name: &str| {
        matcher.score(&Facts {
            service: name,
            place,
            namespace,
            kind,
            name: &format!("{} {} {}", operation.id, operation.plan.title, operation.driver.who),
            verdict: Verdict::Ok,
            is_off: false,
            is_unhealthy: false,
            images: &[],
            age: None,
        })
    };
    let mut steps = operation.plan.steps().map(|step| &step.workload);
    steps
        .any(|id| facts(&id.place.0, id.namespace.as_deref().unwrap_or_default(), id.kind.as_str(), &id.name).is_some())
}

/// What is said of an operation that was to be gone back from, and was not.
fn lacks_way_back(model: &Model, id: &OperationId) -> Option<Line> {
    let operations = &model.operations;
    let is_awaited = operations.owes_way_back().is_some_and(|tracked| tracked.operation.id == *id);
    if is_awaited || !operations.lacks_way_back(id) {
        return None;
    }
    let why = operations.why_no_way_back(id).map(|why| format!(": {why}")).unwrap_or_default();
    Some(Line::new(Meaning::Danger, format!("   it was to be gone back from, and was not{why}; u plans the way back")))
}

/// Glyph and word of an operation's state.
pub(crate) fn state(tracked: &Tracked) -> (Meaning, char, &'static str) {
    match tracked.operation.state(tracked.alive) {
        OperationState::Running if matches!(tracked.operation.mode, Mode::Stopping { .. }) => {
            (Meaning::Warning, '>', "stopping")
        }
        state @ OperationState::Running => (Meaning::Rolling, '>', state.as_str()),
        state @ OperationState::Paused => (Meaning::Warning, '-', state.as_str()),
        state @ OperationState::Interrupted => (Meaning::Danger, '?', state.as_str()),
        state @ OperationState::Ended(outcome) => match outcome {
            Outcome::Done => (Meaning::Ok, '=', state.as_str()),
            Outcome::Failed | Outcome::Refused => (Meaning::Danger, '!', state.as_str()),
            Outcome::Stopped => (Meaning::Warning, '-', state.as_str()),
            Outcome::Unresolved => (Meaning::Danger, '?', state.as_str()),
        },
    }
}

fn step_glyph(state: StepState) -> (Meaning, char) {
    match state {
        StepState::Waiting => (Meaning::Dim, '.'),
        StepState::Sent | StepState::Accepted => (Meaning::Rolling, '>'),
        StepState::Held => (Meaning::Debt, '-'),
        StepState::Verified => (Meaning::Ok, '='),
        StepState::Refused | StepState::Failed => (Meaning::Danger, '!'),
        StepState::Skipped => (Meaning::Dim, ' '),
        StepState::Unresolved => (Meaning::Danger, '?'),
    }
}

/// One line for each step: state, what, when, and in words how far.
fn steps(model: &Model, tracked: &Tracked) -> Vec<Line> {
    let operation = &tracked.operation;
    let sides = Sides::of(&operation.plan);
    let mut lines = Vec::new();
    for step in operation.plan.steps() {
        let progress = operation.progress(step.id);
        let (meaning, glyph) = step_glyph(progress.state);
        // What replaces nothing goes to no image.
        let image = match (sides, step.action.replaces()) {
            (Sides::Both, true) => format!(": {}", step_text::image(step, sides)),
            (Sides::To, _) | (_, false) => String::new(),
        };
        let since = progress.verified_at.or(progress.accepted_at).or(progress.sent_at);
        let since = since.map_or(String::new(), |at| format!(" {} ago", Clock::Since.show(at, model.now)));
        let line = Line::new(meaning, format!(" {glyph} {}", cells::left(&step.id.to_string(), 5)))
            .and(meaning, cells::left(progress.state.as_str(), 11))
            .and(Meaning::Text, format!("{}{image}", step.workload))
            .and(Meaning::Dim, since);
        lines.push(line);
        let how_far = banner::step_progress(model, tracked, step);
        let words: Vec<&str> =
            [progress.detail.as_str(), how_far.as_str()].into_iter().filter(|text| !text.is_empty()).collect();
        if !words.is_empty() && progress.state != StepState::Skipped {
            lines.push(Line::new(Meaning::Dim, format!("         {}", words.join("; "))));
        }
    }
    lines
}

/// What is done, what is not, what nobody can tell: for taking an operation over.
pub(crate) fn outlook(operation: &Operation) -> Vec<Line> {
    let mut lines = Vec::new();
    for step in operation.plan.steps() {
        let progress = operation.progress(step.id);
        let (meaning, glyph) = step_glyph(progress.state);
        let word = match progress.state {
            StepState::Waiting => "not sent",
            StepState::Sent => "sent, no answer known: the fleet is looked at",
            StepState::Accepted => "accepted, not verified yet",
            StepState::Held => "held by us",
            StepState::Verified => "done",
            StepState::Refused | StepState::Failed => "failed",
            StepState::Skipped => "never sent",
            StepState::Unresolved => "nobody can tell",
        };
        lines.push(
            Line::new(meaning, format!("   {glyph} {} {word}: ", step.id))
                .and(Meaning::Text, step.workload.to_string()),
        );
    }
    lines
}

fn summary(model: &Model, tracked: &Tracked) -> Vec<Line> {
    let operation = &tracked.operation;
    let (meaning, glyph, word) = state(tracked);
    let reason = operation.reason();
    let mut lines = vec![
        Line::new(meaning, format!(" {glyph} {word}"))
            .and(Meaning::Text, format!("  {}", operation.plan.title))
            .and(Meaning::Dim, format!("  {reason}")),
    ];
    let driver = match tracked.alive {
        _ if operation.ended.is_some() => format!("{} drove it", operation.driver.who),
        Alive::Here => "this process drives it".to_string(),
        Alive::Elsewhere => {
            format!("{} drives it ({}, process {})", operation.driver.who, operation.driver.host, operation.driver.pid)
        }
        Alive::Nobody => format!(
            "nobody drives it; {} did ({}, process {}): T takes it over, x s stops it",
            operation.driver.who, operation.driver.host, operation.driver.pid
        ),
    };
    lines.push(Line::new(Meaning::Dim, format!("   {driver}")));
    lines.extend(lacks_way_back(model, &operation.id));
    if let Some(way_back) = model.operations.way_back_of(&operation.id) {
        lines.push(Line::new(Meaning::Text, format!("   {} takes it back", way_back.operation.id)));
    }
    if let Some(why) = &tracked.halted {
        lines.push(Line::new(Meaning::Danger, format!("   nothing more is sent by this process: {why}")));
    }
    if let Some(waits) = tracked.gates.waiting_for.as_ref().filter(|_| operation.ended.is_none()) {
        lines.push(Line::new(Meaning::Warning, format!("   waits for: {waits}")));
    }
    for debt in &operation.debts {
        let since = Clock::Since.show(debt.since, model.now);
        let due = match debt.due() {
            Some(due) if due <= model.now => format!("; OVERDUE for {}", Clock::Since.show(due, model.now)),
            Some(due) => format!("; D gives it back, by {}", due.strftime("%H:%M UTC")),
            None => String::new(),
        };
        lines.push(Line::new(Meaning::Debt, format!("   owed since {since}: {}: {}{due}", debt.workload, debt.what())));
    }
    lines
}

/// Everything that is known of an operation.
pub(crate) fn detail(model: &Model, tracked: &Tracked) -> Vec<Line> {
    let operation = &tracked.operation;
    let mut lines = summary(model, tracked);
    if let Some(incident) = &operation.incident {
        lines.push(Line::plain(format!("   incident {incident}")));
    }
    if let Some(reason) = &operation.plan.reason {
        lines.push(Line::plain(format!("   because: {reason}")));
    }
    for (what, how) in &operation.paid {
        lines.push(Line::new(Meaning::Warning, format!("   owed no longer: {what}: {how}")));
    }
    lines.push(Line::new(
        Meaning::Dim,
        format!(
            "   plan {}, started {} ago, at {}",
            operation.plan.id,
            Clock::Since.show(operation.started_at, model.now),
            operation.started_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        ),
    ));
    lines.push(Line::new(Meaning::Title, " steps"));
    lines.extend(steps(model, tracked));
    lines.push(
        Line::new(Meaning::Title, " a stop leaves").and(Meaning::Text, format!("  {}", operation.plan.abort_leaves)),
    );
    lines.extend(
        operation
            .plan
            .steps()
            .filter(|step| !step.equivalent.is_empty())
            .map(|step| Line::new(Meaning::Dim, format!(" $ {}", step.equivalent))),
    );
    lines
}

/// Draws the screen.
pub(crate) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let screen = &model.ui.screens.operations;
    let list_height = match screen.pane {
        Pane::List => (area.height / 2).max(5),
        Pane::Steps => (area.height / 4).max(4),
    };
    let list_height = list_height.min(screen.rows.len() as u16 + page::HEAD + 1).min(area.height);
    let list = Rect { height: list_height, ..area };
    let window = page::window(screen, usize::from(list_height.saturating_sub(page::HEAD)));
    let lines = window.iter().filter_map(|slot| {
        let Slot::Row(at) = slot else { return None };
        let tracked = model.operations.get(screen.rows.get(*at)?)?;
        let (meaning, glyph, _) = state(tracked);
        Some(page::row(screen, *at, (meaning, glyph), row_cells(model, tracked)))
    });
    let going = model.operations.iter().filter(|tracked| tracked.operation.ended.is_none()).count();
    let page = Page {
        counts: format!(
            "{}, {going} not ended, {}",
            counted(screen.rows.len(), "operation"),
            counted(model.operations.debts().count(), "debt")
        ),
        columns: COLUMNS,
        lines: lines.collect(),
        empty: Line::new(Meaning::Dim, "no operation was ever started here; b and r on Drift (1) draw a plan"),
        details: Vec::new(),
    };
    page::draw(model, list, buffer, &page);
    let Some(tracked) = screen.rows.get(screen.listing.at).and_then(|id| model.operations.get(id)) else { return };
    let under = Rect { y: area.y + list_height, height: area.height - list_height, ..area };
    let width = usize::from(area.width);
    let mut body = vec![Line::new(Meaning::Title, format!(" STEPS of {}", tracked.operation.id))];
    body.extend(summary(model, tracked));
    body.extend(steps(model, tracked));
    let body: Vec<Line> = body.into_iter().flat_map(|line| line.wrapped(width, 9)).collect();
    paint::lines(buffer, under, &body, &model.settings.look.theme);
    let hidden = body.len().saturating_sub(usize::from(under.height));
    if hidden > 0 && under.height > 1 {
        let more = Line::new(
            Meaning::Warning,
            format!("   and {}: Tab gives space, d shows all", counted(hidden, "more line")),
        );
        let last = Rect { y: under.y + under.height - 1, height: 1, ..under };
        paint::fill(buffer, last, model.settings.look.theme.style(Meaning::Text));
        paint::line(buffer, last.x, last.y, last.width, &more, &model.settings.look.theme);
    }
}

fn row_cells(model: &Model, tracked: &Tracked) -> Vec<(Meaning, String)> {
    let operation = &tracked.operation;
    let (meaning, _, word) = state(tracked);
    let counts = operation.counts();
    let debts = operation.debts.len();
    vec![
        (Meaning::Text, operation.id.to_string()),
        (meaning, word.to_string()),
        (Meaning::Text, operation.plan.title.to_string()),
        (Meaning::Text, format!("{}/{}", counts.done, counts.total)),
        (
            if debts > 0 { Meaning::Debt } else { Meaning::Dim },
            if debts > 0 { debts.to_string() } else { "-".to_string() },
        ),
        (Meaning::Text, Clock::Since.show(operation.started_at, model.now)),
        (Meaning::Dim, operation.driver.who.to_string()),
    ]
}

/// The titles and cells of a row, for copies.
pub(crate) fn copied(model: &Model, id: &OperationId) -> Option<(Vec<&'static str>, Vec<String>)> {
    let tracked = model.operations.get(id)?;
    let cells = row_cells(model, tracked).into_iter().map(|(_, text)| text).collect();
    Some((COLUMNS.iter().map(|column| column.title).collect(), cells))
}
