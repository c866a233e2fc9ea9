//! Takes a version apart: asks its place for the template, and its registry for the image.
//!
//! Never fails as a whole: what one of them does not say is a fault beside what the other does.

use std::sync::Arc;
use std::time::Duration;

use super::session::Session;
use crate::domain::anatomy::{Anatomy, Origin, Specimen};
use crate::domain::image::{Comparison, ImageId};
use crate::domain::text::Text;
use crate::providers::Provider;
use crate::registry::Registries;

/// How long each of them may take.
const LIMIT: Duration = Duration::from_secs(20);

impl Session {
    /// Takes two versions apart, both at once.
    pub fn dissect(&self, pair: &[Specimen; 2]) -> impl Future<Output = [Anatomy; 2]> + Send + 'static {
        let [left, right] = pair.clone();
        let both = left.image.as_ref().zip(right.image.as_ref());
        let is_same =
            both.is_some_and(|(left, right)| self.model.fleet.catalog().compare(left, right) == Comparison::Same);
        let images = if is_same { Images::Same } else { Images::Other };
        let dissector = |specimen: &Specimen| Dissector {
            images,
            provider: self.provider_of(&specimen.workload.place),
            registries: self.registries().cloned(),
        };
        let dissectors = (dissector(&left), dissector(&right));
        async move { tokio::join!(dissectors.0.dissect(&left), dissectors.1.dissect(&right)).into() }
    }
}

/// Who is asked about one specimen.
pub(super) struct Dissector {
    /// Its place; `None` if that is not connected.
    pub provider: Option<Arc<dyn Provider>>,
    /// All registries, if any may be asked.
    pub registries: Option<Registries>,
    /// What is known of both images.
    pub images: Images,
}

/// What is known of two images before they are taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Images {
    /// They are documents of one image: nothing of them differs.
    Same,
    /// They may differ.
    Other,
}

impl Dissector {
    /// All that is known of a specimen.
    pub(super) async fn dissect(self, specimen: &Specimen) -> Anatomy {
        let place = async {
            match self.provider {
                None => Anatomy::of(Origin::Template, Err(Text::new("its place is not connected"))),
                Some(provider) => in_time(provider.dissect(specimen.clone()), Origin::Template, "its place").await,
            }
        };
        let (of_place, of_registry) = tokio::join!(place, of_registry(self.registries, self.images, specimen));
        of_place.with(of_registry)
    }
}

async fn of_registry(registries: Option<Registries>, images: Images, specimen: &Specimen) -> Anatomy {
    if images == Images::Same {
        return Anatomy::not_asked("it is the same image");
    }
    if matches!(specimen.image, Some(ImageId::Machine { .. })) {
        return Anatomy::default();
    }
    let Some(pinned) = specimen.pinned() else {
        return Anatomy::not_asked("its exact image is not known: its layers and labels are not compared");
    };
    let Some(registries) = registries.filter(|registries| registries.has(&pinned)) else {
        let why = "its registry is not configured ([[registries]]): its layers and labels are not compared";
        return Anatomy::not_asked(why);
    };
    let platform = specimen.platform.clone();
    let asked = async move { Anatomy::of(Origin::Image, registries.dissect(&pinned, platform.as_deref()).await) };
    in_time(asked, Origin::Image, "its registry").await
}

async fn in_time(asked: impl Future<Output = Anatomy>, origin: Origin, who: &str) -> Anatomy {
    let silent = || Text::new(&format!("{who} has not answered within {} s", LIMIT.as_secs()));
    tokio::time::timeout(LIMIT, asked).await.unwrap_or_else(|_| Anatomy::of(origin, Err(silent())))
}
