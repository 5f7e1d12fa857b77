//! The programs of a network, started as their operators would.

use super::{
    Testbed,
    fault::{Context as _, Fault},
    layout,
    program::{INTERVAL, Program, pause},
    router,
    run_directory::RunDirectory,
    services::hex,
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixDatagram, UnixStream},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// The token that the portal accepts from clients.
pub const CLIENT_TOKEN: &str = "devnet-client-token";

const GATEWAY_TOKEN: &str = "devnet-gateway-token";
const RELAY_TOKEN: &str = "devnet-relay-token";
const SITE: &str = "devnet";

/// The tunnel's link on client and gateways.
const TUNNEL: &str = "tun-firezone";

/// How long a program may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long programs may take to get to know their relays.
const SETTLING: Duration = Duration::from_millis(2500);

/// Datagram bytes that a program has exchanged with a relay when it is ready to use it.
const SETTLED: u64 = 500;

/// How to start a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The file.
    pub program: PathBuf,
    /// What comes before all other arguments.
    pub arguments: Vec<String>,
}

impl Launch {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.current_dir("/");
        command
    }
}

/// The programs to use.
///
/// Relay, gateway and client are told everything by variables, the portal by the arguments
/// `--config FILE --state FILE --control SOCKET --listen ADDRESS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// The client.
    pub client: Launch,
    /// The gateway.
    pub gateway: Launch,
    /// The portal.
    pub portal: Launch,
    /// The relay.
    pub relay: Launch,
    /// What they are to log, as `RUST_LOG` has it.
    pub log: String,
    /// How many single addresses of [`layout::MANY_NET`] are resources, besides the network, the
    /// IPv6 network and the names of the resource host.
    pub extra_resources: u16,
}

/// Portal, relays, gateways and client, running.
#[derive(Debug)]
pub struct Deployment<'a> {
    testbed: &'a Testbed,
    directory: &'a RunDirectory,
    programs: Programs,
    client: Option<Program>,
    gateways: Vec<Program>,
    relays: Vec<Program>,
    portal: Option<Program>,
}

impl<'a> Deployment<'a> {
    /// Starts everything but the client, and waits until all know each other.
    ///
    /// # Errors
    ///
    /// When one of them does not come up.
    pub fn start(
        testbed: &'a Testbed,
        directory: &'a RunDirectory,
        programs: Programs,
    ) -> Result<Self, Fault> {
        let mut network = Self {
            testbed,
            directory,
            programs,
            client: None,
            gateways: Vec::new(),
            relays: Vec::new(),
            portal: None,
        };
        network.start_portal()?;
        network.start_relays()?;
        network.start_gateways()?;
        Ok(network)
    }

    /// The client, if it was started.
    pub const fn client(&self) -> Option<&Program> {
        self.client.as_ref()
    }

    /// The client, if it was started.
    pub const fn client_mut(&mut self) -> Option<&mut Program> {
        self.client.as_mut()
    }

    /// Starts the client, after the one before has ended, and waits until it is ready. Returns the
    /// time this took.
    ///
    /// # Errors
    ///
    /// When it does not get ready.
    pub fn start_client(&mut self) -> Result<Duration, Fault> {
        let relayed = self.testbed.counters()?.relayed;
        let took = self.start_client_by(self.client_command())?;
        self.settle(self.testbed.client_router(), relayed)?;
        Ok(took)
    }

    /// Starts the client by a variation of [`Deployment::client_command`], after the one before has
    /// ended, and waits until it is ready, but not until it knows its relays. Returns the time this
    /// took.
    ///
    /// # Errors
    ///
    /// When it does not get ready.
    pub fn start_client_by(&mut self, mut command: Command) -> Result<Duration, Fault> {
        self.client = None;
        let path = self.directory.path().join("notify");
        // The client before had another socket of that name.
        fs::remove_file(&path).unwrap_or_default();
        let socket = UnixDatagram::bind(&path)
            .and_then(|socket| {
                socket.set_read_timeout(Some(Duration::from_millis(1)))?;
                Ok(socket)
            })
            .context(|| format!("listen on {}", path.display()))?;
        command.env("NOTIFY_SOCKET", &path);
        let host = self.testbed.client();
        let resolv_conf = || host.run(|| fs::read_to_string("/etc/resolv.conf").ok());
        let before = resolv_conf()?;
        let mut client = Program::start(host, "client", command, &self.directory.logs())?;
        let mut in_place = None;
        let ready = client.await_some("ready", PATIENCE, || {
            let mut buffer = [0; 512];
            let length = socket.recv(&mut buffer).unwrap_or(0);
            if buffer[..length]
                .windows(7)
                .any(|window| window == b"READY=1")
            {
                return Ok(Some(Instant::now()));
            }
            // A program that does not notify is ready when everything is in place.
            if in_place.is_none() && resolv_conf()? != before {
                in_place = Some(Instant::now());
            }
            Ok(in_place.filter(|since| since.elapsed() > Duration::from_secs(1)))
        })?;
        let took = ready - client.started();
        self.client = Some(client);
        Ok(took)
    }

    /// Starts the client with a token that the portal does not know.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_stranger(&self) -> Result<Program, Fault> {
        let mut command = self.client_command();
        command.env("FIREZONE_TOKEN", "not-the-token");
        self.start_beside("stranger", command)
    }

    /// Starts one more client on the same host.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_second_client(&self) -> Result<Program, Fault> {
        self.start_beside("second", self.client_command())
    }

    /// Runs the client's program on its host with a subcommand that ends by itself; returns how it
    /// ended and what it printed.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn ask_client(&self, arguments: &[&str]) -> Result<(ExitStatus, String), Fault> {
        let mut command = self.programs.client.command();
        command
            .args(arguments)
            .env("RUNTIME_DIRECTORY", self.runtime_directory())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let child = self.testbed.client().spawn(command)?;
        let output = child.wait_with_output();
        let output = output.context(|| "wait for the client's answer".to_owned())?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status, printed))
    }

    /// Where the client puts its sockets.
    fn runtime_directory(&self) -> PathBuf {
        self.directory.path().join("client-run")
    }

    /// Starts a program on the client's host. What it prints is appended to the log of that name.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_beside(&self, name: &str, command: Command) -> Result<Program, Fault> {
        let host = self.testbed.client();
        Program::start(host, name, command, &self.directory.logs())
    }

    /// Ends the client without giving it a chance to clean up.
    pub fn kill_client(&mut self) {
        self.client = None;
    }

    /// Kills the portal and starts it again; waits until all know it again.
    ///
    /// # Errors
    ///
    /// When one of them does not come back.
    pub fn restart_portal(&mut self) -> Result<(), Fault> {
        self.portal = None;
        let socket = self.control_socket();
        // The killed portal left it there.
        fs::remove_file(&socket).context(|| format!("remove {}", socket.display()))?;
        self.start_portal()?;
        await_online(&socket, "relays", &mut self.relays)?;
        await_online(&socket, "gateways", &mut self.gateways)?;
        await_online(&socket, "clients", self.client.as_mut_slice())
    }

    /// Sends a command to the portal: an object as its control socket takes it.
    ///
    /// # Errors
    ///
    /// When it does not answer or refuses.
    pub fn tell_portal(&self, command: &Value) -> Result<Value, Fault> {
        tell_portal(&self.control_socket(), command)
    }

    fn start_portal(&mut self) -> Result<(), Fault> {
        let directory = self.directory.path();
        let config = directory.join("portal.json");
        let settings = self.settings().to_string();
        fs::write(&config, settings).context(|| format!("write {}", config.display()))?;
        let mut command = self.programs.portal.command();
        command
            .env("RUST_LOG", &self.programs.log)
            .arg("--config")
            .arg(&config);
        command
            .arg("--state")
            .arg(directory.join("portal-state.json"));
        command.arg("--control").arg(self.control_socket());
        for address in [layout::PORTAL.to_owned(), format!("[{}]", layout::PORTAL6)] {
            command
                .arg("--listen")
                .arg(format!("{address}:{}", layout::PORTAL_PORT));
        }
        let host = self.testbed.portal();
        let mut portal = Program::start(host, "portal", command, &self.directory.logs())?;
        portal.await_some("ready", PATIENCE, || {
            Ok(self.tell_portal(&json!({"cmd": "status"})).ok())
        })?;
        self.portal = Some(portal);
        Ok(())
    }

    fn start_relays(&mut self) -> Result<(), Fault> {
        for (n, host) in self.testbed.relays().iter().enumerate() {
            let mut command = self.programs.relay.command();
            self.log_in(&mut command, RELAY_TOKEN, host.name());
            command.env("PUBLIC_IP4_ADDR", layout::RELAY_ADDRESSES[n]);
            command.env("PUBLIC_IP6_ADDR", layout::RELAY_ADDRESSES6[n]);
            let relay = Program::start(host, host.name(), command, &self.directory.logs())?;
            self.relays.push(relay);
        }
        await_online(&self.control_socket(), "relays", &mut self.relays)
    }

    fn start_gateways(&mut self) -> Result<(), Fault> {
        for host in self.testbed.gateways() {
            let mut command = self.programs.gateway.command();
            self.log_in(&mut command, GATEWAY_TOKEN, host.name());
            command.env("FIREZONE_ID", identity(host.name()));
            command.env("FIREZONE_NO_TELEMETRY", "true");
            let gateway = Program::start(host, host.name(), command, &self.directory.logs())?;
            self.gateways.push(gateway);
        }
        await_online(&self.control_socket(), "gateways", &mut self.gateways)?;
        for (gateway, host) in self.gateways.iter_mut().zip(self.testbed.gateways()) {
            gateway.await_some("ready", PATIENCE, || {
                let links = host.links()?;
                Ok(links.iter().any(|link| link.name == TUNNEL).then_some(()))
            })?;
        }
        for router in self.testbed.gateway_routers() {
            self.settle(router, 0)?;
        }
        Ok(())
    }

    /// How the client is started, for variations.
    pub fn client_command(&self) -> Command {
        let mut command = self.programs.client.command();
        self.log_in(&mut command, CLIENT_TOKEN, "client");
        command.env("FIREZONE_ID", identity("client"));
        command.env("RUNTIME_DIRECTORY", self.runtime_directory());
        command.env("FIREZONE_DNS_CONTROL", "etc-resolv-conf");
        command.env("FIREZONE_NO_TELEMETRY", "true");
        command
    }

    fn log_in(&self, command: &mut Command, token: &str, name: &str) {
        let url = format!("ws://{}:{}/", layout::PORTAL_NAME, layout::PORTAL_PORT);
        // Gateways ask the resolver of the resource network, relays and clients the public one.
        command.env("FIREZONE_API_URL", url);
        command
            .env("FIREZONE_TOKEN", token)
            .env("FIREZONE_NAME", name);
        command.env("RUST_LOG", &self.programs.log);
    }

    fn control_socket(&self) -> PathBuf {
        self.directory.path().join("portal.socket")
    }

    /// Waits until whoever is behind a router has allocations at the relays: connections that are
    /// made before that may lack candidates, and figures would be a matter of luck.
    fn settle(&self, router: &super::Host, since: u64) -> Result<(), Fault> {
        let enough = since + SETTLED * self.testbed.relays().len() as u64;
        let deadline = Instant::now() + SETTLING;
        while router::counters(router)?.relayed < enough && Instant::now() < deadline {
            pause(Duration::from_millis(20));
        }
        Ok(())
    }

    fn settings(&self) -> Value {
        let resource = |name: &str, kind: &str, address: &str| json!({"name": name, "type": kind, "address": address, "sites": [SITE]});
        let mut resources = vec![
            resource("Network", "cidr", layout::RESOURCE_NET),
            resource("IPv6 network", "cidr", layout::RESOURCE_NET6),
            resource("Names", "dns", "*.corp.test"),
        ];
        resources.extend((0..self.programs.extra_resources).map(|n| {
            let [high, low] = n.to_be_bytes();
            let address = format!("198.19.{}.{low}/32", 128 + u16::from(high));
            resource(&format!("Address {n}"), "cidr", &address)
        }));
        json!({
            "account": { "slug": "devnet" },
            "sites": [{ "name": SITE }],
            "tokens": [
                { "token": CLIENT_TOKEN, "kind": "client", "actor": "somebody" },
                { "token": GATEWAY_TOKEN, "kind": "gateway", "site": SITE },
                { "token": RELAY_TOKEN, "kind": "relay" },
            ],
            "resources": resources,
        })
    }
}

/// A stable identity.
fn identity(name: &str) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, name.as_bytes()).as_ref())
}

fn tell_portal(socket: &Path, command: &Value) -> Result<Value, Fault> {
    let exchange = || -> std::io::Result<Value> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        writeln!(stream, "{command}")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    let answer = exchange().context(|| "talk to the portal".to_owned())?;
    match answer["ok"] == true {
        true => Ok(answer),
        false => Err(Fault::Check(format!(
            "the portal refuses: {}",
            answer["error"]
        ))),
    }
}

/// Waits until the portal has heard of all these programs.
fn await_online(socket: &Path, kind: &str, programs: &mut [Program]) -> Result<(), Fault> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = tell_portal(socket, &json!({"cmd": "status"}))?;
        let parties = status[kind].as_array().into_iter().flatten();
        if parties.filter(|party| party["online"] == true).count() >= programs.len() {
            return Ok(());
        }
        for program in &mut *programs {
            program.require_running()?;
            if Instant::now() > deadline {
                return Err(program.fault("is not known to the portal"));
            }
        }
        pause(INTERVAL);
    }
}
