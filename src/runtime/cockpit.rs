//! The cockpit: the session with a screen before it and a keyboard behind it.
//!
//! Never decides and never waits for the terminal: frames go to the writer's thread, keys come as events.

use std::time::Duration;

use anyhow::Context;
use crossterm::event::{Event as TerminalInput, KeyEventKind};
use futures::FutureExt as _;
use tokio::time::Instant;

use super::headless::progress::progress;
use super::headless::{Exit, follow_all};
use super::log;
use super::session::Session;
use super::terminal::{Asked, Canvas, Keyboard, Screen, Signals, size};
use crate::app::effect::Effect;
use crate::app::event::{Event, ProcessEvent, TerminalEvent};
use crate::app::ui::refresh;
use crate::app::view::draw;
use crate::domain::operation::Alive;
use crate::domain::text::Text;
use crate::domain::text::counted;

/// Under load the screen is drawn this often; a key is answered at once.
const FRAME: Duration = Duration::from_millis(100);
/// What to do where there is no terminal.
const NO_TERMINAL: &str = "the cockpit needs a terminal; without one use `rolldeck drift`, `fleet`, `plan`, `apply` (--output json for scripts)";

/// What the loop does next.
enum Next {
    GoOn,
    Detach,
    Quit,
}

/// Runs until the operator quits, or the operations of this process have ended without a screen.
///
/// # Errors
/// If there is no terminal.
pub async fn run(mut session: Session) -> anyhow::Result<Exit> {
    let mut signals = Signals::handle()?;
    let (columns, rows) = size().context(NO_TERMINAL)?;
    let screen = Screen::take().context(NO_TERMINAL)?;
    session.give(Event::Terminal(TerminalEvent::Resized(columns, rows)));
    let keyboard = Keyboard::listen().context(NO_TERMINAL)?;
    let next = interact(&mut session, &screen, keyboard, &mut signals, (columns, rows)).await;
    drop(screen);
    match next {
        Next::Detach => follow_all(session, signals).await,
        Next::GoOn | Next::Quit => {
            session.last_answers().await;
            tell_left(&session);
            session.close();
            Ok(Exit::Done)
        }
    }
}

/// What is left half way by whoever ended this process: nobody sees the banner any more.
fn tell_left(session: &Session) {
    for tracked in session.model.operations.iter() {
        let operation = &tracked.operation;
        if operation.ended.is_none() && tracked.alive == Alive::Here {
            let owes = counted(operation.debts.len(), "debt");
            progress(&format!(
                "{0} is interrupted, with {owes}: `rolldeck resume {0}` goes on, `rolldeck abort {0}` stops it",
                operation.id
            ));
        }
    }
}

async fn interact(
    session: &mut Session,
    screen: &Screen,
    mut keyboard: Keyboard,
    signals: &mut Signals,
    size: (u16, u16),
) -> Next {
    let mut canvas = Canvas::new(size.0, size.1);
    let mut drawn_at = Instant::now() - FRAME;
    let mut is_awaited = true;
    let mut is_loss_told = false;
    loop {
        if !is_loss_told && log::lost() > 0 {
            is_loss_told = true;
            session.notice("the log can't be written: is the disk full? What it would say now is lost");
        }
        if session.model.is_dirty() && (is_awaited || drawn_at.elapsed() >= FRAME) {
            session.tell_time();
            let effects = refresh(&mut session.model);
            session.perform(effects);
            if session.model.take_redraw() {
                screen.draw(canvas.draw(|frame| draw(&session.model, frame)));
            }
            drawn_at = Instant::now();
            is_awaited = false;
        }
        if keyboard.drop_flood() {
            session.notice(
                "more keys came at once than anybody types, and were dropped: paste into a field that takes it",
            );
        }
        let is_due = session.model.is_dirty();
        let mut effects = tokio::select! {
            biased;
            asked = signals.next() => {
                is_awaited = true;
                match asked {
                    Asked::Terminate => session.give(Event::Process(ProcessEvent::TerminateAsked)),
                    Asked::HangUp => session.give(Event::Process(ProcessEvent::TerminalLost)),
                    Asked::Suspend => session.give(Event::Process(ProcessEvent::SuspendAsked)),
                    Asked::Continue => bring_back(session, screen),
                }
            }
            pressed = keyboard.next() => match pressed {
                Some(pressed) => {
                    is_awaited = true;
                    session.tell_time();
                    if let TerminalInput::Resize(columns, rows) = pressed {
                        canvas = Canvas::new(columns, rows);
                    }
                    let mut effects =
                        terminal_event(pressed).map(|event| session.give(Event::Terminal(event))).unwrap_or_default();
                    // What else is there has its turn after each key: a flood of them delays neither the journal nor a stop that
                    // another process asks for.
                    effects.extend(session.turn().now_or_never().into_iter().flatten());
                    effects
                }
                // The terminal is gone; asking it again would only spin.
                None => session.give(Event::Process(ProcessEvent::TerminalLost)),
            },
            effects = session.turn() => effects,
            () = tokio::time::sleep_until(drawn_at + FRAME), if is_due => Vec::new(),
        };
        // A shell does not tell a process that runs in the background that it is put in front.
        if !screen.is_taken() {
            effects.extend(bring_back(session, screen));
        }
        for effect in effects {
            match front(session, screen, effect) {
                Next::GoOn => {}
                done @ (Next::Detach | Next::Quit) => return done,
            }
        }
    }
}

/// Does what only the front end can do.
fn front(session: &mut Session, screen: &Screen, effect: Effect) -> Next {
    match effect {
        Effect::Copy { text, what } => {
            screen.copy(text);
            session.give(Event::Terminal(TerminalEvent::Copied(what)));
            Next::GoOn
        }
        Effect::Suspend => {
            if let Err(error) = screen.suspend() {
                tracing::error!(%error, "the process can't be stopped");
                for effect in bring_back(session, screen) {
                    match front(session, screen, effect) {
                        Next::GoOn => {}
                        done @ (Next::Detach | Next::Quit) => return done,
                    }
                }
            }
            Next::GoOn
        }
        Effect::Detach => Next::Detach,
        Effect::Quit => Next::Quit,
        Effect::Append { .. }
        | Effect::Claim(_)
        | Effect::Release(_)
        | Effect::Ask { .. }
        | Effect::Execute { .. }
        | Effect::Inspect { .. }
        | Effect::Probe { .. }
        | Effect::Export { .. }
        | Effect::Dissect(_)
        | Effect::Resolve(_)
        | Effect::Signatures(_)
        | Effect::Audit(_)
        | Effect::Remember(_)
        | Effect::Note(_)
        | Effect::Protect { .. }
        | Effect::Lift(_)
        | Effect::Connect(_)
        | Effect::Filter(_) => Next::GoOn,
    }
}

/// Takes the terminal again after the process was stopped, and has everything drawn. What follows if it can't be taken
/// is what follows when it is gone.
fn bring_back(session: &mut Session, screen: &Screen) -> Vec<Effect> {
    if let Err(error) = screen.retake() {
        tracing::error!(%error, "the terminal can't be taken again");
        return session.give(Event::Process(ProcessEvent::TerminalLost));
    }
    if !screen.is_taken() {
        return Vec::new();
    }
    session.tell_time();
    let mut effects = session.give(Event::Process(ProcessEvent::Resumed));
    if let Ok((columns, rows)) = size() {
        effects.extend(session.give(Event::Terminal(TerminalEvent::Resized(columns, rows))));
    }
    effects
}

fn terminal_event(input: TerminalInput) -> Option<TerminalEvent> {
    match input {
        TerminalInput::Key(key) if key.kind != KeyEventKind::Release => Some(TerminalEvent::Pressed(key)),
        TerminalInput::Paste(text) => Some(TerminalEvent::Pasted(Text::new(&text).to_string())),
        TerminalInput::Resize(columns, rows) => Some(TerminalEvent::Resized(columns, rows)),
        TerminalInput::Key(_) | TerminalInput::Mouse(_) | TerminalInput::FocusGained | TerminalInput::FocusLost => None,
    }
}
