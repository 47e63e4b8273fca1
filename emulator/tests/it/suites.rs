//! What the emulator's admin endpoints have for whole test suites: waiting for rows, and a reset of one database.

use reqwest::Method;
use serde_json::json;
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{DataFile, Ddl, Emulator};

use crate::admin::{DDL, Rig, answer};
use crate::{TABLE, rows, within};

#[tokio::test]
async fn a_request_waits_until_a_table_has_rows() {
    let rig = Rig::start(Emulator::builder().catalog(Catalog::from_ddl(DDL).unwrap())).await;
    let client = rig.client().await;
    let mut channel = client.open_channel("c").await.unwrap();
    let path = format!("wait?table={TABLE}&rows=3&errors=1");
    let stream = async {
        channel.append_rows(rows(0..2), 0..).await.unwrap();
        let receipt = channel.append_json(r#"{"N":"x"}"#, 2).await.unwrap();
        within(receipt.committed()).await.unwrap_err();
        channel.append_rows(rows(3..4), 3..).await.unwrap();
    };
    let (waited, ()) = tokio::join!(rig.get(&path), stream);
    assert_eq!(waited, json!({ "table": TABLE, "rows": 3, "errors": 1 }));

    let (status, body) = rig
        .admin(
            Method::GET,
            &format!("wait?table={TABLE}&rows=4&timeout_s=0"),
            None,
        )
        .await;
    assert_eq!(status, 408, "{body}");
    let why = body["message"].as_str().unwrap();
    assert!(
        why.contains("has 3 rows and 1 rejected rows, not 4 and 0"),
        "{why}"
    );
    for (query, expected) in [
        ("rows=1", 400),
        ("table=DB.PUBLIC.RIDES_PIPE", 400),
        ("table=DB.PUBLIC.NONE&rows=1", 404),
        ("table=DB.PUBLIC.RIDES_PIPE&rows=x", 400),
        ("table=DB.PUBLIC.RIDES_PIPE&row=1", 400),
    ] {
        let (status, body) = rig.admin(Method::GET, &format!("wait?{query}"), None).await;
        assert_eq!(status, expected, "{query}: {body}");
    }
}

#[tokio::test]
async fn a_reset_of_a_database_leaves_the_others_alone() {
    let dir = tempfile::tempdir().unwrap();
    let ddl = "CREATE TABLE ONE.S.T (N NUMBER); CREATE TABLE TWO.S.T (N NUMBER);";
    let file = DataFile::open(&dir.path().join("e.db"), &Ddl::Bootstrap(ddl.to_owned())).unwrap();
    let memory = Emulator::builder().catalog(Catalog::from_ddl(ddl).unwrap());
    for settings in [memory, Emulator::builder().data_file(file)] {
        let rig = Rig::start(settings).await;
        for database in ["ONE", "TWO"] {
            let client = rig.client_for(database).await;
            let mut channel = client.open_channel("c").await.unwrap();
            let receipt = channel.append_rows(rows(0..2), 0..).await.unwrap();
            within(receipt.committed()).await.unwrap();
        }
        rig.post("reset", json!({ "database": "one" })).await;
        let tables = rig.get("tables").await;
        let counts: Vec<_> = tables["tables"]
            .as_array()
            .unwrap()
            .iter()
            .map(|table| table["rows"].clone())
            .collect();
        assert_eq!(counts, [0, 2]);
        let channels = rig.get("channels").await;
        let channels = channels["channels"].as_array().unwrap();
        assert_eq!(channels.len(), 1);
        assert_eq!(channels[0]["pipe"], "TWO.S.T-STREAMING");
        // Without a body, everything is reset.
        let reset = rig
            .request(Method::POST, "/_emulator/reset")
            .header("content-type", "application/json");
        assert_eq!(answer(reset).await.0, 200);
        assert_eq!(rig.get("channels").await["channels"], json!([]));
    }
}
