//! What a line looks like: time, level, target, message, fields of the event, fields of its spans
//! from the outermost inwards. spec: client-app 8.2

use crate::time::line_stamp;
use std::{
    error::Error,
    fmt::{self, Debug, Write as _},
    time::SystemTime,
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FmtContext, FormatFields, FormattedFields,
        format::{FormatEvent, Writer},
    },
    registry::LookupSpan,
};

/// A line per event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// Whether the time comes first.
    pub(crate) time: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.time {
            write!(writer, "{} ", line_stamp(SystemTime::now()))?;
        }
        let metadata = event.metadata();
        write_level(&mut writer, *metadata.level())?;
        write!(writer, " {}: ", metadata.target())?;
        context.format_fields(writer.by_ref(), event)?;
        for span in context
            .event_scope()
            .into_iter()
            .flat_map(|s| s.from_root())
        {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(writer, " {fields}")?;
            }
        }
        writeln!(writer)
    }
}

fn write_level(writer: &mut Writer<'_>, level: Level) -> fmt::Result {
    if !writer.has_ansi_escapes() {
        return write!(writer, "{level:>5}");
    }
    let colour = match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        _ => 35,
    };
    write!(writer, "\u{1b}[{colour}m{level:>5}\u{1b}[0m")
}

/// The message, then ` name=value` for each other field. Errors are told with all their causes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Visitor::default();
        fields.record(&mut visitor);
        let Visitor { message, rest } = visitor;
        let rest = match message.is_empty() {
            true => rest.trim_start(),
            false => &rest,
        };
        write!(writer, "{message}{rest}")
    }
}

#[derive(Default)]
struct Visitor {
    message: String,
    rest: String,
}

impl Visitor {
    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        match field.name() {
            "message" => Escaped(&mut self.message).write_fmt(value),
            name => {
                let name = name.strip_prefix("r#").unwrap_or(name);
                self.rest.push(' ');
                self.rest.push_str(name);
                self.rest.push('=');
                Escaped(&mut self.rest).write_fmt(value)
            }
        }
        .ok();
    }
}

impl Visit for Visitor {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.put(field, format_args!("{value}")),
            _ => self.put(field, format_args!("{value:?}")),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, format_args!("{}", Chain(value)));
    }
}

/// An error with all its causes.
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Keeps one event on one line, and terminals safe.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character.is_control() {
                true => self.0.extend(character.escape_default()),
                false => self.0.push(character),
            }
        }
        Ok(())
    }
}
