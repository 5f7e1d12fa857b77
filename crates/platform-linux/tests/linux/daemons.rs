//! A private system bus and a real `systemd-resolved` in the namespaces of a test.

use crate::namespace::{Etc, PATIENCE, until};
use rustix::mount::{MountFlags, mount, mount_bind};
use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};
use zbus::{Connection, zvariant::OwnedValue};

const SERVICE: &str = "org.freedesktop.resolve1";
const MANAGER_PATH: &str = "/org/freedesktop/resolve1";
const MANAGER: &str = "org.freedesktop.resolve1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const SOCKET: &str = "/run/dbus/system_bus_socket";

/// User and group of the service; the numbers do not matter as long as nobody else has them.
const OWNER: u32 = 64_991;

const BUS: &str = "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
    \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n\
    <busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen>\
    <auth>EXTERNAL</auth><policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>\
    <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/></policy></busconfig>";

/// What is missing and how to get it.
const MISSING: &str = "is missing: `cargo xtask test` provides it (packages dbus-daemon and \
                       systemd-resolved; the latter is only unpacked, never installed)";

/// A process that ends with the value.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A bus with its service. `/run`, users and groups are those of this mount namespace.
pub(crate) struct Daemons {
    resolved: Option<Daemon>,
    bus: Option<Daemon>,
    config: PathBuf,
}

impl Daemons {
    /// The bus alone.
    pub(crate) async fn bus(etc: &Etc) -> Self {
        mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), None).unwrap();
        for directory in ["/run/dbus", "/run/systemd", "/run/systemd/resolve"] {
            fs::create_dir(directory).unwrap();
        }
        let (user, group) = (
            format!("systemd-resolve:x:{OWNER}:{OWNER}::/:/usr/sbin/nologin\n"),
            format!("systemd-resolve:x:{OWNER}:\n"),
        );
        for (file, line) in [("/etc/passwd", user), ("/etc/group", group)] {
            let copy = etc.0.join(Path::new(file).file_name().unwrap());
            let text = fs::read_to_string(file).unwrap();
            let others = text.lines().filter(|l| !l.starts_with("systemd-resolve:"));
            let others: String = others.map(|line| format!("{line}\n")).collect();
            fs::write(&copy, others + &line).unwrap();
            mount_bind(&copy, file).unwrap();
        }
        chown("/run/systemd/resolve", Some(OWNER), Some(OWNER)).unwrap();
        let config = etc.0.join("bus.conf");
        fs::write(&config, BUS).unwrap();
        let mut daemons = Self {
            resolved: None,
            bus: None,
            config,
        };
        daemons.start_bus().await;
        daemons
    }

    async fn start_bus(&mut self) {
        let mut bus = Command::new("dbus-daemon");
        bus.arg("--config-file").arg(&self.config);
        bus.args(["--nofork", "--nopidfile"]);
        self.bus = Some(start(bus, "dbus-daemon"));
        until("the bus listens", || Path::new(SOCKET).exists()).await;
    }

    /// Kills both and starts them anew.
    pub(crate) async fn restart_bus(&mut self) {
        self.stop_resolved();
        self.bus = None;
        fs::remove_file(SOCKET).unwrap();
        self.start_bus().await;
        self.start_resolved().await;
    }

    /// The bus and `systemd-resolved`, whose only servers are those that the test sets.
    pub(crate) async fn start(etc: &Etc) -> Self {
        let mut daemons = Self::bus(etc).await;
        // Without the machine's file there are no global servers.
        let empty = etc.0.join("resolv.conf-of-the-machine");
        fs::write(&empty, "").unwrap();
        mount_bind(&empty, fs::canonicalize("/etc/resolv.conf").unwrap()).unwrap();
        daemons.start_resolved().await;
        daemons
    }

    /// Starts `systemd-resolved` and waits until it answers.
    pub(crate) async fn start_resolved(&mut self) {
        let (program, libraries) = resolved();
        let mut command = Command::new(&program);
        command.env("LD_LIBRARY_PATH", libraries);
        command.env("SYSTEMD_LOG_LEVEL", "warning");
        self.resolved = Some(start(command, "systemd-resolved"));
        until("systemd-resolved answers", || {
            on_bus(|bus| async move { get(&bus, "LLMNR").await.is_ok() })
        })
        .await;
    }

    /// Kills `systemd-resolved`, and takes away what it keeps for its next start.
    pub(crate) fn stop_resolved(&mut self) {
        self.resolved = None;
        fs::remove_dir_all("/run/systemd/resolve/netif").ok();
    }
}

/// The program and the folder of its library, unpacked or installed.
fn resolved() -> (PathBuf, PathBuf) {
    let tests = std::env::current_exe().unwrap();
    let unpacked = tests
        .ancestors()
        .nth(3)
        .unwrap()
        .join("tools/systemd-resolved");
    let places = [unpacked, PathBuf::from("/")];
    let found = places.iter().find_map(|root| {
        let folders = ["lib/systemd", "usr/lib/systemd"];
        let mut programs = folders
            .iter()
            .map(|f| root.join(f).join("systemd-resolved"));
        programs.find(|program| program.exists()).map(|p| (p, root))
    });
    let (program, root) = found.unwrap_or_else(|| panic!("systemd-resolved {MISSING}"));
    let arch = std::env::consts::ARCH;
    let libraries = root.join(format!("usr/lib/{arch}-linux-gnu/systemd"));
    (program, libraries)
}

fn start(mut command: Command, name: &str) -> Daemon {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
    let child = quiet.spawn();
    Daemon(child.unwrap_or_else(|error| panic!("{name} {MISSING}: {error}")))
}

/// Runs something with a connection to the bus, on a thread of its own: the caller may stand in a
/// runtime.
pub(crate) fn on_bus<T, F>(work: impl FnOnce(Connection) -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let builder = zbus::connection::Builder::system().unwrap();
            let builder = builder.method_timeout(PATIENCE);
            let connection = tokio::time::timeout(PATIENCE, builder.build()).await;
            work(connection.expect("the bus does not answer").unwrap()).await
        })
    });
    thread.join().unwrap()
}

/// Calls a method of the manager that returns nothing.
pub(crate) fn call<B>(method: &'static str, body: B)
where
    B: serde::Serialize + zbus::zvariant::DynamicType + Send + Sync + 'static,
{
    let result = on_bus(move |bus| async move {
        bus.call_method(Some(SERVICE), MANAGER_PATH, Some(MANAGER), method, &body)
            .await
            .map(|_| ())
    });
    result.unwrap_or_else(|error| panic!("{method}: {error}"));
}

async fn get(bus: &Connection, property: &str) -> zbus::Result<OwnedValue> {
    let arguments = (MANAGER, property);
    bus.call_method(
        Some(SERVICE),
        MANAGER_PATH,
        Some(PROPERTIES),
        "Get",
        &arguments,
    )
    .await?
    .body()
    .deserialize()
}

/// A property of the manager.
pub(crate) fn property(name: &'static str) -> OwnedValue {
    on_bus(move |bus| async move { get(&bus, name).await.unwrap() })
}

/// A property of a link, as text.
pub(crate) fn link_property(link: u32, name: &'static str) -> String {
    on_bus(move |bus| async move {
        let link = i32::try_from(link).unwrap();
        let path = bus
            .call_method(Some(SERVICE), MANAGER_PATH, Some(MANAGER), "GetLink", &link)
            .await
            .unwrap();
        let body = path.body();
        let path: zbus::zvariant::ObjectPath<'_> = body.deserialize().unwrap();
        let arguments = ("org.freedesktop.resolve1.Link", name);
        let value = bus
            .call_method(Some(SERVICE), path, Some(PROPERTIES), "Get", &arguments)
            .await
            .unwrap();
        let value: OwnedValue = value.body().deserialize().unwrap();
        match String::try_from(value.try_clone().unwrap()) {
            Ok(text) => text,
            Err(_) => format!("{:?}", *value),
        }
    })
}
