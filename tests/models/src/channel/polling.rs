//! The crate's poll timer, and what it needs.

#[path = "../../../../src/channel/polling/estimator.rs"]
pub(crate) mod estimator;
#[path = "../../../../src/channel/polling/interest.rs"]
pub(crate) mod interest;
#[path = "../../../../src/channel/polling/timer.rs"]
pub(crate) mod timer;
