//! The program from outside: exit codes, sockets, signals, and who is served.
//!
//! Every service runs in namespaces of its own, with an empty directory in place of `/var/lib`, so
//! that nothing of the host is looked at or changed.

#![expect(clippy::unwrap_used, reason = "what cannot go on fails the test")]

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::MetadataExt as _, net::UnixDatagram, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_firezone-client-tunnel");

/// A group that every system has and root is not in.
const GROUP: (&str, u32) = ("daemon", 1);

/// Nobody in particular.
const USER: u32 = 65534;

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// A directory of its own, removed at the end.
struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn clean(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

fn isolated(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = clean("unshare");
    command
        .args(["--net", "--mount", "--", "sh", "-c"])
        .arg("mount -t tmpfs tmpfs /var/lib && exec \"$0\" \"$@\"")
        .arg(PROGRAM)
        .args(arguments)
        .args(["--dns-control=disabled", "--runtime-dir"])
        .arg(directory)
        .env("FIREZONE_GROUP", GROUP.0);
    command
}

/// A service that is ready.
struct Service {
    child: Child,
    notifications: UnixDatagram,
}

impl Service {
    fn start(directory: &Directory, arguments: &[&str]) -> Self {
        let path = directory.path("notify");
        fs::remove_file(&path).ok();
        let notifications = UnixDatagram::bind(&path).unwrap();
        notifications.set_read_timeout(Some(LIMIT)).unwrap();
        let child = isolated(directory.0.path(), arguments)
            .env("NOTIFY_SOCKET", &path)
            .env("FIREZONE_TOKEN", "a-very-secret-token")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`unshare` of util-linux has to be installed");
        let this = Self {
            child,
            notifications,
        };
        this.wait_for("READY=1");
        this
    }

    fn wait_for(&self, state: &str) {
        let mut buffer = [0; 1024];
        loop {
            let received = self.notifications.recv(&mut buffer);
            let length = received.unwrap_or_else(|error| panic!("{state} never came: {error}"));
            if String::from_utf8_lossy(&buffer[..length]).contains(state) {
                return;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    fn environment(&self) -> String {
        let path = format!("/proc/{}/environ", self.child.id());
        String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
    }

    /// Exit code, standard output and standard error.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let pipe = self.child.stdout.as_mut().unwrap();
        pipe.read_to_string(&mut stdout).unwrap();
        let pipe = self.child.stderr.as_mut().unwrap();
        pipe.read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap().code(), stdout, stderr)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It is over already unless the test failed.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn ctl(directory: &Directory, arguments: &[&str]) -> Command {
    let mut command = clean(PROGRAM);
    command
        .args(["ctl", "--runtime-dir"])
        .arg(directory.0.path())
        .args(arguments);
    command
}

/// Copies a program. By a child: a descriptor of ours that writes to it could be inherited by what another
/// thread starts meanwhile, and keep the copy from being started.
fn copy(program: impl AsRef<Path>, to: &Path) {
    let status = clean("cp")
        .args([program.as_ref(), to])
        .status()
        .expect("`cp` has to be installed");
    assert!(status.success());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn one_line(output: &Output) -> String {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

#[test]
fn help_and_version_are_success_and_wrong_usage_is_not() {
    for (arguments, expected) in [
        (&["--help"][..], "ctl connect --token-file"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["ctl", "connect", "--help"], "--internet-resource"),
    ] {
        let output = clean(PROGRAM).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(text(&output.stdout).contains(expected), "{arguments:?}");
    }
    for arguments in [
        &[][..],
        &["dance"],
        &["run", "--token", "secret"],
        &["install"],
    ] {
        let output = clean(PROGRAM).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty());
    }
}

#[test]
fn a_service_is_ready_and_ends_clean() {
    let directory = Directory::new();
    let logs = directory.path("logs");
    let arguments = [
        "run",
        "--log-dir",
        logs.to_str().unwrap(),
        "--log-filter=debug",
    ];
    let service = Service::start(&directory, &arguments);
    let socket = fs::symlink_metadata(directory.path("tunnel.sock")).unwrap();
    assert_eq!(socket.mode() & 0o7777, 0o660);
    assert_eq!((socket.uid(), socket.gid()), (0, GROUP.1));
    let control = fs::symlink_metadata(directory.path("control.sock")).unwrap();
    assert_eq!((control.mode() & 0o7777, control.uid()), (0o600, 0));

    let status = ctl(&directory, &["status"]).output().unwrap();
    let shown = text(&status.stdout);
    assert_eq!(status.status.code(), Some(3), "{shown}");
    assert!(shown.contains("session    not connected"), "{shown}");
    assert!(shown.contains("gui        none"), "{shown}");
    let disconnect = ctl(&directory, &["disconnect"]).output().unwrap();
    assert_eq!(disconnect.status.code(), Some(0));

    service.signal(Signal::HUP);
    service.signal(Signal::TERM);
    service.wait_for("STOPPING=1");
    let (code, stdout, stderr) = service.end();
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(!directory.path("tunnel.sock").exists());
    assert!(!directory.path("control.sock").exists());
    assert!(!stdout.contains("a-very-secret-token"));
    let first = stdout.lines().next().unwrap();
    for part in [" INFO ", env!("CARGO_PKG_VERSION"), "uptime", "directives"] {
        assert!(first.contains(part), "{first}");
    }
    assert!(first.starts_with(' '), "the journal adds the time: {first}");
    let latest = fs::read_to_string(logs.join("tunnel-service.latest")).unwrap();
    assert!(latest.ends_with("Stopped\n"), "{latest}");
    assert_eq!(latest.lines().count(), stdout.lines().count());
}

#[test]
fn a_second_service_says_so_and_leaves_the_first_one_alone() {
    let directory = Directory::new();
    let first = Service::start(&directory, &["run-interactive"]);
    let second = isolated(directory.0.path(), &["run-interactive"])
        .output()
        .unwrap();
    let line = one_line(&second);
    assert!(line.contains("another tunnel service"), "{line}");
    let status = ctl(&directory, &["status"]).output().unwrap();
    assert_eq!(status.status.code(), Some(3));
    first.signal(Signal::INT);
    assert_eq!(first.end().0, Some(0));
}

#[test]
fn what_a_killed_service_left_is_replaced() {
    let directory = Directory::new();
    let killed = Service::start(&directory, &["run-debug"]);
    killed.signal(Signal::KILL);
    assert_eq!(killed.end().0, None);
    assert!(directory.path("tunnel.sock").exists());
    let line = one_line(&ctl(&directory, &["status"]).output().unwrap());
    assert!(line.contains("is it running?"), "{line}");
    let next = Service::start(&directory, &["run-debug"]);
    next.signal(Signal::TERM);
    assert_eq!(next.end().0, Some(0));
}

#[test]
fn a_terminal_that_closes_takes_the_service_with_it() {
    let directory = Directory::new();
    let service = Service::start(&directory, &["run-interactive"]);
    service.signal(Signal::HUP);
    let (code, stdout, _) = service.end();
    assert_eq!(code, Some(0));
    let first = stdout.lines().next().unwrap();
    assert!(
        first.starts_with("20"),
        "in a terminal lines have times: {first}"
    );
}

#[test]
fn faults_of_the_machine_are_one_line_that_says_what_to_do() {
    let directory = Directory::new();
    let command = |arguments: &[&str]| isolated(directory.0.path(), arguments);
    let line = one_line(
        &command(&["run", "--group", "no-such-group"])
            .output()
            .unwrap(),
    );
    assert!(line.contains("groupadd --system no-such-group"), "{line}");

    let mut broken = command(&["run-interactive"]);
    let line = one_line(&broken.env("RUST_LOG", "a=b=c").output().unwrap());
    assert!(
        line.contains("cannot set up logging") && line.contains("a=b=c"),
        "{line}"
    );

    fs::write(directory.path("tunnel.sock"), "precious").unwrap();
    let line = one_line(&command(&["run-interactive"]).output().unwrap());
    assert!(line.contains("is no socket"), "{line}");
    assert_eq!(
        fs::read_to_string(directory.path("tunnel.sock")).unwrap(),
        "precious"
    );

    let own = directory.path("program");
    copy(PROGRAM, &own);
    let mut unprivileged = clean(&own);
    let line = one_line(
        &unprivileged
            .arg("run")
            .uid(USER)
            .gid(USER)
            .output()
            .unwrap(),
    );
    assert!(line.contains("has to be root"), "{line}");
}

#[test]
fn only_known_programs_are_served_to_members_of_the_group() {
    let directory = Directory::new();
    let own = directory.path("program");
    copy(PROGRAM, &own);
    let token = directory.path("token");
    fs::write(&token, "token").unwrap();
    let connect = |gid: u32| {
        let mut command = clean(&own);
        command
            .args([
                "ctl",
                "connect",
                "--api-url=ws://127.0.0.1:9/",
                "--runtime-dir",
            ])
            .arg(directory.0.path())
            .stdin(fs::File::open(&token).unwrap())
            .uid(USER)
            .gid(gid);
        command
    };
    let service = Service::start(&directory, &["run-interactive"]);
    let line = one_line(&connect(USER).output().unwrap());
    assert!(line.contains("member of its group"), "{line}");
    let line = one_line(&connect(GROUP.1).output().unwrap());
    assert!(line.contains("refuses this program"), "{line}");
    let mut status = clean(&own);
    status
        .args(["ctl", "status", "--runtime-dir"])
        .arg(directory.0.path());
    let line = one_line(&status.uid(USER).gid(GROUP.1).output().unwrap());
    assert!(line.contains("not permitted"), "{line}");
    service.signal(Signal::TERM);
    let (_, stdout, _) = service.end();
    assert!(
        stdout.contains("Refused to serve") && stdout.contains("--gui"),
        "{stdout}"
    );

    let gui = format!("--gui={}", own.display());
    let service = Service::start(&directory, &["run-interactive", &gui]);
    let mut served = connect(GROUP.1);
    served.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut served = served.spawn().unwrap();
    let mut word = [0; 10];
    served
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut word)
        .unwrap();
    assert_eq!(&word, b"connecting");
    let status = ctl(&directory, &["status"]).output().unwrap();
    assert_eq!(status.status.code(), Some(3), "there is no portal");
    let shown = text(&status.stdout);
    assert!(shown.contains(own.to_str().unwrap()), "{shown}");
    service.signal(Signal::TERM);
    let line = one_line(&served.wait_with_output().unwrap());
    assert!(line.contains("the service was stopped"), "{line}");
    let (code, log, _) = service.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("Serving a GUI"), "{log}");
}

#[test]
fn a_program_that_is_mounted_over_a_known_one_is_not_served() {
    let directory = Directory::new();
    let (gui, own) = (directory.path("gui"), directory.path("own"));
    copy("/bin/sleep", &gui);
    copy(PROGRAM, &own);
    let token = directory.path("token");
    fs::write(&token, "token").unwrap();
    let option = format!("--gui={}", gui.display());
    let service = Service::start(&directory, &["run-interactive", &option]);
    // Root of namespaces of its own, and then a user again: the program trusts its own user.
    let mut attack = clean("unshare");
    attack
        .args(["--user", "--map-root-user", "--mount", "sh", "-ec"])
        .arg("mount --bind \"$1\" \"$0\"; shift; exec \"$@\"")
        .args([&gui, &own])
        .args(["unshare", "--user", "--map-user=65534", "--map-group=1"])
        .arg(&gui)
        .args(["ctl", "connect", "--api-url=ws://127.0.0.1:9/"])
        .arg("--runtime-dir")
        .arg(directory.0.path())
        .stdin(fs::File::open(&token).unwrap())
        .uid(USER)
        .gid(GROUP.1);
    let attacked = attack.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut attacked = attacked.spawn().unwrap();
    let mut word = String::new();
    let stdout = attacked.stdout.take().unwrap();
    // What is served says so; what is refused ends.
    stdout.take(10).read_to_string(&mut word).unwrap();
    service.signal(Signal::TERM);
    let answer = text(&attacked.wait_with_output().unwrap().stderr);
    let (_, log, _) = service.end();
    assert_eq!(word, "", "{log}");
    assert!(answer.contains("refuses this program"), "{answer}{log}");
}

#[test]
fn a_program_that_was_replaced_while_it_ran_is_not_served() {
    let directory = Directory::new();
    let own = directory.path("program");
    copy(PROGRAM, &own);
    let gui = format!("--gui={}", own.display());
    let service = Service::start(&directory, &["run-interactive", &gui]);
    let mut old = clean(&own);
    old.args(["ctl", "connect", "--runtime-dir"])
        .arg(directory.0.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut old = old.uid(USER).gid(GROUP.1).spawn().unwrap();
    copy(PROGRAM, &directory.path("update"));
    fs::rename(directory.path("update"), &own).unwrap();
    // It connects once it has its token.
    old.stdin.take().unwrap().write_all(b"token").unwrap();
    let line = one_line(&old.wait_with_output().unwrap());
    assert!(line.contains("refuses this program"), "{line}");
    service.signal(Signal::TERM);
    let (_, log, _) = service.end();
    assert!(log.contains("its program was replaced"), "{log}");
}

#[test]
fn programs_that_others_may_replace_are_named_at_the_start() {
    let directory = Directory::new();
    let own = directory.path("program");
    copy(PROGRAM, &own);
    for (owner, is_named) in [(0, false), (USER, true)] {
        std::os::unix::fs::chown(&own, Some(owner), None).unwrap();
        let gui = format!("--gui={}", own.display());
        let service = Service::start(&directory, &["run-interactive", &gui]);
        service.signal(Signal::TERM);
        let (_, log, _) = service.end();
        assert_eq!(log.contains("Others may replace"), is_named, "{log}");
        assert_eq!(log.contains("does not belong to root"), is_named, "{log}");
    }
}

#[test]
fn the_token_is_forgotten_before_anything_starts() {
    let directory = Directory::new();
    let service = Service::start(&directory, &["run-interactive", "--log-filter=trace"]);
    // What the kernel shows is what the process was started with; that is not ours to change.
    assert!(service.environment().contains("FIREZONE_TOKEN"));
    service.signal(Signal::TERM);
    let (code, stdout, stderr) = service.end();
    assert_eq!(code, Some(0));
    assert!(!format!("{stdout}{stderr}").contains("a-very-secret-token"));
}

#[test]
fn tokens_come_from_files_that_nobody_else_reads_or_from_standard_input() {
    let directory = Directory::new();
    let token = directory.path("token");
    fs::write(&token, "a-very-secret-token").unwrap();
    let name = token.to_str().unwrap();
    let line = one_line(
        &ctl(&directory, &["connect", "--token-file", name])
            .output()
            .unwrap(),
    );
    assert!(line.contains("chmod 0600"), "{line}");

    let mut child = ctl(&directory, &["connect"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b" \n").unwrap();
    let line = one_line(&child.wait_with_output().unwrap());
    assert!(line.contains("holds no token"), "{line}");
}
