//! Which programs may be a GUI. spec: client-app 13.2

use service_ipc::{Peer, Program};
use std::path::PathBuf;

/// Who is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// Whoever can open the socket.
    Anyone,
    /// These programs, and administrators with any program: they could do all of it themselves.
    Programs(Vec<PathBuf>),
}

impl Policy {
    /// Whether the peer is served.
    ///
    /// # Errors
    ///
    /// Why not, for the log.
    pub fn check(&self, peer: &Peer) -> Result<(), &'static str> {
        let programs = match self {
            Self::Anyone => return Ok(()),
            Self::Programs(_) if peer.is_administrator => return Ok(()),
            Self::Programs(programs) => programs,
        };
        match &peer.program {
            Program::File(path) if programs.contains(path) => Ok(()),
            Program::Replaced(path) if programs.contains(path) => {
                Err("its program was replaced: start the GUI anew")
            }
            Program::File(_) | Program::Replaced(_) => {
                Err("it is none of the programs that --gui names")
            }
            Program::Unknown(_) => Err("its program is unknown: this may take CAP_SYS_PTRACE"),
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
        for (program, served) in [
            (file("/usr/bin/gui"), true),
            (file("/usr/bin/gui2"), false),
            (file("/home/eve/usr/bin/gui"), false),
            (file("/usr/bin/../bin/gui"), true),
            (Program::Replaced("/usr/bin/gui".into()), false),
            (Program::Unknown("permission denied".into()), false),
        ] {
            let expected = served && program == file("/usr/bin/gui");
            let verdict = policy.check(&peer(program.clone(), false));
            assert_eq!(verdict.is_ok(), expected, "{program:?}");
            assert!(policy.check(&peer(program.clone(), true)).is_ok());
            assert!(Policy::Anyone.check(&peer(program, false)).is_ok());
        }
    }

    #[test]
    fn a_gui_that_was_updated_is_told_apart_in_the_log() {
        let policy = Policy::Programs(vec!["/usr/bin/gui".into()]);
        let reason = |program| policy.check(&peer(program, false)).unwrap_err();
        assert!(reason(Program::Replaced("/usr/bin/gui".into())).contains("anew"));
        assert!(reason(Program::File("/usr/bin/other".into())).contains("--gui"));
        assert!(reason(Program::Unknown(String::new())).contains("CAP_SYS_PTRACE"));
    }
}
