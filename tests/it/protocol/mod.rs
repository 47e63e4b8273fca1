//! The protocol over real HTTP: what the client sends, byte by byte, and how it reacts to every answer.

mod account;
mod append;
mod bad_input;
mod calls;
mod contract;
mod open;
mod polls;
mod requests;
