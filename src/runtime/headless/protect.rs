//! `lock`, `unlock`, `quarantine`, `unquarantine`: what the keys `L` and `!` do, without a screen.
//!
//! Never changes anything but the journal's list of protections.

use anyhow::anyhow;
use jiff::Timestamp;
use serde::Serialize;

use super::{journal, plans, print, session, settle};
use crate::app::report::Table;
use crate::domain::image::ImageRef;
use crate::domain::protection::{LEAST, Protected, Protection};
use crate::domain::selector::Selector;
use crate::domain::text::Text;
use crate::runtime::cli::{Options, Why};
use crate::runtime::headless::print::Exit;
use crate::runtime::store::Behind;

/// A protection as scripts see it.
#[derive(Debug, Serialize)]
struct Row {
    number: u64,
    what: &'static str,
    target: Text,
    reason: Text,
    by: Text,
    at: Timestamp,
    expires_at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Answer {
    schema: u32,
    at: Timestamp,
    complete: bool,
    rows: Vec<Row>,
}

/// Locks what a selector means; without one prints what is protected.
pub(super) async fn lock(options: &Options, selector: &[String], why: &Why) -> anyhow::Result<Exit> {
    match selector.is_empty() {
        true => list(options),
        false => selected(options, selector, why, Protected::Lock).await,
    }
}

/// Puts the drift of what a selector means off.
pub(super) async fn snooze(options: &Options, selector: &[String], why: &Why) -> anyhow::Result<Exit> {
    selected(options, selector, why, Protected::Snooze).await
}

async fn selected(
    options: &Options,
    selector: &[String],
    why: &Why,
    what: fn(Text) -> Protected,
) -> anyhow::Result<Exit> {
    let text = selector.join(" ");
    let selector = Selector::parse(&text)?;
    let mut session = session(options)?;
    settle(&mut session, options.timeout).await;
    plans::check_words(&selector, &session)?;
    let by = session.model.settings.driver.who.clone();
    session.close();
    protect(options, what(Text::new(&text)), why, by)
}

/// Bans an image.
pub(super) fn quarantine(options: &Options, image: &str, why: &Why) -> anyhow::Result<Exit> {
    let digits = image.rsplit('@').next().unwrap_or(image).trim_start_matches("sha256:");
    let is_digest = image.starts_with("sha256:");
    let is_whole = !is_digest && image.contains([':', '/', '@']) && image.parse::<ImageRef>().is_ok();
    if digits.len() < LEAST && !is_whole {
        return Err(anyhow!("{image} could be more than one image; give {LEAST} digits of its digest or more"));
    }
    let who = crate::runtime::store::this_driver(Timestamp::now()).who;
    protect(options, Protected::Quarantine(Text::new(image)), why, who)
}

/// Lifts a protection by its number, or by what it was written as.
pub(super) fn lift(options: &Options, named: &str) -> anyhow::Result<Exit> {
    let journal = journal(options)?;
    let number = named.parse::<u64>().ok();
    let is_meant =
        |protection: &&Protection| number == Some(protection.number) || protection.what.as_texts().1.as_str() == named;
    let known = journal.protections()?;
    let meant: Vec<&Protection> = known.iter().filter(is_meant).collect();
    if meant.is_empty() {
        return Err(anyhow!("nothing is protected as {named}; `rolldeck lock` lists what is"));
    }
    let by = crate::runtime::store::this_driver(Timestamp::now()).who;
    for protection in meant {
        journal.lift(protection.number, &by, Timestamp::now())?;
        print::line(&format!("{} is lifted; it was {}", name(protection), protection.describe()))?;
    }
    Ok(Exit::Done)
}

fn protect(options: &Options, what: Protected, why: &Why, by: Text) -> anyhow::Result<Exit> {
    if options.read_only {
        return Err(anyhow!("nothing is written down with --read-only"));
    }
    let Some(reason) = why.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty()) else {
        return Err(anyhow!("a reason is needed, others will read it: --reason \"…\""));
    };
    let at = Timestamp::now();
    let behind = Behind { reason: Text::new(reason), by, at, expires_at: Some(at + why.expires) };
    let protection = journal(options)?.protect(&what, &behind)?;
    print::line(&format!("{}: {}; of this machine alone", name(&protection), protection.describe()))?;
    Ok(Exit::Done)
}

fn name(protection: &Protection) -> String {
    let (what, target) = protection.what.as_texts();
    format!("{what} {} on {target}", protection.number)
}

fn list(options: &Options) -> anyhow::Result<Exit> {
    let now = Timestamp::now();
    let known = journal(options)?.protections()?;
    let rows: Vec<Row> = known.into_iter().filter(|protection| protection.holds_at(now)).map(row).collect();
    let mut table = Table::new(&["NUMBER", "WHAT", "TARGET", "REASON", "BY", "UNTIL"]);
    for row in &rows {
        let until = row.expires_at.map_or("lifted".to_string(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string());
        table.rows.push(vec![
            row.number.to_string(),
            row.what.to_string(),
            row.target.to_string(),
            row.reason.to_string(),
            row.by.to_string(),
            until,
        ]);
    }
    print::answer(options.output, &Answer { schema: 1, at: now, complete: true, rows }, || table)?;
    Ok(Exit::Done)
}

fn row(protection: Protection) -> Row {
    let (what, target) = protection.what.as_texts();
    let Protection { number, reason, by, at, expires_at, .. } = protection;
    Row { number, what, target, reason, by, at, expires_at }
}
