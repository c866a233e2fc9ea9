//! Whose signatures are asked for: those of what an open detail or plan shows, and of nothing else.
//!
//! Never asks while nobody looks, and never for all images: a signature costs a request or two for each digest.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::effect::Effect;
use super::model::Model;
use super::overlays::{Overlay, detail_text};
use crate::domain::image::ImageRef;
use crate::domain::signature::{Signature, SignatureHeard};

/// How old what was heard may become: what refers to a digest changes, unlike the digest.
const AGE: Duration = Duration::from_secs(600);
/// How long one that could not be asked is left alone.
const PAUSE: Duration = Duration::from_secs(60);
/// How many questions are on their way at most.
const AT_ONCE: usize = 16;

/// What was asked.
#[derive(Debug, Default)]
pub struct Signing {
    asked: BTreeMap<String, Asked>,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    UnderWay,
    /// It is asked again then, if somebody still looks.
    GoodUntil(Timestamp),
}

impl Signing {
    /// Which of these are to be asked now. From then on they are under way.
    pub fn due(&mut self, wanted: Vec<ImageRef>, now: Timestamp) -> Vec<ImageRef> {
        let under_way = self.asked.values().filter(|asked| matches!(asked, Asked::UnderWay)).count();
        let mut due = Vec::new();
        for about in wanted {
            let is_due = match self.asked.get(&about.canonical()) {
                None => true,
                Some(Asked::UnderWay) => false,
                Some(Asked::GoodUntil(until)) => now >= *until,
            };
            if is_due && under_way + due.len() < AT_ONCE {
                self.asked.insert(about.canonical(), Asked::UnderWay);
                due.push(about);
            }
        }
        due
    }

    /// Answers have come.
    fn answered(&mut self, heard: &[SignatureHeard], now: Timestamp) {
        for SignatureHeard { about, said, at: _ } in heard {
            let good = match said {
                Signature::None | Signature::Present(_) => AGE,
                Signature::Unknown(_) => PAUSE,
            };
            self.asked.insert(about.canonical(), Asked::GoodUntil(now + good));
        }
    }
}

/// What is to be asked for what is looked at now.
pub(super) fn look(model: &mut Model) -> Vec<Effect> {
    let wanted = match model.ui.overlays.last() {
        Some(Overlay::Detail(overlay)) => detail_text::signatures(model, &overlay.row),
        Some(Overlay::Plan(overlay)) => overlay.plan.signatures(&model.fleet),
        Some(
            Overlay::Difference(_) | Overlay::Help(_) | Overlay::Palette(_) | Overlay::Versions(_) | Overlay::Ask(_),
        )
        | None => Vec::new(),
    };
    let due = model.signing.due(wanted, model.now);
    if due.is_empty() { Vec::new() } else { vec![Effect::Signatures(due)] }
}

/// Takes answers in; an open plan says what it now has to say.
pub(super) fn heard(model: &mut Model, heard: Vec<SignatureHeard>) {
    model.signing.answered(&heard, model.now);
    model.fleet.hear(heard);
    for overlay in &mut model.ui.overlays {
        if let Overlay::Plan(overlay) = overlay {
            overlay.plan.look_at_signatures(&model.fleet);
        }
    }
    model.ui.redraw.due = true;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::text::Text;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).expect("in range")
    }

    fn image(seed: u8) -> ImageRef {
        format!("registry.example/app@sha256:{}", format!("{seed:02x}").repeat(32)).parse().expect("valid")
    }

    #[test]
    fn a_digest_is_asked_once_and_again_when_what_was_heard_is_old() {
        let mut signing = Signing::default();
        let due = |signing: &mut Signing, second| signing.due(vec![image(1)], at(second)).len();
        assert_eq!((due(&mut signing, 0), due(&mut signing, 1)), (1, 0), "it is under way");
        let answer = |said| vec![SignatureHeard { about: image(1), at: at(2), said }];
        signing.answered(&answer(Signature::None), at(2));
        assert_eq!((due(&mut signing, 601), due(&mut signing, 602)), (0, 1));
        signing.answered(&answer(Signature::Unknown(Text::new("no answer"))), at(603));
        assert_eq!((due(&mut signing, 662), due(&mut signing, 663)), (0, 1), "what failed is asked sooner");
    }

    #[test]
    fn no_more_are_under_way_than_may_be() {
        let mut signing = Signing::default();
        let all = || (0..40).map(image).collect::<Vec<ImageRef>>();
        assert_eq!(signing.due(all(), at(0)).len(), AT_ONCE);
        assert_eq!(signing.due(all(), at(1)).len(), 0);
        signing.answered(&[SignatureHeard { about: image(0), at: at(1), said: Signature::None }], at(1));
        assert_eq!(signing.due(all(), at(2)), [image(16)]);
    }
}
