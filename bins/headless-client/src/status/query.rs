//! `status`: asks the running client.

use super::{MAX_REPORT, Report, report::VERSION, socket, view};
use crate::cli::{State, Status};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::ExitCode,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long the client may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks and prints.
pub(crate) fn run(options: &Status) -> Result<ExitCode> {
    let path = socket();
    if let Some(state) = options.check {
        let is_so = ask(&path).is_ok_and(|report| is(&report, state));
        return Ok(if is_so {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    loop {
        let report = ask(&path)?;
        let text = if options.json {
            serde_json::to_string_pretty(&report)?
        } else {
            view::text(&report, unix_time())
        };
        let clear = if options.watch && !options.json {
            "\x1b[H\x1b[2J"
        } else {
            ""
        };
        match writeln!(io::stdout(), "{clear}{text}") {
            // The other end of a pipe has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Ok(ExitCode::SUCCESS);
            }
            written => written?,
        }
        if !options.watch {
            return Ok(ExitCode::SUCCESS);
        }
        pause();
    }
}

fn is(report: &Report, state: State) -> bool {
    match state {
        State::Running => true,
        State::Connected => report.portal.state == "connected",
        State::Ready => report.ready,
    }
}

fn ask(path: &Path) -> Result<Report> {
    let stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => bail!(
            "not permitted to ask the client: become root, or a member of the group firezone-client"
        ),
        Err(error) => {
            return Err(error).with_context(|| {
                format!("no client answers at {}: is it running?", path.display())
            });
        }
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    let read = stream.take(MAX_REPORT).read_to_string(&mut text);
    read.context("the client does not answer")?;
    let report: Report =
        serde_json::from_str(&text).context("the client says something else than its status")?;
    ensure!(
        report.version == VERSION,
        "the client tells its status in version {}, and this program knows {VERSION}",
        report.version
    );
    Ok(report)
}

fn unix_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[expect(clippy::disallowed_methods, reason = "a person watches")]
fn pause() {
    thread::sleep(Duration::from_secs(1));
}
