//! The filter: which lines are shown. spec: client-app 8.1

use crate::error::LogError;
use tracing_subscriber::EnvFilter;

/// What is quiet unless the user says otherwise. WireGuard reports sessions that expire as they
/// should as errors.
const QUIET: &str = "boringtun=off,netlink_proto=warn,netlink_packet_route=warn,rustls=warn,\
                     hickory_proto=info,is=warn";

/// What the user wants to see; it overrides what is quiet.
pub(crate) fn filter(directives: &str) -> Result<EnvFilter, LogError> {
    let all = format!("{QUIET},{directives}");
    EnvFilter::try_new(all).map_err(|source| LogError::Filter {
        directives: directives.to_owned(),
        source,
    })
}

/// Whether [`crate::start()`] and [`crate::Logging::set_filter`] would take these directives: a level,
/// or `target=level` pairs, separated by commas.
///
/// # Errors
///
/// [`LogError::Filter`]
pub fn check_filter(directives: &str) -> Result<(), LogError> {
    filter(directives).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_and_targets() {
        for good in ["info", "debug,client=trace", "off", "rustls=trace", ""] {
            assert!(check_filter(good).is_ok(), "{good:?}");
        }
        for bad in ["client=loud", "a=b=c", "info,=,"] {
            let error = check_filter(bad).unwrap_err();
            assert!(error.to_string().contains(bad), "{error}");
        }
    }

    #[test]
    fn what_the_user_says_overrides_what_is_quiet() {
        let text = filter("info,rustls=trace").unwrap().to_string();
        assert!(
            text.contains("rustls=trace") && !text.contains("rustls=warn"),
            "{text}"
        );
        assert!(text.contains("netlink_proto=warn"), "{text}");
    }
}
