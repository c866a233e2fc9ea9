//! Questions before something that is no plan: leaving while an operation runs, taking one over, going on with a new
//! code after a fact moved.
//!
//! Never accepts the key that asked.

use jiff::Timestamp;

use super::code::{CodeField, Typed};
use super::{Letters, Overlay};
use crate::app::command::{Command, Risk, Scope, not_now};
use crate::app::effect::Effect;
use crate::app::event::ControlRequest;
use crate::app::model::Model;
use crate::app::screens::operations;
use crate::app::theme::Meaning;
use crate::app::widgets::paint::Line;
use crate::app::widgets::panel::Panel;
use crate::domain::id::OperationId;
use crate::domain::journal::Request;
use crate::domain::operation::{Alive, Mode, Operation};
use crate::domain::text::Text;

/// A question with its field.
#[derive(Debug)]
pub(crate) struct AskOverlay {
    /// What is asked.
    pub(crate) question: Question,
    /// The code, where one is asked for; also keeps keys away that were typed ahead.
    pub(crate) field: CodeField,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Leave, while this process drives an operation?
    Quit,
    /// Take an operation over that nobody drives?
    TakeOver(OperationId),
    /// Go on although a bound fact moved?
    GoOn {
        /// Which operation.
        operation: OperationId,
        /// The code that says yes.
        code: String,
    },
}

/// What stands for the code of a question that needs none.
const YES: &str = "y";

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[
    command(
        "ask.yes",
        "yes",
        "Takes the operation over and goes on with it.",
        |model| is(model, |question| matches!(question, Question::TakeOver(_))),
        yes,
    ),
    command("ask.detach", "detach", "Goes on without a screen until the operation ends.", is_quit, |model| {
        model.ui.overlays.pop();
        vec![Effect::Detach]
    }),
    command("ask.stop", "stop here", "Stops the operation; what was done stays.", is_quit, stop),
];

const fn command(
    id: &'static str,
    title: &'static str,
    doc: &'static str,
    available: fn(&Model) -> Result<(), Text>,
    run: fn(&mut Model) -> Vec<Effect>,
) -> Command {
    Command { id, title, doc, risk: Risk::Run, scope: Scope::Ask, available, run }
}

impl AskOverlay {
    /// Leave?
    pub(crate) fn quit() -> AskOverlay {
        AskOverlay { question: Question::Quit, field: CodeField::default() }
    }

    /// Take over?
    pub(crate) fn take_over(operation: OperationId) -> AskOverlay {
        AskOverlay { question: Question::TakeOver(operation), field: CodeField::default() }
    }

    /// Go on?
    pub(crate) fn go_on(operation: &Operation) -> Option<AskOverlay> {
        let code = operation.resume_code()?.as_str().to_string();
        let question = Question::GoOn { operation: operation.id.clone(), code };
        Some(AskOverlay { question, field: CodeField::default() })
    }

    /// What letters do.
    pub(crate) fn letters(&self) -> Letters {
        match self.question {
            Question::GoOn { .. } => Letters::Code,
            Question::Quit | Question::TakeOver(_) => Letters::Keys,
        }
    }

    /// A frame is about to be drawn.
    pub(crate) fn shown(&mut self, now: Timestamp) {
        let code = match &self.question {
            Question::GoOn { code, .. } => code.clone(),
            Question::Quit | Question::TakeOver(_) => YES.to_string(),
        };
        self.field.shown(&code, now);
    }
}

/// After each event: a question about something that is no longer so is put away.
pub(crate) fn look_again(model: &mut Model) {
    let Some(Overlay::Ask(overlay)) = model.ui.overlays.last() else { return };
    let operation = |id: &OperationId| model.operations.get(id);
    let holds = match &overlay.question {
        Question::Quit => model.operations.is_driving(),
        Question::TakeOver(id) => {
            operation(id).is_some_and(|tracked| tracked.operation.ended.is_none() && tracked.alive == Alive::Nobody)
        }
        Question::GoOn { operation: id, code } => {
            operation(id).and_then(|tracked| tracked.operation.resume_code()).is_some_and(|now| now.as_str() == code)
        }
    };
    if !holds {
        model.ui.overlays.pop();
        model.ui.say("the question is out of date: things moved meanwhile");
    }
}

/// A letter of the code that lets an operation go on.
pub(crate) fn type_letter(model: &mut Model, letter: char) -> Vec<Effect> {
    let now = model.now;
    let Some(Overlay::Ask(overlay)) = model.ui.overlays.last_mut() else { return Vec::new() };
    let Question::GoOn { operation, code } = overlay.question.clone() else { return Vec::new() };
    match overlay.field.take(letter, &code, now) {
        Typed::TooEarly => model.ui.say_why("typed before the code was seen: dropped; type it now"),
        Typed::Wrong => model.ui.say_why("that is not the next letter of the code: the field is empty again"),
        Typed::Right => {}
        Typed::Complete => {
            model.ui.overlays.pop();
            model.ui.say(&format!("{operation} goes on with the facts as they are now"));
            let who = model.settings.driver.who.clone();
            return model.operations.ask(&operation, ControlRequest::ResumeWithCode(Text::new(&code)), &who);
        }
    }
    Vec::new()
}

/// What the overlay shows.
pub(crate) fn panel(model: &Model, overlay: &AskOverlay, width: usize) -> Panel {
    let mut body = Vec::new();
    let mut add = |line: Line| body.extend(line.wrapped(width, 2));
    let title = match &overlay.question {
        Question::Quit => {
            add(Line::plain(" This process runs an operation. Leave it?"));
            for tracked in model
                .operations
                .iter()
                .filter(|tracked| tracked.alive == Alive::Here && tracked.operation.ended.is_none())
            {
                add(Line::new(Meaning::Title, format!("   {}  ", tracked.operation.id))
                    .and(Meaning::Text, tracked.operation.plan.title.to_string()));
                add(Line::new(Meaning::Dim, format!("   {}", tracked.operation.plan.abort_leaves)));
            }
            add(Line::default());
            add(Line::new(Meaning::Key, "   d").and(
                Meaning::Text,
                "    detach: it goes on without a screen until it ends; `rolldeck watch` follows it",
            ));
            add(Line::new(Meaning::Key, "   x s")
                .and(Meaning::Text, "  stop here: no new step; q again when it has ended"));
            add(Line::new(Meaning::Key, "   Esc").and(Meaning::Text, "  stay"));
            " QUIT "
        }
        Question::TakeOver(id) => {
            add(Line::plain(format!(" Nobody drives {id}. Take it over? This process then goes on with it:")));
            if let Some(tracked) = model.operations.get(id) {
                for line in operations::outlook(&tracked.operation) {
                    add(line);
                }
            }
            add(Line::default());
            add(Line::new(Meaning::Key, "   y")
                .and(Meaning::Text, "    take it over: what was sent is looked at, never sent again"));
            add(Line::new(Meaning::Key, "   Esc").and(Meaning::Text, "  leave it"));
            " TAKE OVER "
        }
        Question::GoOn { operation, code } => {
            add(Line::new(Meaning::Danger, format!(" {operation}: plan moved. Nothing more was sent.")));
            let mode = model.operations.get(operation).map(|tracked| &tracked.operation.mode);
            if let Some(Mode::PlanMoved { step, differences, .. }) = mode {
                for difference in differences {
                    add(Line::new(Meaning::Warning, format!("   step {step}: {difference}")));
                }
            }
            add(Line::default());
            let mut line = Line::plain(" Type the code to go on with the facts as they are now:  ");
            line.0.extend(overlay.field.line(code).0);
            add(line);
            " GO ON "
        }
    };
    Panel { title: Line::new(Meaning::Header, title), body, foot: Vec::new(), top: 0 }
}

fn is(model: &Model, wanted: fn(&Question) -> bool) -> Result<(), Text> {
    let Some(Overlay::Ask(overlay)) = model.ui.overlays.last() else { return not_now("nothing is asked") };
    if !wanted(&overlay.question) {
        return not_now("that is no answer here");
    }
    if overlay.field.is_armed(YES, model.now) { Ok(()) } else { not_now("typed before the question was seen: dropped") }
}

fn is_quit(model: &Model) -> Result<(), Text> {
    is(model, |question| *question == Question::Quit)
}

fn yes(model: &mut Model) -> Vec<Effect> {
    let Some(Overlay::Ask(AskOverlay { question: Question::TakeOver(id), .. })) = model.ui.overlays.pop() else {
        return Vec::new();
    };
    model.ui.say(&format!("taking {id} over"));
    let is_held =
        model.operations.get(&id).is_some_and(|tracked| matches!(tracked.operation.mode, Mode::Paused { .. }));
    if is_held {
        let who = model.settings.driver.who.clone();
        return model.operations.ask(&id, ControlRequest::Plain(Request::Resume), &who);
    }
    vec![Effect::Claim(id)]
}

fn stop(model: &mut Model) -> Vec<Effect> {
    model.ui.overlays.pop();
    let driven =
        model.operations.iter().filter(|tracked| tracked.alive == Alive::Here && tracked.operation.ended.is_none());
    let ids: Vec<OperationId> = driven.map(|tracked| tracked.operation.id.clone()).collect();
    let who = model.settings.driver.who.clone();
    model.ui.say("stopping: no new step; q again when it has ended");
    ids.iter().flat_map(|id| model.operations.ask(id, ControlRequest::Plain(Request::Stop), &who)).collect()
}
