//! What a program can choose of a system.

use std::fmt;

/// How a system points its resolver at the client: one value for each method that it knows.
///
/// A method that is chosen is used or fails loudly; nothing falls back. `Display` writes the name,
/// and the default is what suits most users.
pub trait DnsMethod:
    fmt::Display + fmt::Debug + Copy + Default + Eq + Send + Sync + 'static
{
    /// All methods, in the order of help texts.
    const ALL: &'static [Self];

    /// The method that leaves the resolver of the system alone.
    const DISABLED: Self;

    /// The name that options and variables use. spec: client-app 2
    fn name(self) -> &'static str;

    /// What it does, in a few words for help texts.
    fn help(self) -> &'static str;

    /// The method of this name.
    fn find(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|method| method.name() == name)
    }
}

/// How a client sits in its system.
#[derive(Debug, Clone, Default)]
pub struct Options<D> {
    /// How the resolver of the system is controlled.
    pub dns_control: D,
    /// Buffers of UDP sockets. What keeps sockets outside of the tunnel is added in any case.
    pub sockets: socket_factory::Options,
}
