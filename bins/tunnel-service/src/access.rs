//! Which programs may be a GUI. spec: client-app 13.2

use local_socket::{FileId, Peer, Program};
use std::path::{Path, PathBuf};

/// Who is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Policy {
    /// Whoever can open the socket.
    Anyone,
    /// These programs, as they are at the time, and administrators with any program: they could do all of
    /// it themselves.
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
            // Its name says nothing: everybody can mount anything in namespaces of their own.
            Program::File { id, .. } if programs.iter().any(|program| is(program, id)) => Ok(()),
            Program::Replaced(path) if programs.contains(path) => Err(Refusal::Replaced),
            Program::File { .. } | Program::Replaced(_) => Err(Refusal::OtherProgram),
            Program::Unknown(_) => Err(Refusal::UnknownProgram),
        }
    }
}

/// Whether this is the file that has the name now. A program that is not installed is no file.
fn is(name: &Path, id: &FileId) -> bool {
    FileId::of(name).is_ok_and(|found| found == *id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn peer(program: Program, is_administrator: bool) -> Peer {
        Peer {
            user: "1000".into(),
            is_administrator,
            process: Some(7),
            program,
        }
    }

    /// A running program whose file has this name for us, and claims to have that one.
    fn running(path: &Path, claimed: &Path) -> Program {
        Program::File {
            path: claimed.to_owned(),
            id: FileId::of(path).unwrap(),
        }
    }

    #[test]
    fn programs_are_known_by_their_files_and_not_by_their_names() {
        let folder = TempDir::new().unwrap();
        let [gui, same, other, missing] =
            ["gui", "same", "other", "missing"].map(|name| folder.path().join(name));
        fs::write(&gui, "").unwrap();
        fs::write(&other, "").unwrap();
        fs::hard_link(&gui, &same).unwrap();
        let unknown = || Program::Unknown("permission denied".into());
        for (named, program, verdict) in [
            (&gui, running(&gui, &gui), Ok(())),
            (&gui, running(&gui, &other), Ok(())),
            (&same, running(&gui, &gui), Ok(())),
            (&gui, running(&other, &gui), Err(Refusal::OtherProgram)),
            (&gui, running(&other, &other), Err(Refusal::OtherProgram)),
            (
                &missing,
                running(&gui, &missing),
                Err(Refusal::OtherProgram),
            ),
            (&gui, Program::Replaced(gui.clone()), Err(Refusal::Replaced)),
            (
                &gui,
                Program::Replaced(other.clone()),
                Err(Refusal::OtherProgram),
            ),
            (&gui, unknown(), Err(Refusal::UnknownProgram)),
        ] {
            let policy = Policy::Programs(vec![missing.clone(), named.clone()]);
            let found = policy.check(&peer(program.clone(), false));
            assert_eq!(found, verdict, "{} for {}", program, named.display());
            assert!(policy.check(&peer(program.clone(), true)).is_ok());
            assert!(Policy::Anyone.check(&peer(program, false)).is_ok());
        }
    }

    #[test]
    fn a_program_that_was_replaced_is_served_no_more() {
        let folder = TempDir::new().unwrap();
        let gui = folder.path().join("gui");
        fs::write(&gui, "").unwrap();
        let policy = Policy::Programs(vec![gui.clone()]);
        let peer = peer(running(&gui, &gui), false);
        assert_eq!(policy.check(&peer), Ok(()));
        fs::write(folder.path().join("new"), "").unwrap();
        fs::rename(folder.path().join("new"), &gui).unwrap();
        assert_eq!(policy.check(&peer), Err(Refusal::OtherProgram));
    }

    #[test]
    fn a_gui_that_was_updated_is_told_apart_in_the_log() {
        assert!(Refusal::Replaced.to_string().contains("anew"));
        assert!(Refusal::OtherProgram.to_string().contains("--gui"));
        let unknown = Refusal::UnknownProgram.to_string();
        assert!(unknown.contains(host::help::EXAMINE_PROCESSES), "{unknown}");
    }
}
