//! The files of a portal: read at the start, replaced in one go when something changes.

use super::{hub::Hub, identity::SavedState, options::Options};
use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// What an earlier portal remembered; nothing if that is missing or broken.
pub(crate) fn read_state(path: &Path) -> SavedState {
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(%error, "Started without the state file, which is broken");
            SavedState::default()
        }),
        Err(_) => SavedState::default(),
    }
}

/// Writes what has changed since the last time. Blocks.
pub(crate) fn save(hub: &Hub, options: &Options) {
    let _writing = hub.writing.lock();
    let (settings, state) = hub.take_unsaved();
    let files = [
        (settings, Some(&options.settings)),
        (state, options.state.as_ref()),
    ];
    for (text, path) in files {
        if let (Some(text), Some(path)) = (text, path)
            && let Err(error) = write(path, &text)
        {
            tracing::warn!(%error, path = %path.display(), "Cannot write a file");
        }
    }
}

/// Replaces a file in one go; only its owner may read it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let mut options = fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}
