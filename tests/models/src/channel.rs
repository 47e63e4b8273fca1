//! The crate's channel as far as it is shared between tasks, the registry of names and the poll timer.

pub(crate) mod core;
pub(crate) mod polling;
#[path = "../../../src/channel/receipt.rs"]
pub(crate) mod receipt;
#[path = "../../../src/channel/registry.rs"]
pub(crate) mod registry;
#[path = "../../../src/channel/shared.rs"]
pub(crate) mod shared;
