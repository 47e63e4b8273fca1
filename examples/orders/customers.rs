//! The customers: the segment of each, and the orders of a segment.

use std::ops::RangeInclusive;

use serde::Serialize;
use snowpipe_connector_support::dice::Dice;

/// The seed's stream for customers. The instances use the streams after it.
const STREAM: u64 = 0;

/// The kind of a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Segment {
    Premium,
    Standard,
    Basic,
}

/// The orders of a segment. Amounts are in dollars, probabilities in percent. All ranges include both ends.
#[derive(Debug)]
pub(crate) struct Habits {
    pub(crate) amount: (u64, u64),
    pub(crate) discounted: u64,
    pub(crate) discount: RangeInclusive<u64>,
    pub(crate) items: RangeInclusive<u64>,
    pub(crate) quantity: RangeInclusive<u64>,
    pub(crate) unit_price: (u64, u64),
}

const PREMIUM: Habits = Habits {
    amount: (500, 3_000),
    discounted: 10,
    discount: 5..=10,
    items: 3..=8,
    quantity: 2..=5,
    unit_price: (150, 500),
};

const STANDARD: Habits = Habits {
    amount: (100, 800),
    discounted: 40,
    discount: 5..=20,
    items: 2..=5,
    quantity: 1..=3,
    unit_price: (50, 250),
};

const BASIC: Habits = Habits {
    amount: (20, 300),
    discounted: 50,
    discount: 10..=30,
    items: 1..=3,
    quantity: 1..=2,
    unit_price: (10, 100),
};

impl Segment {
    /// The orders of this segment.
    pub(crate) fn habits(self) -> &'static Habits {
        match self {
            Self::Premium => &PREMIUM,
            Self::Standard => &STANDARD,
            Self::Basic => &BASIC,
        }
    }
}

/// The segments of all customers, who are numbered from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Customers(Vec<Segment>);

impl Customers {
    /// `count` customers, each in one of the segments with the same probability.
    pub(crate) fn generate(seed: u64, count: u64) -> Self {
        let mut dice = Dice::new(seed, STREAM);
        let segment = |_| match dice.within(&(0..=2)) {
            0 => Segment::Premium,
            1 => Segment::Standard,
            _ => Segment::Basic,
        };
        Self((0..count).map(segment).collect())
    }

    /// A customer's segment; Standard if the customer does not exist.
    pub(crate) fn segment(&self, id: u64) -> Segment {
        let index = id
            .checked_sub(1)
            .and_then(|index| usize::try_from(index).ok());
        let found = index.and_then(|index| self.0.get(index).copied());
        found.unwrap_or(Segment::Standard)
    }
}
