//! The customers who buy tickets and passes.

use serde::Serialize;
use snowpipe_connector_support::dice::Dice;

use crate::vocabulary::{
    CITY_PREFIXES, CITY_SUFFIXES, FIRST_NAMES, LAST_NAMES, NAME_PREFIXES, NAME_SUFFIXES, STATES,
    STREET_SUFFIXES,
};

/// The probability, in percent, that an optional field is empty.
const LEFT_EMPTY: u64 = 20;

/// A customer, as the columns of a sale.
#[derive(Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) struct Customer {
    name: String,
    address: Option<Address>,
    phone: Option<String>,
    email: Option<String>,
    emergency_contact: Option<Contact>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct Address {
    #[serde(rename = "STREET_ADDRESS")]
    street: String,
    city: String,
    state: &'static str,
    postalcode: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct Contact {
    name: String,
    phone: String,
}

impl Customer {
    /// A new customer.
    pub(crate) fn new(dice: &mut Dice) -> Self {
        Self {
            name: name(dice),
            address: given(dice).then(|| address(dice)),
            phone: given(dice).then(|| phone(dice)),
            email: given(dice).then(|| email(dice)),
            emergency_contact: given(dice).then(|| Contact {
                name: name(dice),
                phone: phone(dice),
            }),
        }
    }
}

fn given(dice: &mut Dice) -> bool {
    !dice.percent(LEFT_EMPTY)
}

fn name(dice: &mut Dice) -> String {
    let plain = format!("{} {}", dice.pick(FIRST_NAMES), dice.pick(LAST_NAMES));
    match dice.below(100) {
        0..97 => plain,
        97..99 => format!("{} {plain}", dice.pick(NAME_PREFIXES)),
        _ => format!("{plain} {}", dice.pick(NAME_SUFFIXES)),
    }
}

fn address(dice: &mut Dice) -> Address {
    let (state, postalcode) = match STATES.get(dice.index(STATES.len())) {
        Some(state) => (
            state.code,
            dice.within(&(state.first_postal_code..=state.last_postal_code)),
        ),
        None => ("", 0),
    };
    Address {
        street: street(dice),
        city: city(dice),
        state,
        postalcode: format!("{postalcode:05}"),
    }
}

fn street(dice: &mut Dice) -> String {
    let digits = dice.within(&(3..=5));
    let number = number(dice, digits);
    let name = if dice.percent(50) {
        dice.pick(FIRST_NAMES)
    } else {
        dice.pick(LAST_NAMES)
    };
    let street = format!("{number} {name} {}", dice.pick(STREET_SUFFIXES));
    match dice.below(4) {
        0 => format!("{street} Apt. {:03}", dice.below(1_000)),
        1 => format!("{street} Suite {:03}", dice.below(1_000)),
        _ => street,
    }
}

fn city(dice: &mut Dice) -> String {
    let (prefix, suffix) = (dice.pick(CITY_PREFIXES), dice.pick(CITY_SUFFIXES));
    let (first, last) = (dice.pick(FIRST_NAMES), dice.pick(LAST_NAMES));
    match dice.below(4) {
        0 => format!("{prefix} {first}{suffix}"),
        1 => format!("{prefix} {first}"),
        2 => format!("{first}{suffix}"),
        _ => format!("{last}{suffix}"),
    }
}

fn email(dice: &mut Dice) -> String {
    let (first, last) = (dice.pick(FIRST_NAMES), dice.pick(LAST_NAMES));
    let user = match dice.below(3) {
        0 => format!("{first}{last}"),
        1 => format!("{first}.{last}"),
        _ => format!("{last}{:02}", dice.below(100)),
    };
    // The three domains that are reserved for examples.
    let domain = dice.pick(&["org", "com", "net"]);
    format!("{}@example.{domain}", user.to_lowercase())
}

/// The twenty-five formats of a North American phone number, all with the same probability.
fn phone(dice: &mut Dice) -> String {
    let (area, exchange) = (dice.within(&(200..=999)), dice.within(&(200..=999)));
    let line = format!("{:04}", dice.below(10_000));
    let dashed = format!("{area}-{exchange}-{line}");
    let bracketed = format!("({area}){exchange}-{line}");
    let dotted = format!("{area}.{exchange}.{line}");
    match dice.below(25) {
        0..2 => format!("{area}{exchange}{line}"),
        2..4 => dashed,
        4..6 => bracketed,
        6..8 => dotted,
        8..11 => extended(&dashed, dice),
        11..14 => extended(&bracketed, dice),
        14..17 => extended(&dotted, dice),
        17 => format!("+1-{dashed}"),
        18 => format!("001-{dashed}"),
        19..22 => extended(&format!("+1-{dashed}"), dice),
        _ => extended(&format!("001-{dashed}"), dice),
    }
}

fn extended(number: &str, dice: &mut Dice) -> String {
    let extension = match dice.below(3) {
        0 => format!("{:03}", dice.below(1_000)),
        1 => format!("{:04}", dice.below(10_000)),
        _ => format!("{:05}", dice.below(100_000)),
    };
    format!("{number}x{extension}")
}

/// A number with this many digits that does not start with 0.
fn number(dice: &mut Dice, digits: u64) -> u64 {
    let low = (1..digits).fold(1, |low, _| low * 10);
    dice.within(&(low..=low * 10 - 1))
}
