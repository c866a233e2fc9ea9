//! The state of a list: cursor, marks, filter, order. All of it by id, because rows move under it.
//!
//! Never knows what a row shows.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::age::Clock;
use super::filter::Filter;
use super::ui::Known;
use super::widgets::paint::Line;
use crate::domain::id::{OperationId, PlaceId, Uid, WorkloadId};
use crate::domain::text::Text;
use crate::domain::timeline::HappeningId;

/// Which row, whatever its number is now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RowId {
    /// A service; one place with that name in several namespaces shows one row for each namespace.
    Service(ServiceKey),
    /// A workload.
    Workload(WorkloadId),
    /// An instance: its slot in the fleet, and its incarnation in case the slot is used again.
    Instance(u32, Uid),
    /// An operation.
    Operation(OperationId),
    /// Something that happened.
    Happening(HappeningId),
    /// An image, on Compare.
    Image(Text),
    /// A place.
    Place(PlaceId),
}

/// A service as one row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServiceKey {
    /// Its name.
    pub(crate) service: Text,
    /// The namespace, where rows are kept apart by it. The inner `None`: workloads without a namespace.
    pub(crate) namespace: Option<Option<Text>>,
}

/// Cursor, marks, filter and order of one list.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The row under the cursor.
    pub(crate) cursor: Option<RowId>,
    /// While a filter is typed: the row that was under the cursor before. It is come back to where the filter leaves it,
    /// so that a half-typed word does not lose it.
    pub(crate) home: Option<RowId>,
    /// Where that row was when it was last seen.
    pub(crate) at: usize,
    /// Whether the cursor follows its row.
    pub(crate) hold: Hold,
    /// The first line shown.
    pub(crate) top: usize,
    /// Marked rows, shown or not.
    pub(crate) marks: BTreeSet<RowId>,
    /// Where a range of marks was begun.
    pub(crate) range_from: Option<RowId>,
    /// Which rows are shown.
    pub(crate) filter: Filter,
    /// Their order: a number into the screen's `ORDERS`.
    pub(crate) order: usize,
}

/// What the cursor follows when rows move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nobody has moved it yet: it stays on the first row, the worst one.
    #[default]
    First,
    /// The row that somebody put it on.
    Row,
}

/// A screen that is a list.
pub(crate) trait Rows {
    /// Its cursor, marks, filter and order.
    fn listing(&self) -> &Listing;
    /// The same, to change it.
    fn listing_mut(&mut self) -> &mut Listing;
    /// How many rows are shown.
    fn len(&self) -> usize;
    /// Which row has this number now.
    fn id_at(&self, at: usize) -> Option<RowId>;
    /// Which number a row has now.
    fn position(&self, id: &RowId) -> Option<usize>;
    /// The orders that `s` goes through; the first one is the screen's own.
    fn orders(&self) -> &'static [&'static str];
    /// The rows before which words stand, in their order.
    fn sections(&self) -> Vec<usize> {
        Vec::new()
    }
    /// The first row of a last block that stays in sight with its words, however many rows stand above it.
    fn kept_block(&self) -> Option<usize> {
        None
    }
    /// What the screen says beside its rows and no row tells: counts, words where nothing is, the lines about the cursor
    /// row. Screens that are drawn again with each change of the fleet have none to name.
    fn around(&self, _known: &Known<'_>) -> Vec<Line> {
        Vec::new()
    }
    /// Whether the rows are those of the filter line; they are not while a worker still looks.
    fn is_settled(&self) -> bool {
        true
    }
    /// The points in time that a row shows as ages.
    fn times(&self, at: usize, known: &Known<'_>) -> Vec<(Clock, Timestamp)>;
    /// Whether a row is one that `n` stops at: off, or not healthy.
    fn is_bad(&self, at: usize, known: &Known<'_>) -> bool;

    /// Puts the cursor on the row with this number, or on the last one.
    fn go_to(&mut self, at: usize) {
        let at = at.min(self.len().saturating_sub(1));
        let id = self.id_at(at);
        let listing = self.listing_mut();
        listing.at = at;
        listing.cursor = id;
        listing.hold = Hold::Row;
    }

    /// After the rows were made again: the cursor stays on its row, or goes to the neighbour of one that is gone.
    fn follow_cursor(&mut self) {
        if self.listing().hold == Hold::First {
            let first = self.id_at(0);
            let listing = self.listing_mut();
            listing.at = 0;
            listing.cursor = first;
            return;
        }
        if let Some(at) = self.listing().home.as_ref().and_then(|home| self.position(home)) {
            self.go_to(at);
        }
        let found = self.listing().cursor.as_ref().and_then(|id| {
            let at = self.listing().at;
            if self.id_at(at).as_ref() == Some(id) { Some(at) } else { self.position(id) }
        });
        match found {
            Some(at) => self.listing_mut().at = at,
            None => self.go_to(self.listing().at),
        }
        let anchor = self.listing().range_from.as_ref();
        if anchor.is_some_and(|anchor| self.position(anchor).is_none()) {
            self.listing_mut().range_from = None;
        }
    }

    /// The numbers from the anchor of a range to the cursor.
    fn range(&self) -> Option<(usize, usize)> {
        let anchor = self.position(self.listing().range_from.as_ref()?)?;
        let at = self.listing().at;
        Some((anchor.min(at), anchor.max(at)))
    }

    /// Whether the row with this number is marked, or in the range that is being marked.
    fn is_marked(&self, at: usize, id: &RowId) -> bool {
        self.listing().marks.contains(id) || self.range().is_some_and(|(from, to)| (from..=to).contains(&at))
    }

    /// The marked rows with the range that is being marked; without any, the row under the cursor.
    fn chosen(&self) -> Vec<RowId> {
        let mut marked = self.listing().marks.clone();
        if let Some((from, to)) = self.range() {
            marked.extend((from..=to).filter_map(|at| self.id_at(at)));
        }
        if marked.is_empty() { self.listing().cursor.iter().cloned().collect() } else { marked.into_iter().collect() }
    }
}

impl Listing {
    /// The first line to show so that `line` is seen: as it was, moved no more than needed.
    pub(crate) fn top_for(&self, line: usize, height: usize, lines: usize) -> usize {
        let height = height.max(1);
        let least = (line + 1).saturating_sub(height);
        self.top.clamp(least, line.max(least)).min(lines.saturating_sub(height)).max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Names(Vec<&'static str>, Listing);

    impl Rows for Names {
        fn listing(&self) -> &Listing {
            &self.1
        }
        fn listing_mut(&mut self) -> &mut Listing {
            &mut self.1
        }
        fn len(&self) -> usize {
            self.0.len()
        }
        fn id_at(&self, at: usize) -> Option<RowId> {
            self.0.get(at).map(|name| RowId::Place(PlaceId::new(name)))
        }
        fn position(&self, id: &RowId) -> Option<usize> {
            (0..self.len()).find(|&at| self.id_at(at).as_ref() == Some(id))
        }
        fn orders(&self) -> &'static [&'static str] {
            &["name"]
        }
        fn times(&self, _: usize, _: &Known<'_>) -> Vec<(Clock, Timestamp)> {
            Vec::new()
        }
        fn is_bad(&self, _: usize, _: &Known<'_>) -> bool {
            false
        }
    }

    #[test]
    fn the_cursor_stays_on_its_row_while_rows_move_and_goes_to_the_neighbour_when_it_vanishes() {
        let mut names = Names(vec!["a", "b", "c"], Listing::default());
        names.go_to(1);
        names.0 = vec!["x", "a", "b", "c"];
        names.follow_cursor();
        assert_eq!((names.1.at, names.id_at(names.1.at)), (2, Some(RowId::Place(PlaceId::new("b")))));
        names.0 = vec!["x", "a", "c"];
        names.follow_cursor();
        assert_eq!(names.1.cursor, Some(RowId::Place(PlaceId::new("c"))));
        names.0 = vec![];
        names.follow_cursor();
        assert_eq!(names.1.cursor, None);
    }

    #[test]
    fn a_range_marks_rows_and_survives_their_moving() {
        let mut names = Names(vec!["a", "b", "c", "d"], Listing::default());
        names.go_to(1);
        names.1.range_from = names.1.cursor.clone();
        names.go_to(2);
        assert_eq!(names.chosen().len(), 2);
        names.0 = vec!["z", "a", "b", "c", "d"];
        names.follow_cursor();
        let b = RowId::Place(PlaceId::new("b"));
        assert!(names.is_marked(2, &b) && names.chosen().contains(&b));
    }

    #[test]
    fn the_window_moves_no_more_than_it_must() {
        let listing = Listing { top: 5, ..Listing::default() };
        for (line, height, lines, expected) in
            [(7, 5, 100, 5), (12, 5, 100, 8), (2, 5, 100, 2), (7, 50, 10, 0), (0, 5, 0, 0)]
        {
            assert_eq!(listing.top_for(line, height, lines), expected, "{line} {height} {lines}");
        }
    }
}
