//! Going from screen to screen, opening rows, going back, leaving.
//!
//! Never leaves while this process drives an operation without asking.

use crate::app::command::{Command, Risk, Scope, always, not_now};
use crate::app::effect::Effect;
use crate::app::model::Model;
use crate::app::overlays::{Overlay, ask, difference};
use crate::app::rows::{RowId, ServiceKey};
use crate::app::screens::{Screen, compare};
use crate::app::ui::View;
use crate::domain::anatomy::Specimen;
use crate::domain::id::{PlaceId, WorkloadId};
use crate::domain::observation::PlaceState;
use crate::domain::text::{Text, counted};

/// The commands.
pub(crate) const COMMANDS: &[Command] = &[
    global(
        "screen.drift",
        "Drift",
        "What is off, how badly, since when; under it what changed lately.",
        always,
        |model| go(model, Screen::Drift),
    ),
    global("screen.fleet", "Fleet", "Every service by place: versions, expected, counts, ages.", always, |model| {
        go(model, Screen::Fleet)
    }),
    global("screen.compare", "Compare", "One service side by side: which places run which image.", always, |model| {
        go(model, Screen::Compare)
    }),
    Command {
        id: "row.compare",
        title: "compare",
        doc: "Shows the service of the row side by side, place by place. Of two marked rows: how their versions differ, field by field.",
        risk: Risk::Look,
        scope: Scope::Lists,
        available: |model| compared(model).map(|_| ()),
        run: |model| match compared(model) {
            Ok(Compared::Service(service)) => compare::open(model, service),
            Ok(Compared::Versions(pair)) => difference::open(model, *pair),
            Err(_) => Vec::new(),
        },
    },
    global(
        "screen.instances",
        "Instances",
        "Every instance: expected, requested, running, age, health.",
        always,
        |model| go(model, Screen::Instances),
    ),
    global(
        "screen.operations",
        "Operations",
        "Running and finished operations: steps, waits, debts.",
        always,
        |model| go(model, Screen::Operations),
    ),
    global("screen.timeline", "Timeline", "What changed where and when, and who did it.", always, |model| {
        go(model, Screen::Timeline)
    }),
    global("timeline.last_hour", "last hour", "What changed in the last hour, anywhere.", always, |model| {
        model.ui.visit(View { screen: Screen::Timeline, filter: "age<1h".to_string() });
        Vec::new()
    }),
    Command {
        id: "row.timeline",
        title: "timeline",
        doc: "What happened to this row: its service, workload, operation or place.",
        risk: Risk::Look,
        scope: Scope::Lists,
        available: has_row,
        run: look_back,
    },
    global("screen.places", "Places", "Each place: reachable, data age, permissions, limits.", always, |model| {
        go(model, Screen::Places)
    }),
    Command {
        id: "row.open",
        title: "open",
        doc: "Opens what the row is about: the workloads of a service, the instances of a workload, the detail of an instance; connects a place.",
        risk: Risk::Look,
        scope: Scope::Lists,
        available: has_row,
        run: open,
    },
    global("view.back", "view before", "Shows the screen and filter that were shown before.", can_go_back, back),
    global(
        "view.forward",
        "view after",
        "Shows the screen and filter that were shown before going back.",
        can_go_forward,
        forward,
    ),
    global(
        "view.leave",
        "one step back",
        "Takes back one thing: marks, the end line of an operation, the filter, the view.",
        always,
        leave,
    ),
    global("app.quit", "quit", "Ends the cockpit; asks first while this process runs an operation.", always, quit),
    global(
        "app.suspend",
        "suspend",
        "Stops the process until its shell brings it back; refused while it runs an operation.",
        can_suspend,
        |_| vec![Effect::Suspend],
    ),
];

const fn global(
    id: &'static str,
    title: &'static str,
    doc: &'static str,
    available: fn(&Model) -> Result<(), Text>,
    run: fn(&mut Model) -> Vec<Effect>,
) -> Command {
    Command { id, title, doc, risk: Risk::Look, scope: Scope::Global, available, run }
}

/// Shows a screen with the filter that it had.
pub(crate) fn go(model: &mut Model, screen: Screen) -> Vec<Effect> {
    let filter = model.ui.screens.of(screen).listing().filter.typed.clone();
    model.ui.visit(View { screen, filter });
    Vec::new()
}

/// Shows the workloads of a service.
pub(crate) fn go_to_service(model: &mut Model, key: &ServiceKey) {
    model.ui.visit(View { screen: Screen::Fleet, filter: of_service(key) });
}

/// Shows what is in a place.
pub(crate) fn go_to_place(model: &mut Model, place: &PlaceId) {
    model.ui.visit(View { screen: Screen::Fleet, filter: format!("place:{}", quoted(&place.0)) });
}

/// A value of the filter language: quoted where it holds what the language uses.
pub(crate) fn quoted(value: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || matches!(character, '-' | '_' | '.' | '/');
    if value.chars().all(is_plain) { value.to_string() } else { format!("\"{}\"", value.replace('"', "*")) }
}

/// Whether there is a row under the cursor.
pub(crate) fn has_row(model: &Model) -> Result<(), Text> {
    match model.ui.rows().listing().cursor {
        Some(_) => Ok(()),
        None => not_now("no row is under the cursor"),
    }
}

fn open(model: &mut Model) -> Vec<Effect> {
    let Some(id) = model.ui.rows().listing().cursor.clone() else { return Vec::new() };
    match id {
        RowId::Service(key) => go_to_service(model, &key),
        RowId::Workload(id) => {
            let service = model.fleet.workload(&id).map(|workload| workload.seen.service.clone());
            let filter = of_workload(&id, &service.unwrap_or_default());
            model.ui.visit(View { screen: Screen::Instances, filter });
        }
        RowId::Image(_) => {
            if let Some(filter) = model.ui.screens.compare.filter_of_row() {
                model.ui.visit(View { screen: Screen::Instances, filter });
            }
        }
        RowId::Instance(..) | RowId::Operation(_) | RowId::Happening(_) => {
            return crate::app::overlays::detail::open(model);
        }
        RowId::Place(place) => {
            let known = model.fleet.place(&place).map(|known| known.state.clone());
            if known.is_none_or(|state| state == PlaceState::NotConnected) {
                model.ui.say(&format!("connecting {place}"));
                return vec![Effect::Connect(place)];
            }
            go_to_place(model, &place);
        }
    }
    Vec::new()
}

/// The filter that leaves one workload.
fn of_workload(id: &WorkloadId, service: &str) -> String {
    let mut filter = format!("place:{}", quoted(&id.place.0));
    if let Some(namespace) = &id.namespace {
        filter.push_str(&format!(" ns:{}", quoted(namespace)));
    }
    filter.push_str(&format!(" svc:{} kind:{}", quoted(service), id.kind));
    filter
}

fn of_service(key: &ServiceKey) -> String {
    let mut filter = format!("svc:{}", quoted(&key.service));
    if let Some(Some(namespace)) = &key.namespace {
        filter.push_str(&format!(" ns:{}", quoted(namespace)));
    }
    filter
}

/// Shows what happened to the row under the cursor.
fn look_back(model: &mut Model) -> Vec<Effect> {
    let Some(row) = model.ui.rows().listing().cursor.clone() else { return Vec::new() };
    let of_known = |id: &WorkloadId| {
        let service = model.fleet.workload(id).map(|workload| workload.seen.service.clone());
        of_workload(id, &service.unwrap_or_else(|| id.name.clone()))
    };
    let filter = match &row {
        RowId::Service(key) => Some(of_service(key)),
        RowId::Workload(id) => Some(of_known(id)),
        RowId::Instance(slot, uid) => {
            let found = model.fleet.instance_at(*slot).filter(|(instance, _)| instance.seen.uid == *uid);
            found.map(|(_, workload)| of_known(&workload.id))
        }
        RowId::Operation(id) => Some(quoted(&id.0)),
        RowId::Happening(id) => model.ui.screens.timeline.row(id).map(|row| of_workload(&row.workload, &row.service)),
        RowId::Image(_) => model.ui.screens.compare.filter_of_row(),
        RowId::Place(id) => Some(format!("place:{}", quoted(&id.0))),
    };
    match filter {
        Some(filter) => model.ui.visit(View { screen: Screen::Timeline, filter }),
        None => model.ui.say_why("it is gone"),
    }
    Vec::new()
}

fn can_go_back(model: &Model) -> Result<(), Text> {
    if model.ui.history.back.is_empty() { not_now("there is no view before this one") } else { Ok(()) }
}

fn can_go_forward(model: &Model) -> Result<(), Text> {
    if model.ui.history.forward.is_empty() { not_now("there is no view after this one") } else { Ok(()) }
}

fn back(model: &mut Model) -> Vec<Effect> {
    if let Some(view) = model.ui.history.back.pop() {
        let now = model.ui.view();
        model.ui.history.forward.push(now);
        model.ui.show(view);
    }
    Vec::new()
}

fn forward(model: &mut Model) -> Vec<Effect> {
    if let Some(view) = model.ui.history.forward.pop() {
        let now = model.ui.view();
        model.ui.history.back.push(now);
        model.ui.show(view);
    }
    Vec::new()
}

/// One step back: the nearest thing that the operator put there.
fn leave(model: &mut Model) -> Vec<Effect> {
    let news = crate::app::banner::news(model).map(|tracked| tracked.operation.id.clone());
    let listing = model.ui.rows_mut().listing_mut();
    if listing.range_from.take().is_some() {
        return Vec::new();
    }
    if !listing.marks.is_empty() {
        listing.marks.clear();
        return Vec::new();
    }
    if model.ui.notices_seen < model.settings.notices.len() {
        model.ui.notices_seen += 1;
        return Vec::new();
    }
    if let Some(ended) = news {
        model.ui.dismissed.insert(ended);
        return Vec::new();
    }
    let filter = &mut model.ui.rows_mut().listing_mut().filter;
    if filter.typed != filter.came_with {
        let before = filter.came_with.clone();
        filter.set(before);
        model.ui.touch();
        return Vec::new();
    }
    if model
        .ui
        .history
        .back
        .last()
        .is_some_and(|before| before.screen != model.ui.screen || before.filter != model.ui.view().filter)
    {
        return back(model);
    }
    if model.ui.rows().listing().filter.typed.is_empty() {
        model.ui.say_why("nothing to go back from; q quits");
    } else {
        model.ui.rows_mut().listing_mut().filter.show(String::new());
        model.ui.touch();
    }
    Vec::new()
}

fn quit(model: &mut Model) -> Vec<Effect> {
    if model.operations.is_driving() {
        model.ui.overlays.push(Overlay::Ask(ask::AskOverlay::quit()));
        return Vec::new();
    }
    vec![Effect::Quit]
}

fn can_suspend(model: &Model) -> Result<(), Text> {
    if model.operations.is_driving() {
        not_now("this process runs an operation: it can't be stopped; q offers to detach")
    } else {
        Ok(())
    }
}

/// What `c` compares.
enum Compared {
    /// The places of a service.
    Service(Text),
    /// Two marked versions.
    Versions(Box<[Specimen; 2]>),
}

fn compared(model: &Model) -> Result<Compared, Text> {
    match &*model.ui.rows().chosen() {
        [] | [_] => service_there(model).map(Compared::Service),
        [a, b] => Ok(Compared::Versions(Box::new([difference::specimen(model, a)?, difference::specimen(model, b)?]))),
        marked => Err(Text::new(&format!("{} are marked: two are compared", counted(marked.len(), "row")))),
    }
}

/// The service of the row under the cursor.
fn service_there(model: &Model) -> Result<Text, Text> {
    has_row(model)?;
    let service = match model.ui.rows().listing().cursor.as_ref() {
        Some(RowId::Service(key)) => Some(key.service.clone()),
        Some(RowId::Workload(id)) => model.fleet.workload(id).map(|workload| workload.seen.service.clone()),
        Some(RowId::Instance(slot, _)) => {
            model.fleet.instance_at(*slot).map(|(_, workload)| workload.seen.service.clone())
        }
        Some(RowId::Happening(id)) => model.ui.screens.timeline.row(id).map(|row| row.service.clone()),
        // It is compared already.
        Some(RowId::Image(_)) => return Err(Text::new("mark two images with Space: c compares these field by field")),
        Some(RowId::Operation(_) | RowId::Place(_)) | None => None,
    };
    service.ok_or_else(|| Text::new("no service is meant by this row; c on Drift, Fleet or Instances compares one"))
}
