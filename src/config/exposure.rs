//! Which files of a profile other users of this machine can read or change.

use super::files::shared;
use super::settings::SECRETS;
use super::{KeySource, Kind, Origin, Profile};

impl Profile {
    /// The files with secrets of the profile that other users of this machine can read or change, each as a sentence with the
    /// remedy.
    pub(crate) fn shared_files(&self) -> Vec<String> {
        let mut found = Vec::new();
        for setting in SECRETS {
            found.extend(match self.origins.get(setting.key) {
                Some(Origin::File(file)) => shared("profile", file, 0o066),
                Some(Origin::Connection { file, .. }) => shared("connections", file, 0o066),
                _ => None,
            });
        }
        if let Some(KeySource::File(file)) = &self.key {
            found.extend(shared("private key", file, 0o066));
        }
        if let Some(file) = &self.token_file {
            found.extend(match self.kind {
                Kind::AccessToken => shared("access token", file, 0o066),
                _ => shared("token file", file, 0o022),
            });
        }
        found.dedup();
        found
    }
}
