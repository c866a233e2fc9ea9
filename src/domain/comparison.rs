//! One service side by side: its workloads as columns, the images that they run or should run as rows.
//!
//! Never takes two images for one because they are called alike: only a registry, a release, or the same id says so.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::fleet::{Fleet, Workload};
use super::id::WorkloadId;
use super::image::{Comparison as Compared, ImageId, ImageRef};
use super::release::Standing;
use super::text::Text;

/// A service side by side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// The service.
    pub service: Text,
    /// Its workloads, by place.
    pub columns: Vec<WorkloadId>,
    /// How far each of them is among the releases of the service.
    pub standings: Vec<Option<Standing>>,
    /// What they run and should run, the most frequent first.
    pub rows: Vec<Row>,
}

/// One image.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Exactly; the first of those that are one image. `None`: nobody knows what runs there.
    pub image: Option<ImageId>,
    /// How it is asked for.
    pub reference: Option<ImageRef>,
    /// What a person calls it.
    pub version: Option<Text>,
    /// By column.
    pub cells: Vec<Cell>,
}

/// One image in one workload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// Which of the row's images it is there: one version may be another one in each kind of place.
    pub image: Option<ImageId>,
    /// How many instances run it.
    pub instances: u32,
    /// Since when the oldest of them has run.
    pub since: Option<Timestamp>,
    /// What the workload means it to be.
    pub meant: Meant,
}

/// What a workload means an image to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Meant {
    /// Nothing.
    #[default]
    Nothing,
    /// What its template asks for.
    Requested,
    /// What should run.
    Expected,
}

impl Row {
    /// Each of its images once.
    pub fn images(&self) -> BTreeSet<&str> {
        self.cells.iter().filter_map(|cell| cell.image.as_ref()).map(ImageId::as_str).collect()
    }

    /// How many instances run it, in all columns.
    pub fn instances(&self) -> u32 {
        self.cells.iter().map(|cell| cell.instances).sum()
    }
}

/// A service side by side; `None` where nothing is called so.
pub fn compare(fleet: &Fleet, service: &str) -> Option<Comparison> {
    let mut workloads: Vec<&Workload> =
        fleet.workloads().filter(|workload| workload.seen.service == *service).collect();
    workloads.sort_by(|a, b| a.id.cmp(&b.id));
    let is_released = fleet.releases().of(service).next().is_some();
    let mut rows =
        Rows { fleet, service, columns: workloads.len(), rows: Vec::new(), by_image: HashMap::new(), is_released };
    for (column, workload) in workloads.iter().enumerate() {
        rows.add(column, workload);
    }
    let mut rows = rows.rows;
    rows.sort_by(|a, b| b.instances().cmp(&a.instances()).then_with(|| a.version.cmp(&b.version)));
    let columns: Vec<WorkloadId> = workloads.iter().map(|workload| workload.id.clone()).collect();
    let standings = workloads.iter().map(|workload| fleet.standing(workload)).collect();
    (!columns.is_empty()).then(|| Comparison { service: Text::new(service), columns, standings, rows })
}

struct Rows<'a> {
    fleet: &'a Fleet,
    service: &'a str,
    columns: usize,
    rows: Vec<Row>,
    /// The row of an image that has come before: one of many is not compared with all of them again.
    by_image: HashMap<Text, usize>,
    /// Whether releases may say that two images are one version.
    is_released: bool,
}

impl Rows<'_> {
    fn add(&mut self, column: usize, workload: &Workload) {
        let main = &workload.judgement.main;
        for cohort in &workload.judgement.running {
            let version = workload.name_of(cohort.image.as_ref(), cohort.reference.as_ref());
            let of_cohort = self.fleet.instances_of(workload).filter(|instance| {
                let container = instance.seen.containers.iter().find(|container| container.name == *main);
                instance.seen.phase.is_counted() && container.is_some_and(|container| container.running == cohort.image)
            });
            let since = of_cohort.filter_map(|instance| instance.seen.started_at).min();
            let cell = self.cell(column, cohort.image.as_ref(), cohort.reference.as_ref(), version);
            cell.instances += cohort.instances;
            cell.since = cell.since.into_iter().chain(since).min();
        }
        let asked = workload.requested().cloned();
        if asked.is_some() || workload.judgement.requested.is_some() {
            let image = workload.judgement.requested.clone();
            self.mean(column, Meant::Requested, image.as_ref(), asked.as_ref(), workload.called());
        }
        let targets = workload.judgement.expected.iter().flat_map(|expected| &expected.targets);
        for target in targets {
            let version = workload.name_of(target.image.as_ref(), target.reference.as_ref());
            // What is expected by its name alone is what was asked for by it.
            let image = target.image.as_ref().or(workload.judgement.requested.as_ref());
            self.mean(column, Meant::Expected, image, target.reference.as_ref(), version);
        }
    }

    fn mean(
        &mut self,
        column: usize,
        meant: Meant,
        image: Option<&ImageId>,
        reference: Option<&ImageRef>,
        version: Option<Text>,
    ) {
        self.cell(column, image, reference, version).meant = meant;
    }

    /// The cell of an image, in a row of its own where none is of the same image yet.
    fn cell(
        &mut self,
        column: usize,
        image: Option<&ImageId>,
        reference: Option<&ImageRef>,
        version: Option<Text>,
    ) -> &mut Cell {
        let name = image.map(|image| Text::new(image.as_str()));
        let known = name.as_ref().and_then(|name| self.by_image.get(name)).copied();
        let at = known.or_else(|| self.same_as(image, reference)).unwrap_or_else(|| {
            let cells = vec![Cell::default(); self.columns];
            self.rows.push(Row { image: image.cloned(), reference: reference.cloned(), version: None, cells });
            self.rows.len() - 1
        });
        if let Some(name) = name.filter(|_| known.is_none()) {
            self.by_image.insert(name, at);
        }
        let row = &mut self.rows[at];
        row.version = row.version.take().or(version);
        let cell = &mut row.cells[column];
        cell.image = cell.image.take().or(image.cloned());
        cell
    }

    /// The row of another document of this image, or of another image of its version.
    fn same_as(&self, image: Option<&ImageId>, reference: Option<&ImageRef>) -> Option<usize> {
        let is_alone = |image: &ImageId| !self.is_released && self.fleet.catalog().images_of(image).next().is_none();
        if image.is_some_and(is_alone) {
            return None;
        }
        self.rows.iter().position(|row| self.is_of(row, image, reference))
    }

    fn is_of(&self, row: &Row, image: Option<&ImageId>, reference: Option<&ImageRef>) -> bool {
        let Some((mine, theirs)) = row.image.as_ref().zip(image) else {
            return row.image.is_none() == image.is_none() && row.reference.as_ref() == reference;
        };
        if self.fleet.catalog().compare(mine, theirs) == Compared::Same {
            return true;
        }
        let named = |image: &ImageId| {
            let compare = |a: &ImageId, b: &ImageId| self.fleet.catalog().compare(a, b);
            self.fleet.releases().version_of(self.service, Some(image), None, &compare).cloned()
        };
        let version = named(mine);
        version.is_some() && version == named(theirs)
    }
}
