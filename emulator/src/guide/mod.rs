//! The guide: how to use the emulator, and what it supports.
//!
//! | Chapter | What it answers |
//! |---|---|
//! | [`usage`] | How do I test without an account, in Rust or another language? |
//! | [`support`] | Which statements, types, values and pipes does the emulator support, refuse, or treat otherwise than Snowflake? |
//!
//! Each chapter is a Markdown file in `src/guide`.

#[doc = include_str!("usage.md")]
pub mod usage {}

#[doc = include_str!("support.md")]
pub mod support {}
