//! What is logged, and where to. spec: client-app 8

use clap::Args;
use host::LogDirectory;
use logging::{Entry, Format, Listing, LogFiles};
use std::{io, path::PathBuf};

/// What programs log unless somebody says otherwise. spec: client-app 8.1
pub const LOG_FILTER: &str = "info";

/// Options of every program with a log. One with other defaults says so with `mut_arg`.
#[derive(Debug, Clone, Args)]
pub struct LogFlags {
    /// Write log files into this directory, too.
    #[arg(short, long, env = "LOG_DIR", value_name = "DIR", global = true)]
    pub log_dir: Option<PathBuf>,

    /// What to log: a level, or `target=level` pairs separated by commas [default: info].
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", global = true)]
    pub log_filter: Option<String>,

    /// What a line of the log is: text or json.
    #[arg(
        long,
        env = "FIREZONE_LOG_FORMAT",
        value_name = "FORMAT",
        default_value_t,
        global = true
    )]
    pub log_format: Format,
}

/// Log files in a directory, for nobody else to write.
pub fn log_files(directory: PathBuf) -> LogFiles {
    LogFiles {
        directory,
        create: Box::new(|directory, base, stamp| {
            host::create_log_file(directory, base, stamp).map_err(io::Error::other)
        }),
        open: Box::new(|directory| {
            let opened = LogDirectory::open(directory).map_err(io::Error::other)?;
            Ok(opened.map(|directory| Box::new(OldLogs(directory)) as Box<dyn Listing>))
        }),
    }
}

/// The files of a directory of logs.
pub struct OldLogs(pub LogDirectory);

impl Listing for OldLogs {
    fn entries(&self) -> io::Result<Vec<Entry>> {
        let entries = self.0.entries()?.into_iter().map(|entry| Entry {
            name: entry.name,
            is_file: entry.is_file,
            is_directory: entry.is_directory,
            size: entry.size,
            changed: entry.changed,
        });
        Ok(entries.collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        log: LogFlags,
    }

    fn parse(arguments: &[&str]) -> Result<LogFlags, clap::Error> {
        Cli::try_parse_from([&["program"], arguments].concat()).map(|cli| cli.log)
    }

    #[test]
    fn a_log_is_text_unless_somebody_says_otherwise() {
        let flags = parse(&["-l", "/logs", "--log-filter=debug"]).unwrap();
        assert_eq!(flags.log_dir, Some("/logs".into()));
        assert_eq!(flags.log_filter.as_deref(), Some("debug"));
        assert_eq!(flags.log_format, Format::Text);
        assert!(parse(&["--log-format=xml"]).is_err());
    }

    #[test]
    fn log_files_take_lines() {
        let folder = tempfile::TempDir::new().unwrap();
        let mut files = log_files(folder.path().join("logs"));
        (files.create)(&files.directory, "base", "stamp").unwrap();
        assert!(files.directory.join("base.stamp.log").exists());
        let old = (files.open)(&files.directory).unwrap().unwrap();
        let mut entries = old.entries().unwrap();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let is_file = |entry: &Entry| (entry.is_file, entry.is_directory);
        assert_eq!((entries.len(), is_file(&entries[1])), (2, (true, false)));
        logging::delete_logs(&*old, logging::Which::Of("base")).unwrap();
        assert!(old.entries().unwrap().is_empty());
    }
}
