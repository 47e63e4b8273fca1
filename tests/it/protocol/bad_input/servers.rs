//! Servers that cannot be reached, and unknown pipes and roles.

use snowpipe_streaming::transport::HttpTransport;
use snowpipe_streaming::{Error, ErrorKind};
use tokio::net::TcpSocket;

use super::says;
use crate::scripted_server::{Call, Stage, builder, refusal, within};

async fn unreachable(url: &str) -> Error {
    let stage = Stage::new().await;
    let builder = builder(stage.profile().with_url(url));
    within(builder.build()).await.unwrap_err()
}

#[tokio::test]
async fn a_host_without_an_address_is_named() {
    let error = unreachable("https://myorg-myacct.invalid").await;
    says(
        &error,
        ErrorKind::Unreachable,
        &[
            "could not resolve the host \"myorg-myacct.invalid\"",
            "check the account's URL and DNS",
        ],
    );
    assert!(error.is_retryable() && !error.is_ambiguous());
}

#[tokio::test]
async fn a_closed_port_is_named() {
    // There is no listener, and the port stays reserved.
    let held = TcpSocket::new_v4().unwrap();
    held.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = held.local_addr().unwrap().to_string();
    let error = unreachable(&format!("http://{address}")).await;
    let host = format!("{address:?} refused the connection");
    let words = [
        host.as_str(),
        "check the account's URL and port",
        "MYORG-MYACCT",
    ];
    says(&error, ErrorKind::Unreachable, &words);
    assert!(error.is_retryable() && !error.is_ambiguous());
}

#[tokio::test]
async fn a_server_without_tls_is_named() {
    let stage = Stage::new().await;
    let url = stage.url().replace("http://", "https://");
    let builder = builder(stage.profile().with_url(&url));
    let transport = HttpTransport::builder().no_proxy().build().unwrap();
    let error = within(builder.transport(transport).build())
        .await
        .unwrap_err();
    let host = format!("no TLS session with {:?}", url.replace("https://", ""));
    says(
        &error,
        ErrorKind::Unreachable,
        &[&host, "check the scheme and port"],
    );
}

#[tokio::test]
async fn a_missing_or_forbidden_pipe_is_named() {
    let missing = "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED";
    let cases = [
        (
            refusal(404, missing),
            ErrorKind::NotFound,
            "check that the database, schema, pipe and table exist",
        ),
        (
            refusal(403, "390189"),
            ErrorKind::Forbidden,
            "grant the role USAGE",
        ),
    ];
    for (answer, kind, remedy) in cases {
        let stage = Stage::new().await;
        for call in [Call::Open, Call::Status, Call::Drop] {
            stage.always(call, answer.clone());
        }
        let client = stage.client().await;
        let pipe = "DB.PUBLIC.RIDES_PIPE";
        says(
            &client.open_channel("c").await.unwrap_err(),
            kind,
            &[remedy, pipe],
        );
        says(
            &client.channel_statuses(["c"]).await.unwrap_err(),
            kind,
            &[remedy, pipe],
        );
        says(
            &client.drop_channel("c").await.unwrap_err(),
            kind,
            &[remedy, pipe],
        );
    }
}
