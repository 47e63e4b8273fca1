//! The scoped token, fetched once for all.
