//! For random rows in any order and in any chunks, the reports equal those of a full computation.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestCaseError};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::reports_scene::{OBJECTS, Scene, cells};
use crate::reports::reader;
use crate::table::Table;

/// A low capacity, so that few visitors make an hour full. Some rides are at a resort without a capacity.
const CAPACITY: [(&str, i64); 2] = [("Vail", 3), ("Keystone", 7)];

/// A row: its table, the columns that it has, and what is in them.
type Row = (Table, &'static str, Vec<Value>);

#[derive(Debug, Clone)]
enum Step {
    Land(Vec<Row>),
    /// Includes everything, in chunks of this many rows.
    Visits(i64),
    /// Includes one chunk of this many rows.
    Chunk(i64),
    Tables,
    Reopen,
}

fn text(values: &'static [&'static str]) -> impl Strategy<Value = Value> {
    select(values).prop_map(|value| match value {
        "" => Value::Null,
        value => Value::Text(value.to_owned()),
    })
}

/// One in eight is NULL where it says so.
fn whole(values: &'static [i64]) -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        7 => select(values).prop_map(Value::Integer),
    ]
}

/// Around two midnights, of which one begins a week and a month, and an hour in which much happens.
fn time() -> impl Strategy<Value = Value> {
    let date = select(&["2026-01-31", "2026-02-01", "2026-02-02", "2026-03-01"][..]);
    let hour = select(&["00", "15", "15", "16", "23"][..]);
    let minute = select(&["00", "01", "29", "30", "59"][..]);
    let second = select(&["00.000000000", "00.000000001", "59.999999999"][..]);
    prop_oneof![
        1 => Just(Value::Null),
        15 => (date, hour, minute, second).prop_map(|(date, hour, minute, second)| {
            Value::Text(format!("{date} {hour}:{minute}:{second}"))
        }),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let txid = || text(&["1", "2", "12", "3", ""]);
    let rfid = || text(&["A", "A", "B", "C", "D", "E", ""]);
    let price = || {
        prop_oneof![
            1 => Just(Value::Null),
            7 => select(&[0.01, 10.01, 100.0, 455.55, 783.0, 189.0, 210.0, 21.0, 99_999.99, 0.0][..]).prop_map(Value::Real),
        ]
    };
    let ride = (
        txid(),
        rfid(),
        text(&["Vail", "Vail", "Keystone", "Elsewhere", ""]),
        text(&["Gondola One", "Outpost Gondola", "Wayback", ""]),
        time(),
        whole(&[-1, 1, 2, 20, 21]),
    );
    let ride = ride.prop_map(|(txid, rfid, resort, lift, time, count)| {
        let columns = "TXID, RFID, RESORT, LIFT, RIDE_TIME, ACTIVATION_DAY_COUNT";
        let values = vec![txid, rfid, resort, lift, time, count];
        (Table::LiftRide, columns, values)
    });
    let name = || text(&["Ann", "Bea", ""]);
    let pass = (txid(), rfid(), time(), price(), name());
    let pass = pass.prop_map(|(txid, rfid, time, price, name)| {
        let columns = "TXID, RFID, PURCHASE_TIME, PRICE_USD, NAME";
        (
            Table::SeasonPass,
            columns,
            vec![txid, rfid, time, price, name],
        )
    });
    let ticket = (
        txid(),
        rfid(),
        time(),
        price(),
        name(),
        whole(&[-1, 0, 1, 2, 3, 7, 30]),
    );
    let ticket = ticket.prop_map(|(txid, rfid, time, price, name, days)| {
        let columns = "TXID, RFID, PURCHASE_TIME, PRICE_USD, NAME, DAYS";
        let values = vec![txid, rfid, time, price, name, days];
        (Table::ResortTicket, columns, values)
    });
    prop_oneof![8 => ride, 1 => pass, 2 => ticket]
}

fn step() -> impl Strategy<Value = Step> {
    // Each row lands once or twice.
    let rows = prop::collection::vec((row(), prop::bool::weighted(0.1)), 1..12);
    let land = rows.prop_map(|rows| {
        let twice = |(row, twice): (Row, bool)| vec![row; if twice { 2 } else { 1 }];
        Step::Land(rows.into_iter().flat_map(twice).collect())
    });
    prop_oneof![
        4 => land,
        2 => (1..9_i64).prop_map(Step::Visits),
        1 => (1..9_i64).prop_map(Step::Chunk),
        3 => Just(Step::Tables),
        1 => Just(Step::Reopen),
    ]
}

#[test]
fn reports_are_those_of_a_full_computation() {
    let config = Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    };
    proptest!(config, |(steps in prop::collection::vec(step(), 4..24))| {
        play(steps)?;
    });
}

fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut scene = Scene::new();
    let mut reports = scene.open();
    set_capacity(&scene);
    let mut is_current = true;
    let end = [Step::Visits(5), Step::Tables];
    for step in steps.into_iter().chain(end) {
        match step {
            Step::Land(rows) => {
                is_current = false;
                for (table, columns, values) in rows {
                    scene.land(table, columns, values);
                }
            }
            Step::Visits(rows) => {
                while reports.take_chunk(rows).unwrap().behind {}
                is_current = true;
            }
            Step::Chunk(rows) => is_current = !reports.take_chunk(rows).unwrap().behind,
            Step::Tables => {
                reports.refresh_tables().unwrap();
                if is_current {
                    compare(&scene)?;
                }
            }
            Step::Reopen => {
                drop(reports);
                reports = scene.open();
            }
        }
    }
    Ok(())
}

fn set_capacity(scene: &Scene) {
    let connection = Connection::open(scene.path()).unwrap();
    for (resort, capacity) in CAPACITY {
        let sql = "UPDATE RESORT_CAPACITY SET MAX_CAPACITY = ?2 WHERE RESORT = ?1";
        assert_eq!(connection.execute(sql, (resort, capacity)).unwrap(), 1);
    }
}

fn compare(scene: &Scene) -> Result<(), TestCaseError> {
    let full = Connection::open(scene.landing()).unwrap();
    full.execute_batch(include_str!("reports_full.sql"))
        .unwrap();
    for (resort, capacity) in CAPACITY {
        let sql = "INSERT INTO CAPACITY VALUES (?1, ?2)";
        full.execute(sql, (resort, capacity)).unwrap();
    }
    let kept = reader(&scene.path()).unwrap();
    for object in &OBJECTS[1..] {
        let expected = cells(&full, &format!("FULL_{object}"));
        prop_assert_eq!(cells(&kept, object), expected, "{}", object);
    }
    Ok(())
}
