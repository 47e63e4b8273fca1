//! The offset tokens of the tables.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// The number after `prefix`; 0 for a token that this example did not write, so that the channel starts at its first row.
fn number_after(prefix: &str, token: &str) -> u64 {
    let number = token.trim().strip_prefix(prefix);
    number.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

macro_rules! offset {
    ($name:ident, $prefix:literal, $what:literal) => {
        #[doc = $what]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $name(pub(crate) u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = Infallible;

            fn from_str(token: &str) -> Result<Self, Infallible> {
                Ok(Self(number_after($prefix, token)))
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }

        impl From<$name> for u64 {
            fn from(offset: $name) -> Self {
                offset.0
            }
        }
    };
}

offset!(
    CustomerOffset,
    "customer_",
    "A customer by the number within the instance, as `customer_17`."
);
offset!(
    OrderOffset,
    "order_",
    "An order by its number, as `order_17`."
);
offset!(
    ItemOffset,
    "item_",
    "An order item by its number, as `item_17`."
);
