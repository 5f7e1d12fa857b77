//! Settings on disk. spec: client-app 14

use anyhow::{Context as _, Result};
use host::{FileFault, Group, StateDirectory};
use service_ipc::AdvancedSettings;
use std::io;

/// The settings of the service.
const SETTINGS: &str = "advanced_settings.json";

/// Where the older generation kept the log filter alone.
const LOG_FILTER: &str = "log-filter";

/// What the service has to know at the next start.
#[derive(Debug)]
pub(crate) struct Store(StateDirectory);

impl Store {
    pub(crate) fn new(directory: StateDirectory) -> Self {
        Self(directory)
    }

    /// Lets members of the group read the directory and the identity, and nobody but the
    /// administrator write.
    ///
    /// The directory is made if it is missing. An identity that follows from the machine's has no
    /// file.
    pub(crate) fn share(&self, group: &Group) -> Result<(), FileFault> {
        self.0.share(group, &[host::DEVICE_ID_FILE])
    }

    /// The settings; none if nobody ever set any.
    ///
    /// The older generation kept the log filter alone, in a file of its own.
    pub(crate) fn load(&self) -> Result<Option<AdvancedSettings>> {
        if let Some(text) = self.0.read(SETTINGS)? {
            let what = || format!("{} is damaged", self.0.path().join(SETTINGS).display());
            let parsed = serde_json::from_slice(&text);
            return parsed.map(Some).with_context(what);
        }
        let Some(text) = self.0.read(LOG_FILTER)? else {
            return Ok(None);
        };
        let what = || format!("{} is damaged", self.0.path().join(LOG_FILTER).display());
        let filter = str::from_utf8(&text).with_context(what)?;
        Ok(Some(AdvancedSettings {
            log_filter: filter.trim().to_owned(),
            ..AdvancedSettings::default()
        }))
    }

    /// Keeps settings: they are there whole, or the old ones are.
    pub(crate) fn save(&self, settings: &AdvancedSettings) -> io::Result<()> {
        let written = self.0.write(SETTINGS, &serde_json::to_vec(settings)?);
        written.map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use tempfile::TempDir;

    /// A store of its own, and its folder.
    fn store() -> (Store, TempDir) {
        let folder = TempDir::new().unwrap();
        (Store::new(StateDirectory::new(folder.path())), folder)
    }

    fn settings(log_filter: &str) -> AdvancedSettings {
        AdvancedSettings {
            log_filter: log_filter.into(),
            ..AdvancedSettings::default()
        }
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let (store, folder) = store();
        assert_eq!(store.load().unwrap(), None);
        for filter in ["debug", "info"] {
            store.save(&settings(filter)).unwrap();
            assert_eq!(store.load().unwrap(), Some(settings(filter)));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_filter_of_the_older_generation_is_taken_over() {
        let (store, folder) = store();
        fs::write(folder.path().join(LOG_FILTER), "debug\n").unwrap();
        assert_eq!(store.load().unwrap(), Some(settings("debug")));
        store.save(&settings("warn")).unwrap();
        assert_eq!(store.load().unwrap(), Some(settings("warn")));
    }

    #[test]
    fn settings_that_are_no_settings_are_named() {
        let (store, folder) = store();
        for bad in ["{", "null", r#"{"log_filter":"info"}"#] {
            store.0.write(SETTINGS, bad.as_bytes()).unwrap();
            assert!(store.load().unwrap_err().to_string().contains("damaged"));
        }
        fs::remove_file(folder.path().join(SETTINGS)).unwrap();
        fs::write(folder.path().join(LOG_FILTER), b"\xff").unwrap();
        assert!(store.load().unwrap_err().to_string().contains("damaged"));
    }

    #[test]
    fn settings_that_could_not_be_loaded_are_not_saved() {
        let (store, _folder) = store();
        store.save(&settings("debug")).unwrap();
        let error = store.save(&settings(&"x".repeat(70_000))).unwrap_err();
        assert!(error.to_string().contains("bytes"), "{error}");
        assert_eq!(store.load().unwrap(), Some(settings("debug")));
    }

    /// Settings that a GUI may want to keep.
    fn any_settings() -> impl Strategy<Value = AdvancedSettings> {
        let url = "(https|wss|ws)://[a-z0-9.-]{1,30}(:[0-9]{1,5})?/[ -~é]{0,40}"
            .prop_filter_map("no URL", |text| text.parse::<url::Url>().ok());
        let filter = prop_oneof![
            any::<String>(),
            // Escapes make the text on disk longer than the one that was sent.
            (60_000_usize..66_000).prop_map(|length| "x".repeat(length)),
            (10_000_usize..12_000).prop_map(|length| "\u{1}".repeat(length)),
        ];
        (url.clone(), url, filter).prop_map(|(auth_url, api_url, log_filter)| AdvancedSettings {
            auth_url,
            api_url,
            log_filter,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn whatever_is_saved_is_loaded_and_nothing_else(wanted in any_settings()) {
            let (store, _folder) = store();
            store.save(&settings("before")).unwrap();
            let expected = match store.save(&wanted) {
                Ok(()) => wanted,
                Err(_) => settings("before"),
            };
            prop_assert_eq!(store.load().unwrap(), Some(expected));
        }
    }
}
