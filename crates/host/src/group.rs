//! Users that a name stands for.

use crate::imp;
use std::io;

/// A group in the terms of the system: its number, or an identifier of another kind.
pub type RawGroup = imp::RawGroup;

/// Some users of this machine, who may use a socket or read a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group(RawGroup);

impl Group {
    /// The group of this name; none if there is no such group.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn find(name: &str) -> io::Result<Option<Self>> {
        Ok(imp::find_group(name)?.map(Self))
    }

    /// The group in the terms of the system, for crates that speak to the system themselves.
    pub fn raw(&self) -> &RawGroup {
        &self.0
    }
}
