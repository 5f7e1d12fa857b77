//! Words of help texts.

pub(crate) const SIGNALS: &str =
    "HUP drops all connections and makes new ones; TERM and INT stop the program.";

pub(crate) const ADMINISTRATOR: &str = "start it by its unit of systemd, or with sudo";

pub(crate) const ADMINISTRATOR_NAME: &str = "root";

pub(crate) fn make_group(name: &str) -> String {
    format!("make it with `groupadd --system {name}` and add users to it")
}

pub(crate) const EXAMINE_PROCESSES: &str = "this may take CAP_SYS_PTRACE";
