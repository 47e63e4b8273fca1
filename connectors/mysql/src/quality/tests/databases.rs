//! The checks over databases: sources in SQLite and in MariaDB, and what landed in the file of an emulator.

#[path = "../../../tests/it/server.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Opts, OptsBuilder};
use rusqlite::{Connection, params};
use snowpipe_streaming::sql::SqlClient;
use snowpipe_streaming::{PipePath, Profile, StreamingIngestClient};
use snowpipe_streaming_emulator::{DataFile, Ddl, Emulator};
use tempfile::TempDir;

use self::server::MariaDb;
use super::super::gold::Customer;
use super::super::report::Report;
use super::super::{Landing as Place, Options, Source, TableName, Tables, run};
use super::{examples, failed, table, text};

/// A table of the same name in another schema, so that the table's name in the file is not that of the table.
const SETUP: &str = "
    CREATE TABLE OTHER.DEV.SF_CUSTOMER_RAW (ID NUMBER);
    CREATE TABLE SNOWPIPE_STREAMING.DEV.SF_CUSTOMER_RAW
        (CUSTOMER_ID VARCHAR, EMAIL VARCHAR, PHONE VARCHAR, DATE_OF_BIRTH DATE);
    CREATE TABLE SNOWPIPE_STREAMING.DEV.SF_CUSTOMER_GOLD
        (CUSTOMER_ID VARCHAR, EMAIL VARCHAR, PHONE VARCHAR, DATE_OF_BIRTH DATE);";
const SOURCE: &str = "CREATE TABLE PEOPLE_100K (ROW_INDEX INTEGER PRIMARY KEY, USER_ID TEXT COLLATE NOCASE, EMAIL TEXT,
    PHONE TEXT, DATE_OF_BIRTH TEXT)";
/// What the collation and the bytes order differently, and what only one of them holds for equal.
const KEYS: [&str; 8] = ["a1", "A2", "b1", "B2", "é", "E", "ß", "王"];

fn person(number: usize) -> Customer {
    let key = KEYS[number % KEYS.len()];
    Customer {
        customer_id: text(format!("{key}-{number}")),
        email: (!number.is_multiple_of(7)).then(|| format!("zoë{number}@example.org")),
        phone: text(["(360)423-5286x0123", "+1-360-423-5286", "0113391527", ""][number % 4]),
        date_of_birth: text(format!("{}-02-28", 1930 + number % 80)),
    }
}

/// A directory with the data file of an emulator, in which raw and gold table have landed.
struct Landing {
    directory: TempDir,
    emulator: Emulator,
}

impl Landing {
    async fn new(people: &[Customer]) -> Self {
        let directory = TempDir::new().expect("a directory");
        let file = directory.path().join("landing.db");
        let tables = DataFile::open(&file, &Ddl::Bootstrap(SETUP.to_owned())).expect("tables");
        let emulator = Emulator::builder()
            .data_file(tables)
            .build()
            .expect("an emulator");
        let gold: Vec<_> = people.iter().map(Customer::from_raw).collect();
        for (table, rows) in [("SF_CUSTOMER_RAW", people), ("SF_CUSTOMER_GOLD", &gold)] {
            let profile = emulator.profile_json("https://127.0.0.1");
            let profile = Profile::from_json(&profile).expect("a profile");
            let pipe = PipePath::for_table("SNOWPIPE_STREAMING", "DEV", table).expect("a pipe");
            let client =
                StreamingIngestClient::builder(profile, pipe).transport(emulator.transport());
            let client = client.build().await.expect("a client");
            let mut channel = client.open_channel("copy").await.expect("a channel");
            for (number, row) in (1_u64..).zip(rows) {
                channel.append_row(row, number).await.expect("an append");
            }
            channel.close().await.expect("everything is committed");
            client.close().await.expect("nothing is left");
        }
        Self {
            directory,
            emulator,
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("landing.db")
    }

    fn tables(&self, source: Source) -> Tables {
        Tables {
            source,
            people: TableName::people("people_100k"),
            landing: Place::File(self.file()),
            raw: TableName::customers("SNOWPIPE_STREAMING.DEV.SF_CUSTOMER_RAW"),
            gold: Some(TableName::customers(
                "snowpipe_streaming.dev.sf_customer_gold",
            )),
        }
    }

    fn change(&self, sql: &str) {
        let file = Connection::open(self.file()).expect("the file");
        assert_eq!(file.execute(sql, []).expect("a change"), 1, "{sql}");
    }
}

fn sqlite(directory: &Path, people: &[Customer]) -> PathBuf {
    let path = directory.join("source.db");
    let source = Connection::open(&path).expect("a file");
    source.execute_batch(SOURCE).expect("a table");
    let mut insert = source
        .prepare("INSERT INTO PEOPLE_100K VALUES (NULL, ?, ?, ?, ?)")
        .expect("an insert");
    for person in people {
        let Customer {
            customer_id,
            email,
            phone,
            date_of_birth,
        } = person;
        insert
            .execute(params![customer_id, email, phone, date_of_birth])
            .expect("a row");
    }
    path
}

/// The quality of the values is not what these tests are about.
fn options() -> Options {
    let mut options = Options::default();
    options.limits.not_phones = 50.0;
    options
}

#[tokio::test]
async fn a_landing_is_compared_with_a_source_in_sqlite_and_the_reports_are_written() {
    let people: Vec<_> = (0..500).map(person).collect();
    let landing = Landing::new(&people).await;
    let source = sqlite(landing.directory.path(), &people);
    let mut options = options();
    options.json = Some(landing.directory.path().join("report.json"));
    options.html = Some(landing.directory.path().join("report.html"));
    let check = async || {
        run(landing.tables(Source::Sqlite(source.clone())), &options)
            .await
            .expect("a report")
    };

    let report = check().await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(table(&report, "gold").rows, 500);
    let json =
        std::fs::read_to_string(landing.directory.path().join("report.json")).expect("the file");
    assert_eq!(json, report.to_json().expect("JSON"));
    let page =
        std::fs::read_to_string(landing.directory.path().join("report.html")).expect("the file");
    assert!(page.contains("no check of"), "{page}");

    landing.change("DELETE FROM SF_CUSTOMER_GOLD WHERE CUSTOMER_ID = 'é-4'");
    let kept = r#""SNOWPIPE_STREAMING.DEV.SF_CUSTOMER_RAW""#;
    landing.change(&format!(
        "INSERT INTO {kept} SELECT * FROM {kept} WHERE CUSTOMER_ID = 'a1-0'"
    ));
    landing.change(&format!(
        "UPDATE {kept} SET DATE_OF_BIRTH = '1930-03-01' WHERE CUSTOMER_ID = 'ß-6'"
    ));
    assert_injected(&check().await);
}

/// A doubled and a changed row in raw, and a missing row in gold.
fn assert_injected(report: &Report) {
    assert!(!report.is_clean());
    let change = serde_json::json!({"column": "DATE_OF_BIRTH", "expected": "1936-02-28", "found": "1930-03-01"});
    let raw = serde_json::json!([
        {"kind": "doubled", "key": "a1-0"},
        {"kind": "changed", "key": "ß-6", "change": change},
    ]);
    assert_eq!(examples(report, "raw"), raw);
    assert_eq!(
        examples(report, "gold"),
        serde_json::json!([{"kind": "missing", "key": "é-4"}])
    );
    let failed: Vec<_> = failed(report)
        .into_iter()
        .map(|(table, name, _)| (table, name))
        .collect();
    assert!(
        failed.contains(&("raw", "doubled rows")) && failed.contains(&("raw", "changed rows")),
        "{failed:?}"
    );
    assert!(failed.contains(&("gold", "missing rows")), "{failed:?}");
}

/// The emulator's SQL API in place of an account's. The doubled key is the last of the first page.
#[tokio::test]
async fn a_landing_in_an_account_is_compared_page_by_page() {
    let people: Vec<_> = (0..4_100).map(person).collect();
    let landing = Landing::new(&people).await;
    let source = sqlite(landing.directory.path(), &people);
    let profile = landing.emulator.profile_json("https://127.0.0.1");
    let profile = Profile::from_json(&profile).expect("a profile");
    let client = SqlClient::builder(profile).transport(landing.emulator.transport());
    let client = Arc::new(client.build().expect("a client"));
    let check = async |changed: fn(&mut Tables)| {
        let mut tables = landing.tables(Source::Sqlite(source.clone()));
        tables.landing = Place::Account(client.clone());
        changed(&mut tables);
        run(tables, &options()).await
    };
    let report = check(|_| {}).await.expect("a report");
    assert!(report.is_clean(), "{report}");
    assert_eq!(table(&report, "gold").rows, 4_100);

    let mut keys: Vec<_> = people
        .iter()
        .filter_map(|person| person.customer_id.as_deref())
        .collect();
    keys.sort_unstable();
    let (last, deleted) = (keys[1_999], keys[3_000]);
    let kept = r#""SNOWPIPE_STREAMING.DEV.SF_CUSTOMER_RAW""#;
    landing.change(&format!(
        "INSERT INTO {kept} SELECT * FROM {kept} WHERE CUSTOMER_ID = '{last}'"
    ));
    landing.change(&format!(
        "DELETE FROM SF_CUSTOMER_GOLD WHERE CUSTOMER_ID = '{deleted}'"
    ));
    let report = check(|_| {}).await.expect("a report");
    assert_eq!(
        examples(&report, "raw"),
        serde_json::json!([{"kind": "doubled", "key": last}])
    );
    assert_eq!(
        examples(&report, "gold"),
        serde_json::json!([{"kind": "missing", "key": deleted}])
    );

    let none =
        check(|tables| tables.raw = TableName::customers("SNOWPIPE_STREAMING.DEV.NONE")).await;
    let error = format!("{:#}", none.expect_err("an error"));
    assert!(
        error.contains("cannot read the table SNOWPIPE_STREAMING.DEV.NONE"),
        "{error}"
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let people = [person(1)];
    let landing = Landing::new(&people).await;
    let source = sqlite(landing.directory.path(), &people);
    let error = async |change: fn(&mut Tables)| {
        let mut tables = landing.tables(Source::Sqlite(source.clone()));
        change(&mut tables);
        format!("{:#}", run(tables, &options()).await.expect_err("an error"))
    };
    let no_table =
        error(|tables| tables.raw = TableName::customers("SNOWPIPE_STREAMING.DEV.NONE")).await;
    assert!(
        no_table.contains("the emulator has no table SNOWPIPE_STREAMING.DEV.NONE"),
        "{no_table}"
    );
    let no_source = error(|tables| tables.people = TableName::people("NONE")).await;
    assert!(
        no_source.contains("cannot read the table NONE"),
        "{no_source}"
    );
    let no_file = error(|tables| tables.landing = Place::File("nowhere/landing.db".into())).await;
    assert!(
        no_file.contains("cannot open nowhere/landing.db"),
        "{no_file}"
    );
}

/// A user with a password that no error may show.
const PASSWORD: &str = "correct-horse";
const IN_MARIADB: &str = "CREATE DATABASE shop;
    CREATE TABLE shop.people_100k (ROW_INDEX INT PRIMARY KEY, USER_ID VARCHAR(20) NOT NULL UNIQUE, EMAIL VARCHAR(80),
        PHONE VARCHAR(40), DATE_OF_BIRTH DATE) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;
    CREATE TABLE shop.people_latin1 (ROW_INDEX INT PRIMARY KEY, USER_ID VARCHAR(20) NOT NULL, EMAIL VARCHAR(80),
        PHONE VARCHAR(40), DATE_OF_BIRTH DATE) CHARACTER SET latin1;
    CREATE USER checker IDENTIFIED BY 'correct-horse';
    GRANT SELECT ON shop.* TO checker;";

async fn fill(server: &MariaDb, table: &str, people: &[Customer]) {
    let mut connection = server.connect().await;
    let insert = format!("INSERT INTO shop.{table} VALUES (?, ?, ?, ?, ?)");
    connection
        .query_drop("START TRANSACTION")
        .await
        .expect("a transaction");
    let rows = (1_u32..).zip(people).map(|(number, person)| {
        let Customer {
            customer_id,
            email,
            phone,
            date_of_birth,
        } = person;
        (number, customer_id, email, phone, date_of_birth)
    });
    connection.exec_batch(insert, rows).await.expect("the rows");
    connection.query_drop("COMMIT").await.expect("a commit");
}

fn source(server: &MariaDb, password: &str) -> Source {
    let options = Opts::from_url(&server.url("checker", password, "shop")).expect("an address");
    Source::MariaDb(OptsBuilder::from_opts(options).prefer_socket(false).into())
}

#[tokio::test]
async fn a_landing_is_compared_with_20_000_people_in_mariadb() {
    let mut server = MariaDb::start(&[]).await;
    server
        .connect()
        .await
        .query_drop(IN_MARIADB)
        .await
        .expect("a database");
    let people: Vec<_> = (0..20_000).map(person).collect();
    fill(&server, "people_100k", &people).await;
    let landing = Landing::new(&people).await;
    let check = async || run(landing.tables(source(&server, PASSWORD)), &options()).await;

    let report = check().await.expect("a report");
    assert!(report.is_clean(), "{report}");
    assert_eq!(table(&report, "source").rows, 20_000);

    landing.change("DELETE FROM SF_CUSTOMER_GOLD WHERE CUSTOMER_ID = 'é-4'");
    let kept = r#""SNOWPIPE_STREAMING.DEV.SF_CUSTOMER_RAW""#;
    landing.change(&format!(
        "INSERT INTO {kept} SELECT * FROM {kept} WHERE CUSTOMER_ID = 'a1-0'"
    ));
    landing.change(&format!(
        "UPDATE {kept} SET DATE_OF_BIRTH = '1930-03-01' WHERE CUSTOMER_ID = 'ß-6'"
    ));
    assert_injected(&check().await.expect("a report"));

    let wrong = run(landing.tables(source(&server, "wrong-horse")), &options()).await;
    let error = format!("{:?}", wrong.expect_err("an error"));
    assert!(
        error.contains("cannot read the table people_100k"),
        "{error}"
    );
    assert!(
        error.contains("Access denied") && !error.contains("horse"),
        "{error}"
    );
    server.kill();
    let error = format!(
        "{:?}",
        run(landing.tables(source(&server, PASSWORD)), &options())
            .await
            .expect_err("an error")
    );
    assert!(
        error.contains("cannot read the table people_100k") && !error.contains("horse"),
        "{error}"
    );
}

/// The order of a column's own bytes is not that of the text in UTF-8.
#[tokio::test]
async fn a_source_in_another_character_set_and_with_zero_dates_is_compared() {
    let server = MariaDb::start(&["--sql-mode="]).await;
    server
        .connect()
        .await
        .query_drop(IN_MARIADB)
        .await
        .expect("a database");
    let mut people: Vec<_> = (0..100)
        .filter(|number| number % KEYS.len() != 7)
        .map(person)
        .collect();
    people[1].date_of_birth = text("0000-00-00");
    people[2].date_of_birth = text("1990-05-00");
    fill(&server, "people_latin1", &people).await;
    let landed: Vec<_> = people.iter().cloned().map(Customer::landed).collect();
    let landing = Landing::new(&landed).await;
    let mut tables = landing.tables(source(&server, PASSWORD));
    tables.people = TableName::people("shop.people_latin1");
    let mut options = options();
    options.limits.not_dates = 5.0;
    let report = run(tables, &options).await.expect("a report");
    assert!(report.is_clean(), "{report}");
    assert_eq!(table(&report, "source").defects.not_dates, 2);
    assert_eq!(
        table(&report, "raw").nulls.last().map(|nulls| nulls.rows),
        Some(2)
    );
}
