//! The query string of the page: which view it requests.

use serde::Deserialize;

/// A view of the page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(tag = "view", rename_all = "lowercase")]
pub(crate) enum Asked {
    Pipeline,
    Network {
        #[serde(default)]
        period: Period,
    },
    Resort {
        /// The first resort by name if none is given.
        resort: Option<String>,
    },
}

/// The period of the network's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Period {
    #[default]
    Today,
    Week,
    Month,
}

impl Asked {
    /// The view's name.
    pub(super) fn view(&self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Network { .. } => "network",
            Self::Resort { .. } => "resort",
        }
    }
}

impl Period {
    /// The period's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Today => "today",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}
