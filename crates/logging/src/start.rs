//! Puts filter, lines and files together.

use crate::{
    file::LogFile,
    filter::filter,
    line::{Fields, Line},
    queue::{self, Queue, Writer},
    time::Milliseconds,
};
use std::{
    fs::File,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{MakeWriter, format::JsonFields, layer},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt as _,
};

/// What a line is.
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
}

/// Opens `<base>.<stamp>.log` in a directory for appending; gets directory, base and stamp.
pub trait CreateFile: FnMut(&Path, &str, &str) -> io::Result<File> + Send {}

impl<F: FnMut(&Path, &str, &str) -> io::Result<File> + Send> CreateFile for F {}

/// What a log is like.
pub struct Options {
    /// First part of the names of files.
    pub base: &'static str,
    /// What to log: a level, or `target=level` pairs separated by commas.
    pub directives: String,
    /// What a line is.
    pub format: Format,
    /// Whether lines on standard output begin with the time.
    pub stdout_time: StdoutTime,
    /// Files, if they are wanted.
    pub file: Option<LogFiles>,
}

/// Why there is no log as wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogFault {
    /// The directives cannot be read.
    #[error(
        "{directives:?} is no log filter: use a level such as `debug`, or `target=level` pairs"
    )]
    Filter {
        /// What was given.
        directives: String,
        /// Where it went wrong.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// No file can be written.
    #[error("cannot write logs to {}", directory.display())]
    File {
        /// Where.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// This process logs already.
    #[error("the log was started already, or is over")]
    State,
}

/// The log. Dropping it writes what still waits; keep it until the end.
#[derive(Debug)]
pub struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    path: Option<PathBuf>,
    _writer: Option<Writer>,
}

impl Logging {
    /// Replaces what is shown.
    ///
    /// # Errors
    ///
    /// [`LogFault::Filter`]; the old filter stays.
    pub fn set_filter(&self, directives: &str) -> Result<(), LogFault> {
        let filter = filter(directives)?;
        self.filter.reload(filter).map_err(|_| LogFault::State)
    }

    /// The first file.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

/// Starts the log of this process.
///
/// # Errors
///
/// Directives or a directory that cannot be used; a second call.
pub fn start(options: Options) -> Result<Logging, LogFault> {
    let (subscriber, logging) = build(options)?;
    subscriber.try_init().map_err(|_| LogFault::State)?;
    Ok(logging)
}

fn build(options: Options) -> Result<(impl Subscriber + Send + Sync, Logging), LogFault> {
    let (filter, handle) = reload::Layer::new(filter(&options.directives)?);
    let format = options.format;
    let mut logging = Logging {
        filter: handle,
        path: None,
        _writer: None,
    };
    let mut file = None;
    if let Some(files) = options.file {
        let directory = files.directory.clone();
        let fault = |source| LogFault::File { directory, source };
        let mut log_file = LogFile::new(options.base, files);
        let opened = log_file.path().and_then(|path| {
            logging.path = Some(path);
            queue::start(log_file, format)
        });
        let (queue, writer) = opened.map_err(fault)?;
        logging._writer = Some(writer);
        file = Some(queue);
    }
    let time = options.stdout_time == StdoutTime::Shown;
    let subscriber = tracing_subscriber::registry()
        .with(filter)
        .with(sink(io::stdout, format, time, io::stdout().is_terminal()))
        .with(file.map(|queue: Queue| sink(queue, format, true, false)));
    Ok((subscriber, logging))
}

fn sink<S, W>(
    writer: W,
    format: Format,
    time: bool,
    colour: bool,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = layer().with_writer(writer);
    match format {
        Format::Text => layer
            .with_ansi(colour)
            .fmt_fields(Fields)
            .event_format(Line { time })
            .boxed(),
        Format::Json => layer
            .fmt_fields(JsonFields::new())
            .event_format(
                tracing_subscriber::fmt::format()
                    .json()
                    .flatten_event(true)
                    .with_current_span(false)
                    .with_timer(Milliseconds),
            )
            .with_ansi(false)
            .boxed(),
    }
}

#[cfg(test)]
mod tests;
