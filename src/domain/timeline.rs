//! What changed where and when, and who did it: rows made from two states of a workload, from the history that its
//! platform keeps, and from our journal.
//!
//! Never makes a row of what it has only seen for the first time, and never a time that nobody knows: what changed while
//! nobody watched says between which two moments.

mod change;
mod ours;
mod past;
mod state;

use std::time::Duration;

use jiff::Timestamp;

pub use change::{Again, Look, Moment, Noted, Sight, gone, note};
pub use ours::of_operation;
pub use state::{Known, Present};

use super::id::WorkloadId;
use super::image::ImageId;
use super::selector::Facts;
use super::text::Text;

/// One thing that happened in a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When: as the platform says where it does, else when it was seen. To the millisecond.
    pub at: Timestamp,
    /// Nobody watched from this moment on: it happened then, or later up to `at`.
    pub after: Option<Timestamp>,
    /// Where.
    pub workload: WorkloadId,
    /// The service that the workload belonged to then.
    pub service: Text,
    /// What.
    pub what: Happened,
    /// The container, where it is not the main one.
    pub container: Option<Text>,
    /// The exact image, where it is known.
    pub image: Option<ImageId>,
    /// The image as it was asked for, where it is known.
    pub reference: Option<Text>,
    /// What a person calls it.
    pub version: Option<Text>,
    /// Who did it: an operation of a Rolldeck with its driver, a field manager, a rollout of the platform.
    pub by: Option<Text>,
    /// What else is known, in words.
    pub detail: Text,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Happened {
    /// An operation of ours began here.
    Operation,
    /// Another image was asked for.
    Requested,
    /// The template changed, and its images did not.
    Template,
    /// The first instance with this image was seen.
    Appeared,
    /// The last instance with this image is gone.
    Vanished,
    /// An operation of ours came to its end here.
    Ended,
}

/// Which row, whatever its number is now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HappeningId {
    at: Timestamp,
    workload: WorkloadId,
    what: Happened,
    container: Option<Text>,
    about: Text,
}

/// How long rows are kept, and how many at most; the oldest go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long.
    pub age: Duration,
    /// How many.
    pub count: usize,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { age: Duration::from_secs(30 * 24 * 3600), count: 100_000 }
    }
}

impl Retention {
    /// How long, in words: `30d`, or hours where it is less than two days.
    pub fn describe(&self) -> String {
        match self.age.as_secs() {
            seconds @ ..172_800 => format!("{}h", seconds / 3600),
            seconds => format!("{}d", seconds / 86_400),
        }
    }
}

impl Happened {
    /// Everything that can happen, in the order in which it does.
    pub const ALL: [Happened; 6] = [
        Happened::Operation,
        Happened::Requested,
        Happened::Template,
        Happened::Appeared,
        Happened::Vanished,
        Happened::Ended,
    ];

    /// The word that scripts hold on to.
    pub fn as_str(self) -> &'static str {
        match self {
            Happened::Operation => "operation",
            Happened::Requested => "requested",
            Happened::Template => "template",
            Happened::Appeared => "appeared",
            Happened::Vanished => "vanished",
            Happened::Ended => "ended",
        }
    }
}

impl Happening {
    /// Which row it is.
    pub fn id(&self) -> HappeningId {
        let image = self.image.as_ref().map(|image| Text::new(image.as_str()));
        // An operation is told apart by its name: it may begin at one moment in one workload twice.
        let about = match self.what {
            Happened::Operation | Happened::Ended => self.by.clone(),
            Happened::Requested | Happened::Template | Happened::Appeared | Happened::Vanished => {
                image.or_else(|| self.reference.clone())
            }
        };
        HappeningId {
            at: self.at,
            workload: self.workload.clone(),
            what: self.what,
            container: self.container.clone(),
            about: about.unwrap_or_default(),
        }
    }

    /// What filters ask of it; `images` and `name` come from `images` and `name` below.
    pub fn facts<'a>(&'a self, images: &'a [&'a str], name: &'a str, now: Timestamp) -> Facts<'a> {
        Facts {
            service: &self.service,
            place: &self.workload.place.0,
            namespace: self.workload.namespace.as_deref().unwrap_or_default(),
            kind: self.workload.kind.as_str(),
            name,
            verdict: super::drift::Verdict::Ok,
            is_off: false,
            is_unhealthy: false,
            images,
            age: Some(Duration::try_from(now.duration_since(self.at)).unwrap_or_default()),
        }
    }

    /// Its images, as filters look for them.
    pub fn images(&self) -> Vec<&str> {
        let image = self.image.as_ref().map(ImageId::as_str);
        image.into_iter().chain(self.reference.as_deref()).collect()
    }

    /// What a word without a key is looked for in: the workload's name, what happened, the version, who did it.
    pub fn name(&self) -> String {
        let mut name = String::new();
        self.write_name(&mut name);
        name
    }

    /// The same, after what is there.
    pub fn write_name(&self, name: &mut String) {
        let version = self.version.as_deref().unwrap_or_default();
        let by = self.by.as_deref().unwrap_or_default();
        for part in [self.workload.name.as_str(), " ", self.what.as_str(), " ", version, " ", by] {
            name.push_str(part);
        }
    }

    /// The time that is not known better, in words; empty where it is.
    pub fn span(&self) -> String {
        let Some(after) = self.after else { return String::new() };
        let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
        let is_one_day = day(after) == day(self.at);
        let end = self.at.strftime(if is_one_day { "%H:%M UTC" } else { "%Y-%m-%d %H:%M UTC" });
        format!("between {} and {end}", after.strftime(if is_one_day { "%H:%M" } else { "%Y-%m-%d %H:%M" }))
    }

    /// Everything in words: the span, then the detail.
    pub fn words(&self) -> String {
        let parts = [self.span(), self.detail.to_string()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<String>>().join("; ")
    }
}

impl HappeningId {
    /// Where it happened.
    pub fn workload(&self) -> &WorkloadId {
        &self.workload
    }

    /// Whether it is the one of this row.
    pub fn is_of(&self, row: &Happening) -> bool {
        // Most rows are ruled out by their time.
        self.at == row.at && *self == row.id()
    }
}

/// To the millisecond: the store keeps no more.
fn to_millisecond(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}
