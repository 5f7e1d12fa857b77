//! The system's resolvers as they were last seen, for whoever asks.

use parking_lot::Mutex;
use platform::{PlatformFault, SystemResolver};
use std::sync::Arc;

/// The last look. Clones see the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Upstreams(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    resolvers: Vec<SystemResolver>,
    /// Why there are none, as long as nothing was ever seen.
    fault: Option<(String, &'static str)>,
    ever: bool,
}

impl Upstreams {
    /// The resolvers.
    pub(crate) fn get(&self) -> Result<Vec<SystemResolver>, PlatformFault> {
        let seen = self.0.lock();
        match &seen.fault {
            Some((problem, remedy)) => Err(PlatformFault::Dns {
                problem: problem.clone(),
                remedy,
            }),
            None => Ok(seen.resolvers.clone()),
        }
    }

    /// Notes a look; says whether it differs from the last. One that failed changes nothing: the
    /// resolvers are most likely still the same.
    pub(crate) fn replace(&self, look: Result<Vec<SystemResolver>, PlatformFault>) -> bool {
        let mut seen = self.0.lock();
        match look {
            Ok(resolvers) => {
                let differs = seen.resolvers != resolvers || seen.fault.is_some();
                *seen = Seen {
                    resolvers,
                    fault: None,
                    ever: true,
                };
                differs
            }
            Err(fault) => {
                tracing::debug!(error = %fault, "Cannot look at the system's resolvers");
                if !seen.ever {
                    seen.fault = Some(match fault {
                        PlatformFault::Dns { problem, remedy } => (problem, remedy),
                        fault => (fault.to_string(), "look at the log"),
                    });
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Result<Vec<SystemResolver>, PlatformFault> {
        Err(PlatformFault::NoTun)
    }

    #[test]
    fn failed_look_hides_nothing_that_was_seen() {
        let upstreams = Upstreams::default();
        let resolver = SystemResolver::do53("192.0.2.1:53".parse().unwrap());
        assert!(!upstreams.replace(failed()));
        assert!(upstreams.get().unwrap_err().to_string().contains("no TUN"));
        assert!(
            upstreams.replace(Ok(vec![])),
            "knowing that there are none is news"
        );
        assert!(upstreams.replace(Ok(vec![resolver])));
        assert!(!upstreams.replace(Ok(vec![resolver])));
        assert!(!upstreams.replace(failed()));
        assert_eq!(upstreams.get().unwrap(), [resolver]);
    }
}
