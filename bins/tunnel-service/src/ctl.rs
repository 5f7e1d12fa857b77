//! A GUI for shells, made of the client half of `service-ipc`.

use crate::{
    cli::{Ctl, CtlConnect},
    token,
};
use anyhow::{Context as _, Result, bail};
use host::Signals;
use local_socket::{SocketFault, Stream, Trust, connect as connect_to, path_in};
use secrecy::SecretString;
use service_ipc::{
    Client, Connect, Generation, Resources, ToGui, ToService,
    control::{Answer, Ask, SessionState, Status},
    receive_one, send_one,
};
use std::{
    fmt,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

/// Exit code of `status` without a connection.
const NOT_CONNECTED: u8 = 3;

/// How long the service may take to say that it disconnected. spec: client-app 13.3
const GOODBYE: Duration = Duration::from_secs(5);

/// Does what the shell asks for.
pub(crate) fn run(ctl: Ctl, runtime_dir: &Path) -> ExitCode {
    match perform(ctl, runtime_dir) {
        Ok(code) => code,
        Err(error) => cli_support::report(error),
    }
}

fn perform(ctl: Ctl, runtime_dir: &Path) -> Result<ExitCode> {
    // Before anything else: whoever pipes a token in should not wait for a service.
    let token = match &ctl {
        Ctl::Connect(flags) => Some(token::read(flags.token_file.as_deref())?),
        Ctl::Disconnect | Ctl::Status => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        match (ctl, token) {
            (Ctl::Connect(flags), Some(token)) => connect(flags, token, runtime_dir).await,
            (Ctl::Disconnect, _) => disconnect(runtime_dir).await,
            _ => status(runtime_dir).await,
        }
    })
}

async fn connect(flags: CtlConnect, token: SecretString, runtime_dir: &Path) -> Result<ExitCode> {
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let mut service = Client::open(dial(runtime_dir, service_ipc::SOCKET).await?).await?;
    if service.generation() == Generation::July2025 && flags.api_url.is_none() {
        bail!("this service keeps no URL of the portal: name it by --api-url");
    }
    service.send(&ToService::Connect(Connect {
        token,
        api_url: flags.api_url,
        is_internet_resource_active: Some(flags.internet_resource),
    }))?;
    tokio::select! {
        result = follow(&mut service) => return result.map(|()| ExitCode::SUCCESS),
        // Whichever it is: even a terminal that closes ends the session.
        _ = signals.next() => {}
    }
    print(format_args!("disconnecting"))?;
    service.send(&ToService::Disconnect)?;
    let gone = timeout(GOODBYE, async {
        while let Some(message) = service.next().await? {
            if message == ToGui::DisconnectedGracefully {
                break;
            }
        }
        anyhow::Ok(())
    });
    gone.await
        .context("the service does not say that it disconnected")??;
    print(format_args!("disconnected"))?;
    Ok(ExitCode::SUCCESS)
}

/// Tells what happens until the session is over.
async fn follow<S: AsyncRead + AsyncWrite + Unpin>(service: &mut Client<S>) -> Result<()> {
    while let Some(message) = service.next().await? {
        match message {
            ToGui::ConnectResult(Ok(())) => print(format_args!("connecting"))?,
            ToGui::ConnectResult(Err(reason)) => bail!("cannot connect: {reason}"),
            ToGui::OnUpdateResources(all) => print_resources(&all)?,
            ToGui::AllGatewaysOffline(id) => {
                print(format_args!("no gateway is online for resource {id}"))?;
            }
            ToGui::GatewayVersionMismatch(id) => {
                print(format_args!(
                    "no gateway of resource {id} understands this client"
                ))?;
            }
            ToGui::OnDisconnect {
                error_msg,
                requires_sign_in: true,
            } => bail!("disconnected, and a new token is needed: {error_msg}"),
            ToGui::OnDisconnect { error_msg, .. } => bail!("disconnected: {error_msg}"),
            ToGui::TerminatingGracefully => bail!("the service was stopped"),
            _ => {}
        }
    }
    bail!("the service is gone")
}

fn print_resources(all: &Resources) -> Result<()> {
    print(format_args!("{} resources", all.resources.len()))?;
    for resource in &all.resources {
        print(format_args!("  {}", Row(resource)))?;
    }
    Ok(())
}

async fn disconnect(runtime_dir: &Path) -> Result<ExitCode> {
    match ask(runtime_dir, Ask::Disconnect).await? {
        Answer::Disconnected(true) => print(format_args!("disconnected"))?,
        Answer::Disconnected(false) => print(format_args!("there was nothing to disconnect"))?,
        Answer::Status(_) => bail!("the service answered another question"),
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(runtime_dir: &Path) -> Result<ExitCode> {
    let Answer::Status(status) = ask(runtime_dir, Ask::Status).await? else {
        bail!("the service answered another question");
    };
    let Status {
        version,
        gui,
        session,
        resources,
    } = status;
    print(format_args!("service    {version}"))?;
    print(format_args!(
        "gui        {}",
        gui.as_deref().unwrap_or("none")
    ))?;
    print(format_args!("session    {session}"))?;
    for resource in &resources {
        print(format_args!("resource   {}", Row(resource)))?;
    }
    Ok(match session {
        SessionState::Connected => ExitCode::SUCCESS,
        _ => ExitCode::from(NOT_CONNECTED),
    })
}

async fn ask(runtime_dir: &Path, ask: Ask) -> Result<Answer> {
    let mut stream = dial(runtime_dir, service_ipc::CONTROL_SOCKET).await?;
    send_one(&mut stream, &ask).await?;
    let answer = receive_one(&mut stream).await?;
    let who = host::help::ADMINISTRATOR_NAME;
    answer.with_context(|| format!("the service refused to answer: only {who} is answered"))
}

/// A stream to the service, if it is that of the administrator.
async fn dial(runtime_dir: &Path, socket: &str) -> Result<Stream> {
    let path = path_in(runtime_dir, socket);
    let dialled = connect_to(&path, Trust::Administrators, service_ipc::CONNECT_ATTEMPTS).await;
    dialled.map_err(|fault| match fault {
        SocketFault::NotListening(_) => {
            anyhow::Error::new(fault).context("no tunnel service answers (is it running?)")
        }
        fault => fault.into(),
    })
}

/// One resource in one line. Its texts come from the portal: terminals must not interpret them.
struct Row<'a>(&'a service_ipc::Resource);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, address) = match self.0 {
            service_ipc::Resource::Dns(it) | service_ipc::Resource::Cidr(it) => {
                (&it.name, it.address.as_str())
            }
            service_ipc::Resource::Internet(it) => (&it.name, "everything else"),
        };
        let status = self.0.status();
        let line = format!("{status}  {name}  {address}");
        line.chars()
            .filter(|character| !character.is_control())
            .try_for_each(|character| write!(f, "{character}"))
    }
}

/// One line on standard output.
fn print(line: fmt::Arguments<'_>) -> Result<()> {
    writeln!(io::stdout(), "{line}").context("cannot write to standard output")
}

#[cfg(test)]
mod tests {
    use super::*;
    use service_ipc::{Addressed, Internet, Resource, ResourceStatus};

    #[test]
    fn a_row_has_a_state_for_scripts_and_moves_no_cursor() {
        let dns = Resource::Dns(Addressed {
            id: model::ResourceId::from_bytes([1; 16]),
            address: "*.wiki.test".into(),
            name: "Wiki\x1b[31m".into(),
            address_description: None,
            sites: vec![],
            status: ResourceStatus::Online,
        });
        assert_eq!(Row(&dns).to_string(), "Online  Wiki[31m  *.wiki.test");
        let internet = Resource::Internet(Internet {
            name: "Internet".into(),
            id: model::ResourceId::from_bytes([2; 16]),
            sites: vec![],
            status: ResourceStatus::Unknown,
        });
        let row = Row(&internet).to_string();
        assert_eq!(row, "Unknown  Internet  everything else");
    }
}
