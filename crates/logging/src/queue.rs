//! Lines on their way to the file: a bounded queue and the thread behind it. spec: client-app 8.3

use crate::{
    file::LogFile,
    options::Format,
    retention::{CAP, enforce_cap},
    time::line_stamp,
};
use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait for the disk.
const QUEUE: usize = 1024;

/// Bytes that are written at once.
const BATCH: usize = 64 * 1024;

/// How often old files are looked for.
const CLEAN: Duration = Duration::from_secs(3600);

enum Item {
    Line(Vec<u8>),
    Stop,
}

/// Takes lines; never waits.
#[derive(Clone)]
pub(crate) struct Queue {
    items: SyncSender<Item>,
    lost: Arc<AtomicU64>,
}

/// The thread behind the queue. Dropping it writes what waits.
#[derive(Debug)]
pub(crate) struct Writer {
    items: SyncSender<Item>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread that writes to the file.
pub(crate) fn start(file: LogFile, format: Format) -> io::Result<(Queue, Writer)> {
    let (items, inbox) = sync_channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let queue = Queue {
        items: items.clone(),
        lost: Arc::clone(&lost),
    };
    let thread = thread::Builder::new().name("log".into());
    let thread = thread.spawn(move || work(&inbox, file, format, &lost))?;
    let writer = Writer {
        items,
        thread: Some(thread),
    };
    Ok((queue, writer))
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A thread that is gone already has written all it could.
        self.items.send(Item::Stop).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Write for Queue {
    /// Takes one line: the subscriber writes each event at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.items.try_send(Item::Line(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn work(inbox: &Receiver<Item>, mut file: LogFile, format: Format, lost: &AtomicU64) {
    let mut clean_at = Instant::now();
    let mut is_over = false;
    while !is_over {
        if clean_at <= Instant::now() {
            clean_at = Instant::now() + CLEAN;
            keep_below_cap(&file);
        }
        let mut batch = vec![];
        let timeout = clean_at.saturating_duration_since(Instant::now());
        match inbox.recv_timeout(timeout) {
            Ok(Item::Line(line)) => is_over = gather(inbox, line, &mut batch),
            Ok(Item::Stop) | Err(RecvTimeoutError::Disconnected) => is_over = true,
            Err(RecvTimeoutError::Timeout) => continue,
        }
        let count = lost.swap(0, Ordering::Relaxed);
        if count > 0 {
            batch.extend_from_slice(lost_lines(count, format).as_bytes());
        }
        // There is nowhere to complain to: the next batch tries again.
        if !batch.is_empty() && file.write(&batch).unwrap_or(false) {
            keep_below_cap(&file);
        }
    }
}

/// Puts lines that wait into one batch; whether the stop was among them.
fn gather(inbox: &Receiver<Item>, first: Vec<u8>, batch: &mut Vec<u8>) -> bool {
    batch.extend_from_slice(&first);
    while batch.len() < BATCH {
        match inbox.try_recv() {
            Ok(Item::Line(line)) => batch.extend_from_slice(&line),
            Ok(Item::Stop) => return true,
            Err(_) => return false,
        }
    }
    false
}

/// Files that stay in spite of the cap harm less than a log that ends.
fn keep_below_cap(file: &LogFile) {
    if let Ok(Some(directory)) = file.listing() {
        enforce_cap(&*directory, file.base(), CAP, SystemTime::now()).ok();
    }
}

/// A line that says how many are missing.
fn lost_lines(count: u64, format: Format) -> String {
    let stamp = line_stamp(SystemTime::now());
    match format {
        Format::Text => format!("{stamp}  WARN logging: Lines were lost count={count}\n"),
        Format::Json => format!(
            "{{\"timestamp\":\"{stamp}\",\"level\":\"WARN\",\"message\":\"Lines were lost\",\
             \"count\":{count},\"target\":\"logging\"}}\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_do_not_fit_are_counted() {
        let (items, inbox) = sync_channel(2);
        let lost = Arc::new(AtomicU64::new(0));
        let mut queue = Queue {
            items,
            lost: Arc::clone(&lost),
        };
        for line in [b"1", b"2", b"3", b"4"] {
            assert_eq!(queue.write(line).unwrap(), 1);
        }
        assert_eq!(lost.load(Ordering::Relaxed), 2);
        let mut batch = vec![];
        assert!(!gather(&inbox, b"0".to_vec(), &mut batch));
        assert_eq!(batch, b"012");
    }

    #[test]
    fn the_count_of_lost_lines_is_a_line_of_its_format() {
        let text = lost_lines(7, Format::Text);
        assert!(text.ends_with("  WARN logging: Lines were lost count=7\n"));
        let json: serde_json::Value = serde_json::from_str(&lost_lines(7, Format::Json)).unwrap();
        assert_eq!(json["count"], 7);
    }
}
