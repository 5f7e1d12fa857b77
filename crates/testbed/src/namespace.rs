//! Entering namespaces, and children that die with their parent: all that is unsafe about it.

#![expect(
    unsafe_code,
    reason = "the system calls change what other code of the process sees"
)]

use rustix::{
    process::{Signal, set_parent_process_death_signal},
    thread::{UnshareFlags, unshare_unsafe},
};
use std::{fs, io, os::unix::process::CommandExt as _, process::Command};

/// Moves this thread, and what it starts from now on, into fresh network, mount and host-name
/// namespaces.
pub(crate) fn leave() -> io::Result<()> {
    let flags = UnshareFlags::NEWNET | UnshareFlags::NEWNS | UnshareFlags::NEWUTS;
    // SAFETY: none of the flags takes the thread's file descriptors away.
    unsafe { unshare_unsafe(flags) }?;
    Ok(())
}

/// Makes this process root of a user namespace of its own. It must have only one thread.
pub(crate) fn become_root() -> io::Result<()> {
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    // SAFETY: the flag takes no file descriptors away.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER) }?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {} 1", user.as_raw()))?;
    fs::write("/proc/self/gid_map", format!("0 {} 1", group.as_raw()))
}

/// Has the kernel kill the program when the thread that starts it ends, however it ends.
pub(crate) fn tie_to_this_thread(command: &mut Command) {
    // SAFETY: the closure makes one system call and allocates nothing, so it may run between fork
    // and exec.
    unsafe {
        command.pre_exec(|| {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            Ok(())
        });
    }
}
