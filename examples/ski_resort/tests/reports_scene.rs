//! A landing to write to, and its reports to read.

use std::path::PathBuf;
use std::sync::LazyLock;

use anyhow::Result;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};
use snowpipe_streaming_emulator::{DataFile, Ddl};
use tempfile::TempDir;

use crate::reports::{Claimed, Reports, reader};
use crate::table::Table;
use crate::target::SETUP;

/// All objects of the reports, each after those it is computed from.
pub(super) const OBJECTS: [&str; 11] = [
    "RESORT_CAPACITY",
    "DAILY_VISITS",
    "HOURLY_LIFT_ACTIVITY",
    "HOURLY_AMORTIZED_REVENUE",
    "HOURLY_RESORT_SUMMARY",
    "DAILY_RESORT_SUMMARY",
    "WEEKLY_RESORT_SUMMARY",
    "V_DAILY_REVENUE_PERFORMANCE",
    "V_DAILY_NETWORK_METRICS",
    "V_LIFT_PERFORMANCE",
    "V_WORLD_CLOCK",
];

/// Columns and sorted rows, each cell as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cells {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

/// The data file of an emulator that has not received anything yet.
static EMPTY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("landing.db");
    drop(DataFile::open(&path, &Ddl::Bootstrap(SETUP.to_owned())).unwrap());
    std::fs::read(path).unwrap()
});

/// A directory with a landing, and with the reports once they are opened.
#[derive(Debug)]
pub(super) struct Scene {
    directory: TempDir,
    connection: Option<Connection>,
}

impl Scene {
    pub(super) fn new() -> Self {
        let mut scene = Self {
            directory: tempfile::tempdir().unwrap(),
            connection: None,
        };
        scene.renew();
        scene
    }

    /// Deletes the landing and creates a new one.
    pub(super) fn renew(&mut self) {
        self.close();
        std::fs::write(self.landing(), &*EMPTY).unwrap();
    }

    /// Closes the landing, so that all of it is in its file.
    pub(super) fn close(&mut self) {
        self.connection = None;
    }

    pub(super) fn landing(&self) -> PathBuf {
        // Each of these characters has a meaning in a URI.
        self.directory.path().join("the #1 landing?mode=rw%20.db")
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("reports.db")
    }

    pub(super) fn claim(&self) -> Result<Claimed> {
        Reports::claim(&self.path(), &self.landing())
    }

    pub(super) fn open(&self) -> Reports {
        self.claim().unwrap().open().unwrap()
    }

    /// Lands a row: the values of some columns, and NULL in all others.
    pub(super) fn land(&mut self, table: Table, columns: &str, values: Vec<Value>) {
        let path = self.landing();
        let connection = self.connection.get_or_insert_with(|| {
            let connection = Connection::open(path).unwrap();
            connection
                .pragma_update(None, "synchronous", "OFF")
                .unwrap();
            connection
        });
        let places = vec!["?"; values.len()].join(", ");
        let sql = format!("INSERT INTO {} ({columns}) VALUES ({places})", table.name());
        let mut statement = connection.prepare_cached(&sql).unwrap();
        statement.execute(params_from_iter(values)).unwrap();
    }

    /// Lands a ride at the half hour.
    pub(super) fn ride(&mut self, rfid: &str, resort: &str, hour: &str) {
        let values = [rfid, resort, "A lift", &format!("{hour}:30:00.000000000")];
        let values = values.map(|value| Value::Text(value.to_owned()));
        self.land(
            Table::LiftRide,
            "RFID, RESORT, LIFT, RIDE_TIME",
            values.to_vec(),
        );
    }

    /// An object of the reports.
    pub(super) fn look(&self, object: &str) -> Cells {
        cells(&reader(&self.path()).unwrap(), object)
    }

    pub(super) fn rides(&self) -> i64 {
        let sql = "SELECT coalesce(sum(TOTAL_RIDES), 0) FROM HOURLY_LIFT_ACTIVITY";
        let connection = reader(&self.path()).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

/// A table or view.
pub(super) fn cells(connection: &Connection, object: &str) -> Cells {
    let mut statement = connection
        .prepare(&format!("SELECT * FROM {object}"))
        .unwrap();
    let names = statement.column_names();
    let columns: Vec<_> = names.into_iter().map(str::to_owned).collect();
    let row = |row: &rusqlite::Row<'_>| {
        (0..columns.len())
            .map(|column| Ok(text(row.get_ref(column)?)))
            .collect()
    };
    let rows = statement.query_map([], row).unwrap();
    let mut rows: Vec<Vec<String>> = rows.collect::<rusqlite::Result<_>>().unwrap();
    rows.sort_unstable();
    Cells { columns, rows }
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => decimal(number),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).unwrap();
            text.strip_suffix(".000000000").unwrap_or(text).to_owned()
        }
        ValueRef::Blob(_) => panic!("no report has bytes"),
    }
}

/// A number to eight places, without the zeros at the end.
pub(super) fn decimal(number: f64) -> String {
    let text = format!("{number:.8}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0" } else { text }.to_owned()
}
