//! Reports of an account: the same as those in a file, queried rarely, and never blocking the pipeline.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::future::join_all;
use serde_json::{Value, json};
use snowpipe_streaming::sql::SqlClient;
use snowpipe_streaming::time::TokioClock;
use snowpipe_streaming::transport::{HttpTransport, Request, Response, Transport, TransportError};
use snowpipe_streaming::{PipePath, Profile, StreamingIngestClient};
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Emulator, MemoryTransport, Server};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::dashboard_reports::{FILLED, Filled, embedded, network, report, resort, rows};
use crate::dashboard::ReportPlace;
use crate::dashboard::asked::Period;
use crate::dashboard::events::Streams;
use crate::dashboard::views::Views;
use crate::live::Board;
use crate::target::SETUP;

const SPACE: &str = "STREAMING_INGEST";

/// An account with these tables, and a client of its SQL API.
async fn account(filled: &[Filled]) -> (Server, SqlClient) {
    let mut ddl = SETUP.to_owned();
    for (name, columns, _) in filled {
        write!(ddl, "\nCREATE TABLE {name} ({columns});").unwrap();
    }
    let emulator = Emulator::builder()
        .catalog(Catalog::from_ddl(&ddl).unwrap())
        .build()
        .unwrap();
    let server = Server::bind(emulator, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let server = server.await.unwrap();
    let mut profile: Value =
        serde_json::from_str(&server.emulator().profile_json(&server.url())).unwrap();
    profile["database"] = SPACE.into();
    profile["schema"] = SPACE.into();
    let profile = Profile::from_json(&profile.to_string()).unwrap();
    let direct = || HttpTransport::builder().no_proxy().build().unwrap();
    let filling = filled.iter().map(async |table| {
        let pipe = PipePath::for_table(SPACE, SPACE, table.0).unwrap();
        let client = StreamingIngestClient::builder(profile.clone(), pipe).transport(direct());
        let client = client.build().await.unwrap();
        let rows = rows(table).map(|row| row.into_iter().collect::<BTreeMap<_, _>>());
        client.send_once("by-hand", "filled", rows).await.unwrap();
    });
    join_all(filling).await;
    let sql = SqlClient::builder(profile.clone())
        .transport(direct())
        .build();
    (server, sql.unwrap())
}

#[tokio::test]
async fn an_account_returns_the_same_as_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = ReportPlace::Embedded(embedded(directory.path(), FILLED));
    let (server, client) = account(FILLED).await;
    let account = ReportPlace::Account(Arc::new(client));
    for asked in [
        network(Period::Today),
        network(Period::Week),
        network(Period::Month),
        resort(None),
        resort(Some("Vail")),
        resort(Some("Keystone")),
    ] {
        let here = report(file.clone(), asked.clone()).await;
        let there = report(account.clone(), asked.clone()).await;
        assert_eq!(there, here, "{asked:?}");
    }
    server.shutdown().await;
    // A retried query does not block.
    tokio::time::pause();
    let found = report(account, network(Period::Today)).await;
    let message = found["problem"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("The account does not respond: "),
        "{message}"
    );
    assert_eq!(found["problem"]["script"], Value::Null);
}

#[tokio::test]
async fn an_account_without_reports_names_the_script() {
    let (_server, client) = account(&[]).await;
    let account = ReportPlace::Account(Arc::new(client));
    for (asked, view) in [
        (network(Period::Today), "network"),
        (resort(Some("Vail")), "resort"),
    ] {
        let wanted = json!({
            "view": view,
            "problem": {
                "message": "The account has no reports yet.",
                "script": "examples/ski_resort/sql/dynamic_tables.sql",
            },
        });
        assert_eq!(report(account.clone(), asked).await, wanted);
    }
}

/// An account in memory that records when the network's hour is queried, and responds or does not.
#[derive(Debug)]
struct Asked {
    account: Option<MemoryTransport>,
    when: Arc<Mutex<Vec<Instant>>>,
}

#[async_trait]
impl Transport for Asked {
    async fn call(&self, request: Request) -> Result<Response, TransportError> {
        let text = String::from_utf8_lossy(request.body());
        if text.contains("MAX(RIDE_HOUR_TIMESTAMP)") {
            self.when.lock().unwrap().push(Instant::now());
        }
        match &self.account {
            Some(account) => account.call(request).await,
            None => pending().await,
        }
    }
}

/// A client of such an account, and the times of its queries.
fn noted(answers: bool) -> (ReportPlace, Arc<Mutex<Vec<Instant>>>) {
    let clock = TokioClock::starting_at(SystemTime::now());
    let when = Arc::default();
    let transport = Asked {
        account: answers.then(|| MemoryTransport::new(emulator(), Arc::new(clock))),
        when: Arc::clone(&when),
    };
    (account_behind(transport), when)
}

fn emulator() -> Emulator {
    let catalog = Catalog::from_ddl(SETUP).unwrap();
    Emulator::builder().catalog(catalog).build().unwrap()
}

fn account_behind(transport: impl Transport) -> ReportPlace {
    let profile = Profile::from_json(&emulator().profile_json("http://127.0.0.1:1")).unwrap();
    let client = SqlClient::builder(profile.with_database(SPACE).with_schema(SPACE));
    let client = client.transport(transport).build().unwrap();
    ReportPlace::Account(Arc::new(client))
}

/// An account whose transport panics.
#[derive(Debug)]
struct Panics;

#[async_trait]
impl Transport for Panics {
    async fn call(&self, _: Request) -> Result<Response, TransportError> {
        panic!("the account must not be queried")
    }
}

#[tokio::test(start_paused = true)]
async fn readers_do_not_wait_for_a_report_whose_task_has_ended() {
    let (_places, places) = watch::channel(account_behind(Panics));
    let (_changed, refreshed) = watch::channel(0);
    let (_stop, stopped) = watch::channel(false);
    let board = Board::new("max".to_owned());
    let views = Views::new(places, refreshed, stopped.clone());
    let streams = Streams::new(board.subscribe(), stopped);
    let asked = network(Period::Today);
    // A later reader gets a new task, and not the channel of the ended one.
    for _ in 0..3 {
        let mut news = streams.news(&views, &asked).unwrap();
        let hour = Duration::from_secs(3_600);
        assert_eq!(
            timeout(hour, views.now(&asked)).await.unwrap().unwrap(),
            None
        );
        let events = async { while news.next().await.is_some() {} };
        timeout(hour, events).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_is_queried_every_ten_seconds_while_a_page_is_open() {
    let (place, when) = noted(true);
    let (_places, places) = watch::channel(place);
    let (changed, refreshed) = watch::channel(0);
    let (_stop, stop) = watch::channel(false);
    let views = Views::new(places, refreshed, stop);
    let asked = network(Period::Today);
    let looks = [0; 3].map(|_| views.look(&asked).unwrap().unwrap());
    for count in 1..=95_u64 {
        // Embedded reports would be read again for this.
        changed.send_replace(count);
        sleep(Duration::from_secs(1)).await;
    }
    drop(looks);
    // A recent report is reused without a query.
    views.look(&asked).unwrap().unwrap();
    sleep(Duration::from_secs(3_600)).await;
    let when = when.lock().unwrap();
    let pauses: Vec<_> = when
        .windows(2)
        .map(|two| (two[1] - two[0]).as_secs())
        .collect();
    assert_eq!(pauses, [10; 9]);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_does_not_respond_does_not_block_the_pipeline() {
    let (place, when) = noted(false);
    let (_places, places) = watch::channel(place);
    let (_changed, refreshed) = watch::channel(0);
    let (stop, stopped) = watch::channel(false);
    let board = Board::new("max".to_owned());
    let views = Views::new(places, refreshed, stopped.clone());
    let streams = Streams::new(board.subscribe(), stopped);
    let mut news = streams.news(&views, &network(Period::Today)).unwrap();
    for count in 0..10 {
        board.write(|live| live.bytes_sent = count);
        let next = timeout(Duration::from_secs(2), news.next()).await;
        assert_eq!(next.unwrap().unwrap().0, "pipeline");
    }
    assert_eq!(when.lock().unwrap().len(), 1);
    stop.send_replace(true);
    assert_eq!(news.next().await.unwrap().0, "end");
    assert_eq!(news.next().await, None);
}
