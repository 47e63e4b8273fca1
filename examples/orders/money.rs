//! Amounts of money.

use serde::{Serialize, Serializer};
use snowpipe_connector_support::dice::Dice;

const MICROS_PER_CENT: u64 = 10_000;
const MICROS_PER_DOLLAR: u64 = 1_000_000;

/// An amount in whole cents, serialized as a JSON number of dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Money {
    pub(crate) cents: u64,
}

impl Money {
    /// An amount in millionths of a dollar, half a cent rounded up.
    pub(crate) fn half_up(micros: u64) -> Self {
        Self {
            cents: (micros + MICROS_PER_CENT / 2) / MICROS_PER_CENT,
        }
    }

    /// Uniform between two amounts in dollars, both included. One draw.
    pub(crate) fn between(dice: &mut Dice, (low, high): (u64, u64)) -> Self {
        Self::half_up(dice.within(&(low * MICROS_PER_DOLLAR..=high * MICROS_PER_DOLLAR)))
    }

    /// The amount multiplied by `quantity`.
    pub(crate) fn times(self, quantity: u64) -> Self {
        Self {
            cents: self.cents * quantity,
        }
    }
}

impl Serialize for Money {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53 cents")]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The floating-point number closest to the quotient prints with the same two decimals.
        serializer.serialize_f64(self.cents as f64 / 100.0)
    }
}
