//! Reads small files: profiles, keys and tokens.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::config;
use crate::types::error::Result;

/// The limit for a file. Profiles and keys are much smaller; a wrong path may be a device without end.
const MAX_FILE: u64 = 1 << 20;

/// Reads a whole file, if it is small enough to be a profile or a key.
pub(super) fn read_small(what: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|e| config(format!("the {what} {} cannot be read: {e}", path.display())))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(config(format!(
            "the {what} {} is larger than a megabyte; check the path",
            path.display()
        )));
    }
    Ok(bytes)
}

/// Logs a warning if other users of this machine can read a file with a secret.
pub(super) fn warn_if_shared(what: &str, path: &Path) {
    if shared(path) {
        tracing::warn!(
            path = %path.display(),
            "other users can read the {what}: restrict the file to its owner with chmod 600",
        );
    }
}

#[cfg(unix)]
fn shared(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o044 != 0)
}

/// Other platforms have no file mode to check.
#[cfg(not(unix))]
fn shared(_: &Path) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::shared;

    #[test]
    fn a_file_is_shared_if_group_or_world_can_read_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, expected) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            assert_eq!(shared(file.path()), expected, "{mode:o}");
        }
    }
}
