//! Words of help texts and remedies that differ between systems.

use crate::imp;

/// What signals do to a program of this project, for its help text.
pub const SIGNALS: &str = imp::help::SIGNALS;

/// How to run a program as the administrator of the machine, as an advice.
pub const ADMINISTRATOR: &str = imp::help::ADMINISTRATOR;

/// How the administrator is called.
pub const ADMINISTRATOR_NAME: &str = imp::help::ADMINISTRATOR_NAME;

/// How to make a group and put users into it, as an advice; `name` is the group's.
pub fn make_group(name: &str) -> String {
    imp::help::make_group(name)
}

/// What may keep a program from looking at other processes, for its log.
pub const EXAMINE_PROCESSES: &str = imp::help::EXAMINE_PROCESSES;
