//! Whole logs, as files have them.

use super::*;
use crate::{listing::tests::Plain, options::LogFiles, retention::CAP};
use std::{
    fs::{self, File, OpenOptions},
    time::{Duration, SystemTime},
};
use tempfile::TempDir;
use tracing::{error, info, info_span, subscriber::with_default, warn};

#[derive(Debug, thiserror::Error)]
#[error("outer")]
struct Outer(#[source] io::Error);

fn create(directory: &Path, base: &str, stamp: &str) -> io::Result<File> {
    fs::create_dir_all(directory)?;
    let path = directory.join(format!("{base}.{stamp}.log"));
    OpenOptions::new().append(true).create(true).open(path)
}

fn files(directory: &Path) -> LogFiles {
    LogFiles {
        directory: directory.to_owned(),
        create: Box::new(create),
        open: Box::new(|directory| Ok(Some(Box::new(Plain::new(directory))))),
    }
}

/// What a file has after this was logged.
fn logged(format: Format, directives: &str, what: impl FnOnce(&Logging)) -> Vec<String> {
    let directory = TempDir::new().unwrap();
    let files = files(&directory.path().join("logs"));
    let options = Options {
        base: "base",
        directives: directives.into(),
        format,
        stdout_time: StdoutTime::Omitted,
        file: Some(files),
    };
    let (subscriber, logging) = build(options).unwrap();
    let path = logging.path().unwrap().to_owned();
    with_default(subscriber, || what(&logging));
    drop(logging);
    let text = fs::read_to_string(&path).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Lines without their time, which is checked.
fn without_time(lines: &[String]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| {
            let (time, rest) = line.split_at(24);
            assert!(time.ends_with('Z') && &time[10..11] == "T", "{time}");
            rest
        })
        .collect()
}

#[test]
fn a_line_has_message_fields_and_fields_of_spans() {
    let lines = logged(Format::Text, "info", |_| {
        let outer = info_span!("outer", spanfield = 1);
        let _outer = outer.enter();
        let inner = info_span!("inner", second = "x y");
        let _inner = inner.enter();
        info!(target: "some::target", key = %"value", other = "x y", "Message {}", "text");
        tracing::debug!("Not shown");
        error!(target: "t", number = 7);
    });
    assert_eq!(
        without_time(&lines),
        [
            r#"  INFO some::target: Message text key=value other="x y" spanfield=1 second="x y""#,
            r#" ERROR t: number=7 spanfield=1 second="x y""#,
        ]
    );
}

#[test]
fn errors_are_told_with_their_causes() {
    let lines = logged(Format::Text, "info", |_| {
        let error = Outer(io::Error::other("inner"));
        warn!(target: "t", error = &error as &dyn std::error::Error, "Failed");
    });
    assert_eq!(
        without_time(&lines),
        ["  WARN t: Failed error=outer: inner"]
    );
}

#[test]
fn one_event_is_one_line_whatever_it_contains() {
    let lines = logged(Format::Text, "info", |_| {
        let hostile = "a\n2025-07-24T01:36:53.123Z  INFO forged\u{1b}[31m";
        info!(target: "t", hostile = %hostile, "Said\r{hostile}");
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!lines[0].contains('\u{1b}') && !lines[0].contains('\r'));
}

#[test]
fn json_lines_are_objects() {
    let lines = logged(Format::Json, "info", |_| {
        let span = info_span!("outer", spanfield = 1);
        let _span = span.enter();
        info!(target: "some::target", key = 2, "Message");
    });
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "Message");
    assert_eq!(
        (&line["key"], &line["target"]),
        (&2.into(), &"some::target".into())
    );
    assert_eq!(line["spans"][0]["spanfield"], 1);
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn the_filter_changes_while_the_program_runs() {
    let lines = logged(Format::Text, "warn", |logging| {
        info!("one");
        logging.set_filter("info").unwrap();
        info!("two");
        assert!(logging.set_filter("a=b=c").is_err());
        info!("three");
        logging.set_filter("off").unwrap();
        error!("four");
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with("two") && lines[1].ends_with("three"));
}

#[test]
fn a_file_that_was_removed_is_followed_by_another_one() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("logs");
    let mut log = LogFile::new("base", files(&directory));
    log.write(b"one\n").unwrap();
    fs::remove_dir_all(&directory).unwrap();
    log.write(b"two\n").unwrap();
    let path = log.path().unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), "two\n");
}

#[test]
fn old_files_are_kept_below_the_cap() {
    let folder = TempDir::new().unwrap();
    let now = SystemTime::now();
    for (name, age) in [("base.1.log", 7200), ("base.2.log", 3600)] {
        let file = File::create(folder.path().join(name)).unwrap();
        // No block of it is on the disk.
        file.set_len(CAP * 3 / 4).unwrap();
        file.set_modified(now - Duration::from_secs(age)).unwrap();
    }
    let options = Options {
        base: "base",
        directives: "info".into(),
        format: Format::Text,
        stdout_time: StdoutTime::Omitted,
        file: Some(files(folder.path())),
    };
    // Dropping it waits for the thread.
    drop(build(options).unwrap());
    assert!(!folder.path().join("base.1.log").exists());
    assert!(folder.path().join("base.2.log").exists());
}

#[test]
fn a_directory_that_cannot_be_is_named() {
    let options = Options {
        base: "base",
        directives: "info".into(),
        format: Format::Text,
        stdout_time: StdoutTime::Shown,
        file: Some(files(Path::new("/proc/nowhere"))),
    };
    let fault = build(options).err().unwrap();
    assert!(fault.to_string().contains("/proc/nowhere"), "{fault}");
}

#[test]
fn formats_are_named() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    assert!("xml".parse::<Format>().unwrap_err().contains("text, json"));
}
