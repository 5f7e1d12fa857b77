//! What tasks print while they work.

/// A line on standard output.
#[expect(clippy::print_stdout, reason = "progress is the output of a task")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
