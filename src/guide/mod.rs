//! The guide, a chapter per module: what this crate promises and how to use it.
//!
//! | Chapter | What it answers |
//! |---|---|
//! | [`delivery`] | What is guaranteed of a row? What does the client do about each fault? How do I handle errors? |
//! | [`sources`] | How do I stream a queue, a table or a log so that each row lands once? What is a row? |
//! | [`machines`] | How do several programs share the partitions of a stream? |
//! | [`elastic`] | How do many producers write without offsets? |
//! | [`configuration`] | Where do account and credentials come from? What does each option do? |
//! | [`tuning`] | How much memory and how many channels do I need? What are the limits? |
//! | [`command`] | How do I find out why streaming does not work, send files, or show channels? |
//! | [`coming_from_the_official_sdk`] | What is the counterpart of a class, method, error or setting of the official SDK? |
//!
//! Each chapter is a Markdown file in `src/guide`. Its Rust examples are compiled, and run unless they need an account. How to test without
//! an account is the guide of the crate `snowpipe-streaming-emulator`.

#[doc = include_str!("coming_from_the_official_sdk.md")]
pub mod coming_from_the_official_sdk {}

#[doc = include_str!("command.md")]
pub mod command {}

#[doc = include_str!("configuration.md")]
pub mod configuration {}

#[doc = include_str!("delivery.md")]
pub mod delivery {}

#[doc = include_str!("elastic.md")]
pub mod elastic {}

#[doc = include_str!("machines.md")]
pub mod machines {}

#[doc = include_str!("sources.md")]
pub mod sources {}

#[doc = include_str!("tuning.md")]
pub mod tuning {}
