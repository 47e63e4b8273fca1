//! Key-pair JWTs.
