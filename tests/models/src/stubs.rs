//! What the crate's files name and the models have no use for, as small as compiles.

pub(crate) mod offset {
    #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
    pub struct OffsetToken;
}

pub(crate) mod metrics {
    #[derive(Debug, Default)]
    pub(crate) struct Counters;

    pub(crate) struct CounterSnapshot;

    impl Counters {
        pub(crate) fn moved(&self, _from: CounterSnapshot, _to: CounterSnapshot) {}
    }
}

/// The channels' context, of which the registry uses nothing.
pub(crate) mod context {
    #[derive(Debug, Default)]
    pub(crate) struct ClientContext;
}

pub(crate) mod api {
    pub(crate) const ELASTIC: &str = "ELASTIC";
}
