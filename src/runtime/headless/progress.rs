//! Progress to stderr, written by a thread of its own.
//!
//! Never delays whoever tells it: a stderr that takes nothing (a pipe that nobody reads) blocks that thread alone. What
//! waits is bounded, and the newest lines are the ones that are kept.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::text::{Text, counted};

/// How many lines wait at most; older ones are left out, and that is said.
const MOST: usize = 64;
/// How long the end of the process waits for what is not written yet.
const LAST_WORDS: Duration = Duration::from_millis(500);

static STDERR: OnceLock<Voice> = OnceLock::new();

/// Tells one line. Returns at once.
pub fn progress(line: &str) {
    STDERR.get_or_init(|| Voice::begin(io::stderr())).say(Text::new(line).to_string());
}

/// Tells an error of any number of lines as one piece. What it quotes may come from anywhere.
pub fn error(message: &str) {
    let lines: Vec<String> = message.lines().map(|line| Text::new(line).to_string()).collect();
    STDERR.get_or_init(|| Voice::begin(io::stderr())).say(lines.join("\n"));
}

/// Waits until everything is written, half a second at most: then nobody reads it.
pub fn finish() {
    if let Some(voice) = STDERR.get() {
        voice.finish(LAST_WORDS);
    }
}

/// A writer behind a bounded queue.
struct Voice {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    news: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<String>,
    left_out: usize,
    /// Whether the writer has taken lines that it has not written yet.
    is_writing: bool,
}

impl Voice {
    fn begin(writer: impl Write + Send + 'static) -> Voice {
        let shared = Arc::<Shared>::default();
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new().name("progress".to_string());
        if let Err(error) = thread.spawn(move || write(&of_thread, writer)) {
            tracing::error!(%error, "progress can't be told");
        }
        Voice { shared }
    }

    fn say(&self, line: String) {
        let mut queue = self.shared.lock();
        if queue.lines.back() == Some(&line) {
            return;
        }
        if queue.lines.len() == MOST {
            queue.lines.pop_front();
            queue.left_out += 1;
        }
        queue.lines.push_back(line);
        self.shared.news.notify_all();
    }

    fn finish(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut queue = self.shared.lock();
        while queue.is_writing || !queue.lines.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            queue = self.shared.news.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(shared: &Shared, mut writer: impl Write) {
    loop {
        let mut queue = shared.lock();
        while queue.lines.is_empty() {
            queue = shared.news.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let left_out = std::mem::take(&mut queue.left_out);
        let line = queue.lines.pop_front().unwrap_or_default();
        queue.is_writing = true;
        drop(queue);
        let gap = if left_out > 0 { format!("({} left out)\n", counted(left_out, "line")) } else { String::new() };
        // Nobody can be told if stderr is gone.
        let _ = writer.write_all(format!("{gap}{line}\n").as_bytes());
        shared.lock().is_writing = false;
        shared.news.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A reader that reads only when it is told to.
    struct Pipe {
        reads: Receiver<()>,
        written: Sender<String>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.reads.recv().map_err(io::Error::other)?;
            self.written.send(String::from_utf8_lossy(bytes).into_owned()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_reads_nothing_delays_nobody_and_gets_the_last_lines() {
        let ((read, reads), (written, lines)) = (channel(), channel());
        let voice = Voice::begin(Pipe { reads, written });
        for number in 0..1000 {
            voice.say(format!("line {number}"));
            voice.say(format!("line {number}"));
        }
        // The end is not waited for for ever.
        voice.finish(Duration::ZERO);
        for _ in 0..1000 {
            read.send(()).expect("the writer waits");
        }
        voice.finish(Duration::from_secs(60));
        let text: String = lines.try_iter().collect();
        assert!(text.contains("lines left out)\n"), "{text}");
        assert!(text.ends_with("line 997\nline 998\nline 999\n"), "{text}");
        // What waited, and the one that was on its way; either may have a gap before it.
        let told = text.lines().filter(|line| line.starts_with("line")).count();
        assert!(told <= MOST + 1, "{text}");
    }
}
