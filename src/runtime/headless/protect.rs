//! `lock`, `unlock`, `quarantine`, `unquarantine`: what the keys `L` and `!` do, without a screen.
//!
//! Never changes anything but the journal's list of protections.

use anyhow::anyhow;
use jiff::Timestamp;
use serde::Serialize;

use super::{journal, lists, plans, print, session, settle};
use crate::app::report::{ProtectionRow, is_complete};
use crate::domain::fleet::Workload;
use crate::domain::image::ImageRef;
use crate::domain::protection::{LEAST, Protected, Protection};
use crate::domain::selector::{Condition, Selector};
use crate::domain::text::{Text, counted};
use crate::runtime::cli::{Options, Why};
use crate::runtime::headless::print::Exit;
use crate::runtime::store::Behind;

/// How long a selector that is kept may be.
const LONGEST: usize = 1_000;
/// How long a reason may be, in characters.
const LONGEST_REASON: usize = 1_000;

#[derive(Debug, Serialize)]
struct Answer {
    schema: u32,
    at: Timestamp,
    complete: bool,
    rows: Vec<ProtectionRow>,
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
    if text.trim().is_empty() {
        return Err(anyhow!("nothing is named; name a service, or what is meant: svc:pay place:k8s/prod-*"));
    }
    // What is kept would be cut, and mean something else than what was looked at.
    if text.len() > LONGEST || text.contains(char::is_control) {
        return Err(anyhow!("a selector has {LONGEST} characters at most, on one line; use globs"));
    }
    let selector = Selector::parse(&text)?;
    let what = what(Text::new(&text));
    if let Some(key) = selector.terms.iter().find_map(|term| comes_and_goes(&what, &term.condition)) {
        let kind = what.as_texts().0;
        return Err(anyhow!(
            "a {kind} by {key} would come and go with what it is about; name services, places, namespaces or kinds"
        ));
    }
    let mut session = session(options)?;
    settle(&mut session, options.timeout).await;
    plans::check_words(&selector, &session)?;
    lists::check_names(&selector, &session.model)?;
    let is_name =
        &mut |word: &str, facts: &crate::domain::selector::Facts<'_>| facts.service.eq_ignore_ascii_case(word);
    let covered = session.model.fleet.workloads().filter(|workload| {
        let images = workload.image_texts();
        let images: Vec<&str> = images.iter().map(Text::as_str).collect();
        selector.is_match(&workload.facts(&images), is_name)
    });
    let covered: Vec<&Workload> = covered.collect();
    // A place that does not answer may hide what is meant.
    let is_nothing_off = covered.iter().all(|workload| !workload.judgement.is_off());
    if matches!(what, Protected::Snooze(_)) && is_nothing_off && is_complete(&session.model) {
        return Err(anyhow!("nothing that {text} covers is off: there is no drift to put off"));
    }
    let covered = counted(covered.len(), "workload");
    let by = session.model.settings.driver.who.clone();
    session.close();
    protect(options, what, why, by, &format!("; it covers {covered} now"))
}

/// The key of a condition by which a protection would end by itself, and begin again.
fn comes_and_goes(what: &Protected, condition: &Condition) -> Option<&'static str> {
    let is_lock = matches!(what, Protected::Lock(_));
    match condition {
        Condition::State(_) => Some("state"),
        Condition::Age(..) => Some("age"),
        // Drift that is put off may be that of an image; a lock is on what runs there, whichever that is.
        Condition::Digest(_) => is_lock.then_some("digest"),
        Condition::Image(_) => is_lock.then_some("image"),
        Condition::Service(_)
        | Condition::Place(_)
        | Condition::Namespace(_)
        | Condition::Kind(_)
        | Condition::Word(_) => None,
    }
}

/// Bans an image.
pub(super) fn quarantine(options: &Options, image: &str, why: &Why) -> anyhow::Result<Exit> {
    let digits = image.rsplit(['@', ':']).next().unwrap_or(image);
    let image = image.trim();
    let is_digest = image.to_ascii_lowercase().starts_with("sha256:");
    let is_whole = !is_digest && image.contains([':', '/', '@']) && image.parse::<ImageRef>().is_ok();
    if digits.len() < LEAST && !is_whole {
        return Err(anyhow!("{image} could be more than one image; give {LEAST} digits of its digest or more"));
    }
    let is_machine = image.starts_with("ami-");
    let is_hex = digits.trim_start_matches("ami-").bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_whole && !is_hex {
        return Err(anyhow!("{image} is no digest, no machine image and no whole reference: it would ban nothing"));
    }
    // Registries write digests in small letters, and so do clouds their ids.
    let image = if is_whole && !is_machine { image.to_string() } else { image.to_ascii_lowercase() };
    let who = crate::runtime::store::this_driver(Timestamp::now()).who;
    protect(options, Protected::Quarantine(Text::new(&image)), why, who, "")
}

/// Lifts protections of these kinds by number, or by what they were written as.
pub(super) fn lift(options: &Options, kinds: &[&str], named: &str) -> anyhow::Result<Exit> {
    if options.read_only {
        return Err(anyhow!("nothing is lifted with --read-only"));
    }
    let journal = journal(options)?;
    let number = named.parse::<u64>().ok();
    let is_meant = |protection: &&Protection| {
        let (kind, target) = protection.what.as_texts();
        kinds.contains(&kind) && (number == Some(protection.number) || target.as_str() == named)
    };
    let known = journal.protections()?;
    let meant: Vec<&Protection> = known.iter().filter(is_meant).collect();
    if meant.is_empty() {
        let kinds = kinds.join(" or ");
        return Err(anyhow!("there is no {kinds} {named}; `rolldeck lock` lists all that is protected"));
    }
    let by = crate::runtime::store::this_driver(Timestamp::now()).who;
    let (mut rows, mut words) = (Vec::new(), String::new());
    for protection in meant {
        journal.lift(protection.number, &by, Timestamp::now())?;
        words.push_str(&format!("{} is lifted; it was {}\n", name(protection), protection.describe()));
        rows.push(ProtectionRow::of(protection));
    }
    print::answer_text(options.output, &answer(rows), &words)?;
    Ok(Exit::Done)
}

fn protect(options: &Options, what: Protected, why: &Why, by: Text, covers: &str) -> anyhow::Result<Exit> {
    if options.read_only {
        return Err(anyhow!("nothing is written down with --read-only"));
    }
    let Some(reason) = why.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty()) else {
        return Err(anyhow!("a reason is needed, others will read it: --reason \"…\""));
    };
    if reason.chars().count() > LONGEST_REASON {
        return Err(anyhow!("a reason has {LONGEST_REASON} characters at most, as on the screen"));
    }
    if why.expires < std::time::Duration::from_secs(60) {
        return Err(anyhow!("it would be over before anybody sees it: --expires takes a minute or more"));
    }
    let at = Timestamp::now();
    let behind = Behind { reason: Text::new(reason), by, at, expires_at: Some(at + why.expires) };
    let protection = journal(options)?.protect(&what, &behind)?;
    let words = format!("{}: {}{covers}; of this machine alone\n", name(&protection), protection.describe());
    print::answer_text(options.output, &answer(vec![ProtectionRow::of(&protection)]), &words)?;
    Ok(Exit::Done)
}

fn name(protection: &Protection) -> String {
    let (what, target) = protection.what.as_texts();
    format!("{what} {} on {target}", protection.number)
}

fn list(options: &Options) -> anyhow::Result<Exit> {
    let now = Timestamp::now();
    let known = journal(options)?.protections()?;
    let rows: Vec<ProtectionRow> =
        known.iter().filter(|protection| protection.holds_at(now)).map(ProtectionRow::of).collect();
    let table = ProtectionRow::table(&rows);
    print::answer(options.output, &answer(rows), || table)?;
    Ok(Exit::Done)
}

fn answer(rows: Vec<ProtectionRow>) -> Answer {
    Answer { schema: 1, at: Timestamp::now(), complete: true, rows }
}
