//! What is asked of registries, and when again: each tag and each digest once, tags again when what was heard is old, and what could
//! not be answered after a pause that grows.
//!
//! Never asks what its fleet does not name, and nothing at all while no registry is configured.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::catalog::Answer;
use crate::domain::fleet::Fleet;
use crate::domain::image::ImageRef;

/// How old what was heard of a tag may become while somebody looks on. Before something is done it is asked for again.
const TAG_AGE: Duration = Duration::from_secs(600);
/// The first pause after a fault; it doubles.
const PAUSE: Duration = Duration::from_secs(30);
/// And the longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(900);
/// How many questions are on their way at most; how many at once to one registry is its own limit.
const AT_ONCE: usize = 64;

/// What was asked.
#[derive(Debug, Default)]
pub struct Resolving {
    asked: BTreeMap<String, Asked>,
    /// The fleet's revision that the questions were taken from.
    revision: Option<u64>,
    questions: Vec<ImageRef>,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    /// Nobody has answered yet; so many times in a row it was not answered before.
    UnderWay(u32),
    /// It was answered then.
    Told(Timestamp),
    /// So many times in a row it was not, last then.
    Failed(u32, Timestamp),
}

impl Resolving {
    /// What is to be asked now. From then on it is under way.
    pub fn due(&mut self, fleet: &Fleet, now: Timestamp) -> Vec<ImageRef> {
        if self.revision != Some(fleet.revision()) {
            self.revision = Some(fleet.revision());
            self.questions = fleet.questions();
        }
        let under_way = self.asked.values().filter(|asked| matches!(asked, Asked::UnderWay(_))).count();
        let mut due = Vec::new();
        for question in &self.questions {
            if due.len() + under_way >= AT_ONCE {
                break;
            }
            let key = question.canonical();
            let asked = self.asked.get(&key);
            if asked.is_none_or(|asked| asked.is_due(question, now)) {
                let failures = asked.map_or(0, |asked| asked.failures());
                self.asked.insert(key, Asked::UnderWay(failures));
                due.push(question.clone());
            }
        }
        due
    }

    /// These tags are to be asked for again, unless they were a moment ago: something is about to be done by them.
    pub fn ask_again(&mut self, tags: impl Iterator<Item = ImageRef>, now: Timestamp, age: Duration) {
        for tag in tags.filter(|tag| tag.digest().is_none()) {
            if let Some(Asked::Told(at)) = self.asked.get(&tag.canonical())
                && now.duration_since(*at).unsigned_abs() >= age
            {
                self.asked.remove(&tag.canonical());
            }
        }
    }

    /// Answers have come.
    pub fn answered(&mut self, answers: &[Answer], now: Timestamp) {
        for answer in answers {
            let key = answer.about.canonical();
            let failures = self.asked.get(&key).map_or(0, |asked| asked.failures());
            let asked = match &answer.said {
                Ok(_) => Asked::Told(now),
                Err(_) => Asked::Failed(failures.saturating_add(1), now),
            };
            self.asked.insert(key, asked);
        }
    }

    /// Whether each question of this fleet was answered one way or the other.
    pub fn is_settled(&self, fleet: &Fleet) -> bool {
        let is_answered = |question: &ImageRef| {
            matches!(self.asked.get(&question.canonical()), Some(Asked::Told(_) | Asked::Failed(..)))
        };
        fleet.questions().iter().all(is_answered)
    }
}

impl Asked {
    /// How many times in a row it was not answered.
    fn failures(self) -> u32 {
        match self {
            Asked::UnderWay(failures) | Asked::Failed(failures, _) => failures,
            Asked::Told(_) => 0,
        }
    }

    fn is_due(self, question: &ImageRef, now: Timestamp) -> bool {
        let since = |at: Timestamp| now.duration_since(at).unsigned_abs();
        match self {
            Asked::UnderWay(_) => false,
            // What a digest is never changes.
            Asked::Told(at) => question.digest().is_none() && since(at) >= TAG_AGE,
            Asked::Failed(times, at) => {
                since(at) >= PAUSE.saturating_mul(1 << times.min(8).saturating_sub(1)).min(LONGEST_PAUSE)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::text::Text;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).expect("in range")
    }

    /// A fleet of nothing but a declared tag.
    fn fleet() -> Fleet {
        let declaration = crate::domain::expectation::Declaration {
            service: Text::new("app"),
            image: "registry.example/shop/app:v1".parse().expect("valid"),
            container: None,
            places: Vec::new(),
        };
        Fleet::new(vec![declaration])
    }

    fn answer(said: Result<crate::domain::catalog::Said, Text>) -> Vec<Answer> {
        vec![Answer { about: "registry.example/shop/app:v1".parse().expect("valid"), at: at(0), said }]
    }

    #[test]
    fn nothing_is_asked_while_no_registry_is_configured() {
        let mut resolving = Resolving::default();
        let fleet = fleet();
        assert!(resolving.due(&fleet, at(0)).is_empty());
        assert!(resolving.is_settled(&fleet));
    }

    #[test]
    fn a_tag_is_asked_once_and_again_when_it_is_old_or_something_is_done_by_it() {
        use crate::domain::catalog::Said;
        let (mut resolving, mut fleet) = (Resolving::default(), fleet());
        fleet.set_registries(vec![Text::new("registry.example")]);
        assert_eq!(resolving.due(&fleet, at(0)).len(), 1);
        assert!(resolving.due(&fleet, at(1)).is_empty(), "it is under way");
        assert!(!resolving.is_settled(&fleet));
        resolving.answered(&answer(Ok(Said::Gone)), at(2));
        assert!(resolving.is_settled(&fleet));
        assert!(resolving.due(&fleet, at(300)).is_empty(), "a quiet minute has no call");
        let tag: ImageRef = "registry.example/shop/app:v1".parse().expect("valid");
        resolving.ask_again(std::iter::once(tag.clone()), at(30), Duration::from_secs(60));
        assert!(resolving.due(&fleet, at(30)).is_empty(), "it was heard a moment ago");
        resolving.ask_again(std::iter::once(tag), at(100), Duration::from_secs(60));
        assert_eq!(resolving.due(&fleet, at(100)).len(), 1);
        resolving.answered(&answer(Ok(Said::Gone)), at(100));
        assert_eq!(resolving.due(&fleet, at(701)).len(), 1, "it is old");
    }

    #[test]
    fn what_fails_is_asked_again_after_a_pause_that_grows() {
        let (mut resolving, mut fleet) = (Resolving::default(), fleet());
        fleet.set_registries(vec![Text::new("*")]);
        let mut asked_at = Vec::new();
        for second in 0..4000 {
            if !resolving.due(&fleet, at(second)).is_empty() {
                asked_at.push(second);
                resolving.answered(&answer(Err(Text::new("no"))), at(second));
            }
        }
        assert_eq!(asked_at[..5], [0, 30, 90, 210, 450]);
        let pauses: Vec<i64> = asked_at.windows(2).map(|two| two[1] - two[0]).collect();
        assert_eq!(pauses.iter().max(), Some(&900));
    }
}
