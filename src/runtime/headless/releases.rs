//! `release add`, `release list`, `release remove`: what a version is, place by place, and how far each place is.
//!
//! Never changes anything but the journal's list of releases.

use anyhow::anyhow;
use jiff::Timestamp;
use serde::Serialize;

use super::{journal, plans, print, session, settle};
use crate::app::report::{Table, report};
use crate::domain::fleet::Workload;
use crate::domain::release::Release;
use crate::domain::selector::Selector;
use crate::domain::text::Text;
use crate::runtime::cli::{Options, ReleaseCommand};
use crate::runtime::headless::print::Exit;
use crate::runtime::releases::{self, Hints};
use crate::runtime::session::Session;
use crate::runtime::store::this_driver;

/// One service in one place.
#[derive(Debug, Serialize)]
struct Row {
    service: Text,
    place: Text,
    workload: Text,
    kind: &'static str,
    /// What it should run, whoever says so; `None` if nobody does.
    expected: Option<Text>,
    /// What its instances run, most of them first; a version that no release knows is `null`.
    running: Vec<Option<Text>>,
    /// How many releases are newer than the oldest that one of them runs; `None` if one runs what no release knows.
    behind: Option<usize>,
    newest: Option<Text>,
}

#[derive(Debug, Serialize)]
struct Rows {
    rows: Vec<Row>,
    releases: Vec<Release>,
}

/// What an addition has written down.
#[derive(Debug, Serialize)]
struct Added {
    schema: u32,
    at: Timestamp,
    releases: Vec<Release>,
}

pub(super) async fn run(options: &Options, command: ReleaseCommand) -> anyhow::Result<Exit> {
    match command {
        ReleaseCommand::Add { files, service, version, places } => {
            let hints = Hints {
                service: service.as_deref().map(Text::new),
                version: version.as_deref().map(Text::new),
                places: places.iter().map(|glob| Text::new(glob)).collect(),
            };
            add(options, &files, &hints)
        }
        ReleaseCommand::List { service } => list(options, &service).await,
        ReleaseCommand::Remove { service, version } => remove(options, &service, &version),
    }
}

fn add(options: &Options, files: &[std::path::PathBuf], hints: &Hints) -> anyhow::Result<Exit> {
    if options.read_only {
        return Err(anyhow!("nothing is written down with --read-only"));
    }
    // All of them, or none.
    let mut found = Vec::new();
    for file in files {
        found.extend(releases::read(file, hints)?);
    }
    let (journal, now) = (journal(options)?, Timestamp::now());
    journal.add_releases(&found, &this_driver(now).who, now)?;
    let table = || table(&found);
    let answer = Added { schema: 1, at: now, releases: found.clone() };
    print::answer(options.output, &answer, table)?;
    Ok(Exit::Done)
}

fn remove(options: &Options, service: &str, version: &str) -> anyhow::Result<Exit> {
    if options.read_only {
        return Err(anyhow!("nothing is written down with --read-only"));
    }
    let (journal, now) = (journal(options)?, Timestamp::now());
    match journal.remove_release(service, version, &this_driver(now).who, now)? {
        0 => Err(anyhow!("no release {version} of {service} was added; `rolldeck release list` shows what there is")),
        _ => {
            print::line(&format!("release {version} of {service} is taken away; of this machine alone"))?;
            Ok(Exit::Done)
        }
    }
}

/// Which release each place runs and should run.
async fn list(options: &Options, selector: &[String]) -> anyhow::Result<Exit> {
    let selector = Selector::parse(&selector.join(" "))?;
    let mut session = session(options)?;
    settle(&mut session, options.timeout).await;
    let of_nothing = of_nothing(&session);
    // Who asks for what nothing runs yet is told so, and not that there is no such name.
    let is_known = |word: &str| of_nothing.iter().any(|release| release.service.eq_ignore_ascii_case(word));
    if !selector.words().any(is_known) {
        plans::check_words(&selector, &session)?;
    }
    let rows = rows(&session, &selector);
    let mut table = Table::new(&["SERVICE", "PLACE", "WORKLOAD", "EXPECTED", "RUNNING", "BEHIND"]);
    for row in &rows {
        let or_none = |text: &Option<Text>| text.as_ref().map_or("unknown".to_string(), ToString::to_string);
        let running: Vec<String> = row.running.iter().map(or_none).collect();
        let behind = match (row.behind, &row.newest) {
            (None, _) => "-".to_string(),
            (Some(0), _) => "newest".to_string(),
            (Some(count), newest) => format!("{count} behind {}", or_none(newest)),
        };
        let expected = row.expected.as_ref().map_or("nobody says".to_string(), ToString::to_string);
        let workload = format!("{} {}", row.kind, row.workload);
        table.rows.push(vec![
            row.service.to_string(),
            row.place.to_string(),
            workload,
            expected,
            running.join(", "),
            behind,
        ]);
    }
    let releases = session.model.fleet.releases().iter().cloned().collect();
    let answer = report(&session.model, Rows { rows, releases });
    print::answer(options.output, &answer, || table)?;
    for Release { service, version, source, .. } in &of_nothing {
        print::progress(&format!(
            "{service} {version} ({source}): nothing that is seen belongs to a service {service}"
        ));
    }
    session.close();
    Ok(Exit::Done)
}

/// Releases of services that nothing belongs to: not rolled out yet, or called something else here.
fn of_nothing(session: &Session) -> Vec<Release> {
    let fleet = &session.model.fleet;
    let is_there = |release: &&Release| fleet.services().any(|(name, _)| *name == release.service);
    fleet.releases().iter().filter(|release| !is_there(release)).cloned().collect()
}

fn rows(session: &Session, selector: &Selector) -> Vec<Row> {
    let fleet = &session.model.fleet;
    let mut workloads: Vec<&Workload> = fleet
        .workloads()
        .filter(|workload| {
            let images = workload.image_texts();
            let images: Vec<&str> = images.iter().map(Text::as_str).collect();
            selector.is_match(&workload.facts(&images), &mut |word, facts| facts.service.eq_ignore_ascii_case(word))
        })
        .collect();
    workloads.sort_by(|a, b| (&a.seen.service, &a.id).cmp(&(&b.seen.service, &b.id)));
    let row = |workload: &Workload| {
        let standing = fleet.standing(workload)?;
        Some(Row {
            service: workload.seen.service.clone(),
            place: workload.id.place.0.clone(),
            workload: workload.id.name.clone(),
            kind: workload.id.kind.as_str(),
            expected: standing.expected,
            running: standing.running,
            behind: standing.behind,
            newest: standing.newest,
        })
    };
    workloads.into_iter().filter_map(row).collect()
}

fn table(releases: &[Release]) -> Table {
    let mut table = Table::new(&["SERVICE", "VERSION", "PLACES", "IMAGE", "SOURCE"]);
    for release in releases {
        for placed in &release.images {
            let places: Vec<&str> = placed.places.iter().map(Text::as_str).collect();
            let places = if places.is_empty() { "everywhere".to_string() } else { places.join(" ") };
            table.rows.push(vec![
                release.service.to_string(),
                release.version.to_string(),
                places,
                placed.image.to_string(),
                release.source.to_string(),
            ]);
        }
    }
    table
}
