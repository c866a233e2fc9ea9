//! One account and region, looked at again and again: who we are there, everything that is there, how it answers.
//!
//! AWS tells no changes, so each look lists all; a look that is under way when we act is thrown away and made again.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::commands;
use super::connect::{Clients, Reads, ask};
use super::fault::Fault;
use super::groups::{ACTIVITIES, CONFIGURATIONS, GROUPS, Groups, MACHINES, REFRESHES, TEMPLATES};
use super::report::{Order, Report, Told};
use super::services::{DEPLOYMENTS, SERVICES, Services};
use super::tasks::DEFINITIONS;
use crate::domain::expectation::ServiceKeys;
use crate::domain::observation::{Observation, PlaceIdentity, PlaceState, Source};
use crate::domain::text::Text;
use crate::providers::{Mutations, Sink};

/// How often a place is looked at where its settings do not say.
const EVERY: Duration = Duration::from_secs(10);
/// While something moves there it is looked at more often.
const BUSY: Duration = Duration::from_secs(5);
/// A place that asks us to be slower is looked at this seldom at most.
const SELDOM: Duration = Duration::from_secs(120);
/// While nobody has signed in, a helper that gets credentials is not run more often.
const SIGN_IN_AGAIN: Duration = Duration::from_secs(30);
/// The first pause after a look that failed; each is twice the one before.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest of them.
const AGAIN_AT_MOST: Duration = Duration::from_secs(15);

/// A look that takes longer than this, and than twice the last one, makes what is shown stale.
const SLOW: Duration = Duration::from_secs(30);
/// One that takes longer is given up.
const LONGEST: Duration = Duration::from_secs(300);

/// What is read to understand the rows of others.
const ROWLESS: [Source; 6] = [ACTIVITIES, REFRESHES, TEMPLATES, CONFIGURATIONS, DEPLOYMENTS, DEFINITIONS];

/// What a watch needs to know.
pub(super) struct Watch<'a> {
    pub reads: &'a Reads,
    pub keys: &'a ServiceKeys,
    pub mutations: Mutations,
    /// How often it is looked at.
    pub every: Option<Duration>,
    /// Rings when we have changed something there.
    pub acted: &'a Notify,
}

/// What is kept between looks.
#[derive(Default)]
struct Kept {
    groups: Groups,
    services: Services,
    identity: Option<PlaceIdentity>,
    limited: Vec<Source>,
    /// What was told of machines, and of tasks.
    told: [Told; 2],
}

/// What a look found out of the place as a whole.
enum Found {
    Everything,
    /// Not one list is granted.
    Nothing(Text),
}

/// Watches until dropped.
pub(super) async fn watch(watch: Watch<'_>, sink: Sink) {
    tokio::join!(watch.reads.calls().tell(&sink, Timestamp::now), watch.look_on(&sink));
}

impl Watch<'_> {
    async fn look_on(&self, sink: &Sink) {
        let mut kept = Kept::default();
        let mut said = PlaceState::Loading;
        sink.send(Timestamp::now(), vec![Observation::Place(said.clone())]).await;
        let (mut was_live, mut failures, mut slowed) = (false, 0_u32, Duration::ZERO);
        let mut took = Duration::ZERO;
        loop {
            let began = Timestamp::now();
            let clock = Instant::now();
            let slow = SLOW.max(took * 2);
            let order = if was_live { Order::Later } else { Order::First };
            let looked = {
                let look = tokio::time::timeout(LONGEST, self.look(&mut kept, sink, (began, order)));
                tokio::pin!(look);
                loop {
                    tokio::select! {
                        looked = &mut look => break Some(looked),
                        // What is read now may be older than what we did.
                        () = self.acted.notified() => break None,
                        () = tokio::time::sleep(slow), if said.is_live() => {
                            said = PlaceState::Stale(Text::new("its answers take long"));
                            sink.send(Timestamp::now(), vec![Observation::Place(said.clone())]).await;
                        }
                    }
                }
            };
            let Some(looked) = looked else {
                kept.groups.doubt();
                continue;
            };
            took = clock.elapsed();
            let looked = looked.unwrap_or_else(|_| Err(Fault::NoAnswer(Text::new("a look came to no end"))));
            let (state, pause) = match &looked {
                Ok(Found::Everything) => {
                    (failures, slowed) = (0, slowed / 2);
                    (PlaceState::Live, self.pause(&kept).max(slowed))
                }
                Ok(Found::Nothing(why)) => (PlaceState::Forbidden(why.clone()), SIGN_IN_AGAIN),
                Err(fault) => {
                    failures += 1;
                    let pause = match fault {
                        Fault::SignIn(_) => {
                            self.reads.renounce();
                            // Whoever signs in next may be somebody else.
                            kept.identity = None;
                            SIGN_IN_AGAIN
                        }
                        Fault::Throttled(_) => {
                            slowed = (slowed * 2).clamp(EVERY * 2, SELDOM);
                            slowed
                        }
                        Fault::NotSent(_)
                        | Fault::NoAnswer(_)
                        | Fault::Denied(_)
                        | Fault::Refused { .. }
                        | Fault::Failed(_) => (AGAIN * 2_u32.pow(failures.min(5) - 1)).min(AGAIN_AT_MOST),
                    };
                    (self.state_of(fault, was_live), pause)
                }
            };
            was_live |= state.is_live();
            if state != said {
                sink.send(
                    if state.is_live() { began } else { Timestamp::now() },
                    vec![Observation::Place(state.clone())],
                )
                .await;
                said = state;
            } else if said.is_live() {
                sink.send(began, vec![Observation::Heartbeat]).await;
            }
            tokio::select! {
                () = tokio::time::sleep(jittered(pause)) => {}
                () = self.acted.notified() => kept.groups.doubt(),
            }
        }
    }

    fn pause(&self, kept: &Kept) -> Duration {
        let every = self.every.unwrap_or(EVERY);
        if kept.groups.is_busy() || kept.services.is_busy() { every.min(BUSY) } else { every }
    }

    /// Looks at everything once.
    async fn look(&self, kept: &mut Kept, sink: &Sink, (began, order): (Timestamp, Order)) -> Result<Found, Fault> {
        let clients = self.reads.clients().await;
        if clients.region.is_empty() {
            return Err(Fault::Refused { code: Text::new("NoRegion"), message: Text::default() });
        }
        if kept.identity.is_none() {
            let identity = self.identity(&clients).await?;
            sink.send(Timestamp::now(), vec![Observation::Identity(Box::new(identity.clone()))]).await;
            kept.identity = Some(identity);
        }
        let begin = |told: &mut Told| Report::begin(sink, began, order, std::mem::take(told));
        let [told_groups, told_services] = &mut kept.told;
        let (mut of_groups, mut of_services) = (begin(told_groups), begin(told_services));
        let (groups, services) = tokio::join!(
            kept.groups.look(&clients, self.keys, &mut of_groups),
            kept.services.look(&clients, self.keys, &mut of_services)
        );
        groups.and(services)?;
        let (of_groups, of_services) = (of_groups.into_parts(), of_services.into_parts());
        kept.told = [of_groups.told, of_services.told];
        let (mut rows, mut limits) = (of_groups.rows, of_groups.limits);
        rows.extend(of_services.rows);
        limits.extend(of_services.limits);
        let is_limited = |source: &Source| limits.iter().any(|(limited, _)| limited == source);
        // A list that begins takes back what was said of it; for what has rows the look itself has done that.
        let is_rowless = |source: &&Source| ROWLESS.contains(source);
        let granted = kept.limited.iter().filter(|source| !is_limited(source)).filter(is_rowless).copied();
        rows.extend(granted.flat_map(|source| [Observation::ListStarted(source), Observation::ListFinished(source)]));
        let is_blind = [GROUPS, MACHINES, SERVICES].iter().all(is_limited);
        let found = match limits.first().filter(|_| is_blind) {
            Some((_, why)) => Found::Nothing(why.clone()),
            None => Found::Everything,
        };
        kept.limited = limits.iter().map(|(source, _)| *source).collect();
        rows.extend(limits.into_iter().map(|(source, why)| Observation::Limited(source, why)));
        if !rows.is_empty() {
            sink.send(began, rows).await;
        }
        kept.services.was_handed_over();
        Ok(found)
    }

    async fn identity(&self, clients: &Clients) -> Result<PlaceIdentity, Fault> {
        let answer = ask("sts:GetCallerIdentity", clients.sts.get_caller_identity().send()).await?;
        let link = self.reads.link();
        let mut notes = Vec::new();
        notes.extend(link.role_arn.as_ref().map(|role| Text::new(&format!("assumes {role}"))));
        notes.extend(link.endpoint_url.as_ref().map(|url| Text::new(&format!("asks {url}, not AWS"))));
        let (mut can, mut cannot) = (vec![Text::new("look")], Vec::new());
        let what = Text::new("refresh groups, deploy services, replace machines and tasks");
        match self.mutations {
            Mutations::Allowed => {
                can.push(Text::new(&format!("{what}, as its policy allows: AWS tells only when asked")))
            }
            Mutations::Forbidden => cannot.push((what, Text::new("read only"))),
        }
        Ok(PlaceIdentity {
            account: answer.account().map(Text::new),
            // The account is told beside it.
            identity: answer.arn().map(|arn| Text::new(arn.rsplit(':').next().unwrap_or(arn))),
            server: Some(Text::new(&clients.region)),
            notes,
            can,
            cannot,
            look: Some(commands::look(link)),
        })
    }

    fn state_of(&self, fault: &Fault, was_live: bool) -> PlaceState {
        match fault {
            Fault::SignIn(why) => {
                PlaceState::AuthExpired(Text::new(&format!("{why}; {}", self.reads.link().how_to_sign_in())))
            }
            Fault::Refused { code, .. } if *code == "NoRegion" => PlaceState::Misconfigured(Text::new(
                "no region is named; set `region` of the place, AWS_REGION, or the region of the profile",
            )),
            _ if was_live => PlaceState::Stale(fault.text()),
            _ => PlaceState::Unreachable(fault.text()),
        }
    }
}

/// A tenth more or less, so that several processes do not ask in step.
fn jittered(pause: Duration) -> Duration {
    let nanoseconds = Timestamp::now().subsec_nanosecond().unsigned_abs();
    pause.mul_f64(0.9 + 0.2 * f64::from(nanoseconds % 1_000) / 1_000.0)
}
