//! `compare SERVICE --between`: how two versions of a service differ.
//!
//! Never picks one of several: who names a place with two workloads of the service is told so.

use anyhow::bail;

use super::lists::{exit_of, read, service_named, tell_places};
use super::print::{self, Exit};
use crate::app::model::Model;
use crate::app::report::{DifferenceReport, difference_report, report};
use crate::domain::anatomy::Specimen;
use crate::domain::fleet::Workload;
use crate::domain::history::Version;
use crate::domain::id::WorkloadId;
use crate::domain::protection::LEAST;
use crate::runtime::cli::Options;

pub(super) async fn differences(options: &Options, service: &str, between: [&str; 2]) -> anyhow::Result<Exit> {
    let session = read(options).await?;
    let model = &session.model;
    let service = service_named(model, service)?;
    let pair = [specimen(model, &service, between[0])?, specimen(model, &service, between[1])?];
    let known = session.dissect(&pair).await;
    let body = difference_report(&pair, &known);
    let answer = report(model, &body);
    print::answer(options.output, &answer, || DifferenceReport::to_table(&body))?;
    if body.is_same() {
        print::progress("nothing differs, as far as both are known");
    }
    for (specimen, anatomy) in pair.iter().zip(&known) {
        anatomy
            .faults
            .iter()
            .chain(&anatomy.notes)
            .for_each(|why| print::progress(&format!("{}: {why}", specimen.describe())));
    }
    tell_places(model);
    let is_partial = known.iter().any(|anatomy| !anatomy.faults.is_empty());
    let exit = exit_of(model);
    session.close();
    Ok(if exit == Exit::Done && is_partial { Exit::Partial } else { exit })
}

/// What `PLACE`, `PLACE/NAMESPACE` or `PLACE/NAMESPACE/NAME` means, with `@VERSION` or without.
fn specimen(model: &Model, service: &str, named: &str) -> anyhow::Result<Specimen> {
    let of_service = || model.fleet.workloads().filter(|workload| workload.seen.service == *service);
    let meant = |place: &str| -> Vec<&Workload> {
        let is_meant = |id: &WorkloadId| {
            let namespaced = format!("{}/{}", id.place, id.namespace.as_deref().unwrap_or_default());
            [id.place.to_string(), format!("{namespaced}/{}", id.name), namespaced].iter().any(|name| name == place)
        };
        of_service().filter(|workload| is_meant(&workload.id)).collect()
    };
    // A place may have an @ of its own.
    let whole = meant(named);
    if named.is_empty() || named.starts_with('@') || named.ends_with('@') {
        bail!("`{named}` is no version: PLACE, PLACE/NAMESPACE/NAME, or one of them with @VERSION");
    }
    let (place, version, there) = match named.rsplit_once('@') {
        Some((place, version)) if whole.is_empty() => (place, Some(version), meant(place)),
        Some(_) | None => (named, None, whole),
    };
    let workload = match &*there {
        [workload] => workload,
        [] => {
            let mut places: Vec<&str> = of_service().map(|workload| workload.id.place.0.as_str()).collect();
            places.sort_unstable();
            places.dedup();
            bail!("{service} does not run in {place}; it runs in {}", places.join(", "));
        }
        several => {
            let names: Vec<String> = several.iter().map(|workload| workload.id.to_string()).collect();
            bail!(
                "{place} has {} workloads of {service}: {}; name one: PLACE/NAMESPACE/NAME",
                names.len(),
                names.join(", ")
            );
        }
    };
    let Some(wanted) = version else { return Ok(Specimen::requested(&model.fleet, workload)) };
    let versions = &workload.judgement.versions;
    let found: Vec<&Version> = versions.iter().filter(|version| is_called(version, wanted)).collect();
    match &*found {
        [found] => Ok(Specimen::past(&model.fleet, workload, found)),
        [] => {
            let known: Vec<String> = versions.iter().map(name_of).collect();
            bail!("{} has no version {wanted}; it has {}", workload.id, known.join(", "))
        }
        several => {
            let numbers: Vec<String> =
                several.iter().map(|version| format!("{} (revision {})", name_of(version), version.number)).collect();
            bail!("{} has {} versions that {wanted} may mean: {}", workload.id, numbers.len(), numbers.join(", "))
        }
    }
}

/// By its version, the number of its revision, or the start of its image.
fn is_called(version: &Version, wanted: &str) -> bool {
    let digits = wanted.strip_prefix("sha256:").unwrap_or(wanted);
    version.version.as_deref() == Some(wanted)
        || wanted.parse() == Ok(version.number)
        || (digits.len() >= LEAST
            && version.image.as_ref().is_some_and(|image| image.distinctive().starts_with(digits)))
}

fn name_of(version: &Version) -> String {
    version.version.as_ref().map_or_else(|| format!("revision {}", version.number), ToString::to_string)
}
