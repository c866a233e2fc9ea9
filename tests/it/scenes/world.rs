//! A model with a keyboard and a runtime that answers at once: effects are done in memory, nothing waits.
//!
//! Never reads a clock: time moves when a test says so.

use std::time::Duration;

use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use rolldeck::app::effect::Effect;
use rolldeck::app::event::{CallAnswer, Event, ProviderEvent, StoreEvent, TerminalEvent};
use rolldeck::app::key::Key;
use rolldeck::app::model::Model;
use rolldeck::app::settings::{Access, Connection, Look, PlaceSetting, Settings};
use rolldeck::app::{filter, ui, update, view};
use rolldeck::domain::expectation::{Declaration, ServiceKeys};
use rolldeck::domain::id::PlaceId;
use rolldeck::domain::journal::{Driver, Receipt, Record};
use rolldeck::domain::observation::{Batch, Observation, PlaceState};
use rolldeck::domain::plan::{Action, Inspection, Step};
use rolldeck::domain::policy::Policy;
use rolldeck::domain::text::Text;

/// A cockpit in memory.
pub(crate) struct World {
    pub(crate) model: Model,
    /// Effects that nothing in here does: what a test looks at.
    pub(crate) asked: Vec<Effect>,
    /// Whether providers answer questions about plans at once.
    pub(crate) inspects: Inspects,
    sequence: u64,
}

/// What providers do when they are asked about a plan.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inspects {
    AtOnce,
    Never,
}

impl World {
    /// A cockpit with these places, nothing heard of them.
    pub(crate) fn new(places: &[&str]) -> World {
        World::declared(places, Vec::new())
    }

    /// The same with declarations.
    pub(crate) fn declared(places: &[&str], declarations: Vec<Declaration>) -> World {
        let now = Timestamp::from_second(1_795_230_600).expect("a time");
        let settings = Settings {
            policy: Policy::default(),
            declarations,
            service_keys: ServiceKeys::default(),
            places: places.iter().map(|id| place(id)).collect(),
            access: Access::Operable,
            driver: Driver {
                who: Text::new("ada@ops-1"),
                host: Text::new("ops-1"),
                boot: Text::new("boot"),
                pid: 4242,
                started_at: now,
            },
            incident: None,
            notices: Vec::new(),
            scenario: None,
            releases: Vec::new(),
            registries: Vec::new(),
            look: Look::default(),
        };
        World { model: Model::new(settings, now), asked: Vec::new(), inspects: Inspects::AtOnce, sequence: 0 }
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        self.model.now
    }

    /// So many minutes before now.
    pub(crate) fn ago(&self, minutes: u64) -> Timestamp {
        self.model.now - Duration::from_secs(60 * minutes)
    }

    /// Takes an event in and does everything that follows.
    pub(crate) fn happen(&mut self, event: Event) {
        let effects = update::update(&mut self.model, event);
        self.do_all(effects);
    }

    /// A place reports.
    pub(crate) fn observe(&mut self, place: &str, observations: Vec<Observation>) {
        let fetched_at = self.model.now;
        self.happen(Event::Observed(Batch { place: PlaceId::new(place), fetched_at, observations }));
    }

    /// A place is complete and answers.
    pub(crate) fn live(&mut self, place: &str) {
        self.observe(place, vec![Observation::Place(PlaceState::Live)]);
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let now = self.model.now + duration;
        self.happen(Event::Ticked(now));
    }

    /// Rows are made, questions to workers answered, until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        while self.model.is_dirty() {
            let effects = ui::refresh(&mut self.model);
            self.model.take_redraw();
            self.do_all(effects);
        }
    }

    /// Presses keys as keymaps write them, one after the other; a frame is drawn between them, half a second passes.
    pub(crate) fn press(&mut self, keys: &str) {
        for key in Key::sequence(keys).expect("keys") {
            self.settle();
            self.pass(Duration::from_millis(500));
            self.key(key);
        }
        self.settle();
    }

    /// Presses keys without a frame or time between them, as a terminal hands over what was typed ahead.
    pub(crate) fn press_at_once(&mut self, keys: &str) {
        for key in Key::sequence(keys).expect("keys") {
            self.key(key);
        }
    }

    /// Types text letter by letter.
    pub(crate) fn type_text(&mut self, text: &str) {
        for letter in text.chars() {
            self.key(Key { code: KeyCode::Char(letter), modifiers: KeyModifiers::NONE });
            self.settle();
        }
    }

    /// Pastes text.
    pub(crate) fn paste(&mut self, text: &str) {
        self.happen(Event::Terminal(TerminalEvent::Pasted(text.to_string())));
        self.settle();
    }

    /// Moves the cursor of Drift to the row of a service.
    pub(crate) fn find(&mut self, service: &str) {
        self.press("g g");
        for _ in 0..50 {
            let buffer = self.frame(200, 50);
            let here = super::text(&buffer);
            let cursor = here.lines().find(|line| line.starts_with('>')).unwrap_or_default();
            if cursor.contains(&format!(" {service} ")) {
                return;
            }
            self.press("j");
        }
        panic!("no row of {service}");
    }

    /// The text of the frame at 200x50.
    pub(crate) fn screen(&mut self) -> String {
        let buffer = self.frame(200, 50);
        super::text(&buffer)
    }

    /// Draws a frame of this size.
    pub(crate) fn frame(&mut self, width: u16, height: u16) -> Buffer {
        self.happen(Event::Terminal(TerminalEvent::Resized(width, height)));
        self.settle();
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal in memory");
        terminal.draw(|frame| view::draw(&self.model, frame)).expect("a frame in memory");
        terminal.backend().buffer().clone()
    }

    fn key(&mut self, key: Key) {
        self.happen(Event::Terminal(TerminalEvent::Pressed(KeyEvent::new(key.code, key.modifiers))));
    }

    fn do_all(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Filter(question) => self.happen(Event::Filtered(filter::answer(&question))),
                Effect::Append { operation, entry, .. } => {
                    self.sequence += 1;
                    let record = Record { sequence: self.sequence, operation, at: self.model.now, entry: *entry };
                    self.happen(Event::Store(StoreEvent::Appended(record)));
                }
                Effect::Inspect { plan, steps } if self.inspects == Inspects::AtOnce => {
                    for step in steps {
                        let (inspection, step) = (inspect(&step), step.id);
                        self.happen(Event::Provider(ProviderEvent::Inspected { plan: plan.clone(), step, inspection }));
                    }
                }
                Effect::Execute { operation, call, step, who } => {
                    let generation = self.model.fleet.workload(&step.workload).map_or(0, |seen| seen.seen.generation);
                    let template = match &step.action {
                        Action::RestoreRevision { hash, .. } => Some(hash.clone()),
                        Action::SetImage { .. }
                        | Action::Evict { .. }
                        | Action::EndRollout { .. }
                        | Action::Promote { .. }
                        | Action::Borrow { .. }
                        | Action::GiveBack { .. } => None,
                    };
                    let receipt = Receipt { generation: generation + 1, template, notes: Vec::new() };
                    self.asked.push(Effect::Execute { operation: operation.clone(), call, step, who });
                    let answer = CallAnswer::Accepted(receipt);
                    self.happen(Event::Provider(ProviderEvent::Executed { operation, call, answer }));
                }
                other => self.asked.push(other),
            }
        }
    }
}

fn place(id: &str) -> PlaceSetting {
    PlaceSetting {
        id: PlaceId::new(id),
        kind: Text::new("kubernetes"),
        access: Access::Operable,
        connection: Connection::Wanted,
    }
}

/// What a friendly provider says of a step.
fn inspect(step: &Step) -> Inspection {
    use rolldeck::domain::plan::{Check, CheckVerdict};
    let namespace = step.workload.namespace.as_deref().unwrap_or("default");
    let context = step.workload.place.0.trim_start_matches("k8s/");
    let equivalent = match &step.action {
        Action::RestoreRevision { number, .. } => format!(
            "kubectl --context {context} -n {namespace} rollout undo deployment/{} --to-revision={number}",
            step.workload.name
        ),
        Action::SetImage { container, image } => format!(
            "kubectl --context {context} -n {namespace} set image deployment/{} {container}={image}",
            step.workload.name
        ),
        Action::Evict { name, .. } => format!("kubectl --context {context} -n {namespace} evict pod/{name}"),
        Action::EndRollout { .. } | Action::Promote { .. } | Action::Borrow { .. } | Action::GiveBack { .. } => {
            String::new()
        }
    };
    Inspection {
        also_goes_back: vec![Text::new("limits of app"), Text::new("environment FEATURE_X")],
        checks: vec![Check {
            name: Text::new("permission"),
            verdict: CheckVerdict::Pass,
            detail: Text::new(&format!("{}: may patch it; a dry run was accepted", step.workload)),
        }],
        equivalent: Some(Text::new(&equivalent)),
        ..Inspection::default()
    }
}
