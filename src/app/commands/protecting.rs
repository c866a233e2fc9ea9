//! The keys that protect: a lock on what a row shows, the quarantine of an image. Each takes a reason and a time.
//!
//! Never protects by the key itself: Enter after a reason does.

use std::time::Duration;

use crate::app::command::{Command, Risk, Scope, not_now};
use crate::app::effect::Effect;
use crate::app::model::Model;
use crate::app::rows::{RowId, Rows as _};
use crate::app::screens::drift;
use crate::app::theme::Meaning;
use crate::app::ui::Entry;
use crate::app::widgets::field::field;
use crate::app::widgets::paint::Line;
use crate::domain::fleet::Workload;
use crate::domain::image::{ImageId, ImageRef};
use crate::domain::protection::{Protected, Protection};
use crate::domain::selector::duration;
use crate::domain::text::Text;

/// How long a protection holds where nobody says: a night and a day, so that none is forgotten for ever.
const USUAL: Duration = Duration::from_secs(24 * 3600);

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[
    command(
        "workload.lock",
        "lock",
        "Locks what the row shows: no plan operates it until the lock is lifted or runs out. On a locked row: lifts it.",
        can_lock,
        lock,
    ),
    command(
        "image.quarantine",
        "quarantine",
        "Bans the image that the row runs, wherever it runs; where it is banned already: lifts that.",
        can_quarantine,
        quarantine,
    ),
    command(
        "row.snooze",
        "snooze",
        "Says that the drift of the row is known, for a while: it is shown last. On a snoozed row: no longer.",
        can_snooze,
        snooze,
    ),
];

const fn command(
    id: &'static str,
    title: &'static str,
    doc: &'static str,
    available: fn(&Model) -> Result<(), Text>,
    run: fn(&mut Model) -> Vec<Effect>,
) -> Command {
    Command { id, title, doc, risk: Risk::Protect, scope: Scope::Lists, available, run }
}

/// What is asked for in the footer, within this width.
pub(crate) fn prompt(model: &Model, what: &Protected, typed: &str, width: usize) -> Line {
    let what = match what {
        Protected::Lock(selector) => format!(" lock {selector}: why? "),
        Protected::Quarantine(image) => {
            // The cursor stays where it is while a reason is typed; its row may be gone meanwhile.
            let there = image_there(model).filter(|there| there.image.as_str() == image.as_str());
            format!(" quarantine {}: why? ", there.map_or_else(|| image.to_string(), |there| there.named()))
        }
        Protected::Snooze(selector) => format!(" snooze {selector}: why? "),
        Protected::Stay { workload, version, .. } => format!(" keep {workload} at {version}: why? "),
    };
    field(Line::new(Meaning::Title, what), typed, "\"for 4h\" at its end, else 24h", width)
}

/// An image that a key protects, as a person knows it.
struct ImageThere {
    image: ImageId,
    reference: Option<ImageRef>,
    version: Option<Text>,
}

impl ImageThere {
    fn of(workload: &Workload, image: Option<&ImageId>, reference: Option<&ImageRef>) -> Option<ImageThere> {
        let version = workload.name_of(image, reference);
        Some(ImageThere { image: image?.clone(), reference: reference.cloned(), version })
    }

    /// `v42 7f9db0e2157e`.
    fn named(&self) -> String {
        let short = self.image.short(12);
        self.version.as_ref().map_or_else(|| short.to_string(), |version| format!("{version} {short}"))
    }
}

/// Enter after a reason.
pub(crate) fn entered(model: &mut Model, what: Protected, typed: &str) -> Vec<Effect> {
    match reason_and_time(typed) {
        Ok((reason, time)) => {
            model.ui.entry = None;
            let until = model.now + time;
            model.ui.say(&format!("goes into the journal, until {}", until.strftime("%Y-%m-%d %H:%M UTC")));
            let expires_at = Some(until);
            vec![Effect::Protect { what, reason, expires_at }]
        }
        Err(why) => {
            model.ui.say_why(&why);
            Vec::new()
        }
    }
}

/// What is over sooner protects nothing.
const SHORTEST: Duration = Duration::from_secs(60);

/// `bad migration for 4h`.
fn reason_and_time(typed: &str) -> Result<(Text, Duration), String> {
    let typed = typed.trim();
    let (reason, time) = match typed.rsplit_once(" for ") {
        Some((reason, time)) => match duration(time) {
            Ok(time) => (reason, time),
            Err(_) => (typed, USUAL),
        },
        None => (typed, USUAL),
    };
    if time < SHORTEST {
        Err("it would be over before anybody sees it: `for` takes a minute or more".to_string())
    } else if reason.is_empty() {
        Err("a reason is needed: others will read it".to_string())
    } else {
        Ok((Text::new(reason), time))
    }
}

/// The worst workload of the row under the cursor.
fn workload_there(model: &Model) -> Option<&Workload> {
    let known = model.known();
    match model.ui.rows().listing().cursor.as_ref()? {
        RowId::Service(key) => {
            let workloads = drift::workloads_of(&known, model.ui.screens.drift.listing(), key);
            workloads.into_iter().min_by(|a, b| drift::worst_first(a, b, &known))
        }
        RowId::Workload(id) => model.fleet.workload(id),
        RowId::Instance(slot, uid) => {
            let (instance, workload) = model.fleet.instance_at(*slot)?;
            (instance.seen.uid == *uid).then_some(workload)
        }
        RowId::Happening(id) => model.fleet.workload(id.workload()),
        RowId::Operation(_) | RowId::Image(_) | RowId::Place(_) => None,
    }
}

/// What the row under the cursor stands for, as a selector.
fn selector_there(model: &Model) -> Option<String> {
    if let Some(RowId::Place(id)) = &model.ui.rows().listing().cursor {
        return Some(format!("place:{}", quoted(&id.0)));
    }
    let workload = workload_there(model)?;
    let service = format!("svc:{}", quoted(&workload.seen.service));
    let Some(RowId::Workload(id)) = &model.ui.rows().listing().cursor else { return Some(service) };
    let namespace = id.namespace.as_ref().map(|namespace| format!(" ns:{}", quoted(namespace)));
    Some(format!("{service} place:{}{} kind:{}", quoted(&id.place.0), namespace.unwrap_or_default(), id.kind))
}

fn quoted(value: &str) -> String {
    if value.contains([' ', ':', ',']) { format!("\"{value}\"") } else { value.to_string() }
}

/// The image that is bad there: what runs and should not, else what is asked for.
fn image_there(model: &Model) -> Option<ImageThere> {
    match model.ui.rows().listing().cursor.as_ref()? {
        RowId::Image(name) => {
            let row = model.ui.screens.compare.named(name)?;
            let (reference, version) = (row.reference.clone(), row.version.clone());
            return Some(ImageThere { image: row.image.clone()?, reference, version });
        }
        RowId::Instance(slot, uid) => {
            let (instance, workload) =
                model.fleet.instance_at(*slot).filter(|(instance, _)| instance.seen.uid == *uid)?;
            let main = instance.seen.containers.iter().find(|container| container.name == workload.judgement.main)?;
            return ImageThere::of(workload, main.running.as_ref(), main.asked.as_ref());
        }
        // What came or went then, whatever is there now.
        RowId::Happening(id) => {
            let row = model.ui.screens.timeline.row(id)?;
            return Some(ImageThere { image: row.image.clone()?, reference: None, version: row.version.clone() });
        }
        RowId::Service(_) | RowId::Workload(_) | RowId::Operation(_) | RowId::Place(_) => {}
    }
    let workload = workload_there(model)?;
    let judgement = &workload.judgement;
    let known = judgement.running.iter().filter(|cohort| cohort.image.is_some());
    let off = known.max_by_key(|cohort| (cohort.verdict, cohort.instances)).filter(|_| judgement.tally.off() > 0);
    let off = off.and_then(|cohort| ImageThere::of(workload, cohort.image.as_ref(), cohort.reference.as_ref()));
    off.or_else(|| ImageThere::of(workload, judgement.requested.as_ref(), workload.requested()))
}

fn lock_there(model: &Model) -> Option<Protection> {
    if let Some(RowId::Place(id)) = &model.ui.rows().listing().cursor {
        return model.fleet.protections().lock_on_place(id).cloned();
    }
    let workload = workload_there(model)?;
    let protections = model.fleet.protections();
    model.fleet.lock_on(workload).or_else(|| protections.stay_of(&workload.id)).cloned()
}

fn can_write(model: &Model) -> Result<(), Text> {
    match &model.settings.access {
        crate::app::settings::Access::Operable => Ok(()),
        crate::app::settings::Access::ReadOnly(why) => Err(Text::new(&format!("nothing is written down here: {why}"))),
    }
}

fn can_lock(model: &Model) -> Result<(), Text> {
    can_write(model)?;
    if selector_there(model).is_some() { Ok(()) } else { not_now("nothing that can be locked is under the cursor") }
}

fn can_quarantine(model: &Model) -> Result<(), Text> {
    can_write(model)?;
    if let Some(RowId::Image(name)) = &model.ui.rows().listing().cursor
        && let Some(several) =
            model.ui.screens.compare.named(name).map(|row| row.images().len()).filter(|several| *several > 1)
    {
        return not_now(&format!("this version is {several} images; Enter shows who runs them: ! on one of each"));
    }
    if image_there(model).is_some() { Ok(()) } else { not_now("no image is known under the cursor") }
}

/// Only what is off can be put off; what is put off already may be no longer.
fn can_snooze(model: &Model) -> Result<(), Text> {
    can_lock(model)?;
    let is_snoozed = workload_there(model).is_some_and(|workload| model.fleet.snooze_on(workload).is_some());
    let is_off = |workload: &Workload| workload.judgement.is_off();
    let any_off = match (&model.ui.rows().listing().cursor, workload_there(model)) {
        (Some(RowId::Place(id)), _) => {
            model.fleet.workloads().any(|workload| workload.id.place == *id && is_off(workload))
        }
        (Some(RowId::Workload(_)), Some(workload)) => is_off(workload),
        // The service is put off, wherever it runs.
        (_, Some(row)) => {
            let mut all = model.fleet.workloads().filter(|workload| workload.seen.service == row.seen.service);
            all.any(is_off)
        }
        (_, None) => false,
    };
    if is_snoozed || any_off { Ok(()) } else { not_now("it is not off: there is nothing to put off") }
}

fn lock(model: &mut Model) -> Vec<Effect> {
    if let Some(lock) = lock_there(model) {
        model.ui.say(&format!("lock {} is lifted; it was {}", lock.number, lock.describe()));
        return vec![Effect::Lift(lock.number)];
    }
    if let Some(selector) = selector_there(model) {
        model.ui.entry = Some(Entry::Protect { what: Protected::Lock(Text::new(&selector)), typed: String::new() });
    }
    Vec::new()
}

fn snooze(model: &mut Model) -> Vec<Effect> {
    let known = workload_there(model).and_then(|workload| model.fleet.snooze_on(workload)).cloned();
    if let Some(snooze) = known {
        model.ui.say(&format!("snooze {} is lifted; it was {}", snooze.number, snooze.describe()));
        return vec![Effect::Lift(snooze.number)];
    }
    if let Some(selector) = selector_there(model) {
        model.ui.entry = Some(Entry::Protect { what: Protected::Snooze(Text::new(&selector)), typed: String::new() });
    }
    Vec::new()
}

fn quarantine(model: &mut Model) -> Vec<Effect> {
    let Some(there) = image_there(model) else { return Vec::new() };
    if let Some(ban) = model.fleet.quarantine_of(Some(&there.image), there.reference.as_ref()).cloned() {
        model.ui.say(&format!("the quarantine of {} is lifted; it was {}", there.named(), ban.describe()));
        return vec![Effect::Lift(ban.number)];
    }
    let what = Protected::Quarantine(Text::new(there.image.as_str()));
    model.ui.entry = Some(Entry::Protect { what, typed: String::new() });
    Vec::new()
}

/// What every screen says while a banned image runs somewhere.
pub(crate) fn alarm(model: &Model) -> Option<Line> {
    let banned = model.fleet.total().quarantined;
    (banned > 0).then(|| Line::new(Meaning::Quarantined, format!(" X {banned} instances run a quarantined image")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_may_end_in_a_time() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert_eq!(reason_and_time("bad migration for 4h"), Ok((Text::new("bad migration"), hours(4))));
        assert_eq!(reason_and_time("wait for bob"), Ok((Text::new("wait for bob"), hours(24))));
        assert!(reason_and_time("  ").is_err());
    }
}
