//! The control socket: one JSON command a line in, one JSON answer a line out.

use super::{command::Command, files::save, hub::Hub, options::Options};
use serde_json::{Value, json};
use std::{
    fs, io,
    os::unix::{
        fs::{DirBuilderExt as _, PermissionsExt as _},
        net::UnixStream as StdUnixStream,
    },
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    task::JoinSet,
};

/// The longest command or answer, in bytes.
const MAX_LINE: u64 = 16 * 1024 * 1024;

/// How many operators may be connected at a time.
const MAX_OPERATORS: usize = 16;

/// Says one command to a running portal, and returns its answer.
///
/// # Errors
///
/// When the portal cannot be reached or does not answer properly. A command that fails is not an
/// error: its answer has `"ok": false`.
pub async fn control(path: &Path, command: &Value) -> io::Result<Value> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(format!("{command}\n").as_bytes()).await?;
    let mut answer = Vec::new();
    let mut reader = BufReader::new(stream).take(MAX_LINE);
    reader.read_until(b'\n', &mut answer).await?;
    serde_json::from_slice(&answer).map_err(io::Error::from)
}

/// Opens the socket so that at no time anybody but its owner can use it.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    if StdUnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let mut private = path.as_os_str().to_owned();
    private.push(".d");
    let private = PathBuf::from(private);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&private)?;
    let fresh = private.join("socket");
    // Left by a portal that was killed between here and the end of this function.
    drop(fs::remove_file(&fresh));
    let listener = UnixListener::bind(&fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))?;
    fs::rename(&fresh, path)?;
    fs::remove_dir(&private)?;
    Ok(listener)
}

/// Serves operators.
pub(crate) async fn serve(listener: UnixListener, hub: Arc<Hub>, options: Options) {
    let mut operators = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if operators.len() < MAX_OPERATORS => {
                if let Ok((stream, _)) = accepted {
                    let (hub, options) = (Arc::clone(&hub), options.clone());
                    operators.spawn(async move {
                        // An operator that goes away is no fault of ours.
                        drop(converse(stream, &hub, &options).await);
                    });
                }
            }
            Some(_) = operators.join_next() => {}
        }
    }
}

async fn converse(stream: UnixStream, hub: &Arc<Hub>, options: &Options) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let length = (&mut reader)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .await?;
        if length == 0 {
            return Ok(());
        }
        let answer = match serde_json::from_slice(&line) {
            Ok(command) => carry_out(command, hub, options).await,
            Err(error) => json!({"ok": false, "error": format!("not a command: {error}")}),
        };
        writer.write_all(format!("{answer}\n").as_bytes()).await?;
    }
}

async fn carry_out(command: Command, hub: &Arc<Hub>, options: &Options) -> Value {
    let file = match &command {
        Command::Reload => {
            let (hub, options) = (Arc::clone(hub), options.clone());
            let reading = tokio::task::spawn_blocking(move || {
                // What earlier commands changed must not be undone by a file that lacks it.
                save(&hub, &options);
                fs::read_to_string(&options.settings)
            });
            reading.await.ok().and_then(Result::ok)
        }
        _ => None,
    };
    hub.command(command, file.as_deref())
}
