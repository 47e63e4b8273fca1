//! The crate's byte budget, buffers, clock and watched values.

#[path = "../../../src/base/budget.rs"]
pub(crate) mod budget;
#[path = "../../../src/base/buffers.rs"]
pub(crate) mod buffers;
pub(crate) use crate::stubs::metrics;
#[path = "../../../src/base/time.rs"]
pub(crate) mod time;
#[path = "../../../src/base/watched.rs"]
pub(crate) mod watched;
