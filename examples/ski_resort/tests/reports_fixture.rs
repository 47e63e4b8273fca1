//! Every object of the reports, compared with values calculated by hand.

use std::path::PathBuf;

use rusqlite::types::Value;

use super::reports_scene::{Cells, OBJECTS, Scene, decimal};
use crate::table::Table;

#[test]
fn reports_match_the_values_calculated_by_hand() {
    let mut scene = Scene::new();
    // In reverse, so that rides land before the sales of their riders.
    for table in Table::ALL.into_iter().rev() {
        let landed = read(&table.name().to_lowercase());
        for row in landed.rows {
            let values = landed.columns.iter().zip(row);
            let values = values.map(|(column, cell)| landing_value(column, cell));
            scene.land(table, &landed.columns.join(", "), values.collect());
        }
    }
    let mut reports = scene.open();
    assert!(reports.refresh_visits().unwrap());
    assert!(reports.refresh_tables().unwrap());
    for object in OBJECTS {
        let mut expected = read(&format!("expected/{}", object.to_lowercase()));
        for row in &mut expected.rows {
            for cell in row {
                *cell = as_shown(cell);
            }
        }
        expected.rows.sort_unstable();
        let found = scene.look(object);
        assert_eq!(found.columns, expected.columns, "{object}");
        assert_eq!(found.rows, expected.rows, "{object}");
    }
}

fn read(name: &str) -> Cells {
    let fixture = "examples/ski_resort/tests/fixture";
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), fixture].iter().collect();
    let text = std::fs::read_to_string(path.join(name).with_extension("csv")).unwrap();
    let mut lines = text.lines().map(|line| {
        assert!(!line.contains('"'), "no cell is quoted: {line}");
        line.split(',').map(str::to_owned).collect()
    });
    Cells {
        columns: lines.next().unwrap(),
        rows: lines.collect(),
    }
}

/// A cell as the emulator stores it.
fn landing_value(column: &str, cell: String) -> Value {
    if cell.is_empty() {
        Value::Null
    } else if column.ends_with("_TIME") {
        Value::Text(format!("{cell}.000000000"))
    } else {
        Value::Text(cell)
    }
}

fn as_shown(cell: &str) -> String {
    match cell {
        "true" => "1".to_owned(),
        "false" => "0".to_owned(),
        _ => cell.parse().map_or_else(|_| cell.to_owned(), decimal),
    }
}
