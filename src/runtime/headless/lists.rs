//! `drift`, `fleet`, `instances`, `timeline`, `places`, `operations`: read, print, go.
//!
//! Never waits longer than the time-out: what has not answered by then is `complete: false`. Audit logs, which are asked on
//! demand alone, have a limit of their own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use futures::future::join_all;
use fuzzy_matcher::FuzzyMatcher;
use fuzzy_matcher::skim::SkimMatcherV2;

use super::{print, session, settle};
use crate::app::event::Event;
use crate::app::model::Model;
use crate::app::operations::Operations;
use crate::app::report::{
    ComparisonReport, InstanceRow, OperationRow, PlaceRow, Rows, TimelineRow, WorkloadRow, comparison_report,
    happenings, instance_rows, is_complete, operation_rows, place_rows, report, timeline as timeline_of, wanted,
    workload_rows,
};
use crate::domain::audit::{Audit, AuditQuestion};
use crate::domain::comparison;
use crate::domain::drift::Verdict;
use crate::domain::selector::{Condition, Facts, Selector, Term};
use crate::domain::text::Text;
use crate::domain::timeline::Happening;
use crate::runtime::cli::Options;
use crate::runtime::export::incident;
use crate::runtime::headless::print::Exit;
use crate::runtime::session::Session;
use crate::runtime::startup::{Opened, open_journal, state_dir_of};

/// Which workloads are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that are not ok.
    NotOk,
    /// All.
    All,
}

pub(super) async fn workloads(options: &Options, selector: &[String], which: Which) -> anyhow::Result<Exit> {
    let selector = Selector::parse(&selector.join(" "))?;
    let session = read(options).await?;
    let model = &session.model;
    let (totals, mut rows) = workload_rows(&model.fleet, &model.settings.policy, model.now, &selector, &mut fuzzy());
    if rows.is_empty() {
        check_names(&selector, model)?;
    }
    let is_off = rows.iter().any(|row| row.is_off() && !row.is_snoozed());
    let is_unknown = rows.iter().any(|row| row.verdict == Verdict::Unknown);
    if which == Which::NotOk {
        rows.retain(|row| row.verdict != Verdict::Ok || row.is_unhealthy());
    }
    let table = WorkloadRow::table(&rows);
    let answer = report(model, Rows { totals: Some(totals), rows });
    print::answer(options.output, &answer, || table)?;
    tell_places(model);
    let exit = match which {
        _ if !is_readable(model) => Exit::Error,
        Which::NotOk if is_off => Exit::Off,
        Which::NotOk if is_unknown => Exit::Partial,
        _ if !is_complete(model) => Exit::Partial,
        Which::NotOk | Which::All => Exit::Done,
    };
    session.close();
    Ok(exit)
}

pub(super) async fn instances(options: &Options, selector: &[String]) -> anyhow::Result<Exit> {
    let selector = Selector::parse(&selector.join(" "))?;
    let session = read(options).await?;
    let model = &session.model;
    let rows = instance_rows(&model.fleet, &model.settings.declarations, model.now, &selector, &mut fuzzy());
    if rows.is_empty() {
        check_names(&selector, model)?;
    }
    let table = InstanceRow::table(&rows);
    print::answer(options.output, &report(model, Rows { totals: None, rows }), || table)?;
    tell_places(model);
    let exit = exit_of(model);
    session.close();
    Ok(exit)
}

pub(super) async fn compare(options: &Options, service: &str) -> anyhow::Result<Exit> {
    let session = read(options).await?;
    let model = &session.model;
    let service = service_named(model, service)?;
    let comparison = comparison::compare(&model.fleet, &service).unwrap_or_default();
    let answer = report(model, comparison_report(&comparison));
    print::answer(options.output, &answer, || ComparisonReport::to_table(&comparison))?;
    tell_places(model);
    let exit = exit_of(model);
    session.close();
    Ok(exit)
}

/// A service by its name, whatever its case.
pub(super) fn service_named(model: &Model, service: &str) -> anyhow::Result<Text> {
    let found = model.fleet.services().map(|(name, _)| name).find(|name| name.eq_ignore_ascii_case(service));
    if found.is_none() {
        // The same error as everywhere, with what there is.
        check_names(&Selector::parse(&format!("svc:{service:?}"))?, model)?;
    }
    found.cloned().ok_or_else(|| anyhow!("no service is called {service}"))
}

pub(super) async fn places(options: &Options) -> anyhow::Result<Exit> {
    let session = read(options).await?;
    let model = &session.model;
    let rows = place_rows(model);
    let table = PlaceRow::table(&rows);
    let answer = report(model, Rows { totals: None, rows });
    print::answer(options.output, &answer, || table)?;
    let exit = exit_of(model);
    session.close();
    Ok(exit)
}

/// Whether audit logs are asked: they are slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// They are.
    AuditLogs,
    /// What is kept here is enough.
    Nobody,
}

impl Asks {
    /// As the option says.
    pub(super) fn of(audit: bool) -> Asks {
        if audit { Asks::AuditLogs } else { Asks::Nobody }
    }

    /// Asks about these rows; about the newest, where there are many.
    async fn ask(self, session: &mut Session, rows: &[Arc<Happening>]) {
        const MOST: usize = 1_000;
        if self == Asks::Nobody {
            return;
        }
        if rows.len() > MOST {
            print::progress(&format!("audit logs are asked about the {MOST} newest of {} rows", rows.len()));
        }
        let about = rows.iter().take(MOST).map(|row| (row.id(), AuditQuestion::about(row)));
        let audited = join_all(session.audit(about.collect())).await;
        session.give(Event::Audited(audited.into_iter().flatten().collect()));
    }

    /// What the answer is worth after that: a part of it is missing where a log that was asked could not say.
    fn exit(self, session: &Session, rows: &[Arc<Happening>], exit: Exit) -> Exit {
        let is_in_part = |row: &Arc<Happening>| session.model.auditing.of(&row.id()).is_some_and(Audit::is_in_part);
        if exit == Exit::Done && rows.iter().any(is_in_part) { Exit::Partial } else { exit }
    }
}

pub(super) async fn timeline(
    options: &Options,
    selector: &[String],
    since: Option<Duration>,
    asks: Asks,
) -> anyhow::Result<Exit> {
    let selector = Selector::parse(&selector.join(" "))?;
    let mut session = read(options).await?;
    let since = since.map(|since| session.model.now - since);
    let rows = happenings(&session.model, &selector, since, &mut fuzzy());
    asks.ask(&mut session, &rows).await;
    let model = &session.model;
    let body = timeline_of(model, &rows);
    if body.rows.is_empty() {
        check_names(&selector, model)?;
    }
    let (is_kept, exit) = (body.watched_since.is_some(), asks.exit(&session, &rows, exit_of(model)));
    print::answer(options.output, &report(model, &body), || TimelineRow::table(&body.rows))?;
    match body.watched_since {
        Some(since) => print::progress(&format!(
            "watched since {}; kept for {}",
            since.strftime("%Y-%m-%d %H:%M UTC"),
            model.timeline.retention().describe()
        )),
        None => print::progress("nothing was watched yet: no place has been seen as a whole"),
    }
    tell_places(model);
    session.close();
    // What was kept survives the loss of its places: then it is an answer, of which a part may be missing.
    Ok(if exit == Exit::Error && is_kept { Exit::Partial } else { exit })
}

pub(super) async fn export(options: &Options, since: Duration, directory: &Path, asks: Asks) -> anyhow::Result<Exit> {
    let mut session = read(options).await?;
    let since = session.model.now.checked_sub(since)?;
    let rows = happenings(&session.model, &Selector::default(), Some(since), &mut |_, _| true);
    asks.ask(&mut session, &rows).await;
    for file in incident(&session.model, since)?.write(directory)? {
        print::line(&file.display().to_string())?;
    }
    tell_places(&session.model);
    let exit = asks.exit(&session, &rows, exit_of(&session.model));
    session.close();
    // What is kept is worth writing down although no place answers.
    Ok(if exit == Exit::Error { Exit::Partial } else { exit })
}

pub(super) fn operations(options: &Options) -> anyhow::Result<Exit> {
    let Opened { journal, locks, records } = open_journal(&state_dir_of(options)?)?;
    match journal {
        Ok(_) => {}
        Err(fault) if records.is_empty() => return Err(anyhow!(fault)),
        Err(fault) => print::progress(&format!("the journal can't be written: {fault}")),
    }
    let mut operations = Operations::default();
    operations.replay(records, |id| locks.look(id));
    let rows = operation_rows(&operations);
    let table = OperationRow::table(&rows);
    #[derive(serde::Serialize)]
    struct Answer {
        schema: u32,
        at: jiff::Timestamp,
        complete: bool,
        rows: Vec<OperationRow>,
    }
    let answer = Answer { schema: 1, at: jiff::Timestamp::now(), complete: true, rows };
    print::answer(options.output, &answer, || table)?;
    Ok(Exit::Done)
}

/// The simulated fleets, for `demo --list`.
pub(super) fn scenarios() -> String {
    let mut text = String::new();
    for scenario in crate::providers::sim::list() {
        text.push_str(&format!("{}\n  {}\n", scenario.name, scenario.title));
        for line in scenario.description.lines() {
            text.push_str(&format!("  {line}\n"));
        }
        text.push('\n');
    }
    text
}

/// How a word without a key is matched in lists: fuzzy, against service, workload and place.
pub(super) fn fuzzy() -> impl FnMut(&str, &Facts<'_>) -> bool {
    let matcher = SkimMatcherV2::default().ignore_case();
    move |word, facts| {
        [facts.service, facts.name, facts.place].iter().any(|text| matcher.fuzzy_match(text, word).is_some())
    }
}

/// A name that nothing has was mistyped: "nothing is off" would be a dangerous answer. Where places are silent nobody can
/// tell, and the exit code says so already.
/// A name that nothing has is mistyped, and not a selection of nothing.
pub(super) fn check_names(selector: &Selector, model: &Model) -> anyhow::Result<()> {
    let Some(names) = selector.names().filter(|_| is_complete(model)) else { return Ok(()) };
    let mut fuzzy = fuzzy();
    let is_there = model.fleet.workloads().any(|workload| names.is_match(&workload.facts(&[]), &mut fuzzy));
    if is_there {
        return Ok(());
    }
    let places: Vec<&str> = model.fleet.places().iter().map(|place| place.id.0.as_str()).collect();
    let is_of_place = |term: &Term| matches!(&term.condition, Condition::Place(_));
    if let [term] = &names.terms[..]
        && is_of_place(term)
    {
        return Err(anyhow!("no place with anything in it is called so; there are {}", places.join(", ")));
    }
    let services: Vec<&str> = model.fleet.services().map(|(name, _)| name.as_str()).collect();
    let shown = services.iter().take(20).copied().collect::<Vec<&str>>().join(", ");
    let more = if services.len() > 20 { format!(" and {} more", services.len() - 20) } else { String::new() };
    Err(anyhow!("nothing is called so; there are the services {shown}{more} (`rolldeck fleet` lists all)"))
}

pub(super) async fn read(options: &Options) -> anyhow::Result<Session> {
    let mut session = session(options)?;
    settle(&mut session, options.timeout).await;
    Ok(session)
}

pub(super) fn exit_of(model: &Model) -> Exit {
    match (is_readable(model), is_complete(model)) {
        (false, _) => Exit::Error,
        (true, false) => Exit::Partial,
        (true, true) => Exit::Done,
    }
}

/// Whether at least one place has ever answered with data.
fn is_readable(model: &Model) -> bool {
    wanted(model)
        .any(|id| model.fleet.place(id).is_some_and(|place| place.state.is_live() || place.tally.instances > 0))
}

/// Says on stderr which places are not live, and why.
pub(super) fn tell_places(model: &Model) {
    for place in wanted(model).filter_map(|id| model.fleet.place(id)).filter(|place| !place.state.is_live()) {
        let reason = place.state.reason().map_or(String::new(), |reason| format!(": {reason}"));
        print::progress(&format!("{} is {}{reason}", place.id, place.state.as_str()));
    }
}
