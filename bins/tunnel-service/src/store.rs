//! Settings on disk. spec: client-app 14

use anyhow::{Context as _, Result, bail};
use service_ipc::AdvancedSettings;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
    },
    path::{Path, PathBuf},
};

/// Largest file of settings, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// The directory in which the service keeps what it has to know at the next start.
#[derive(Debug)]
pub(crate) struct Store {
    directory: PathBuf,
}

impl Store {
    pub(crate) fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// Lets members of the group read the directory and the identity, and nobody but root write.
    ///
    /// The directory is made if it is missing. An identity that follows from the machine's has no
    /// file.
    pub(crate) fn share(&self, group: u32) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(&self.directory)?;
        chown(&self.directory, None, Some(group))?;
        fs::set_permissions(&self.directory, Permissions::from_mode(0o750))?;
        let id = self.directory.join("firezone-id.json");
        if !fs::exists(&id)? {
            return Ok(());
        }
        chown(&id, None, Some(group))?;
        fs::set_permissions(&id, Permissions::from_mode(0o640))
    }

    /// The settings; none if nobody ever set any.
    ///
    /// The older generation kept the log filter alone, in a file of its own.
    pub(crate) fn load(&self) -> Result<Option<AdvancedSettings>> {
        if let Some(text) = read(&self.settings_path())? {
            let parsed = serde_json::from_str(&text);
            let what = || format!("{} is damaged", self.settings_path().display());
            return parsed.map(Some).with_context(what);
        }
        let filter = read(&self.directory.join("log-filter"))?;
        Ok(filter.map(|text| AdvancedSettings {
            log_filter: text.trim().to_owned(),
            ..AdvancedSettings::default()
        }))
    }

    /// Keeps settings: they are there whole, or the old ones are.
    pub(crate) fn save(&self, settings: &AdvancedSettings) -> io::Result<()> {
        let path = self.settings_path();
        let temporary = path.with_extension("json.new");
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(&serde_json::to_vec(settings)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    }

    fn settings_path(&self) -> PathBuf {
        self.directory.join("advanced_settings.json")
    }
}

/// What a file of ours holds, if nobody else could have written it.
fn read(path: &Path) -> Result<Option<String>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.with_context(|| format!("cannot open {}", path.display()))?,
    };
    let metadata = file.metadata()?;
    let us = rustix::process::geteuid().as_raw();
    if metadata.uid() != us || metadata.mode() & 0o022 != 0 {
        bail!("others than root may have written {}", path.display());
    }
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        bail!("{} is no regular file of a reasonable size", path.display());
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    /// A store of its own, and its folder.
    fn store() -> (Store, TempDir) {
        let directory = TempDir::new().unwrap();
        (Store::new(directory.path()), directory)
    }

    fn settings(log_filter: &str) -> AdvancedSettings {
        AdvancedSettings {
            log_filter: log_filter.into(),
            ..AdvancedSettings::default()
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let (store, _directory) = store();
        assert_eq!(store.load().unwrap(), None);
        for filter in ["debug", "info"] {
            store.save(&settings(filter)).unwrap();
            assert_eq!(store.load().unwrap(), Some(settings(filter)));
        }
        assert_eq!(mode(&store.settings_path()), 0o600);
        assert_eq!(fs::read_dir(&store.directory).unwrap().count(), 1);
    }

    #[test]
    fn the_filter_of_the_older_generation_is_taken_over() {
        let (store, _directory) = store();
        fs::write(store.directory.join("log-filter"), "debug\n").unwrap();
        assert_eq!(store.load().unwrap(), Some(settings("debug")));
        store.save(&settings("warn")).unwrap();
        assert_eq!(store.load().unwrap(), Some(settings("warn")));
    }

    #[test]
    fn files_that_others_may_have_written_are_not_believed() {
        let (store, _directory) = store();
        store.save(&settings("debug")).unwrap();
        for mode in [0o620, 0o602] {
            fs::set_permissions(store.settings_path(), Permissions::from_mode(mode)).unwrap();
            assert!(store.load().is_err(), "{mode:o}");
        }
        store.save(&settings("debug")).unwrap();
        assert!(store.load().is_ok());
        for bad in ["{", "null", r#"{"log_filter":"info"}"#] {
            fs::write(store.settings_path(), bad).unwrap();
            assert!(store.load().unwrap_err().to_string().contains("damaged"));
        }
        let long = vec![b' '; 70_000];
        fs::write(store.settings_path(), long).unwrap();
        assert!(store.load().is_err());
    }

    #[test]
    fn a_directory_that_is_missing_is_made_and_needs_no_identity() {
        let parent = TempDir::new().unwrap();
        let store = Store::new(parent.path().join("a/config"));
        store.share(rustix::process::getegid().as_raw()).unwrap();
        assert_eq!(mode(&store.directory), 0o750);
    }

    #[test]
    fn sharing_lets_a_group_read_and_not_write() {
        let (store, _directory) = store();
        let id = store.directory.join("firezone-id.json");
        fs::write(&id, "{}").unwrap();
        let group = rustix::process::getegid().as_raw();
        store.share(group).unwrap();
        assert_eq!((mode(&store.directory), mode(&id)), (0o750, 0o640));
        assert_eq!(fs::metadata(&id).unwrap().gid(), group);
    }
}
