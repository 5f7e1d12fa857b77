//! Puts filter, lines and files together.

use crate::{
    error::LogError,
    file::LogFile,
    filter::filter,
    line::{Fields, Line},
    options::{Format, Options, StdoutTime},
    queue::{self, Queue, Writer},
    time::Milliseconds,
};
use std::{
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
    /// [`LogError::Filter`]; the old filter stays.
    pub fn set_filter(&self, directives: &str) -> Result<(), LogError> {
        let filter = filter(directives)?;
        self.filter.reload(filter).map_err(|_| LogError::State)
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
pub fn start(options: Options) -> Result<Logging, LogError> {
    let (subscriber, logging) = build(options)?;
    subscriber.try_init().map_err(|_| LogError::State)?;
    Ok(logging)
}

fn build(options: Options) -> Result<(impl Subscriber + Send + Sync, Logging), LogError> {
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
        let fault = |source| LogError::File { directory, source };
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
