//! The crate's channel as far as it is shared between tasks.

pub(crate) mod core;
#[path = "../../../src/channel/progress.rs"]
mod progress;
#[path = "../../../src/channel/receipt.rs"]
mod receipt;
#[path = "../../../src/channel/report.rs"]
mod report;
#[path = "../../../src/channel/shared.rs"]
mod shared;

pub(crate) use self::receipt::{Receipt, RejectWindow};
pub(crate) use self::report::CloseReport;
pub(crate) use self::shared::Shared;

/// As in the crate's `core.rs`.
pub(crate) const EAGER: usize = 2 << 20;
