//! Which programs may be a GUI. spec: client-app 13.2

use local_socket::{Peer, Program};
use std::path::PathBuf;

/// Who is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// Whoever can open the socket.
    Anyone,
    /// These programs, and administrators with any program: they could do all of it themselves.
    Programs(Vec<PathBuf>),
}

/// Why a peer is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Its program's file is not the one that runs.
    #[error("its program was replaced: start the GUI anew")]
    Replaced,
    /// It runs another program.
    #[error("it is none of the programs that --gui names")]
    OtherProgram,
    /// The system does not tell what it runs.
    #[error("its program is unknown: {}", host::help::EXAMINE_PROCESSES)]
    UnknownProgram,
}

impl Policy {
    /// Whether the peer is served.
    ///
    /// # Errors
    ///
    /// Why not, for the log.
    pub fn check(&self, peer: &Peer) -> Result<(), Refusal> {
        let programs = match self {
            Self::Anyone => return Ok(()),
            Self::Programs(_) if peer.is_administrator => return Ok(()),
            Self::Programs(programs) => programs,
        };
        match &peer.program {
            Program::File(path) if programs.contains(path) => Ok(()),
            Program::Replaced(path) if programs.contains(path) => Err(Refusal::Replaced),
            Program::File(_) | Program::Replaced(_) => Err(Refusal::OtherProgram),
            Program::Unknown(_) => Err(Refusal::UnknownProgram),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(program: Program, is_administrator: bool) -> Peer {
        Peer {
            user: "1000".into(),
            is_administrator,
            process: Some(7),
            program,
        }
    }

    #[test]
    fn programs_are_compared_whole() {
        let policy = Policy::Programs(vec!["/usr/bin/gui".into()]);
        let file = |path: &str| Program::File(path.into());
        for (program, verdict) in [
            (file("/usr/bin/gui"), Ok(())),
            (file("/usr/bin/gui2"), Err(Refusal::OtherProgram)),
            (file("/home/eve/usr/bin/gui"), Err(Refusal::OtherProgram)),
            (file("/usr/bin"), Err(Refusal::OtherProgram)),
            (
                Program::Replaced("/usr/bin/gui".into()),
                Err(Refusal::Replaced),
            ),
            (
                Program::Replaced("/usr/bin/gui2".into()),
                Err(Refusal::OtherProgram),
            ),
            (
                Program::Unknown("permission denied".into()),
                Err(Refusal::UnknownProgram),
            ),
        ] {
            assert_eq!(
                policy.check(&peer(program.clone(), false)),
                verdict,
                "{program}"
            );
            assert!(policy.check(&peer(program.clone(), true)).is_ok());
            assert!(Policy::Anyone.check(&peer(program, false)).is_ok());
        }
    }

    #[test]
    fn a_gui_that_was_updated_is_told_apart_in_the_log() {
        assert!(Refusal::Replaced.to_string().contains("anew"));
        assert!(Refusal::OtherProgram.to_string().contains("--gui"));
        let unknown = Refusal::UnknownProgram.to_string();
        assert!(unknown.contains(host::help::EXAMINE_PROCESSES), "{unknown}");
    }
}
