//! Each answer to each point of tables, values, evolution and pipes is seen by a client.

use serde_json::{Value, json};

use crate::answers::{Answers, POINTS};
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::Catalog;
use crate::rig::{Client, DATA, PIPES, code, settings};

const STREAM: &str = "TABLE(DATA_SOURCE(TYPE => 'STREAMING'))";

/// A client of an emulator with an answer, in the time zone that accounts have by default.
fn playing(key: &str, word: &str) -> Client {
    let answers = Answers::default().with(key, word).unwrap();
    let catalog = Catalog::default().with_timezone("America/Los_Angeles");
    Client::of(settings().answers(answers).catalog(catalog.unwrap()))
}

impl Client {
    /// A table `T` with the columns.
    fn make(&self, columns: &str) {
        let table = format!("CREATE OR REPLACE TABLE DB.S.T ({columns})");
        self.emulator.apply_ddl(&table).unwrap();
    }

    /// The rows that land of one row.
    fn land(&self, row: &str) -> Vec<Value> {
        let token = self.open("c");
        self.append("c", &token, "1", row);
        self.emulator.commit_now();
        self.emulator.rows("DB.S.T").unwrap()
    }

    /// The rows that land of rows for the pipe `P`.
    fn land_through_pipe(&self, rows: &str) -> Vec<Value> {
        let channel = "P/channels/c";
        let opened = self.call("PUT", &format!("{PIPES}/{channel}"), "{}").1;
        let token = opened["next_continuation_token"].as_str().unwrap();
        let path = format!("{DATA}/{channel}/rows?continuationToken={token}");
        assert_eq!(self.call("POST", &path, rows.to_owned()).0, 200);
        self.emulator.commit_now();
        self.emulator.rows("DB.S.T").unwrap()
    }

    /// What a value becomes in a column; none if its row is rejected.
    fn cell(&self, column: &str, value: &str) -> Option<Value> {
        self.make(&format!("A {column}"));
        let rows = self.land(&format!("{{\"A\":{value}}}"));
        rows.into_iter().next().map(|mut row| row["A"].take())
    }

    /// Whether a value is accepted, and becomes this.
    #[track_caller]
    fn accepts(&self, column: &str, value: &str, wanted: &Value) -> &'static str {
        match self.cell(column, value) {
            Some(found) => {
                assert_eq!(found, *wanted);
                "accept"
            }
            None => "reject",
        }
    }

    /// The type of the column that schema evolution makes of a value.
    fn evolved(&self, value: &str) -> String {
        let table = "CREATE OR REPLACE TABLE DB.S.T (K NUMBER) ENABLE_SCHEMA_EVOLUTION = TRUE";
        self.emulator.apply_ddl(table).unwrap();
        self.land(&format!("{{\"K\":1,\"a\":{value}}}"));
        let handler = self.emulator.handler();
        let name = ObjectName::new("DB", "S", "T");
        let column = &handler.state.catalog.table(&name).unwrap().columns[1];
        assert_eq!(column.name, "A");
        column.data_type.to_string()
    }

    /// Whether a pipe `P` into the table is created by what follows `COPY INTO`.
    fn creates(&self, copy: &str) -> &'static str {
        self.make("A NUMBER, B VARCHAR DEFAULT 'none'");
        let pipe = format!("CREATE PIPE DB.S.P AS COPY INTO DB.S.T {copy}");
        match self.emulator.apply_ddl(&pipe) {
            Ok(()) => "create",
            Err(_) => "refuse",
        }
    }
}

/// What a client sees at a point, in the words of its answers.
fn seen(client: &Client, key: &str) -> &'static str {
    let looks = [
        of_tables,
        of_rows,
        of_scalars,
        of_nested,
        of_zones,
        of_evolution,
        of_pipes,
    ];
    let mut found = looks.iter().filter_map(|look| look(client, key));
    let word = found.next();
    word.unwrap_or_else(|| panic!("no client looks at {key}"))
}

fn of_tables(client: &Client, key: &str) -> Option<&'static str> {
    Some(match key {
        "tables.replaced_table" => {
            client.make("N NUMBER");
            client.open("c");
            client.make("N NUMBER");
            assert_eq!(
                client.status("c")["channel_status_code"],
                "ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"
            );
            fate(client, "c")
        }
        "tables.dropped_table" => {
            client.make("N NUMBER");
            client.open("c");
            client.emulator.apply_ddl("DROP TABLE DB.S.T").unwrap();
            let names = json!({ "channel_names": ["c"] }).to_string();
            let path = format!("{PIPES}/T-STREAMING:bulk-channel-status");
            assert_eq!(client.call("POST", &path, names).0, 404);
            assert_eq!(client.try_append("d", "0_1", "1", "{}\n").0, 404);
            let path = format!("{DATA}/T-STREAMING/channels/ELASTIC/rows");
            assert_eq!(client.call("POST", &path, "{}\n").0, 404);
            let word = fate(client, "c");
            client.make("N NUMBER");
            client.emulator.commit_now();
            assert_eq!(client.emulator.rows("DB.S.T").unwrap(), Vec::<Value>::new());
            word
        }
        "tables.recreated_table" => {
            client.make("N NUMBER");
            assert_eq!(client.try_open("c", "{}").0, 200, "never streamed to");
            client.emulator.apply_ddl("DROP TABLE DB.S.T").unwrap();
            client.make("N NUMBER");
            match client.try_open("c", "{}") {
                (200, _) => "at_once",
                (status, answer) => {
                    let missing = "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED";
                    assert_eq!((status, code(&answer)), (404, missing));
                    "not_yet"
                }
            }
        }
        _ => return None,
    })
}

fn of_rows(client: &Client, key: &str) -> Option<&'static str> {
    Some(match key {
        "values.duplicate_key" => {
            client.make("A NUMBER, V VARIANT");
            assert_eq!(
                client.land(r#"{"V":{"a":1,"a":2}}"#),
                Vec::<Value>::new(),
                "a nested object"
            );
            match client.land(r#"{"A":1,"A":2}"#).first() {
                Some(row) => {
                    assert_eq!(row["A"], 2);
                    "last"
                }
                None => "reject",
            }
        }
        "values.unknown_key" => {
            client.make("A NUMBER");
            match client.land(r#"{"a":1,"ZZ":2}"#).len() {
                1 => "ignore",
                _ => "reject",
            }
        }
        "values.null_with_default" => {
            match client.cell("NUMBER DEFAULT 7", "null").unwrap().as_u64() {
                Some(7) => "default",
                _ => "null",
            }
        }
        "values.null_text" => match client.cell("VARCHAR", r#""\\N""#).unwrap() {
            Value::Null => "null",
            text => {
                assert_eq!(text, "\\N");
                "text"
            }
        },
        _ => return None,
    })
}

fn of_scalars(client: &Client, key: &str) -> Option<&'static str> {
    Some(match key {
        "values.boolean_as_number" => {
            client.accepts("NUMBER(3,1)", "false", &json!("0.0"));
            client.accepts("NUMBER", "true", &json!(1))
        }
        "values.number_as_boolean" => client.accepts("BOOLEAN", "2", &json!(true)),
        "values.time_with_offset" => {
            client.accepts("TIME(0)", r#""14:05:06+07:00""#, &json!("14:05:06"))
        }
        "values.timestamp_as_date" => {
            assert_eq!(
                client.accepts("DATE", r#""2026-02-28""#, &json!("2026-02-28")),
                "accept"
            );
            client.accepts("DATE", r#""2026-02-28T10:00:00""#, &json!("2026-02-28"))
        }
        "values.float_words" => client.accepts("FLOAT", r#""-Infinity""#, &json!("-inf")),
        "values.json_as_text" => client.accepts("VARCHAR", "[1]", &json!("[1]")),
        "values.binary_text" => {
            let path = format!("{PIPES}/T-STREAMING:pipe-info");
            client.make("A BINARY");
            let info = client.call("POST", &path, "{}").1;
            // Base64 of three bytes, and the digits of two.
            match client.cell("BINARY", r#""abcd""#).unwrap().as_str() {
                Some("abcd") => {
                    assert_eq!(info["binary_input_format"], "BASE64");
                    "base64"
                }
                other => {
                    assert_eq!(
                        (other, &info["binary_input_format"]),
                        (Some("q80="), &json!("HEX"))
                    );
                    "hex"
                }
            }
        }
        _ => return None,
    })
}

fn of_nested(client: &Client, key: &str) -> Option<&'static str> {
    Some(match key {
        "values.text_as_array" => match client.cell("ARRAY", r#""[1,2]""#) {
            Some(array) if array == json!([1, 2]) => {
                assert_eq!(client.cell("ARRAY", r#""word""#), None);
                "parse"
            }
            Some(array) => {
                assert_eq!(array, json!(["[1,2]"]));
                "wrap"
            }
            None => "none",
        },
        "values.value_as_array" => match client.cell("ARRAY", r#"{"a":1}"#) {
            Some(array) => {
                assert_eq!(array, json!([{ "a": 1 }]));
                "wrap"
            }
            None => "reject",
        },
        "values.text_as_object" => match client.cell("OBJECT", r#""{\"a\":1}""#) {
            Some(object) => {
                assert_eq!(object, json!({ "a": 1 }));
                "parse"
            }
            None => "reject",
        },
        "values.variant_null" => {
            client.make("A VARIANT NOT NULL");
            match client.land(r#"{"A":null}"#).len() {
                1 => "json_null",
                _ => "sql_null",
            }
        }
        "values.variant_number" => {
            client.make("A VARIANT");
            client.land(r#"{"A":12345678901234567890}"#);
            match stored(client, "A").as_str() {
                "12345678901234567890" => "exact",
                other => {
                    assert_eq!(other, "1.2345678901234567e+19");
                    "double"
                }
            }
        }
        _ => return None,
    })
}

fn of_zones(client: &Client, key: &str) -> Option<&'static str> {
    Some(match key {
        "values.integer_zone" => {
            let instant = client.cell("TIMESTAMP_LTZ(0)", "1768658400");
            assert_eq!(instant, Some(json!("2026-01-17 14:00:00Z")));
            match client
                .cell("TIMESTAMP_NTZ(0)", "1768658400")
                .unwrap()
                .as_str()
            {
                Some("2026-01-17 06:00:00") => "account",
                other => {
                    assert_eq!(other, Some("2026-01-17 14:00:00"));
                    "utc"
                }
            }
        }
        "values.text_zone" => {
            let text = r#""2026-01-17 06:00:00""#;
            let with_offset = client.cell("TIMESTAMP_TZ(0)", text).unwrap();
            match client.cell("TIMESTAMP_LTZ(0)", text).unwrap().as_str() {
                Some("2026-01-17 14:00:00Z") => {
                    assert_eq!(with_offset, "2026-01-17 06:00:00 -08:00");
                    "account"
                }
                other => {
                    assert_eq!(other, Some("2026-01-17 06:00:00Z"));
                    assert_eq!(with_offset, "2026-01-17 06:00:00 +00:00");
                    "utc"
                }
            }
        }
        _ => return None,
    })
}

fn of_evolution(client: &Client, key: &str) -> Option<&'static str> {
    Some(match key {
        "evolution.fraction" => {
            assert_eq!(client.evolved("-12"), "NUMBER(38,0)");
            assert_eq!(client.evolved("1e-10"), "FLOAT");
            match client.evolved("-0.99").as_str() {
                "NUMBER(38,2)" => "number",
                other => {
                    assert_eq!(other, "FLOAT");
                    "float"
                }
            }
        }
        "evolution.moment" => {
            let text = "VARCHAR(16777216)";
            assert_eq!(client.evolved(r#""2026-01-02T03:04:05Z""#), text);
            assert_eq!(client.evolved(r#""20260102""#), text);
            let date = client.evolved(r#""2026-01-02""#);
            match client.evolved(r#""2026-01-02T03:04:05""#).as_str() {
                "TIMESTAMP_NTZ(9)" => {
                    assert_eq!(date, "DATE");
                    "moment"
                }
                other => {
                    assert_eq!((other, date.as_str()), (text, text));
                    "varchar"
                }
            }
        }
        "evolution.time" => match client.evolved(r#""12:34:56""#).as_str() {
            "TIME(9)" => "time",
            _ => "varchar",
        },
        "evolution.array" => match client.evolved("[1]").as_str() {
            "ARRAY" => "array",
            _ => "variant",
        },
        _ => return None,
    })
}

fn of_pipes(client: &Client, key: &str) -> Option<&'static str> {
    Some(match key {
        "pipes.name_case" => {
            client.make("N NUMBER");
            let open = |pipe: &str| {
                client
                    .call("PUT", &format!("{PIPES}/{pipe}/channels/c"), "{}")
                    .0
            };
            assert_eq!(open("T-STREAMING"), 200);
            assert_eq!(open("%22T-STREAMING%22"), 200);
            match open("t-streaming") {
                200 => "folded",
                _ => "exact",
            }
        }
        "pipes.file_format" => client.creates(&format!(
            "FROM {STREAM} FILE_FORMAT = (TYPE = JSON) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE"
        )),
        "pipes.functions" => {
            match client.creates(&format!(
                "(B) FROM (SELECT UPPER($1:b::VARCHAR) FROM {STREAM})"
            )) {
                "create" => "all",
                _ => "listed",
            }
        }
        "pipes.where_clause" => {
            let copy = format!("(A) FROM (SELECT $1:a FROM {STREAM} WHERE $1:a::NUMBER > 1)");
            if client.creates(&copy) == "refuse" {
                return Some("refuse");
            }
            let rows = client.land_through_pipe("{\"a\":1}\n{\"a\":2}\n{\"b\":3}\n");
            assert_eq!(rows, [json!({ "A": 2, "B": "none" })]);
            let path = format!("{PIPES}/P:bulk-channel-status");
            let answer = client.call("POST", &path, r#"{"channel_names":["c"]}"#).1;
            let status = &answer["channel_statuses"]["c"];
            assert_eq!(status["rows_parsed"], 1);
            assert_eq!(status["rows_error_count"], 0);
            "filter"
        }
        "pipes.omitted_column" => {
            let pipe = client.creates(&format!("(A) FROM (SELECT $1:a FROM {STREAM})"));
            assert_eq!(pipe, "create");
            match &client.land_through_pipe("{\"a\":1}\n")[0]["B"] {
                Value::Null => "null",
                default => {
                    assert_eq!(default, "none");
                    "default"
                }
            }
        }
        "pipes.recreated_pipe" => {
            let copy = format!("(A) FROM (SELECT $1:a FROM {STREAM})");
            client.creates(&copy);
            let open = || client.call("PUT", &format!("{PIPES}/P/channels/c"), "{}");
            assert_eq!(open().0, 200);
            client.emulator.apply_ddl("DROP PIPE DB.S.P").unwrap();
            client.creates(&copy);
            match open() {
                (200, _) => "at_once",
                (status, answer) => {
                    assert_eq!((status, code(&answer)), (400, "STALE_PIPE_CACHE"));
                    assert_eq!(open().0, 200);
                    "stale"
                }
            }
        }
        _ => return None,
    })
}

/// What becomes of the next row of a channel whose table is gone.
fn fate(client: &Client, channel: &str) -> &'static str {
    match client.try_append(channel, "0_1", "1", "{\"N\":1}\n").0 {
        200 => {
            client.append(channel, "0_2", "2", "{\"N\":1}\n");
            "accept_and_lose"
        }
        _ => "refuse",
    }
}

/// A VARIANT as it is stored, with the digits of its numbers.
fn stored(client: &Client, column: &str) -> String {
    let rows = client.emulator.rows("DB.S.T").unwrap();
    rows[0][column].to_string()
}

#[test]
fn each_answer_is_played() {
    for point in POINTS {
        let is_elsewhere = point.key.starts_with("wire.")
            || point.key.starts_with("channels.")
            || point.key == "values.malformed_row";
        if is_elsewhere {
            continue;
        }
        for word in point.words {
            let client = playing(point.key, word);
            assert_eq!(seen(&client, point.key), *word, "{}", point.key);
        }
    }
}
