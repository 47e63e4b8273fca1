//! What a request does when the server's turn comes at it, if a fault does not prevent it.

use std::sync::Arc;

use crate::channels::state::State;
use crate::messages::answer::Answer;

/// The work of a request that a room above this one understands. It travels with the request through faults and the log.
#[derive(Clone)]
pub(crate) struct Deferred(Arc<dyn Fn(&mut State) -> Answer + Send + Sync>);

impl Deferred {
    #[cfg(feature = "server")]
    pub(crate) fn new(work: impl Fn(&mut State) -> Answer + Send + Sync + 'static) -> Self {
        Self(Arc::new(work))
    }

    pub(crate) fn carry_out(&self, state: &mut State) -> Answer {
        (self.0)(state)
    }
}
