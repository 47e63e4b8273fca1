//! A DDL script, the same once more, and rows for its pipes. An input is the script and the rows.

#![no_main]

use libfuzzer_sys::fuzz_target;
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_fuzz::{parts, start};

fuzz_target!(|data: &[u8]| {
    let mut parts = parts(data).map(String::from_utf8_lossy);
    let script = parts.next().unwrap_or_default();
    let Ok(mut catalog) = Catalog::from_ddl(&script) else {
        return;
    };
    let pipes: Vec<_> = catalog.pipes().cloned().collect();
    let tables: Vec<_> = catalog.tables().map(|table| table.name.clone()).collect();
    for row in parts.take(8) {
        for pipe in &pipes {
            let table = catalog.table(&pipe.table).expect("a pipe has a table");
            if let Ok(Some(cells)) = table.land(pipe, &row, start()) {
                assert_eq!(cells.len(), table.columns.len());
            }
        }
        for name in &tables {
            let mut own = name.clone();
            own.name.push_str("-STREAMING");
            // A pipe of the script may have the name of the table's own one.
            let Some(pipe) = catalog.pipe(&own) else {
                continue;
            };
            let table = catalog.table(&pipe.table).expect("a pipe has a table");
            let _ = table.land(&pipe, &row, start());
        }
    }
    let _ = catalog.apply_ddl(&script);
});
