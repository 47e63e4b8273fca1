//! Logging in: keys, JWTs, OAuth, and the tokens that the emulator signs.

mod exchanged;
pub(crate) mod keys;
pub(crate) mod login;
#[cfg(test)]
mod login_tests;
pub(crate) mod oauth;
#[cfg(test)]
mod oauth_tests;
pub(crate) mod token_signer;
