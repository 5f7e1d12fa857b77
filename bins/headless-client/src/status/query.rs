//! `status`: asks the running client.

use super::{MAX_REPORT, Report, report::VERSION, socket, view};
use crate::cli::{State, Status};
use anyhow::{Context as _, Result, bail, ensure};
use local_socket::{SocketFault, Trust, connect};
use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::AsyncReadExt as _,
    time::{sleep, timeout},
};

/// How long the client may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Asks and prints.
pub(crate) fn run(options: &Status) -> Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(ask_and_print(options))
}

async fn ask_and_print(options: &Status) -> Result<ExitCode> {
    let path = socket();
    if let Some(state) = options.check {
        let is_so = ask(&path).await.is_ok_and(|report| is(&report, state));
        return Ok(if is_so {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    loop {
        let report = ask(&path).await?;
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
        sleep(Duration::from_secs(1)).await;
    }
}

fn is(report: &Report, state: State) -> bool {
    match state {
        State::Running => true,
        State::Connected => report.portal.state == "connected",
        State::Ready => report.ready,
    }
}

/// The report of the client whose socket this is.
pub(super) async fn ask(path: &Path) -> Result<Report> {
    let answer = timeout(ANSWER_TIME, read(path)).await;
    let text = answer.context("the client does not answer")??;
    let report: Report =
        serde_json::from_str(&text).context("the client says something else than its status")?;
    ensure!(
        report.version == VERSION,
        "the client tells its status in version {}, and this program knows {VERSION}",
        report.version
    );
    Ok(report)
}

async fn read(path: &Path) -> Result<String> {
    let stream = match connect(path, Trust::Anyone, 1).await {
        Ok(stream) => stream,
        Err(SocketFault::NotPermitted { .. }) => bail!(
            "not permitted to ask the client: become {}, or a member of the group firezone-client",
            host::help::ADMINISTRATOR_NAME
        ),
        Err(fault) => return Err(fault).context("no client answers (is it running?)"),
    };
    let mut text = String::new();
    let read = stream.take(MAX_REPORT).read_to_string(&mut text).await;
    read.context("the client does not answer")?;
    Ok(text)
}

fn unix_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
