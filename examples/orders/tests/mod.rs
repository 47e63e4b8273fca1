//! Rows, configuration and streams.
