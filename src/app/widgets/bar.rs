//! A progress bar in ASCII: done, in flight, failed, to come.
//!
//! Never shows a full bar for something that is not done.

use super::paint::Line;
use crate::app::theme::Meaning;

/// `[##>>x....]` of this many cells between the brackets.
pub(crate) fn bar(done: u32, in_flight: u32, failed: u32, total: u32, cells: usize) -> Line {
    let total = total.max(done + in_flight + failed).max(1);
    let share = |count: u32| (u64::from(count) * cells as u64 / u64::from(total)) as usize;
    // What exists is seen, however little it is; what is missing too.
    let seen = |count: u32| if count > 0 { share(count).max(1) } else { 0 };
    let failed_cells = seen(failed).min(cells);
    let flying_cells = seen(in_flight).min(cells - failed_cells);
    let missing = usize::from(done < total).min(cells - failed_cells - flying_cells);
    let space = cells - failed_cells - flying_cells;
    let done_cells = if in_flight + failed == 0 { share(done).min(space - missing) } else { share(done).min(space) };
    let done_cells = if done == total { cells } else { done_cells };
    let rest = cells - done_cells - if done == total { 0 } else { failed_cells + flying_cells };
    Line::new(Meaning::BarRest, "[")
        .and(Meaning::BarDone, "#".repeat(done_cells))
        .and(Meaning::Rolling, ">".repeat(if done == total { 0 } else { flying_cells }))
        .and(Meaning::Danger, "x".repeat(if done == total { 0 } else { failed_cells }))
        .and(Meaning::BarRest, ".".repeat(rest))
        .and(Meaning::BarRest, "]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_are_seen_however_small() {
        for (done, in_flight, failed, total, expected) in [
            (0, 0, 0, 3, "[..........]"),
            (1, 1, 0, 3, "[###>>>....]"),
            (3, 0, 0, 3, "[##########]"),
            (2, 0, 1, 3, "[######xxx.]"),
            (999, 0, 0, 1000, "[#########.]"),
            (0, 1, 0, 1000, "[>.........]"),
        ] {
            assert_eq!(bar(done, in_flight, failed, total, 10).text(), expected);
        }
    }

    proptest! {
        #[test]
        fn a_bar_is_always_as_wide_as_asked(done in 0u32..2000, in_flight in 0u32..50, failed in 0u32..50, cells in 1usize..60) {
            prop_assert_eq!(bar(done, in_flight, failed, 1000, cells).width(), cells + 2);
        }
    }
}
