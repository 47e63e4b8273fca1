//! The protocol over real HTTP: what the client sends, letter by letter, and what it does about every answer.

mod account;
mod append;
mod calls;
mod open;
mod polls;
mod requests;
