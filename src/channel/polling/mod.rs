//! Polling the server for commits. A channel's state machine says why its status is wanted. From that and from
//! the commit latency so far (`estimator`), `timer` keeps when the next poll of the client is due. The `poller` makes the
//! calls, not before the server's delay (`throttle`).

pub(crate) mod estimator;
pub(crate) mod poller;
mod throttle;
pub(crate) mod timer;
pub(crate) mod turn;
