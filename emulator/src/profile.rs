//! Profiles that lead to an emulator.

use snowpipe_streaming::Profile;

use crate::Emulator;
#[cfg(feature = "server")]
use crate::Server;
use crate::error::{Error, ErrorKind, Result};

impl Emulator {
    /// A profile for a client in the same process, to be used with [`Emulator::transport`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the emulator's account name is not valid.
    pub fn profile(&self) -> Result<Profile> {
        self.profile_of("http://127.0.0.1")
    }

    fn profile_of(&self, url: &str) -> Result<Profile> {
        let profile = Profile::from_json(&self.profile_json(url));
        profile.map_err(|why| Error::new(ErrorKind::Config, why.to_string()))
    }
}

#[cfg(feature = "server")]
impl Server {
    /// A profile for clients of this server: its URL, account, user and private key. Over HTTPS the client also has to trust the
    /// server's certificate.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the emulator's account name is not valid.
    pub fn profile(&self) -> Result<Profile> {
        self.emulator().profile_of(&self.url())
    }
}
