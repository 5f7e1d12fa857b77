//! The life of the process. spec: client-app 12.1

use crate::{
    cli::{Command, ServiceFlags},
    this_machine::{self, LOG_BASE, ThisMachine},
};
use anyhow::{Context as _, Result, bail};
use cli_support::{LOG_FILTER, log_files};
use host::{Group, ServiceManager, Signal, Signals};
use local_socket::{Claim, Permissions, SocketFault};
use logging::{Logging, Options, StdoutTime};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::mpsc;
use tunnel_service::{
    AdminCommand, Lifetime, Policy, Service, admin_commands, answer_administrators,
};

/// How a subcommand differs from the others.
struct Mode {
    is_interactive: bool,
    lifetime: Lifetime,
    policy: Policy,
}

impl Mode {
    fn new(flags: &ServiceFlags, command: &Command) -> Result<Self> {
        let mut mode = Self {
            is_interactive: true,
            lifetime: Lifetime::Unlimited,
            policy: Policy::Programs(flags.gui.clone()),
        };
        match command {
            Command::RunInteractive(options) if options.serves_anyone() => {
                mode.policy = Policy::Anyone;
            }
            Command::RunSmokeTest if cfg!(debug_assertions) => mode.lifetime = Lifetime::OneGui,
            Command::RunSmokeTest => bail!("run-smoke-test is for debug builds"),
            Command::Run => mode.is_interactive = false,
            _ => {}
        }
        Ok(mode)
    }
}

/// Serves GUIs until a signal.
pub(crate) fn run(flags: &ServiceFlags, runtime_dir: &Path, command: Command) -> Result<()> {
    let mode = Mode::new(flags, &command)?;
    if !host::is_administrator() {
        bail!(
            "the tunnel service has to be {}: {}",
            host::help::ADMINISTRATOR_NAME,
            host::help::ADMINISTRATOR
        );
    }
    let group = this_machine::group(&flags.group)?;
    let log_directory = match (&flags.log.log_dir, mode.is_interactive) {
        (Some(directory), _) => Some(directory.clone()),
        (None, true) => None,
        (None, false) => Some(host::places::service_logs()),
    };
    // It outlives the machine, which changes its filter.
    let logging = start_log(flags, log_directory.clone(), mode.is_interactive)?;
    let logging = Arc::new(logging);
    if let Policy::Programs(programs) = &mode.policy {
        warn_of_writers(programs);
    }
    let machine = ThisMachine::new(flags, &group, Arc::clone(&logging), log_directory)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(flags, runtime_dir, (machine, group), mode))
}

/// Says which served programs are not safe from users of this machine.
fn warn_of_writers(programs: &[PathBuf]) {
    for program in programs {
        if let Err(fault) = host::check_program(program) {
            let error = &fault as &dyn std::error::Error;
            tracing::warn!(error, program = %program.display(), "Others may replace a program that is served");
        }
    }
}

async fn serve(
    flags: &ServiceFlags,
    runtime_dir: &Path,
    (machine, group): (ThisMachine, Group),
    mode: Mode,
) -> Result<()> {
    let signals = Signals::new().context("cannot listen for signals")?;
    let claim = Claim::take(runtime_dir, service_ipc::SOCKET).map_err(explain)?;
    let permissions = Permissions::Group(group);
    let listener = claim.bind(service_ipc::SOCKET, &permissions).await;
    let listener = listener.map_err(explain)?;
    let control = claim.bind(service_ipc::CONTROL_SOCKET, &Permissions::Owner);
    let control = control.await.map_err(explain)?;
    tracing::info!(socket = %listener.path().display(), "Ready for a GUI");
    let (giver, taker) = admin_commands();
    let service = Service {
        machine,
        listener,
        policy: mode.policy,
        generation: flags.gui_generation,
        commands: taker,
        lifetime: mode.lifetime,
    };
    ServiceManager::default().ready()?;
    tokio::select! {
        () = service.serve() => {}
        () = answer_administrators(control, giver.clone()) => {}
        () = forward_signals(signals, giver, mode.is_interactive) => {}
    }
    tracing::info!("Stopped");
    Ok(())
}

/// Says who is in the way.
fn explain(fault: SocketFault) -> anyhow::Error {
    match fault {
        SocketFault::Claimed(_) | SocketFault::Taken(_) => {
            anyhow::Error::new(fault).context("another tunnel service is running")
        }
        fault => fault.into(),
    }
}

/// Starts the log. spec: client-app 8
fn start_log(
    flags: &ServiceFlags,
    directory: Option<PathBuf>,
    is_interactive: bool,
) -> Result<Logging> {
    let stored = this_machine::store().load();
    let stored = stored.ok().flatten().map(|settings| settings.log_filter);
    let stored = stored.filter(|stored| logging::check_filter(stored).is_ok());
    let directives = flags.log.log_filter.clone().or(stored);
    let directives = directives.unwrap_or_else(|| LOG_FILTER.to_owned());
    let logging = logging::start(Options {
        base: LOG_BASE,
        directives: directives.clone(),
        format: flags.log.log_format,
        stdout_time: match is_interactive {
            true => StdoutTime::Shown,
            false => StdoutTime::Omitted,
        },
        file: directory.map(log_files),
    })
    .context("cannot set up logging")?;
    let log = logging.path().map(|path| path.display().to_string());
    tracing::info!(
        arch = std::env::consts::ARCH,
        os = std::env::consts::OS,
        version = env!("CARGO_PKG_VERSION"),
        directives,
        uptime_s = host::uptime().as_secs(),
        log = log.as_deref(),
        "Starting"
    );
    flags.log_options();
    Ok(logging)
}

/// Turns signals into commands, until the service is gone.
async fn forward_signals(
    mut signals: Signals,
    commands: mpsc::Sender<AdminCommand>,
    is_interactive: bool,
) {
    loop {
        let signal = signals.next().await;
        let command = match signal {
            // A terminal that closes takes the service with it; a service manager asks for a reset.
            Signal::HangUp if !is_interactive => AdminCommand::Reset(signal.name()),
            _ => AdminCommand::Stop,
        };
        if let AdminCommand::Stop = command {
            tracing::info!(%signal, "Stopping");
            ServiceManager::default().stopping();
        }
        if commands.send(command).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
