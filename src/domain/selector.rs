//! The filter language of the screens and of every SELECTOR argument: `svc:checkout place:k8s/prod-* state:drift age>2d`.
//!
//! Never matches a word without a key by itself: how such a word is matched (fuzzy on screens, exactly a service's name
//! in plans) comes in as a function.

use std::time::Duration;

use thiserror::Error;

use super::drift::Verdict;
use super::text::Text;

/// A parsed filter: all terms must hold. The empty selector matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// The terms, in the order written.
    pub terms: Vec<Term>,
}

/// One term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Whether it must hold or must not.
    pub polarity: Polarity,
    /// What it says.
    pub condition: Condition,
}

/// Whether a term selects or excludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// As written.
    Is,
    /// With a `-` before it.
    IsNot,
}

/// What a term says; several values are alternatives. Values are lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `svc:` the service's name.
    Service(Vec<String>),
    /// `place:` the place's id.
    Place(Vec<String>),
    /// `ns:` the namespace.
    Namespace(Vec<String>),
    /// `kind:` the workload's kind.
    Kind(Vec<String>),
    /// `state:` the verdict, or `off`, or `unhealthy`.
    State(Vec<String>),
    /// `digest:` a prefix of four or more of an image's digest.
    Digest(Vec<String>),
    /// `image:` part of an image reference.
    Image(Vec<String>),
    /// `age>` or `age<`.
    Age(Order, Duration),
    /// A word without a key.
    Word(String),
}

/// Which side of an age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// At least that old.
    Older,
    /// Younger than that.
    Younger,
}

/// What a row says of itself to be matched.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Its service.
    pub service: &'a str,
    /// Its place.
    pub place: &'a str,
    /// Its namespace, empty where there are none.
    pub namespace: &'a str,
    /// Its workload's kind.
    pub kind: &'a str,
    /// Its own name (the workload's or the instance's).
    pub name: &'a str,
    /// Its verdict.
    pub verdict: Verdict,
    /// Whether it counts as off.
    pub is_off: bool,
    /// Whether something in it is not healthy.
    pub is_unhealthy: bool,
    /// Image references and digests that it shows.
    pub images: &'a [&'a str],
    /// How old it is.
    pub age: Option<Duration>,
}

/// What is wrong with a filter.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectorError {
    /// No such key.
    #[error("no key `{0}:`: svc, place, ns, kind, state, digest, image, and age> or age<")]
    Key(String),
    /// A digest prefix that is too short or not hexadecimal.
    #[error("`digest:{0}` needs four or more hexadecimal digits")]
    Digest(String),
    /// A state that does not exist.
    #[error("no state `{0}`: ok, drift, mixed, outlier, unknown, quarantined, off, unhealthy")]
    State(String),
    /// An age that can't be read.
    #[error("`{0}` is no age (a hundred years at most); ages look like 90s, 15m, 2h, 3d, 1w")]
    Age(String),
    /// A quote without its end.
    #[error("a quote is not closed")]
    Quote,
    /// A key without a value.
    #[error("`{0}:` needs a value")]
    Empty(String),
}

impl Selector {
    /// Reads a filter. Case does not matter.
    ///
    /// # Errors
    /// Says which term can't be understood and what would be.
    pub fn parse(raw: &str) -> Result<Selector, SelectorError> {
        let terms = split(raw)?.iter().map(|word| term(word)).collect::<Result<Vec<Term>, SelectorError>>()?;
        Ok(Selector { terms })
    }

    /// Whether a row is selected; `is_word` decides words without a key.
    pub fn is_match(&self, facts: &Facts<'_>, is_word: &mut dyn FnMut(&str, &Facts<'_>) -> bool) -> bool {
        self.terms.iter().all(|term| {
            let holds = match &term.condition {
                Condition::Service(values) => any_glob(values, facts.service),
                Condition::Place(values) => any_glob(values, facts.place),
                Condition::Namespace(values) => any_glob(values, facts.namespace),
                Condition::Kind(values) => any_glob(values, facts.kind),
                Condition::State(values) => values.iter().any(|value| is_state(value, facts)),
                Condition::Digest(values) => facts.images.iter().any(|image| {
                    let hex = image.rsplit_once(':').map_or(*image, |(_, hex)| hex);
                    values.iter().any(|value| hex.starts_with(value.as_str()))
                }),
                Condition::Image(values) => facts.images.iter().any(|image| {
                    let image = image.to_lowercase();
                    values.iter().any(|value| image.contains(value.as_str()) || glob_matches(value, &image))
                }),
                Condition::Age(order, limit) => facts.age.is_some_and(|age| match order {
                    Order::Older => age >= *limit,
                    Order::Younger => age < *limit,
                }),
                Condition::Word(word) => is_word(word, facts),
            };
            holds == (term.polarity == Polarity::Is)
        })
    }

    /// Whether it means all of a place, with nothing left out: no term asks for anything else.
    pub fn covers_place(&self, place: &str) -> bool {
        self.terms.iter().all(|term| match &term.condition {
            Condition::Place(values) => any_glob(values, place) == (term.polarity == Polarity::Is),
            _ => false,
        })
    }

    /// The part of it that names something: service, place, namespace, kind, words. `None` if it names nothing. Where
    /// nothing at all matches that, something was mistyped; where nothing is in a state, nothing is.
    pub fn names(&self) -> Option<Selector> {
        let is_name = |term: &&Term| {
            term.polarity == Polarity::Is
                && matches!(
                    term.condition,
                    Condition::Service(_)
                        | Condition::Place(_)
                        | Condition::Namespace(_)
                        | Condition::Kind(_)
                        | Condition::Word(_)
                )
        };
        let terms: Vec<Term> = self.terms.iter().filter(is_name).cloned().collect();
        (!terms.is_empty()).then_some(Selector { terms })
    }

    /// The words without a key.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().filter_map(|term| match &term.condition {
            Condition::Word(word) => Some(word.as_str()),
            _ => None,
        })
    }

    /// Whether the selector itself says which namespaces it means.
    pub fn names_namespace(&self) -> bool {
        self.terms.iter().any(|term| term.polarity == Polarity::Is && matches!(term.condition, Condition::Namespace(_)))
    }

    /// Whether the selector itself says which kinds of workload it means.
    pub fn names_kind(&self) -> bool {
        self.terms.iter().any(|term| term.polarity == Polarity::Is && matches!(term.condition, Condition::Kind(_)))
    }
}

/// Whether a text matches a glob in which `*` stands for any run of characters. Case does not matter.
pub fn glob_matches(glob: &str, text: &str) -> bool {
    fn same(a: u8, b: u8) -> bool {
        a.eq_ignore_ascii_case(&b)
    }
    let (glob, text) = (glob.as_bytes(), text.as_bytes());
    let (mut at_glob, mut at_text, mut star) = (0, 0, None);
    while at_text < text.len() {
        if at_glob < glob.len() && glob[at_glob] == b'*' {
            star = Some((at_glob, at_text));
            at_glob += 1;
        } else if at_glob < glob.len() && same(glob[at_glob], text[at_text]) {
            at_glob += 1;
            at_text += 1;
        } else if let Some((star_glob, star_text)) = star {
            at_glob = star_glob + 1;
            at_text = star_text + 1;
            star = Some((star_glob, star_text + 1));
        } else {
            return false;
        }
    }
    glob[at_glob..].iter().all(|&byte| byte == b'*')
}

/// What is added to a time without leaving the calendar.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Reads `90s`, `15m`, `2h`, `3d`, `1w`; also `500ms`.
///
/// # Errors
/// The text, if it is none of these, or more than a hundred years.
pub fn duration(raw: &str) -> Result<Duration, SelectorError> {
    let wrong = || SelectorError::Age(raw.to_string());
    let digits = raw.find(|character: char| !character.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = raw[..digits].parse().map_err(|_| wrong())?;
    let unit_ms: u64 = match &raw[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return Err(wrong()),
    };
    let duration = number.checked_mul(unit_ms).map(Duration::from_millis);
    duration.filter(|duration| *duration <= LONGEST).ok_or_else(wrong)
}

fn any_glob(values: &[String], text: &str) -> bool {
    values.iter().any(|value| glob_matches(value, text))
}

fn is_state(value: &str, facts: &Facts<'_>) -> bool {
    match value {
        "off" => facts.is_off,
        "unhealthy" => facts.is_unhealthy,
        state => facts.verdict.as_str() == state,
    }
}

/// Words at white space, quotes taken off but remembered: a quoted separator is part of the value.
fn split(raw: &str) -> Result<Vec<String>, SelectorError> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for character in raw.chars() {
        match character {
            '"' => {
                quoted = !quoted;
                any = true;
            }
            space if space.is_whitespace() && !quoted => {
                if any {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            ':' | ',' if quoted => word.push(if character == ':' { '\u{1}' } else { '\u{2}' }),
            plain => {
                word.extend(plain.to_lowercase());
                any = true;
            }
        }
    }
    if quoted {
        return Err(SelectorError::Quote);
    }
    if any {
        words.push(word);
    }
    Ok(words)
}

fn term(word: &str) -> Result<Term, SelectorError> {
    let plain = |value: &str| value.replace('\u{1}', ":").replace('\u{2}', ",");
    let (polarity, word) = match word.strip_prefix('-') {
        Some(rest) if !rest.is_empty() => (Polarity::IsNot, rest),
        _ => (Polarity::Is, word),
    };
    if let Some((order, raw)) = word
        .strip_prefix("age>")
        .map(|raw| (Order::Older, raw))
        .or_else(|| word.strip_prefix("age<").map(|raw| (Order::Younger, raw)))
    {
        return Ok(Term { polarity, condition: Condition::Age(order, duration(raw)?) });
    }
    let Some((key, raw)) = word.split_once(':') else {
        return Ok(Term { polarity, condition: Condition::Word(plain(word)) });
    };
    let values: Vec<String> = raw.split(',').filter(|value| !value.is_empty()).map(plain).collect();
    if values.is_empty() {
        return Err(SelectorError::Empty(key.to_string()));
    }
    let condition = match key {
        "svc" | "service" => Condition::Service(values),
        "place" => Condition::Place(values),
        "ns" | "namespace" => Condition::Namespace(values),
        "kind" => Condition::Kind(values),
        "state" => {
            let is_known = |value: &String| {
                matches!(value.as_str(), "off" | "unhealthy")
                    || Verdict::ALL.iter().any(|verdict| verdict.as_str() == value)
            };
            match values.iter().find(|value| !is_known(value)) {
                Some(wrong) => return Err(SelectorError::State(wrong.clone())),
                None => Condition::State(values),
            }
        }
        "digest" => {
            let values: Vec<String> =
                values.iter().map(|value| value.trim_start_matches("sha256:").to_string()).collect();
            let is_prefix = |value: &&String| value.len() < 4 || !value.bytes().all(|byte| byte.is_ascii_hexdigit());
            match values.iter().find(is_prefix) {
                Some(wrong) => return Err(SelectorError::Digest(wrong.clone())),
                None => Condition::Digest(values),
            }
        }
        "image" => Condition::Image(values),
        unknown => return Err(SelectorError::Key(unknown.to_string())),
    };
    Ok(Term { polarity, condition })
}

/// How a word without a key is matched in plans: it must equal the service's name.
pub fn is_service_name(word: &str, facts: &Facts<'_>) -> bool {
    facts.service.eq_ignore_ascii_case(word)
}

/// A selector for one service, as a screen's command makes it.
pub fn of_service(service: &Text) -> Selector {
    let condition = Condition::Service(vec![service.to_lowercase()]);
    Selector { terms: vec![Term { polarity: Polarity::Is, condition }] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(filter: &str, expected: bool) {
        let hex = "sha256:9f2c41d0aa";
        let facts = Facts {
            service: "checkout",
            place: "k8s/prod-eu",
            namespace: "shop",
            kind: "Deployment",
            name: "checkout-7d9f",
            verdict: Verdict::Drift,
            is_off: true,
            is_unhealthy: false,
            images: &["registry.example/checkout:v41", hex],
            age: Some(Duration::from_secs(7200)),
        };
        let selector = Selector::parse(filter).expect(filter);
        assert_eq!(selector.is_match(&facts, &mut is_service_name), expected, "{filter}");
    }

    #[test]
    fn terms_are_and_values_are_or() {
        check("", true);
        check("svc:checkout place:k8s/prod-* state:drift", true);
        check("svc:search,CHECKOUT", true);
        check("svc:search", false);
        check("-svc:search -state:ok", true);
        check("digest:9f2c", true);
        check("digest:sha256:9f2c", true);
        check("digest:aaaa", false);
        check("image:checkout:v41", true);
        check("image:\"checkout:v41\"", true);
        check("age>1h age<3h", true);
        check("age>1d", false);
        check("checkout", true);
        check("check", false);
        check("state:off -state:unhealthy", true);
        check("kind:deployment ns:shop", true);
    }

    #[test]
    fn wrong_filters_say_what_would_be_right() {
        for (filter, part) in [
            ("colour:red", "no key `colour:`: svc"),
            ("digest:9f", "four or more"),
            ("state:bad", "no state `bad`: ok"),
            ("age>2x", "ages look like"),
            ("svc:", "needs a value"),
            ("\"open", "not closed"),
        ] {
            let error = Selector::parse(filter).expect_err(filter).to_string();
            assert!(error.contains(part), "{filter}: {error}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(raw in any::<String>()) {
            let _ = Selector::parse(&raw);
        }

        #[test]
        fn a_glob_of_the_text_itself_matches(text in "[a-z0-9/-]{0,20}", cut in 0usize..20) {
            let cut = cut.min(text.len());
            let glob = format!("{}*{}", &text[..cut], &text[cut..]);
            prop_assert!(glob_matches(&glob, &text) && glob_matches(&text, &text));
        }
    }
}
