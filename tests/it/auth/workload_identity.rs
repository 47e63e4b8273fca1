//! A workload identity: its token goes to both hosts, and is read again before it expires and when it was refused.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use snowpipe_streaming::auth::{WorkloadIdentity, WorkloadIdentityProvider};
use snowpipe_streaming::sql::{SqlClient, Statement};
use snowpipe_streaming::{ErrorKind, InvalidationCause};
use snowpipe_streaming_emulator::Endpoint;
use tempfile::NamedTempFile;
use tokio::time::sleep;

use crate::support::{World, row};

const PROVIDER: WorkloadIdentityProvider = WorkloadIdentityProvider::Oidc;
/// The time at which the worlds of tests begin.
const START: u64 = 1_768_658_400;

/// The token of a service account as a cluster makes it, with this life.
fn token(minutes: u64) -> String {
    let part = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let claims =
        json!({ "sub": "system:serviceaccount:resort:loader", "exp": START + minutes * 60 });
    format!(
        "{}.{}.c2lnbmF0dXJl",
        part(&json!({ "alg": "RS256" })),
        part(&claims)
    )
}

/// A world that knows these tokens, and a file with the first one.
fn world(tokens: &[String]) -> (World, NamedTempFile) {
    let world = World::with(|e| {
        let tokens = tokens.iter().map(String::as_str);
        tokens.fold(e, |e, token| e.workload_identity(PROVIDER, token))
    });
    let file = NamedTempFile::new().unwrap();
    std::fs::write(&file, &tokens[0]).unwrap();
    (world, file)
}

fn refused(world: &World) -> usize {
    let log = world.emulator.log().into_iter();
    log.filter(|seen| seen.status == Some(401)).count()
}

#[tokio::test(start_paused = true)]
async fn a_replaced_token_is_read_before_the_old_one_expires() {
    let tokens = [token(10), token(20)];
    let (world, file) = world(&tokens);
    let credential = WorkloadIdentity::new(PROVIDER, file.path());
    let builder = world.builder().credential(credential);
    let client = builder.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    for minute in 0..15 {
        // Kubernetes replaces a token when a fifth of its life is left.
        if minute == 8 {
            std::fs::write(&file, &tokens[1]).unwrap();
        }
        let receipt = channel.append_row(&row(minute), minute).await.unwrap();
        receipt.committed().await.unwrap();
        sleep(Duration::from_secs(60)).await;
    }
    channel.close().await.unwrap();
    assert_eq!(refused(&world), 0);
    assert_eq!(world.landed(), (0..15).collect::<Vec<i64>>());
    let log = world.emulator.log();
    assert!(log.iter().all(|seen| seen.endpoint != Endpoint::Token));
}

#[tokio::test(start_paused = true)]
async fn rows_wait_while_the_token_has_expired_and_land_with_the_next_one() {
    let tokens = [token(10), token(60)];
    let (world, file) = world(&tokens);
    let credential = WorkloadIdentity::new(PROVIDER, file.path());
    let builder = world.builder().credential(credential);
    let client = builder.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    sleep(Duration::from_secs(601)).await;
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    assert!(refused(&world) > 0);
    assert_eq!(world.landed(), [0_i64; 0]);
    std::fs::write(&file, &tokens[1]).unwrap();
    receipt.committed().await.unwrap();
    assert_eq!(world.landed(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_stays_refused_ends_the_channel_with_a_reason() {
    let (world, file) = world(&[token(10)]);
    let credential = WorkloadIdentity::new(PROVIDER, file.path());
    let builder = world.builder().credential(credential);
    let client = builder.build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    sleep(Duration::from_secs(601)).await;
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    let error = receipt.committed().await.unwrap_err();
    let cause = ErrorKind::Invalidated(InvalidationCause::Unauthorized);
    assert_eq!(error.kind(), cause, "{error}");
    let text = error.to_string();
    assert!(text.contains("it has expired"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn statements_carry_the_documented_type() {
    let (world, file) = world(&[token(10)]);
    let profile = world
        .profile()
        .with_workload_identity(PROVIDER, file.path());
    let sql = SqlClient::builder(profile).transport(world.transport());
    let sql = sql.build().unwrap();
    let found = sql.query(&Statement::new("SELECT 1")).await.unwrap();
    assert_eq!(found.rows, [[Some("1".to_owned())]]);
    let log = world.emulator.log();
    let sent = &log[0].head.headers;
    let kind = "x-snowflake-authorization-token-type".to_owned();
    let expected = (kind, "WORKLOAD_IDENTITY_FEDERATION".to_owned());
    assert!(sent.contains(&expected), "{sent:?}");
}
