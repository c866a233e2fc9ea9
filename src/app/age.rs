//! Ages and spans of time as screens show them, and when the shown text changes next.
//!
//! Never moves every second: an idle screen must not be drawn again (DESIGN section 3).

use jiff::Timestamp;

/// How a point in time is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The age of data: `live`, then 15s, 30s, minutes, five minutes, hours, days.
    Age,
    /// How long something has been so: minutes, hours, days.
    Since,
    /// How long something has been running, to the second.
    Running,
}

impl Clock {
    /// The text for a point in time.
    pub(crate) fn show(self, at: Timestamp, now: Timestamp) -> String {
        let seconds = seconds_between(at, now);
        match self {
            Clock::Age if seconds < 15 => "live".to_string(),
            // It would stand there for as long as it is wrong.
            Clock::Since if seconds < 15 => "<15s".to_string(),
            Clock::Age | Clock::Since => {
                let step = step_of(self, seconds);
                coarse(seconds / step * step)
            }
            Clock::Running if seconds < 60 => format!("{seconds}s"),
            Clock::Running if seconds < 3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
            Clock::Running => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        }
    }

    /// When that text becomes another one.
    pub(crate) fn next_change(self, at: Timestamp, now: Timestamp) -> Timestamp {
        let seconds = seconds_between(at, now);
        let step = step_of(self, seconds);
        at + std::time::Duration::from_secs(seconds / step * step + step)
    }
}

fn step_of(clock: Clock, seconds: u64) -> u64 {
    match (clock, seconds) {
        (Clock::Running, ..3600) => 1,
        (Clock::Running, _) => 60,
        (Clock::Age, ..30) => 15,
        (Clock::Age, 30..60) => 30,
        (Clock::Age, 60..300) => 60,
        (Clock::Age, 300..3600) => 300,
        (Clock::Since, ..60) => 15,
        (Clock::Since, 60..3600) => 60,
        (Clock::Age | Clock::Since, 3600..172_800) => 3600,
        (Clock::Age | Clock::Since, _) => 86_400,
    }
}

fn coarse(seconds: u64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn seconds_between(at: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.as_second() - at.as_second()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_move_in_steps_and_say_when_they_move_next() {
        let now = Timestamp::from_second(1_000_000).expect("a time");
        for (clock, ago, text, next) in [
            (Clock::Age, 3, "live", 12),
            (Clock::Age, 29, "15s", 1),
            (Clock::Age, 45, "30s", 15),
            (Clock::Age, 250, "4m", 50),
            (Clock::Age, 1000, "15m", 200),
            (Clock::Age, 7300, "2h", 3500),
            (Clock::Since, 14, "<15s", 1),
            (Clock::Since, 29, "15s", 1),
            (Clock::Since, 400, "6m", 20),
            (Clock::Since, 200_000, "2d", 59_200),
            (Clock::Running, 130, "2m 10s", 1),
        ] {
            let at = Timestamp::from_second(1_000_000 - ago).expect("a time");
            assert_eq!(clock.show(at, now), text, "{clock:?} {ago}");
            assert_eq!(clock.next_change(at, now).as_second() - now.as_second(), next, "{clock:?} {ago}");
        }
    }
}
