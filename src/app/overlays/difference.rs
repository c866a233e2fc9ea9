//! Two marked versions side by side, field by field: what differs, and how much does not.
//!
//! Never shows a value that may be a secret, and never calls what could not be read the same.

use super::Overlay;
use crate::app::cells;
use crate::app::effect::Effect;
use crate::app::model::Model;
use crate::app::rows::RowId;
use crate::app::theme::Meaning;
use crate::app::widgets::paint::Line;
use crate::app::widgets::panel::Panel;
use crate::domain::anatomy::{Anatomy, Difference, Specimen, Topic, Value, differences};
use crate::domain::comparison::Meant;
use crate::domain::image::Digest;
use crate::domain::text::Text;

/// Which two, and what is known of them.
#[derive(Debug)]
pub(crate) struct DifferenceOverlay {
    pair: [Specimen; 2],
    /// `None` until both were taken apart.
    known: Option<[Anatomy; 2]>,
    /// The first line shown.
    pub(crate) top: usize,
}

/// Opens it for two rows; has them taken apart.
pub(crate) fn open(model: &mut Model, pair: [Specimen; 2]) -> Vec<Effect> {
    let overlay = DifferenceOverlay { pair: pair.clone(), known: None, top: 0 };
    model.ui.overlays.push(Overlay::Difference(Box::new(overlay)));
    vec![Effect::Dissect(Box::new(pair))]
}

/// They were taken apart; what nobody looks at any more is dropped.
pub(crate) fn dissected(model: &mut Model, pair: &[Specimen; 2], known: [Anatomy; 2]) {
    let mut overlays = model.ui.overlays.iter_mut();
    let waits = overlays.find_map(|overlay| match overlay {
        Overlay::Difference(overlay) if overlay.pair == *pair => Some(overlay),
        _ => None,
    });
    if let Some(overlay) = waits {
        overlay.known = Some(known);
    }
}

/// What a row means: a workload what it asks for, an instance what it runs, an image the workload that runs most of it.
///
/// # Errors
/// Why it means no single version.
pub(crate) fn specimen(model: &Model, row: &RowId) -> Result<Specimen, Text> {
    let gone = || Text::new("one of the rows is gone");
    match row {
        RowId::Workload(id) => {
            let workload = model.fleet.workload(id).ok_or_else(gone)?;
            Ok(Specimen::requested(&model.fleet, workload))
        }
        RowId::Instance(slot, uid) => {
            let found = model.fleet.instance_at(*slot).filter(|(instance, _)| instance.seen.uid == *uid);
            let (instance, workload) = found.ok_or_else(gone)?;
            let mut containers = instance.seen.containers.iter();
            let main = containers.find(|container| container.name == workload.judgement.main);
            let image = main.and_then(|main| Some((main.running.as_ref()?, main.asked.as_ref())));
            let (image, asked) = image.ok_or_else(|| Text::new("nobody knows what one of them runs"))?;
            Ok(Specimen::running(&model.fleet, workload, image, asked))
        }
        RowId::Image(name) => {
            let row = model.ui.screens.compare.named(name).ok_or_else(gone)?;
            let columns = model.ui.screens.compare.columns();
            let most =
                row.cells.iter().zip(columns).max_by_key(|(cell, _)| (cell.instances, cell.meant != Meant::Nothing));
            let workload = most.and_then(|(_, id)| model.fleet.workload(id)).ok_or_else(gone)?;
            let image = row.image.as_ref().ok_or_else(|| Text::new("one of them is not known exactly"))?;
            // The same image may be another document there.
            Ok(Specimen::running(&model.fleet, workload, image, row.reference.as_ref()))
        }
        RowId::Service(_) => Err(Text::new("a service is many versions: mark two rows of Fleet, Instances or Compare")),
        RowId::Happening(_) | RowId::Operation(_) | RowId::Place(_) => {
            Err(Text::new("these are no versions: mark two rows of Fleet, Instances or Compare"))
        }
    }
}

/// What the overlay shows.
pub(crate) fn panel(overlay: &DifferenceOverlay, width: usize) -> Panel {
    let mut body: Vec<Line> = Vec::new();
    for (letter, specimen) in ["a", "b"].into_iter().zip(&overlay.pair) {
        body.push(Line::new(Meaning::Key, format!(" {letter}  ")).and(Meaning::Text, specimen.describe()));
    }
    match &overlay.known {
        None => body.push(Line::new(Meaning::Dim, " both are taken apart ...")),
        Some([left, right]) => body.extend(lines(left, right, width)),
    }
    let body = body.into_iter().flat_map(|line| line.wrapped(width, 4)).collect();
    Panel {
        title: Line::new(Meaning::Header, " COMPARE ").and(Meaning::Title, "  two versions"),
        body,
        foot: Vec::new(),
        top: overlay.top,
    }
}

fn lines(left: &Anatomy, right: &Anatomy, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for (meaning, sign, of_left, of_right) in
        [(Meaning::Unknown, '?', &left.faults, &right.faults), (Meaning::Dim, ' ', &left.notes, &right.notes)]
    {
        let line = |of: &str, why: &Text| Line::new(meaning, format!(" {sign} {of}: ")).and(Meaning::Text, &**why);
        lines.extend(of_left.iter().map(|why| line(if of_right.contains(why) { "both" } else { "a" }, why)));
        lines.extend(of_right.iter().filter(|why| !of_left.contains(why)).map(|why| line("b", why)));
    }
    if left.answered.is_disjoint(&right.answered) {
        lines.push(Line::new(Meaning::Warning, " of both together nothing is known: there is nothing to compare"));
        return lines;
    }
    let found = differences(left, right);
    let side = width.saturating_sub(3) / 3;
    let name = width.saturating_sub(3 + 2 * side + 2);
    let mut topic: Option<Topic> = None;
    for row in &found.rows {
        if topic != Some(row.topic) {
            topic = Some(row.topic);
            let same = found.same.get(&row.topic).map(|same| format!("  {same} the same")).unwrap_or_default();
            lines.push(Line::new(Meaning::Title, format!(" {}", row.topic.as_str())).and(Meaning::Dim, same));
        }
        lines.extend(of_row(row, name, side));
    }
    if found.rows.is_empty() {
        lines.push(Line::new(Meaning::Ok, " = all that is known of both is the same"));
    }
    let told: Vec<Topic> = found.rows.iter().map(|row| row.topic).collect();
    let same = found.same.iter().filter(|(topic, _)| !told.contains(topic));
    let same: Vec<String> = same.map(|(topic, count)| format!("{} {count}", topic.as_str())).collect();
    if !same.is_empty() {
        lines.push(Line::new(Meaning::Dim, format!(" the same  {}", same.join(", "))));
    }
    lines
}

/// A field: its name, and what both say; as many lines as the longest needs.
fn of_row(row: &Difference, name: usize, side: usize) -> Vec<Line> {
    let (left, right) = sides(row);
    let columns = [pieces(&row.name, name), pieces(&short(&left), side), pieces(&short(&right), side)];
    let height = columns.iter().map(Vec::len).max().unwrap_or_default();
    let cell = |column: &Vec<String>, at: usize, width: usize| {
        cells::left(column.get(at).map(String::as_str).unwrap_or_default(), width)
    };
    let of_side = |value: &Option<Value>| if value.is_some() { Meaning::Text } else { Meaning::Dim };
    let line = |at: usize| {
        Line::new(Meaning::Dim, format!("   {} ", cell(&columns[0], at, name)))
            .and(of_side(&row.left), format!("{} ", cell(&columns[1], at, side)))
            .and(of_side(&row.right), cell(&columns[2], at, side))
    };
    (0..height).map(line).collect()
}

/// A reference with the start of its digest, which tells it from others as well.
fn short(text: &str) -> String {
    let digest = text.rsplit_once('@').and_then(|(_, digest)| digest.parse::<Digest>().ok());
    digest.map_or_else(|| text.to_string(), |digest| text.replace(digest.as_str(), digest.short(12)))
}

/// What both say, in words.
pub(crate) fn sides(row: &Difference) -> (String, String) {
    let text = |value: &Option<Value>| match value {
        None => "-".to_string(),
        Some(Value::Shown(text)) => text.to_string(),
        Some(Value::Hidden(_)) => "set".to_string(),
    };
    match (&row.left, &row.right) {
        (Some(Value::Hidden(_)), Some(Value::Hidden(_))) => ("set".to_string(), "set to something else".to_string()),
        (left, right) => (text(left), text(right)),
    }
}

/// A text in pieces that fit.
fn pieces(text: &str, width: usize) -> Vec<String> {
    let (mut rest, mut pieces) = (text, Vec::new());
    while !rest.is_empty() {
        let head = cells::head(rest, width.max(2));
        if head.is_empty() {
            break;
        }
        pieces.push(head.to_string());
        rest = &rest[head.len()..];
    }
    pieces
}
