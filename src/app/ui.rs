//! What the operator sees and has typed: the screen, the overlays, the footer, and when a frame must be drawn.
//!
//! Never holds what the rest of the model knows; each screen and each overlay keeps its own state in its own file.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::command::Scope;
use super::effect::Effect;
use super::key::Key;
use super::model::Model;
use super::operations::Operations;
use super::overlays::Overlay;
use super::rows::Rows;
use super::screens::{self, Screen, Screens};
use super::settings::Settings;
use super::timeline::Timeline;
use super::view;
use super::widgets::paint::Line;
use crate::domain::fleet::Fleet;
use crate::domain::id::OperationId;
use crate::domain::protection::Protected;
use crate::domain::text::Text;

/// The state of the screens.
#[derive(Debug)]
pub struct Ui {
    /// Which screen is shown.
    pub(crate) screen: Screen,
    /// Each screen's own state.
    pub(crate) screens: Screens,
    /// What lies over the screen; the last one has the keys.
    pub(crate) overlays: Vec<Overlay>,
    /// The field in the footer or the filter line that letters go to.
    pub(crate) entry: Option<Entry>,
    /// Keys of a sequence that is not complete.
    pub(crate) pending: Vec<Key>,
    /// What the last key did, or why it did nothing.
    pub(crate) message: Option<Message>,
    /// Screens and filters that were shown before and after this one.
    pub(crate) history: History,
    /// Columns and rows of the terminal.
    pub(crate) size: (u16, u16),
    /// How many columns tables show.
    pub(crate) detail: ColumnDetail,
    /// Since when this process shows anything: operations that ended before are no news.
    pub(crate) since: Timestamp,
    /// How many notices of the configuration were put away.
    pub(crate) notices_seen: usize,
    /// Ended operations whose end line was put away.
    pub(crate) dismissed: BTreeSet<OperationId>,
    /// Whether a frame is due.
    pub(crate) redraw: Redraw,
}

/// A field that letters go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The filter of the screen, live; what was typed before is kept for Esc.
    Filter {
        /// The filter before.
        before: String,
    },
    /// The incident that new operations belong to.
    Incident(String),
    /// Why the open plan goes where it otherwise may not.
    PlanReason(String),
    /// Why what an operation owes is written off.
    WriteOff {
        /// The operation.
        operation: OperationId,
        /// What was typed.
        typed: String,
    },
    /// Why something is protected, and for how long.
    Protect {
        /// What.
        what: Protected,
        /// What was typed.
        typed: String,
    },
}

/// A line for the footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Something was done.
    Done(Text),
    /// Something was not done, and why.
    Why(Text),
}

/// How many columns tables show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ColumnDetail {
    /// Those that answer the screen's question.
    #[default]
    Plain,
    /// All.
    Wide,
}

/// One screen with its filter, as it was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// The screen.
    pub(crate) screen: Screen,
    /// Its filter.
    pub(crate) filter: String,
}

/// The views that were looked at, like pages of a browser.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Before this one, the last one last.
    pub(crate) back: Vec<View>,
    /// After going back, the next one last.
    pub(crate) forward: Vec<View>,
}

/// Why and when a frame is due.
#[derive(Clone, Debug)]
pub(crate) struct Redraw {
    /// A frame is due.
    pub(crate) due: bool,
    /// What the rows are made from may have changed.
    pub(crate) rows: bool,
    /// When the next shown text changes by itself.
    pub(crate) clock: Option<Timestamp>,
    /// What was shown beside the rows when this was last looked at.
    pub(crate) around: Vec<Line>,
}

/// What rows are made from: the model without what is seen of it.
pub(crate) struct Known<'a> {
    /// The configuration.
    pub(crate) settings: &'a Settings,
    /// What is known of all places.
    pub(crate) fleet: &'a Fleet,
    /// What the journal knows.
    pub(crate) operations: &'a Operations,
    /// What happened in the places that are watched.
    pub(crate) timeline: &'a Timeline,
    /// Now.
    pub(crate) now: Timestamp,
}

impl Ui {
    /// At the start: Drift, nothing heard.
    pub fn new(now: Timestamp) -> Ui {
        Ui {
            screen: Screen::Drift,
            screens: Screens::default(),
            overlays: Vec::new(),
            entry: None,
            pending: Vec::new(),
            message: None,
            history: History::default(),
            size: (80, 24),
            detail: ColumnDetail::default(),
            since: now,
            notices_seen: 0,
            dismissed: BTreeSet::new(),
            redraw: Redraw { due: true, rows: true, clock: None, around: Vec::new() },
        }
    }

    /// The list of the visible screen.
    pub(crate) fn rows(&self) -> &dyn Rows {
        self.screens.of(self.screen)
    }

    /// The list of the visible screen, to change it.
    pub(crate) fn rows_mut(&mut self) -> &mut dyn Rows {
        self.screens.of_mut(self.screen)
    }

    /// Where keys are looked up, the narrowest first.
    pub(crate) fn scopes(&self) -> Vec<Scope> {
        match self.overlays.last() {
            Some(overlay) => vec![overlay.scope(), Scope::Overlays],
            None => self.base_scopes(),
        }
    }

    /// Where keys are looked up without an overlay.
    pub(crate) fn base_scopes(&self) -> Vec<Scope> {
        vec![self.screen.scope(), Scope::Lists, Scope::Global]
    }

    /// Says what was done.
    pub(crate) fn say(&mut self, text: &str) {
        self.message = Some(Message::Done(Text::new(text)));
    }

    /// Says why nothing was done.
    pub(crate) fn say_why(&mut self, text: &str) {
        self.message = Some(Message::Why(Text::new(text)));
    }

    /// The view that is shown.
    pub(crate) fn view(&self) -> View {
        View { screen: self.screen, filter: self.rows().listing().filter.typed.clone() }
    }

    /// Shows another view and remembers this one.
    pub(crate) fn visit(&mut self, view: View) {
        let before = self.view();
        if before != view {
            self.history.back.push(before);
            self.history.forward.clear();
        }
        self.show(view);
    }

    /// Shows a view.
    pub(crate) fn show(&mut self, view: View) {
        self.screen = view.screen;
        self.rows_mut().listing_mut().filter.show(view.filter);
        self.overlays.clear();
        self.entry = None;
        self.touch();
    }

    /// The rows must be made again.
    pub(crate) fn touch(&mut self) {
        self.redraw.rows = true;
        self.redraw.due = true;
    }
}

impl Model {
    /// Whether a shown text may have changed: the runtime calls `refresh`, and draws if `take_redraw` says so.
    pub fn is_dirty(&self) -> bool {
        self.ui.redraw.due || self.ui.redraw.rows
    }

    /// Whether a frame is due; it is taken as drawn.
    pub fn take_redraw(&mut self) -> bool {
        std::mem::take(&mut self.ui.redraw.due)
    }

    /// What rows are made from.
    pub(crate) fn known(&self) -> Known<'_> {
        Known {
            settings: &self.settings,
            fleet: &self.fleet,
            operations: &self.operations,
            timeline: &self.timeline,
            now: self.now,
        }
    }
}

/// Makes the rows of the visible screen again where something changed. Pure; the runtime calls it before it draws, at
/// most ten times a second under load, and does what comes back (a filter for a worker).
#[must_use]
pub fn refresh(model: &mut Model) -> Vec<Effect> {
    let mut effects = Vec::new();
    let is_news = std::mem::take(&mut model.ui.redraw.rows);
    if is_news {
        let Model {
            settings,
            now,
            fleet,
            operations,
            ui,
            timeline,
            health: _,
            protections: _,
            resolving: _,
            signing: _,
            auditing: _,
        } = model;
        let known = Known { settings, fleet, operations, timeline, now: *now };
        let changed = ui.screens.rebuild(ui.screen, &known, &mut effects);
        // What lies over the screen shows the fleet itself.
        ui.redraw.due |= changed || !ui.overlays.is_empty();
    }
    if is_news || model.ui.redraw.due {
        // A place that fails changes no row: header, banner and the words of the screen are compared by what they say.
        let around = view::around(model);
        model.ui.redraw.due |= around != model.ui.redraw.around;
        model.ui.redraw.around = around;
    }
    if model.ui.redraw.due {
        let height = view::layout(model).table_height;
        screens::page::keep_top(model.ui.rows_mut(), height);
        for overlay in &mut model.ui.overlays {
            overlay.shown(model.now);
        }
        model.ui.redraw.clock = screens::clock::next_change(model);
    }
    effects
}
