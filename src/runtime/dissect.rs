//! Takes a version apart: asks its place for the template, and its registry for the image.
//!
//! Never fails as a whole: what one of them does not say is a fault beside what the other does.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::anatomy::{Anatomy, Specimen};
use crate::domain::image::ImageId;
use crate::providers::Provider;
use crate::registry::Registries;

/// How long each of them may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Who is asked about one specimen.
pub(super) struct Dissector {
    /// Its place; `None` if that is not connected.
    pub provider: Option<Arc<dyn Provider>>,
    /// All registries, if any may be asked.
    pub registries: Option<Registries>,
}

impl Dissector {
    /// All that is known of a specimen.
    pub(super) async fn dissect(self, specimen: &Specimen) -> Anatomy {
        let place = async {
            match self.provider {
                None => Anatomy::unknown("its place is not connected"),
                Some(provider) => in_time(provider.dissect(specimen.clone()), "its place").await,
            }
        };
        let (of_place, of_registry) = tokio::join!(place, of_registry(self.registries, specimen));
        of_place.with(of_registry)
    }
}

async fn of_registry(registries: Option<Registries>, specimen: &Specimen) -> Anatomy {
    if matches!(specimen.image, Some(ImageId::Machine { .. })) {
        return Anatomy::default();
    }
    let Some(pinned) = specimen.pinned() else {
        return Anatomy::unknown("its exact image is not known: its layers and labels are not compared");
    };
    match registries.filter(|registries| registries.has(&pinned)) {
        None => {
            Anatomy::unknown("its registry is not configured ([[registries]]): its layers and labels are not compared")
        }
        Some(registries) => in_time(async move { registries.dissect(&pinned).await.into() }, "its registry").await,
    }
}

async fn in_time(asked: impl Future<Output = Anatomy>, who: &str) -> Anatomy {
    let silent = |_| Anatomy::unknown(&format!("{who} has not answered within {} s", LIMIT.as_secs()));
    tokio::time::timeout(LIMIT, asked).await.unwrap_or_else(silent)
}
