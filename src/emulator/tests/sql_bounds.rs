//! Statements that want more than they may have: time in a single function, tables they do not name, wide answers.

use super::statements::{clients, data, post, refused};
use super::*;

/// A text of this many letters.
fn long(letters: usize) -> String {
    format!("printf('%.{letters}c', 'a')")
}

#[test]
fn a_comparison_that_takes_seconds_ends_with_the_time() {
    for (client, _dir) in clients() {
        let pattern = format!("%{}b", "a".repeat(190));
        let slow = format!("SELECT {} LIKE '{pattern}'", long(8_000_000));
        let slow = json!({ "statement": slow, "timeout": 1 });
        let (status, answer) = post(&client, "", &slow);
        assert_eq!((status, code(&answer)), (408, "000630"), "{answer}");
    }
}

/// SQLite's own functions of these names take hours for these texts.
#[test]
fn long_texts_in_long_texts_are_found_at_once() {
    let (text, part) = (long(8_000_000), long(4_000_000));
    for (client, _dir) in clients() {
        for (function, wanted) in [
            (format!("replace({text}, {part} || 'b', '')"), "8000000"),
            (format!("replace({text}, {part}, 'b')"), "2"),
            (format!("trim({text}, {part} || 'b')"), "0"),
            (format!("ltrim({text}, 'b' || {part})"), "0"),
            (format!("rtrim({text}, 'b')"), "8000000"),
        ] {
            let found = data(&client, &format!("SELECT length({function})"));
            assert_eq!(found, json!([[wanted]]), "{function}");
        }
        let grown = format!("SELECT length(replace({text}, 'a', {part}))");
        assert_eq!(refused(&client, &grown).1, "391908");
    }
}

#[test]
fn functions_that_are_not_known_to_end_in_time_are_refused() {
    for (client, _dir) in clients() {
        for call in [
            "instr('a', 'b')",
            "unhex('00', ' ')",
            "glob('a', 'a')",
            "json_patch('{}', '{}')",
            "json_set('{}', '$.a', 1)",
            "fts5_source_id()",
            "rtreecheck('T')",
            "sqlite_version()",
            "load_extension('x')",
        ] {
            let (status, code, message) = refused(&client, &format!("SELECT {call}"));
            assert_eq!(
                (status, code.as_str()),
                (422, "000002"),
                "{call}: {message}"
            );
        }
    }
}

/// A name that one part of a statement gives to a query is none of SQLite's in the other parts.
#[test]
fn only_the_tables_that_a_statement_names_are_read() {
    for (client, _dir) in clients() {
        for table in ["T__ERRORS", "RESORT", "SQLITE_MASTER", "_SNOWPIPE_CHANNELS"] {
            let hidden =
                format!("SELECT COUNT(*) FROM (WITH {table} AS (SELECT 1) SELECT 1) AS D, {table}");
            let (status, _, message) = refused(&client, &hidden);
            assert_eq!(status, 422, "{table}: {message}");
        }
    }
}

#[test]
fn an_answer_of_nothing_but_nulls_has_a_bound_too() {
    for (client, _dir) in clients() {
        let columns = vec!["a.PRICE"; 220].join(",");
        let tables = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(|name| format!("T {name}"));
        let wide = format!(
            "SELECT {columns} FROM {} WHERE a.ID > 100",
            tables.join(",")
        );
        assert_eq!(refused(&client, &wide).1, "391908");
    }
}
