//! What several tests of this crate need.

use parking_lot::Mutex;
use std::{
    fmt::Write as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Id 0x1234, one question: the addresses of `a.test`.
pub(crate) const QUERY: &[u8] =
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x04test\x00\x00\x01\x00\x01";

/// What a future has, without waiting.
pub(crate) fn now_or_never<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// What a function logs at INFO and above, a line per event.
pub(crate) fn logged(function: impl FnOnce()) -> String {
    let lines = Arc::new(Mutex::new(String::new()));
    tracing::subscriber::with_default(Lines(Arc::clone(&lines)), function);
    let lines = lines.lock();
    lines.clone()
}

struct Lines(Arc<Mutex<String>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string cannot fail.
        write!(self.0, " {field}={value:?}").ok();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let mut lines = self.0.lock();
        lines.push_str(event.metadata().level().as_str());
        event.record(&mut Line(&mut lines));
        lines.push('\n');
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}
