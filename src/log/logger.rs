//! The handle that records are given to, and the thread that writes them.
//!
//! Invariants
//! - Giving a record never waits: when the queue is full the record is dropped and counted, and the count is told with the
//!   next record that fits. Only `flush` and `fatal` wait, with a bound.
//! - Records of one handle are written in the order they were given.
//!
//! There is no global logger: `main` opens one and hands clones to whoever needs them. A clone belongs to one thread.

use std::cell::Cell;
use std::panic::Location;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use super::console::push_console;
use super::encode::{Stamp, push_json};
use super::rotate::Rotation;
use super::sink::{OpenError, Sink, Target};
use super::{Format, Level, Record, Value};
use crate::limits::{LOG_BATCH_BYTES_MAX, LOG_FLUSH_MAX, LOG_QUEUE_LINES_MAX};

/// What to write and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The least grave level that is written.
    pub level: Level,
    /// The form of lines.
    pub format: Format,
    /// All the places that get every line.
    pub targets: Vec<Target>,
    /// Whether files begin anew when they are full.
    pub rotation: Option<Rotation>,
}

impl Default for Options {
    fn default() -> Self {
        Self { level: Level::Info, format: Format::Json, targets: vec![Target::Stderr], rotation: None }
    }
}

enum Message {
    Line(Level, String),
    /// Tell the sender once everything before is written.
    Flush(SyncSender<()>),
}

/// Takes records; cheap to clone, one clone a thread.
pub struct Logger {
    level: Level,
    format: Format,
    queue: SyncSender<Message>,
    /// Records dropped since the last one that fitted.
    dropped: Cell<u64>,
}

/// The writing thread; join it last, after all loggers are gone.
pub struct LogThread {
    handle: JoinHandle<()>,
    /// Closed when the thread has written its last line.
    ended: Receiver<()>,
}

impl LogThread {
    /// Waits until everything is written. A logger that something left behind still holds costs `LOG_FLUSH_MAX` and what it
    /// may have to say after that.
    pub fn join(self) {
        if self.ended.recv_timeout(LOG_FLUSH_MAX) == Err(RecvTimeoutError::Timeout) {
            return;
        }
        // A panic of the writer has been reported by the panic hook already.
        drop(self.handle.join());
    }
}

/// Opens the destinations and starts the thread that writes to them.
pub fn open(options: &Options) -> Result<(Logger, LogThread), OpenError> {
    let sinks = Sink::open_all(&options.targets, options.rotation, micros_since_epoch())?;
    let (queue, lines) = sync_channel(LOG_QUEUE_LINES_MAX);
    let (end, ended) = sync_channel(0);
    let spawned = std::thread::Builder::new().name("log".to_owned()).spawn(move || {
        write_lines(&lines, sinks);
        drop(end);
    });
    let handle = spawned.map_err(OpenError::thread)?;
    let logger = Logger { level: options.level, format: options.format, queue, dropped: Cell::new(0) };
    Ok((logger, LogThread { handle, ended }))
}

impl std::fmt::Debug for Logger {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Logger").field("level", &self.level).finish_non_exhaustive()
    }
}

impl Clone for Logger {
    fn clone(&self) -> Self {
        Self { level: self.level, format: self.format, queue: self.queue.clone(), dropped: Cell::new(0) }
    }
}

impl Logger {
    /// Whether a record of this level would be written: ask before gathering costly fields.
    pub fn enabled(&self, level: Level) -> bool {
        level >= self.level
    }

    /// Gives a record of level `debug`.
    #[track_caller]
    pub fn debug(&self, message: &str, fields: &[(&str, Value)]) {
        self.give(Level::Debug, message, fields);
    }

    /// Gives a record of level `info`.
    #[track_caller]
    pub fn info(&self, message: &str, fields: &[(&str, Value)]) {
        self.give(Level::Info, message, fields);
    }

    /// Gives a record of level `warn`.
    #[track_caller]
    pub fn warn(&self, message: &str, fields: &[(&str, Value)]) {
        self.give(Level::Warn, message, fields);
    }

    /// Gives a record of level `error`.
    #[track_caller]
    pub fn error(&self, message: &str, fields: &[(&str, Value)]) {
        self.give(Level::Error, message, fields);
    }

    /// Gives the record that says why the process ends, and waits until it is written. Ending is the caller's part.
    #[track_caller]
    pub fn fatal(&self, message: &str, fields: &[(&str, Value)]) {
        self.give(Level::Fatal, message, fields);
        self.flush();
    }

    /// Gives a record that was made elsewhere.
    #[track_caller]
    pub fn record(&self, record: &Record) {
        self.give(record.level, &record.message, &record.fields);
    }

    /// Waits until what was given is written, or until `LOG_FLUSH_MAX` is over. Never call it on an executor that serves.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.queue.send(Message::Flush(done)).is_ok() {
            // Whether it was written or time is up, there is nothing more to do about it.
            let _ = written.recv_timeout(LOG_FLUSH_MAX);
        }
    }

    #[track_caller]
    fn give(&self, level: Level, message: &str, fields: &[(&str, Value)]) {
        if !self.enabled(level) {
            return;
        }
        let caller = Location::caller();
        let dropped = self.dropped.get();
        if dropped > 0 {
            let told = self.line(
                Level::Warn,
                caller,
                "log records were dropped; the log is written too slowly",
                &[("count", dropped.into())],
            );
            if self.queue.try_send(Message::Line(Level::Warn, told)).is_ok() {
                self.dropped.set(0);
            }
        }
        let line = self.line(level, caller, message, fields);
        if self.queue.try_send(Message::Line(level, line)).is_err() {
            self.dropped.set(self.dropped.get() + 1);
        }
    }

    fn line(&self, level: Level, caller: &Location<'_>, message: &str, fields: &[(&str, Value)]) -> String {
        let stamp = Stamp { micros: micros_since_epoch(), file: caller.file(), line: caller.line() };
        let mut line = String::with_capacity(192);
        match self.format {
            Format::Json => push_json(&mut line, stamp, level, message, fields),
            Format::Console => push_console(&mut line, stamp, level, message, fields),
        }
        line
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the log is where the wall clock belongs: it stamps lines and decides nothing"
)]
fn micros_since_epoch() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The writing thread: takes what has queued up and writes it at once, until all loggers are gone.
fn write_lines(queue: &Receiver<Message>, mut sinks: Vec<Sink>) {
    let mut batch = Batch::default();
    while let Ok(first) = queue.recv() {
        let mut next = Some(first);
        while let Some(message) = next.take() {
            match message {
                Message::Line(level, line) => batch.push(level, &line, &mut sinks),
                Message::Flush(done) => {
                    batch.write(&mut sinks);
                    let _ = done.send(());
                }
            }
            next = queue.try_recv().ok();
        }
        batch.write(&mut sinks);
    }
}

/// Lines of one level that go out in one write.
#[derive(Default)]
struct Batch {
    level: Level,
    lines: String,
}

impl Batch {
    fn push(&mut self, level: Level, line: &str, sinks: &mut [Sink]) {
        if level != self.level || self.lines.len() + line.len() > LOG_BATCH_BYTES_MAX {
            self.write(sinks);
            self.level = level;
        }
        assert!(line.ends_with('\n'), "whole lines");
        self.lines.push_str(line);
    }

    fn write(&mut self, sinks: &mut [Sink]) {
        if !self.lines.is_empty() {
            let now_micros = micros_since_epoch();
            for sink in sinks {
                sink.write(self.level, &self.lines, now_micros);
            }
            self.lines.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch_file(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("ringbolt-log-{}-{name}", std::process::id()));
        drop(std::fs::remove_file(&path));
        path
    }

    fn options(path: &std::path::Path, level: Level) -> Options {
        Options { level, format: Format::Json, targets: vec![Target::File(path.to_owned())], rotation: None }
    }

    #[test]
    fn records_reach_the_file_in_order_and_below_the_level_are_left_out() {
        let path = scratch_file("order");
        let (logger, thread) = open(&options(&path, Level::Warn)).unwrap();
        logger.info("not this", &[]);
        for number in 0..100u64 {
            logger.warn("line", &[("number", number.into())]);
        }
        logger.clone().fatal("end", &[]);
        let written = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 101);
        for (number, line) in lines[..100].iter().enumerate() {
            assert_eq!(line["number"], number);
            assert!(line["caller"].as_str().unwrap().starts_with("log/logger.rs:"));
        }
        assert_eq!((&lines[100]["level"], &lines[100]["msg"]), (&"fatal".into(), &"end".into()));
        drop(logger);
        thread.join();
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_is_appended_to() {
        let path = scratch_file("append");
        for _ in 0..2 {
            let (logger, thread) = open(&options(&path, Level::Info)).unwrap();
            logger.info("again", &[]);
            drop(logger);
            thread.join();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_full_queue_drops_and_tells_how_many() {
        let (queue, lines) = sync_channel(2);
        let logger = Logger { level: Level::Info, format: Format::Json, queue, dropped: Cell::new(0) };
        for _ in 0..5 {
            logger.info("x", &[]);
        }
        assert_eq!(logger.dropped.get(), 3);
        let taken = lines.try_iter().count();
        assert_eq!(taken, 2);
        logger.info("y", &[]);
        let texts: Vec<String> = lines
            .try_iter()
            .map(|message| if let Message::Line(_, line) = message { line } else { String::new() })
            .collect();
        assert_eq!(texts.len(), 2);
        assert!(texts[0].contains("\"count\":3") && texts[1].contains("\"msg\":\"y\""), "{texts:?}");
        assert_eq!(logger.dropped.get(), 0);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let refused = open(&options(std::path::Path::new("/nonexistent/x"), Level::Info)).err().unwrap();
        assert_eq!(refused.to_string(), "open sink \"/nonexistent/x\": open /nonexistent/x: no such file or directory");
    }

    #[test]
    fn the_null_device_swallows_every_other_target() {
        let targets = [Target::Stderr, Target::File("/dev/null".into())];
        assert!(Sink::open_all(&targets, None, 0).unwrap().is_empty());
    }
}
