//! Reads small files: profiles, keys and tokens. Finds files with secrets that other users of this machine can use.

use std::path::Path;

use zeroize::Zeroizing;

use super::config;
use crate::base::files::{check_regular, read_limited};
use crate::types::error::Result;

/// The limit for a file. Profiles and keys are much smaller.
const MAX_FILE: u64 = 1 << 20;

/// Reads a whole file, if it is small enough to be a profile or a key.
pub(super) fn read_small(what: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    read_limited(path, MAX_FILE).map_err(|why| {
        config(format!(
            "the {what} {} cannot be read: {why}",
            path.display()
        ))
    })
}

/// Reads a file that a profile names. Unlike a profile it cannot come out of a pipe.
pub(super) fn read_named(what: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    check_regular(path).map_err(|why| {
        config(format!(
            "the {what} {} cannot be read: {why}",
            path.display()
        ))
    })?;
    read_small(what, path)
}

/// Logs a warning if other users of this machine can read or change a file with a secret.
pub(super) fn warn_if_shared(what: &str, path: &Path) {
    if let Some(finding) = shared(what, path, 0o066) {
        tracing::warn!("{finding}");
    }
}

/// Logs a warning if other users of this machine can change the token of a platform, which sets who can read it.
pub(super) fn warn_if_replaceable(what: &str, path: &Path) {
    if let Some(finding) = shared(what, path, 0o022) {
        tracing::warn!("{finding}");
    }
}

/// A sentence about a file with a secret if others have some of these `rights`, which are bits of its mode.
#[cfg(unix)]
pub(super) fn shared(what: &str, path: &Path, rights: u32) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & rights;
    let can = match (mode & 0o044 != 0, mode & 0o022 != 0) {
        (false, false) => return None,
        (true, false) => "read",
        (false, true) => "change",
        (true, true) => "read and change",
    };
    Some(format!(
        "other users can {can} the {what} {}: restrict it to its owner with chmod 600",
        path.display()
    ))
}

/// Other platforms have no file mode to check.
#[cfg(not(unix))]
pub(super) fn shared(_: &str, _: &Path, _: u32) -> Option<String> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::shared;

    #[test]
    fn a_file_is_shared_if_group_or_world_can_read_or_change_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, all, platform) in [
            (0o600, None, None),
            (0o400, None, None),
            (0o640, Some("can read the key"), None),
            (0o604, Some("can read the key"), None),
            (
                0o620,
                Some("can change the key"),
                Some("can change the key"),
            ),
            (
                0o602,
                Some("can change the key"),
                Some("can change the key"),
            ),
            (
                0o646,
                Some("can read and change the key"),
                Some("can change the key"),
            ),
        ] {
            set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            for (rights, expected) in [(0o066, all), (0o022, platform)] {
                let found = shared("key", file.path(), rights);
                let is_expected = match (&found, expected) {
                    (Some(found), Some(expected)) => found.contains(expected),
                    (found, expected) => found.is_none() && expected.is_none(),
                };
                assert!(is_expected, "{mode:o} {rights:o}: {found:?}");
            }
        }
    }
}
