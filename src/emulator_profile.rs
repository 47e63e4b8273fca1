//! Profiles that lead to an emulator. This file is outside of the layers, because the emulator does not import the client's
//! configuration, nor the configuration the emulator.

use crate::Profile;
use crate::emulator::Emulator;
#[cfg(feature = "emulator-server")]
use crate::emulator::Server;
use crate::types::error::Result;

impl Emulator {
    /// A profile for a client in the same process, to be used with [`Emulator::transport`].
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if the emulator's account name is not valid.
    pub fn profile(&self) -> Result<Profile> {
        Profile::from_json(&self.profile_json("http://127.0.0.1"))
    }
}

#[cfg(feature = "emulator-server")]
impl Server {
    /// A profile for clients of this server: its URL, account, user and private key. Over HTTPS the client also has to trust the
    /// server's certificate.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if the emulator's account name is not valid.
    pub fn profile(&self) -> Result<Profile> {
        Profile::from_json(&self.emulator().profile_json(&self.url()))
    }
}
