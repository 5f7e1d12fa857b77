//! The control socket: one JSON command a line in, one JSON answer a line out.

use super::{command::Command, files::save, hub::Hub, options::Options};
use local_socket::{Listener as _, Permissions, Socket, SocketFault, Stream, Trust, connect};
use serde_json::{Value, json};
use std::{fs, io, path::Path, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, split},
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
    let mut stream = connect(path, Trust::Anyone, 1).await?;
    stream.write_all(format!("{command}\n").as_bytes()).await?;
    let mut answer = Vec::new();
    let mut reader = BufReader::new(stream).take(MAX_LINE);
    reader.read_until(b'\n', &mut answer).await?;
    serde_json::from_slice(&answer).map_err(io::Error::from)
}

/// Opens the socket so that at no time anybody but its owner can use it.
pub(crate) async fn listen(path: &Path) -> Result<Socket, SocketFault> {
    Socket::bind(path, &Permissions::Owner).await
}

/// Serves operators.
pub(crate) async fn serve(mut listener: Socket, hub: Arc<Hub>, options: Options) {
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

async fn converse(stream: Stream, hub: &Arc<Hub>, options: &Options) -> io::Result<()> {
    let (reader, mut writer) = split(stream);
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
