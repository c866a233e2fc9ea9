//! Whether what a plan goes to can be pulled, by what its registry has told.
//!
//! Never asks: what nobody has told yet is said as not known.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::choose::check;
use super::{Check, CheckVerdict, PlanRequest, Step};
use crate::domain::fleet::Fleet;
use crate::domain::image::{Comparison, Digest, DigestKind, ImageId, ImageRef};

/// What there is to say of the targets of these steps. Registries that nobody asks say nothing.
///
/// # Errors
/// Why a target can't be pulled any more: reason and hint.
pub(super) fn look(
    request: &PlanRequest,
    fleet: &Fleet,
    now: Timestamp,
    steps: &[Step],
) -> Result<Vec<Check>, (String, &'static str)> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut checks = Vec::new();
    for step in steps.iter().filter(|step| step.action.replaces()) {
        let target = step.to.reference.as_ref().filter(|target| fleet.catalog().covers(target));
        let Some(target) = target.filter(|target| seen.insert(target.canonical())) else { continue };
        let say = |verdict, detail: &str| check("registry", verdict, format!("{}: {target}: {detail}", step.workload));
        if fleet.catalog().is_gone(target) {
            let why = "its registry has it no more: a node that has not kept it can't start it";
            match &request.reason {
                Some(reason) => checks.push(say(CheckVerdict::Warn, &format!("{why}; all the same: {reason}"))),
                None => {
                    return Err((
                        format!("{target}: {why}"),
                        "pick another version (B, --to), push it again, or say why: Alt-w, or --reason",
                    ));
                }
            }
            continue;
        }
        checks.push(match target.digest() {
            Some(_) => of_digest(fleet, target, &say),
            None => of_tag(fleet, step, target, now, &say),
        });
    }
    Ok(checks)
}

fn of_digest(fleet: &Fleet, target: &ImageRef, say: &dyn Fn(CheckVerdict, &str) -> Check) -> Check {
    let catalog = fleet.catalog();
    let pinned = target.pinned();
    let platforms = pinned.as_ref().and_then(|image| catalog.images_of(image).next());
    match (platforms, catalog.fault(target)) {
        (Some(documents), _) => {
            let names: Vec<&str> = documents.platforms.iter().map(|platform| platform.name.as_str()).collect();
            say(CheckVerdict::Pass, &format!("its registry has it, for {}", names.join(", ")))
        }
        (None, Some(why)) => say(CheckVerdict::Unknown, &format!("nobody knows whether it can be pulled: {why}")),
        (None, None) => say(CheckVerdict::Unknown, "its registry has not said yet whether it has it"),
    }
}

fn of_tag(
    fleet: &Fleet,
    step: &Step,
    target: &ImageRef,
    now: Timestamp,
    say: &dyn Fn(CheckVerdict, &str) -> Check,
) -> Check {
    let is_another = |digest: &Digest| {
        let stands_for = ImageId::oci(digest.clone(), DigestKind::Repository);
        let ran = step.to.image.as_ref();
        ran.filter(|ran| fleet.catalog().compare(ran, &stands_for) != Comparison::Same)
    };
    match (fleet.catalog().resolve(target), fleet.catalog().tag(target)) {
        (Ok(Some(digest)), Some(tag)) => {
            let age = now.duration_since(tag.at).as_secs().max(0);
            let stands_for = format!("it stands for {} (asked {age} s ago)", digest.short(12));
            match is_another(digest) {
                Some(ran) => {
                    let ran = ran.short(12);
                    say(
                        CheckVerdict::Warn,
                        &format!("{stands_for}, and no longer for {ran}, which ran: that does not come back"),
                    )
                }
                None => say(CheckVerdict::Pass, &stands_for),
            }
        }
        (Err(why), _) => say(CheckVerdict::Unknown, &why),
        (Ok(_), _) => say(CheckVerdict::Unknown, "its registry has not said yet what it stands for"),
    }
}
