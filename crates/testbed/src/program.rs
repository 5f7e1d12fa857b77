//! A program that runs on a host.

use super::{
    fault::{Context as _, Fault},
    host::Host,
};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How often to look whether something has happened.
pub(crate) const INTERVAL: Duration = Duration::from_millis(10);

/// A program that runs on a host; it is killed when the value goes away.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
    started: Instant,
}

/// What a program has used.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// Processor time of all threads, in seconds.
    pub cpu: f64,
    /// Memory that is resident now, in bytes.
    pub resident: u64,
    /// Memory that was resident at most, in bytes.
    pub peak: u64,
    /// How often its threads went to sleep.
    pub sleeps: u64,
}

impl Program {
    /// Starts a program. What it prints is appended to a file in `logs`.
    pub(crate) fn start(
        host: &Host,
        name: &str,
        mut command: Command,
        logs: &Path,
    ) -> Result<Self, Fault> {
        let log = logs.join(format!("{name}.log"));
        let output = OpenOptions::new().append(true).create(true).open(&log);
        let output = output.context(|| format!("write {}", log.display()))?;
        let errors = output.try_clone().context(|| "share a file".to_owned())?;
        // A group of its own: the keyboard's signals are for the caller.
        command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        let started = Instant::now();
        let child = host.spawn(command)?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
            started,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its log is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What it and its predecessors of the same name have printed.
    pub fn printed(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// When it was started.
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends it SIGTERM and waits.
    ///
    /// # Errors
    ///
    /// When it does not end within five seconds.
    pub fn stop(&mut self) -> Result<ExitStatus, Fault> {
        self.signal(Signal::TERM);
        self.wait(Duration::from_secs(5))
    }

    /// Sends it SIGHUP.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Leaves it alone until it is that old; it may have ended then.
    pub fn let_age(&self, age: Duration) {
        pause(age.saturating_sub(self.started.elapsed()));
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus, Fault> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            pause(INTERVAL);
        }
        Err(self.fault(format!("does not end within {} s", patience.as_secs())))
    }

    /// Ends it without giving it a chance to clean up.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        drop(self.child.wait());
    }

    /// What it has used so far.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn usage(&self) -> Result<Usage, Fault> {
        usage(self.id()).context(|| format!("look at the process of {}", self.name))
    }

    /// Forgets how much memory was resident at most.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn reset_peak(&self) -> Result<(), Fault> {
        fs::write(format!("/proc/{}/clear_refs", self.id()), "5")
            .context(|| format!("reset the peak memory of {}", self.name))
    }

    /// A fault that points to its log.
    pub(crate) fn fault(&self, what: impl Into<String>) -> Fault {
        Fault::Program {
            name: self.name.clone(),
            what: what.into(),
            log: self.log.clone(),
        }
    }

    /// Calls a function until it returns something, as long as the program lives.
    pub(crate) fn await_some<T>(
        &mut self,
        what: &str,
        patience: Duration,
        mut look: impl FnMut() -> Result<Option<T>, Fault>,
    ) -> Result<T, Fault> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(value) = look()? {
                return Ok(value);
            }
            self.require_running()?;
            if Instant::now() > deadline {
                return Err(self.fault(format!("is not {what} after {} s", patience.as_secs())));
            }
            pause(INTERVAL);
        }
    }

    /// A fault with its last words if it has ended.
    pub(crate) fn require_running(&mut self) -> Result<(), Fault> {
        let Some(status) = self.ended() else {
            return Ok(());
        };
        let last = self.printed().lines().last().unwrap_or_default().to_owned();
        Err(self.fault(format!("ended ({status}) saying {last:?}")))
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            // Its children, too: it may be a script. It may have ended already; it is not waited
            // for yet, so the id is still its own.
            kill_process_group(id, signal).unwrap_or_default();
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits between two looks at something that the kernel tells nobody about.
#[expect(
    clippy::disallowed_methods,
    reason = "other processes and their sockets are awaited"
)]
pub fn pause(time: Duration) {
    thread::sleep(time);
}

fn usage(id: u32) -> io::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name in parentheses may contain anything.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Vec<f64> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|n| n.parse().ok())
        .collect();
    let per_second = rustix::param::clock_ticks_per_second();
    let mut usage = Usage {
        cpu: ticks.iter().sum::<f64>() / f64::from(u32::try_from(per_second).unwrap_or(100)),
        ..Usage::default()
    };
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    usage.resident = number(&status, "VmRSS:") * 1024;
    usage.peak = number(&status, "VmHWM:") * 1024;
    // Threads may end meanwhile.
    for task in fs::read_dir(format!("/proc/{id}/task"))?.flatten() {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        usage.sleeps += number(&status, "voluntary_ctxt_switches:");
    }
    Ok(usage)
}

/// The number after a label at the start of a line.
fn number(text: &str, label: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory() {
        // Waiting for another thread is a sleep.
        let slow = || (0..1_000_000_u64).fold(0, |a, b| std::hint::black_box(a ^ b));
        while usage(std::process::id()).unwrap().sleeps == 0 {
            thread::spawn(slow).join().unwrap();
        }
        let usage = usage(std::process::id()).unwrap();
        assert!(
            usage.resident > 100_000 && usage.peak >= usage.resident,
            "{usage:?}"
        );
        assert!(usage.sleeps > 0, "{usage:?}");
    }

    #[test]
    fn labels_count_at_the_start_of_a_line_only() {
        let text = "nonvoluntary_ctxt_switches:\t5\nvoluntary_ctxt_switches:\t7\n";
        assert_eq!(number(text, "voluntary_ctxt_switches:"), 7);
        assert_eq!(number(text, "VmRSS:"), 0);
    }
}
