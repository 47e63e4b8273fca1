//! The form of the rows, and their distributions, over the first day.

use serde_json::Value;

use super::DAY_ONE;
use crate::resorts::Resort;
use crate::table::Table;
use crate::vocabulary::STATES;

fn first(table: Table) -> &'static str {
    &DAY_ONE.iter().find(|(of, _)| *of == table).unwrap().1
}

fn parsed(table: Table) -> Vec<Value> {
    let rows = DAY_ONE.iter().filter(|(of, _)| *of == table);
    rows.map(|(_, row)| serde_json::from_str(row).unwrap())
        .collect()
}

fn share(rows: &[Value], matches: impl Fn(&Value) -> bool) -> f64 {
    rows.iter().filter(|row| matches(row)).count() as f64 / rows.len() as f64
}

fn assert_near(actual: f64, expected: f64, tolerance: f64, what: &str) {
    assert!(
        (actual - expected).abs() <= tolerance,
        "{what}: {actual} is not {expected} ± {tolerance}"
    );
}

/// The keys of a JSON object at its top level, in the order they stand in.
fn keys(row: &str) -> Vec<String> {
    let (mut keys, mut depth, mut rest) = (Vec::new(), 0, row);
    while let Some(at) = rest.find(['{', '}', '"']) {
        let (mark, after) = (rest.as_bytes()[at], &rest[at + 1..]);
        rest = after;
        match mark {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {
                let (text, after) = after.split_once('"').unwrap();
                rest = after;
                if depth == 1 && after.starts_with(':') {
                    keys.push(text.to_owned());
                }
            }
        }
    }
    keys
}

#[test]
fn keys_stand_in_their_order() {
    let sold = [
        "TXID",
        "RFID",
        "PURCHASE_TIME",
        "PRICE_USD",
        "EXPIRATION_TIME",
        "NAME",
        "ADDRESS",
        "PHONE",
        "EMAIL",
        "EMERGENCY_CONTACT",
    ];
    let ticket = [&sold[..], &["DAYS", "RESORT", "DAYS_USED"]].concat();
    let pass = [&sold[..], &["DAYS_USED"]].concat();
    let ride = [
        "TXID",
        "RFID",
        "RIDE_TIME",
        "LIFT",
        "RESORT",
        "ACTIVATION_DAY_COUNT",
    ];
    assert_eq!(keys(first(Table::ResortTicket)), ticket);
    assert_eq!(keys(first(Table::SeasonPass)), pass);
    assert_eq!(keys(first(Table::LiftRide)), ride);
}

#[test]
fn identities_have_their_shapes() {
    for table in Table::ALL {
        for row in parsed(table) {
            let txid = row["TXID"].as_str().unwrap();
            let groups: Vec<_> = txid.split('-').map(str::len).collect();
            assert_eq!(groups, [8, 4, 4, 4, 12]);
            assert_eq!(&txid[14..15], "4", "version 4");
            assert!("89ab".contains(&txid[19..20]), "RFC 4122 variant");

            let digits = row["RFID"].as_str().unwrap().strip_prefix("0x").unwrap();
            assert!((15..=24).contains(&digits.len()) && !digits.starts_with('0'));
            assert!(
                digits
                    .chars()
                    .all(|digit| matches!(digit, '0'..='9' | 'a'..='f'))
            );
        }
    }
}

#[test]
fn a_fifth_of_each_optional_field_is_null() {
    let tickets = parsed(Table::ResortTicket);
    for field in ["ADDRESS", "PHONE", "EMAIL", "EMERGENCY_CONTACT"] {
        let null = share(&tickets, |row| row[field].is_null());
        assert_near(null, 0.20, 0.015, field);
    }
    assert!(tickets.iter().all(|row| row["NAME"].is_string()));
}

#[test]
fn resorts_and_days_have_their_weights() {
    let tickets = parsed(Table::ResortTicket);
    for (resort, weight) in [
        ("Vail", 0.25),
        ("Beaver Creek", 0.20),
        ("Breckenridge", 0.25),
        ("Keystone", 0.20),
        ("Heavenly", 0.10),
    ] {
        let actual = share(&tickets, |row| row["RESORT"] == resort);
        assert_near(actual, weight, 0.015, resort);
    }
    for (days, weight) in (1..).zip([0.35, 0.35, 0.10, 0.05, 0.05, 0.05, 0.05]) {
        let actual = share(&tickets, |row| row["DAYS"] == days);
        assert_near(actual, weight, 0.015, &format!("{days} days"));
    }
}

#[test]
fn passes_cost_one_of_four_prices_and_last_a_year() {
    let passes = parsed(Table::SeasonPass);
    for (price, weight) in [(1_051, 0.40), (783, 0.50), (537, 0.05), (407, 0.05)] {
        let actual = share(&passes, |row| row["PRICE_USD"] == price);
        assert_near(actual, weight, 0.04, &format!("{price} USD"));
    }
    // The twentieth ticket is sold in step 3, so step 4 sells the first pass.
    assert_eq!(passes[0]["PURCHASE_TIME"], "2026-01-17T14:01:48+00:00");
    assert_eq!(passes[0]["EXPIRATION_TIME"], "2027-01-17T14:01:48+00:00");
}

#[test]
fn ticket_prices_depend_on_resort_weekend_days_and_chance() {
    // All of the first day, until 14:00 on Sunday, is weekend.
    let weekend_price = |resort: &str| match resort {
        "Vail" => 120.0 * 1.6,
        "Beaver Creek" | "Heavenly" => 110.0 * 1.5,
        "Breckenridge" => 100.0 * 1.7,
        "Keystone" => 90.0 * 1.6,
        other => panic!("no resort {other}"),
    };
    let (mut lowest, mut highest) = (f64::MAX, f64::MIN);
    for row in parsed(Table::ResortTicket) {
        let days = row["DAYS"].as_f64().unwrap();
        let full = weekend_price(row["RESORT"].as_str().unwrap()) * days;
        let price = row["PRICE_USD"].as_u64().unwrap() as f64;
        assert!(
            price >= (full * 0.9 - 0.001).floor() && price < full * 1.1,
            "{row}"
        );
        lowest = lowest.min(price / full);
        highest = highest.max(price / full);
        assert_eq!(row["DAYS_USED"], 0);
    }
    assert!(lowest < 0.905 && highest > 1.095);

    let last = parsed(Table::ResortTicket).pop().unwrap();
    let days = last["DAYS"].as_u64().unwrap();
    // The last ticket of the day is sold 27 seconds before the next.
    assert_eq!(last["PURCHASE_TIME"], "2026-01-18T13:59:33+00:00");
    assert_eq!(
        last["EXPIRATION_TIME"],
        format!("2026-01-{:02}T13:59:33+00:00", 18 + 2 * days)
    );
}

#[test]
fn customers_can_be_found_and_reached() {
    let mut states = std::collections::BTreeSet::new();
    for row in parsed(Table::ResortTicket) {
        if let Some(address) = row["ADDRESS"].as_object() {
            let names: Vec<_> = address.keys().map(String::as_str).collect();
            assert_eq!(names.len(), 4);
            let text = |name: &str| address[name].as_str().unwrap();
            let state = STATES
                .iter()
                .find(|state| state.code == text("STATE"))
                .unwrap();
            let code = text("POSTALCODE");
            assert_eq!(code.len(), 5);
            let number: u64 = code.parse().unwrap();
            assert!((state.first_postal_code..=state.last_postal_code).contains(&number));
            states.insert(state.code);
            assert!(!text("CITY").is_empty());
            let (house, _) = text("STREET_ADDRESS").split_once(' ').unwrap();
            assert!((3..=5).contains(&house.len()) && house.parse::<u64>().unwrap() >= 100);
        }
        if let Some(email) = row["EMAIL"].as_str() {
            let (user, domain) = email.split_once('@').unwrap();
            assert!(!user.is_empty());
            assert!(["example.org", "example.com", "example.net"].contains(&domain));
        }
        if let Some(contact) = row["EMERGENCY_CONTACT"].as_object() {
            assert_eq!(contact.len(), 2);
            assert!(contact["NAME"].is_string());
            assert_phone(contact["PHONE"].as_str().unwrap());
        }
        if let Some(phone) = row["PHONE"].as_str() {
            assert_phone(phone);
        }
    }
    assert_eq!(states.len(), 59);
}

/// The shape of a number with `9` for every digit, and its ten national digits.
fn assert_phone(phone: &str) {
    let national = phone
        .strip_prefix("+1-")
        .or_else(|| phone.strip_prefix("001-"))
        .unwrap_or(phone);
    let (number, extension) = national.split_once('x').unwrap_or((national, "999"));
    let shape: String = number
        .chars()
        .map(|c| if c.is_ascii_digit() { '9' } else { c })
        .collect();
    let shapes = [
        "9999999999",
        "999-999-9999",
        "(999)999-9999",
        "999.999.9999",
    ];
    assert!(shapes.contains(&shape.as_str()), "{phone}");
    assert!((3..=5).contains(&extension.len()), "{phone}");
    let digits: Vec<_> = number.chars().filter(char::is_ascii_digit).collect();
    assert!(digits[0] >= '2' && digits[3] >= '2', "{phone}");
}

#[test]
fn half_the_streets_have_an_apartment_or_a_suite() {
    let tickets = parsed(Table::ResortTicket);
    let addresses: Vec<_> = tickets
        .iter()
        .filter_map(|row| row["ADDRESS"]["STREET_ADDRESS"].as_str())
        .collect();
    let with = addresses
        .iter()
        .filter(|street| street.contains(" Apt. ") || street.contains(" Suite "))
        .count();
    assert_near(
        with as f64 / addresses.len() as f64,
        0.5,
        0.02,
        "second line",
    );
}

#[test]
fn lifts_match_the_lists() {
    let counts = Resort::ALL.map(|resort| resort.facts().lifts.len());
    assert_eq!(counts, [34, 25, 35, 21, 27]);
    let golden = Resort::Vail
        .facts()
        .lifts
        .iter()
        .filter(|lift| **lift == "Golden Peak");
    assert_eq!(golden.count(), 2);
    // The first ride is on the hour at which Colorado opens.
    let ride: Value = serde_json::from_str(first(Table::LiftRide)).unwrap();
    assert_eq!(ride["RIDE_TIME"], "2026-01-17T15:00:18+00:00");
    assert_eq!(ride["ACTIVATION_DAY_COUNT"], 1);
}
