//! The crate's poll timer, and what it needs.

#[path = "../../../../src/channel/polling/estimator.rs"]
pub(crate) mod estimator;
#[path = "../../../../src/channel/polling/timer.rs"]
pub(crate) mod timer;

/// The turn to poll: the models poll by themselves.
pub(crate) mod turn {
    use tokio::runtime::Handle;

    #[derive(Debug, Default)]
    pub(crate) struct PollTurn;

    impl PollTurn {
        pub(crate) fn take(&self) -> Option<(Handle, u64)> {
            None
        }

        pub(crate) fn end(&self, _: u64) -> bool {
            false
        }
    }
}
