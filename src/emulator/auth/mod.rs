//! Logging in: keys, JWTs, OAuth, and the tokens that the emulator signs.

pub(crate) mod keys;
pub(crate) mod login;
pub(crate) mod oauth;
pub(crate) mod token_signer;
