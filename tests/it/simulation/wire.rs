//! The way to the places and back: requests that arrive late or never, answers that are late, lost, or told twice.
//!
//! Never sends a request twice and never makes one: what arrives was ordered by an effect.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use rolldeck::app::event::{CallAnswer, Event, ProviderEvent};
use rolldeck::domain::id::{OperationId, PlaceId, WorkloadId};
use rolldeck::domain::journal::Call;
use rolldeck::domain::plan::Action;
use rolldeck::domain::text::Text;
use rolldeck::providers::sim::{Census, Outcome, SimWorld};
use rolldeck::providers::{Answer, Mutations, Operator, Order};

use super::dice::Dice;

/// How long a process waits for an answer.
const LIMIT: Duration = Duration::from_secs(60);

/// What is on its way. It is no part of a process: what was sent may arrive after its sender is gone.
pub(super) struct Wire {
    world: Arc<SimWorld>,
    operators: BTreeMap<PlaceId, Arc<dyn Operator>>,
    tasks: JoinSet<()>,
    arrived: Arc<Mutex<Vec<Arrival>>>,
}

/// A request that has arrived and was done.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) operation: OperationId,
    pub(super) call: Call,
    pub(super) workload: WorkloadId,
    pub(super) action: Action,
    /// How it was just before.
    pub(super) before: Option<Census>,
}

/// What becomes of a request and of its answer.
struct Fate {
    /// How long the request is on its way; `None`: it never arrives.
    there: Option<Duration>,
    /// How long the answer is.
    back: Back,
}

enum Back {
    /// It comes after so long.
    Comes(Duration),
    /// It comes a second time too, before anybody can have sent the same request again.
    ComesTwice(Duration, Duration),
    /// It is lost, which is noticed so long after the request was sent.
    Lost(Duration),
}

impl Wire {
    /// The way to every place of a world.
    pub(super) fn new(world: &Arc<SimWorld>) -> Wire {
        let operator = |id: &PlaceId| {
            let connected = world.connect(id, Mutations::Allowed).expect("the place is there");
            (id.clone(), connected.operator.expect("mutations are allowed"))
        };
        let operators = world.places().map(operator).collect();
        Wire { world: world.clone(), operators, tasks: JoinSet::new(), arrived: Arc::default() }
    }

    /// Sends a request off; in calm weather nothing happens to it.
    pub(super) fn send(&mut self, order: Order, told: mpsc::UnboundedSender<Event>, dice: Option<&mut Dice>) {
        let fate = dice.map_or(Fate::good(), Fate::of);
        let operator = self.operators[&order.step.workload.place].clone();
        let (world, arrived) = (self.world.clone(), self.arrived.clone());
        let (operation, call) = (order.operation.clone(), order.call);
        let travel = async move {
            let there = fate.there?;
            sleep(there).await;
            let answer = arrive(&world, operator, order, &arrived).await;
            Some(call_answer(answer))
        };
        self.tasks.spawn(async move {
            let tell = |answer: CallAnswer| {
                let event = ProviderEvent::Executed { operation: operation.clone(), call, answer };
                // Whoever has sent it may be gone.
                let _ = told.send(Event::Provider(event));
            };
            let lost = || CallAnswer::Unanswered(Text::new("connection reset by peer"));
            match fate.back {
                Back::Lost(noticed) => {
                    let notice = async {
                        sleep(noticed).await;
                        tell(lost());
                    };
                    tokio::join!(notice, travel);
                }
                Back::Comes(back) => {
                    let answer = travel.await.unwrap_or_else(lost);
                    sleep(back.min(LIMIT)).await;
                    tell(if back > LIMIT { lost() } else { answer });
                }
                Back::ComesTwice(back, again) => {
                    let answer = travel.await.unwrap_or_else(lost);
                    sleep(back).await;
                    tell(answer.clone());
                    sleep(again).await;
                    tell(answer);
                }
            }
        });
    }

    /// What has arrived since this was last asked.
    pub(super) fn arrivals(&self) -> Vec<Arrival> {
        std::mem::take(&mut *self.arrived.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A sender has died, and with it what had not left its machine yet.
    pub(super) fn cut(&mut self) {
        self.tasks.abort_all();
    }
}

impl Fate {
    fn good() -> Fate {
        Fate { there: Some(Duration::ZERO), back: Back::Comes(Duration::ZERO) }
    }

    fn of(dice: &mut Dice) -> Fate {
        let soon = Some(dice.millis(0, 800));
        match dice.below(16) {
            0 => Fate { there: Some(dice.millis(0, 10_000)), back: Back::Comes(dice.millis(0, 20_000)) },
            1 => Fate { there: soon, back: Back::Lost(dice.millis(1000, 30_000)) },
            // Noticed at once, while the request is still on its way.
            2 => Fate { there: Some(dice.millis(0, 10_000)), back: Back::Lost(dice.millis(0, 500)) },
            3 => Fate { there: None, back: Back::Lost(dice.millis(0, 5000)) },
            4 => Fate { there: soon, back: Back::Comes(dice.millis(50_000, 70_000)) },
            5 => Fate { there: soon, back: Back::ComesTwice(dice.millis(0, 2000), dice.millis(0, 1000)) },
            _ => Fate { there: soon, back: Back::Comes(dice.millis(0, 800)) },
        }
    }
}

async fn arrive(
    world: &Arc<SimWorld>,
    operator: Arc<dyn Operator>,
    order: Order,
    arrived: &Mutex<Vec<Arrival>>,
) -> Answer {
    let (operation, call) = (order.operation.clone(), order.call);
    let (workload, action) = (order.step.workload.clone(), order.step.action.clone());
    let done = || {
        let calls = world.calls();
        let done = calls.iter().filter(|received| received.operation == operation && received.call == call);
        done.filter(|received| received.outcome == Outcome::Done).count()
    };
    let (before, already) = (world.census(&workload), done());
    let answer = operator.execute(order).await;
    if done() > already {
        let arrival = Arrival { operation: operation.clone(), call, workload, action, before };
        arrived.lock().unwrap_or_else(PoisonError::into_inner).push(arrival);
    }
    answer
}

fn call_answer(answer: Answer) -> CallAnswer {
    match answer {
        Answer::Accepted(receipt) => CallAnswer::Accepted(receipt),
        Answer::Refused(reason) => CallAnswer::Refused(reason),
        Answer::Blocked(reason) => CallAnswer::Blocked(reason),
        Answer::Moved { differences, bound } => CallAnswer::Moved { differences, bound },
        Answer::Unanswered(reason) => CallAnswer::Unanswered(reason),
    }
}
