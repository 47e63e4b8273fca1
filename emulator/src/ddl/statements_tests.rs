//! Scripts as they stand, what they make, and what is said about those that cannot be read.

use proptest::prelude::*;

use super::*;
use crate::catalog::cell::Cell;
use crate::catalog::coercion::DataType;
use crate::catalog::columns::ColumnDefault;
use crate::catalog::tables::{Mapping, MatchBy, Selected};
use crate::mutated::mutated_text;

const SKI_RESORT: &str = include_str!("../../tests/fixtures/ddl/ski_resort.sql");
const SHAPES: &str = include_str!("../../tests/fixtures/ddl/shapes.sql");

fn name(database: &str, schema: &str, name: &str) -> ObjectName {
    ObjectName {
        database: database.to_owned(),
        schema: schema.to_owned(),
        name: name.to_owned(),
    }
}

fn shown(table: &Table) -> Vec<String> {
    let columns = table.columns.iter().map(|column| {
        let not_null = if column.nullable { "" } else { " NOT NULL" };
        format!("{} {}{not_null}", column.name, column.data_type)
    });
    columns.collect()
}

#[test]
fn a_setup_script_for_an_account_runs_as_it_stands() {
    let catalog = Catalog::from_ddl(SKI_RESORT).expect("the script is read");
    let here = |object: &str| name("STREAMING_INGEST", "STREAMING_INGEST", object);
    assert_eq!(
        shown(catalog.table(&here("resort_ticket")).expect("the table")),
        [
            "TXID VARCHAR(255)",
            "RFID VARCHAR(255)",
            "RESORT VARCHAR(255)",
            "PURCHASE_TIME TIMESTAMP_NTZ(9)",
            "PRICE_USD NUMBER(7,2)",
            "EXPIRATION_TIME DATE",
            "DAYS NUMBER(38,0)",
            "NAME VARCHAR(255)",
            "ADDRESS VARIANT",
            "PHONE VARCHAR(255)",
            "EMAIL VARCHAR(255)",
            "EMERGENCY_CONTACT VARIANT",
        ]
    );
    let pipes: Vec<_> = catalog
        .pipes()
        .map(|pipe| (pipe.name.name.as_str(), pipe.table.name.as_str()))
        .collect();
    assert_eq!(
        pipes,
        [
            ("LIFT_RIDE_PIPE", "LIFT_RIDE"),
            ("RESORT_TICKET_PIPE", "RESORT_TICKET"),
            ("SEASON_PASS_PIPE", "SEASON_PASS"),
        ]
    );
    let pipe = catalog.pipe(&here("LIFT_RIDE_PIPE")).expect("the pipe");
    assert_eq!(pipe.mapping, Mapping::ByName(MatchBy::CaseSensitive));
}

#[test]
fn tables_and_pipes_of_every_shape() {
    let catalog = Catalog::from_ddl(SHAPES).expect("the script is read");
    let orders = catalog
        .table(&name("SHOP", "PUBLIC", "ORDERS"))
        .expect("the table");
    assert_eq!(
        shown(orders),
        [
            "ID NUMBER(18,0) NOT NULL",
            "Customer Id VARCHAR(16777216)",
            "TOTAL NUMBER(10,2) NOT NULL",
            "OPEN BOOLEAN NOT NULL",
            "LOADED_AT TIMESTAMP_LTZ(3)",
            "WEIGHT FLOAT",
            "BODY OBJECT",
            "TAGS ARRAY",
        ]
    );
    let defaults: Vec<_> = orders.columns.iter().map(|c| c.default.clone()).collect();
    let constant = |cell| Some(ColumnDefault::Constant(cell));
    assert_eq!(
        defaults[..5],
        [
            None,
            constant(Cell::Text("nobody".to_owned())),
            constant(Cell::Text("-1.01".to_owned())),
            constant(Cell::Boolean(true)),
            Some(ColumnDefault::CurrentTimestamp),
        ]
    );
    let mapping = |database, schema, pipe| {
        let found = catalog.pipe(&name(database, schema, pipe));
        found.map(|pipe| pipe.mapping)
    };
    assert_eq!(
        mapping("SHOP", "PUBLIC", "ORDERS_PIPE"),
        Some(Mapping::ByName(MatchBy::CaseInsensitive))
    );
    assert_eq!(mapping("RAW", "EVENTS", "P"), Some(Mapping::WholeRow));
    assert_eq!(
        mapping("shop", "public", "MIXED PIPE"),
        Some(Mapping::Select(vec![
            Selected {
                column: 0,
                path: vec!["id".to_owned()],
                cast: Some(DataType::Number {
                    precision: 38,
                    scale: 0
                }),
            },
            Selected {
                column: 2,
                path: vec!["money".to_owned(), "total".to_owned()],
                cast: Some(DataType::Number {
                    precision: 10,
                    scale: 2
                }),
            },
            Selected {
                column: 6,
                path: vec![],
                cast: None,
            },
        ]))
    );
    assert_eq!(mapping("SHOP", "PUBLIC", "FILES"), None);
    assert_eq!(mapping("SHOP", "PUBLIC", "MORE_FILES"), None);
}

fn error(text: &str) -> String {
    Catalog::from_ddl(text)
        .expect_err("the script is refused")
        .to_string()
}

#[test]
fn errors_say_where_and_what_to_do() {
    for (text, want) in [
        (
            "USE DATABASE D;\n  FROBNICATE x",
            "line 2, column 3: FROBNICATE x is not a statement that the emulator carries out",
        ),
        (
            "CREATE TABLE T (A INT)",
            "line 1, column 1: T is in no database and schema: put USE DATABASE and USE SCHEMA before it, or write DATABASE.SCHEMA.T",
        ),
        (
            "CREATE TABLE A.B.C.D (X INT)",
            "line 1, column 1: A.B.C.D has too many parts: write DATABASE.SCHEMA.NAME",
        ),
        (
            "USE D.S;\nCREATE TABLE T (\n  A INT,\n  B GEOGRAPHY)",
            "line 4, column 3: column B: the emulator has no column type GEOGRAPHY",
        ),
        (
            "USE D.S;\nCREATE TABLE T (A NUMBER(40,2))",
            "line 2, column 17: column A: in the type NUMBER(40",
        ),
        (
            "CREATE TABLE D.S.T (A INT, a INT)",
            "line 1, column 1: the table has two columns named A",
        ),
        (
            "USE SCHEMA D.S; CREATE TABLE D.S.T (A INT DEFAULT SEQ.NEXTVAL)",
            "line 1, column 37: there is no sequence SEQ: create it before",
        ),
        (
            "CREATE TABLE D.S.T (A INT DEFAULT 'x')",
            "line 1, column 21: column A: DEFAULT Numeric value 'x' is not recognized",
        ),
        (
            "CREATE TABLE D.S.T (A VARCHAR AUTOINCREMENT)",
            "line 1, column 21: column A: only a NUMBER without a fraction counts by itself",
        ),
        (
            "CREATE TABLE D.S.T (A INT IDENTITY(1, 0))",
            "line 1, column 21: column A: an increment is not 0",
        ),
        (
            "CREATE TABLE D.S.T (A INT DEFAULT $1:a::INT)",
            "line 1, column 21: column A: the emulator has no DEFAULT",
        ),
        (
            "CREATE TABLE D.S.T (A INT DEFAULT B + 1)",
            "line 1, column 21: column A: the emulator has no DEFAULT B + 1",
        ),
        (
            "CREATE SEQUENCE D.S.Q START 1 CYCLE",
            "line 1, column 31: expected START, INCREMENT, ORDER or NOORDER, found CYCLE",
        ),
        (
            "CREATE SEQUENCE D.S.Q; CREATE TABLE D.S.T (A INT DEFAULT D.S.Q.NEXTVAL); DROP SEQUENCE D.S.Q",
            "line 1, column 88: table T takes numbers from sequence Q",
        ),
        (
            "CREATE TABLE D.S.T AS SELECT 1",
            "line 1, column 1: the emulator needs the columns of table T spelled out",
        ),
        (
            "CREATE TABLE D.S.T (A INT); CREATE TABLE D.S.t (A INT)",
            "line 1, column 29: table D.S.T already exists: write OR REPLACE",
        ),
        ("CREATE TABLE D.S.T (A INT,\n, B INT)", "line 2, column 1: "),
        ("CREATE TABLE D.S.T (A INT", "line 1, column 26: "),
        (
            "CREATE OR ALTER TABLE D.S.T (A INT)",
            "line 1, column 1: the emulator has no CREATE OR ALTER TABLE",
        ),
        ("CREATE TABLE D.S.T (A INT) WITH WITH", "line 1, column "),
        (
            "ALTER TABLE D.S.T ADD COLUMN B INT",
            "line 1, column 1: there is no table T to alter: create it before",
        ),
        (
            "DROP TABLE D.S.T",
            "line 1, column 12: there is no T to drop",
        ),
        (
            "DROP SCHEMA D.S RESTRICT",
            "line 1, column 13: the emulator has no RESTRICT",
        ),
        ("SELECT 'open", "line 1, column 8: "),
        (
            "CREATE PIPE D.S.P AS COPY INTO D.S.T",
            "line 1, column 32: there is no table D.S.T: create it before the pipe",
        ),
        (
            "CREATE PIPE D.S.P COMMENT='x'",
            "line 1, column 30: expected AS COPY INTO, found the end of the statement",
        ),
    ] {
        let why = error(text);
        assert!(why.starts_with(want), "{text}\n got {why}\nwant {want}");
    }
}

#[test]
fn statements_that_rows_would_notice_are_refused() {
    for statement in [
        "INSERT INTO D.S.T VALUES (1)",
        "UPDATE D.S.T SET A = 1",
        "DELETE FROM D.S.T",
        "MERGE INTO D.S.T USING D.S.U ON T.A = U.A WHEN MATCHED THEN DELETE",
        "TRUNCATE TABLE D.S.U",
        "TRUNCATE TABLE ERROR_TABLE(D.S.T)",
        "COPY INTO D.S.T FROM @stage",
        "CALL D.S.P()",
        "EXECUTE IMMEDIATE 'DROP TABLE D.S.T'",
        "BEGIN",
        "UNDROP TABLE D.S.T",
        "ALTER PIPE D.S.P SET PIPE_EXECUTION_PAUSED = TRUE",
        "ALTER TABLE D.S.T SET ENABLE_SCHEMA_EVOLUTION = TRUE, COMMENT = 'x'",
        "ALTER SCHEMA D.S SET LOG_EVENT_LEVEL = OFF",
        "ALTER ACCOUNT SET TIMEZONE = 'UTC'",
        "ALTER ACCOUNT SET BINARY_INPUT_FORMAT = 'HEX'",
        "ALTER TABLE D.S.T DROP COLUMN A",
        "ALTER TABLE D.S.T RENAME COLUMN A TO B",
        "ALTER TABLE D.S.T RENAME TO D.S.U",
        "ALTER TABLE D.S.T ADD COLUMN A INT",
        "ALTER TABLE D.S.T ADD COLUMN B INT NOT NULL",
        "ALTER TABLE D.S.T ADD COLUMN B TIMESTAMP DEFAULT CURRENT_TIMESTAMP()",
        "ALTER TABLE D.S.T ALTER COLUMN B DROP NOT NULL",
        "ALTER TABLE D.S.T ALTER COLUMN A SET DATA TYPE NUMBER(10)",
        "CREATE OR REPLACE TABLE D.S.U (A INT CHECK (A > 0))",
        "CREATE OR REPLACE TABLE D.S.U (A INT, CHECK (A > 0))",
        "CREATE OR REPLACE TABLE D.S.U (A VARCHAR COLLATE 'en-ci')",
        "CREATE OR REPLACE TABLE D.S.U (A VARCHAR) DEFAULT_DDL_COLLATION = 'en-ci'",
        "CREATE OR REPLACE TABLE D.S.U (A VARCHAR WITH MASKING POLICY HIDDEN)",
        "CREATE OR REPLACE TABLE D.S.U (A VARCHAR) WITH ROW ACCESS POLICY P ON (A)",
    ] {
        let why = error(&format!("CREATE TABLE D.S.T (A INT);\n{statement}"));
        assert!(why.starts_with("line 2, column "), "{statement}: {why}");
    }
}

#[test]
fn statements_that_no_row_notices_are_ignored() {
    for statement in [
        "GRANT SELECT ON TABLE D.S.T TO ROLE R",
        "ALTER USER U SET RSA_PUBLIC_KEY = 'key'",
        "ALTER TABLE D.S.T SET COMMENT = 'text'",
        "ALTER WAREHOUSE W SUSPEND",
        "COMMENT ON TABLE D.S.T IS 'text'",
        "CREATE TABLE D.S.U (A INT UNIQUE COMMENT 'text', FOREIGN KEY (A) REFERENCES D.S.T (A)) CLUSTER BY (A)",
    ] {
        let script = format!("CREATE TABLE D.S.T (A INT);\n{statement}");
        let read = Catalog::from_ddl(&script);
        assert!(read.is_ok(), "{statement}: {read:?}");
    }
}

#[test]
fn pipes_that_cannot_be_read_say_why() {
    let pipe = |rest: &str| {
        error(&format!(
            "CREATE TABLE D.S.T (A INT, B INT);\nCREATE PIPE D.S.P AS COPY INTO D.S.T\n{rest}"
        ))
    };
    let from = "FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))";
    for (rest, want) in [
        (
            from.to_owned(),
            "line 3, column 45: the pipe does not say how keys become columns of T",
        ),
        (
            format!("{from} MATCH_BY_COLUMN_NAME=SOMEHOW"),
            "line 3, column 67: expected CASE_SENSITIVE, CASE_INSENSITIVE or NONE, found SOMEHOW",
        ),
        (
            format!("{from} ON_ERROR=ABORT_STATEMENT"),
            "line 3, column 55: expected CONTINUE: streaming pipes know nothing else",
        ),
        (
            format!("{from} TRUNCATECOLUMNS=TRUE"),
            "line 3, column 46: the emulator's pipes have no option TRUNCATECOLUMNS",
        ),
        (
            "FROM TABLE(DATA_SOURCE(TYPE => 'KAFKA'))".to_owned(),
            "line 3, column 32: expected 'STREAMING', found 'KAFKA'",
        ),
        (
            "FROM (SELECT UPPER($1:A), $1:B FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')))"
                .to_owned(),
            "line 3, column 14: Unsupported feature: the function UPPER in a pipe",
        ),
        (
            "FROM (SELECT $1:A FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')))".to_owned(),
            "line 2, column 13: the pipe selects 1 values for 2 columns of T",
        ),
        (
            "FROM (SELECT $1:A, $1:B FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) WHERE $1:A > 1)"
                .to_owned(),
            "line 3, column 70: WHERE is not supported in a streaming pipe",
        ),
        (
            "FROM (SELECT $1:A, $1:B::GEOMETRY FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')))"
                .to_owned(),
            "line 3, column 14: Unsupported feature: the emulator has no column type GEOMETRY",
        ),
    ] {
        let why = pipe(&rest);
        assert!(why.starts_with(want), "{rest}\n got {why}\nwant {want}");
    }
}

#[test]
fn the_changes_of_a_script_say_which_tables_are_replaced_and_which_are_kept() {
    let after = |catalog: &Catalog, script: &str| {
        let outcome = catalog.after_ddl(script, Rows::Refused).expect("read");
        (outcome.catalog, outcome.changes)
    };
    let script = "CREATE TABLE D.S.T (A INT); CREATE PIPE D.S.P AS COPY INTO D.S.T;";
    let (before, changes) = after(&Catalog::default(), script);
    let t = name("D", "S", "T");
    let p = name("D", "S", "P");
    assert_eq!(changes, [Change::CreateTable(t.clone())]);

    let keep = "CREATE TABLE IF NOT EXISTS D.S.T (B INT); CREATE PIPE IF NOT EXISTS D.S.P AS COPY INTO D.S.T;";
    let (kept, changes) = after(&before, keep);
    assert_eq!(changes, []);
    assert_eq!(shown(kept.table(&t).expect("kept")), ["A NUMBER(38,0)"]);

    let replace = "CREATE OR REPLACE TABLE D.S.T (B INT)";
    let (replaced, changes) = after(&before, replace);
    assert_eq!(
        changes,
        [
            Change::DropTable(t.clone()),
            Change::ForgetChannels(p.clone()),
            Change::ForgetChannels(name("D", "S", "T-STREAMING")),
            Change::CreateTable(t.clone()),
        ]
    );
    assert_eq!(shown(replaced.table(&t).expect("new")), ["B NUMBER(38,0)"]);

    let (dropped, _) = after(&before, "DROP TABLE D.S.T");
    assert_eq!((dropped.table(&t), dropped.pipe(&p)), (None, None));
}

#[test]
fn a_failed_script_leaves_the_catalog_alone() {
    let mut catalog = Catalog::from_ddl("CREATE TABLE D.S.T (A INT)").expect("read");
    let why = catalog.apply_ddl("DROP TABLE D.S.T; nonsense");
    assert!(why.is_err());
    assert_eq!(catalog.tables().count(), 1);
}

/// Each is a tree as deep as it is long to sqlparser, and the stack is not that deep.
#[test]
fn an_endless_definition_is_refused() {
    for endless in [
        format!("A INT DEFAULT 1{}", "::INT".repeat(100_000)),
        format!("A INT DEFAULT 1{}", " + 1".repeat(100_000)),
        format!("A INT DEFAULT 1{}", " IS NULL".repeat(100_000)),
        format!("A INT DEFAULT {}1", "(".repeat(100_000)),
        format!(
            "A INT, B INT DEFAULT (SELECT 1, 1{})",
            " UNION SELECT 1, 1".repeat(100_000)
        ),
    ] {
        let why = Catalog::from_ddl(&format!("CREATE TABLE D.S.T ({endless})")).unwrap_err();
        assert!(why.to_string().contains("more than 500 words"), "{why}");
    }
}

/// The stack of a thread is two megabytes as a rule, and the parser's frames are large where it is not optimized.
#[test]
fn a_deep_definition_is_read_or_refused() {
    for (open, middle, close) in [
        ("f(", "1", ")"),
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("NOT ", "TRUE", ""),
        ("- ", "1", ""),
        ("CASE WHEN TRUE THEN ", "1", " END"),
        ("CAST(", "1", " AS INT)"),
        ("EXTRACT(YEAR FROM ", "1", ")"),
        ("(SELECT ", "1", ")"),
        ("EXISTS (SELECT ", "1", ")"),
        ("{'a': ", "1", "}"),
        ("1::ARRAY(", "INT", ")"),
        ("x -> ", "1", ""),
    ] {
        for depth in [1, 10, 20, 40, 48, 60, 100, 200] {
            let value = format!("{}{middle}{}", open.repeat(depth), close.repeat(depth));
            let _ = Catalog::from_ddl(&format!("CREATE TABLE D.S.T (A INT DEFAULT {value})"));
            let _ = Catalog::from_ddl(&format!("CREATE TABLE D.S.T (A INT CHECK ({value}))"));
            let _ = Catalog::from_ddl(&format!("CREATE TABLE D.S.T (A INT) AS SELECT {value}"));
        }
    }
    let nested = format!("{}7{}", "(".repeat(20), ")".repeat(20));
    let catalog = Catalog::from_ddl(&format!("CREATE TABLE D.S.T (A INT DEFAULT {nested})"));
    assert_eq!(catalog.expect("read").tables().count(), 1);
}

#[test]
fn a_wide_table_is_no_endless_definition() {
    let columns: Vec<_> = (0..2000)
        .map(|n| format!("C{n} NUMBER(7, 2) NOT NULL"))
        .collect();
    let catalog = Catalog::from_ddl(&format!("CREATE TABLE D.S.T ({})", columns.join(", ")));
    let catalog = catalog.unwrap();
    assert_eq!(
        catalog
            .tables()
            .map(|table| table.columns.len())
            .sum::<usize>(),
        2000
    );
}

proptest! {
    #[test]
    fn no_nearly_right_script_breaks_the_reader(text in mutated_text(&[SKI_RESORT, SHAPES])) {
        let _ = Catalog::from_ddl(&text);
    }

    #[test]
    fn no_text_breaks_the_reader(text in "\\PC{0,200}") {
        let _ = Catalog::from_ddl(&text);
    }

    /// Pieces of SQL in any order come further into the readers than arbitrary letters do.
    #[test]
    fn no_heap_of_words_breaks_the_reader(
        words in proptest::collection::vec(prop::sample::select(&[
            "CREATE", "OR", "REPLACE", "TABLE", "PIPE", "IF", "NOT", "EXISTS", "D.S.T", "\"q\"", "(", ")", ",", "INT",
            "NUMBER(7,2)", "VARIANT", "DEFAULT", "-", "1", "'x'", "AS", "COPY", "INTO", "FROM", "SELECT", "$1", ":",
            "::", "DATA_SOURCE", "TYPE", "=>", "'STREAMING'", "MATCH_BY_COLUMN_NAME", "=", "CASE_SENSITIVE", ";",
            "USE", "DATABASE", "SCHEMA", "DROP", "ALTER", "PRIMARY", "KEY", "--", "/*", "$$", "é",
        ][..]), 0..40)
    ) {
        let _ = Catalog::from_ddl(&words.join(" "));
        let _ = Catalog::from_ddl(&format!("CREATE TABLE D.S.T (A INT); CREATE PIPE D.S.P AS {}", words.join(" ")));
    }
}

#[test]
fn a_table_may_log_its_errors() {
    for option in [
        "ERROR_LOGGING = TRUE",
        "error_logging=false",
        "COMMENT = 'x' ERROR_LOGGING = TRUE",
    ] {
        let ddl = format!("CREATE TABLE D.S.T (A NUMBER) {option};");
        let catalog = Catalog::from_ddl(&ddl).unwrap_or_else(|why| panic!("{option}: {why}"));
        assert_eq!(catalog.tables().count(), 1);
    }
    let catalog = Catalog::from_ddl("CREATE TABLE D.S.T (ERROR_LOGGING BOOLEAN);").unwrap();
    let columns: Vec<_> = catalog.tables().flat_map(|table| &table.columns).collect();
    assert_eq!(columns[0].name, "ERROR_LOGGING");
}
