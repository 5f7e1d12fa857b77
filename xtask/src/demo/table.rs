//! What the demonstration prints.

use serde_json::json;
use std::time::Duration;
use testbed::Path;

/// A check and what came of it.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was tried.
    pub(crate) what: String,
    /// The way it went.
    pub(crate) path: Option<Path>,
    /// Until the first byte came back.
    pub(crate) first_byte: Option<Duration>,
    /// In bits per second, where it matters.
    pub(crate) rate: Option<f64>,
    /// What is wrong, if something is.
    pub(crate) fault: Option<String>,
}

/// Prints rows as they come.
#[derive(Debug)]
pub(crate) struct Table {
    json: bool,
    section: String,
    rows: usize,
    failed: usize,
}

#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
impl Table {
    pub(crate) const fn new(json: bool) -> Self {
        Self {
            json,
            section: String::new(),
            rows: 0,
            failed: 0,
        }
    }

    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) const fn failed(&self) -> usize {
        self.failed
    }

    /// Begins a part of the table.
    pub(crate) fn section(&mut self, title: &str) {
        title.clone_into(&mut self.section);
        if !self.json {
            println!("\n{title}");
        }
    }

    /// Says that the client is ready, and prints the head.
    pub(crate) fn started(&self, ready: Duration) {
        let milliseconds = ready.as_secs_f64() * 1000.0;
        match self.json {
            true => println!(
                "{}",
                json!({"section": self.section, "ready_ms": milliseconds})
            ),
            false => {
                println!("  client ready after {milliseconds:.0} ms\n");
                println!(
                    "  {:<34} {:<8} {:>10} {:>12}  ok",
                    "what", "path", "first byte", "throughput"
                );
            }
        }
    }

    pub(crate) fn row(&mut self, row: &Row) {
        self.rows += 1;
        self.failed += usize::from(row.fault.is_some());
        let milliseconds = row.first_byte.map(|time| time.as_secs_f64() * 1000.0);
        if self.json {
            let path = row.path.map(|path| path.to_string());
            let object = json!({
                "section": self.section, "what": row.what, "path": path,
                "first_byte_ms": milliseconds, "bits_per_second": row.rate,
                "ok": row.fault.is_none(), "fault": row.fault,
            });
            println!("{object}");
            return;
        }
        let path = row
            .path
            .map_or_else(|| "?".to_owned(), |path| path.to_string());
        let first_byte = milliseconds.map_or_else(String::new, |ms| format!("{ms:.1} ms"));
        let rate = row
            .rate
            .map_or_else(String::new, |rate| format!("{:.0} Mbit/s", rate / 1e6));
        let verdict = row
            .fault
            .as_deref()
            .map_or_else(|| "yes".to_owned(), |f| format!("NO: {f}"));
        println!(
            "  {:<34} {path:<8} {first_byte:>10} {rate:>12}  {verdict}",
            row.what
        );
    }

    /// Says something to a human reader.
    pub(crate) fn note(&self, text: &str) {
        if !self.json {
            println!("\n{text}");
        }
    }
}
