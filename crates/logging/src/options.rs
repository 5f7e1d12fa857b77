//! What a log is to be like.

use crate::listing::Listing;
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// Format of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for programs.
    Json,
}

impl Format {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Text, Self::Json];

    /// The name that options use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| format!("possible values: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// Whether lines on standard output begin with the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StdoutTime {
    /// Whoever reads them adds it, as journals of services do.
    Omitted,
    /// They do.
    Shown,
}

/// Where files go.
pub struct LogFiles {
    /// The directory; it is made when the first file is.
    pub directory: PathBuf,
    /// Makes them.
    pub create: Box<dyn CreateFile>,
    /// Finds those that are there already.
    pub open: Box<dyn OpenListing>,
}

/// Opens `<base>.<stamp>.log` in a directory for appending; gets directory, base and stamp.
pub trait CreateFile: FnMut(&Path, &str, &str) -> io::Result<File> + Send {}

impl<F: FnMut(&Path, &str, &str) -> io::Result<File> + Send> CreateFile for F {}

/// Opens a directory to look for old files; none if there is no such directory.
pub trait OpenListing: Fn(&Path) -> io::Result<Option<Box<dyn Listing>>> + Send {}

impl<F: Fn(&Path) -> io::Result<Option<Box<dyn Listing>>> + Send> OpenListing for F {}

/// Settings of a log.
pub struct Options {
    /// First part of the names of files.
    pub base: &'static str,
    /// What to log: a level, or `target=level` pairs separated by commas.
    pub directives: String,
    /// Format of lines.
    pub format: Format,
    /// Whether lines on standard output begin with the time.
    pub stdout_time: StdoutTime,
    /// Files, if they are wanted.
    pub file: Option<LogFiles>,
}
