//! The samples of `events/`, which this program carries, so that it runs where the sources are not.

use std::io;

use include_dir::{Dir, include_dir};
use tempfile::TempDir;

static EVENTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../events");

/// A folder with `events/` in it, as in the project's folder. It goes with its owner.
pub(crate) fn project() -> io::Result<TempDir> {
    let project = TempDir::new()?;
    let events = project.path().join("events");
    std::fs::create_dir(&events)?;
    EVENTS.extract(&events)?;
    Ok(project)
}
