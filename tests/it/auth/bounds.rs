//! Credentials that are always refused end in a clear error, within a bounded time and number of requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use snowpipe_streaming::auth::{OAuth, ProgrammaticAccessToken};
use snowpipe_streaming::transport::{Request, Response};
use snowpipe_streaming::{ErrorKind, InvalidationCause, StreamingIngestClient};
use snowpipe_streaming_emulator::answers::Answers;
use snowpipe_streaming_emulator::{Endpoint, Fault, Rule};
use tokio::time::{Instant, sleep};

use crate::support::{World, answer, row};

const UNAUTHORIZED: ErrorKind = ErrorKind::Invalidated(InvalidationCause::Unauthorized);

/// The outcome of a row when the server refuses credentials: the error, and how long it took.
async fn row_against(
    world: &World,
    refusals: impl IntoIterator<Item = Rule>,
) -> (ErrorKind, String, Duration) {
    let (_client, mut channel) = world.channel().await;
    for rule in refusals {
        world.emulator.faults().push(rule);
    }
    let start = Instant::now();
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    let error = receipt.committed().await.unwrap_err();
    (error.kind(), error.to_string(), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn an_ingest_host_that_always_refuses_invalidates_the_channel() {
    for (fault, status, exchanges) in [
        (Fault::Unauthorized, "401", 5),
        (Fault::Forbidden, "403", 2),
    ] {
        let world = World::new();
        let refusals = [Endpoint::Append, Endpoint::Status].map(|at| fault.clone().on(at).always());
        let (kind, text, took) = row_against(&world, refusals).await;
        assert_eq!(kind, UNAUTHORIZED, "{text}");
        assert!(text.contains(status), "{text}");
        assert!(took < Duration::from_secs(60), "{took:?}");
        assert!(world.requests(Endpoint::Append) <= 8);
        let tokens = world.requests(Endpoint::Token);
        assert!(tokens <= exchanges, "{tokens}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_host_that_always_refuses_invalidates_the_channel() {
    for fault in [Fault::Unauthorized, Fault::Forbidden] {
        let world = World::new();
        let refusals = [
            Fault::ExpireToken.on(Endpoint::Append),
            fault.on(Endpoint::Token).always(),
        ];
        let (kind, text, took) = row_against(&world, refusals).await;
        assert_eq!(kind, UNAUTHORIZED, "{text}");
        assert!(text.contains("exchanging the credential"), "{text}");
        assert!(took < Duration::from_secs(60), "{took:?}");
        let asked = world.requests(Endpoint::Token);
        assert!((2..=8).contains(&asked), "{asked}");
    }
}

/// A client whose account host gives this answer instead of a token while `is_away`.
async fn behind_an_account_host(
    world: &World,
    status: u16,
) -> (StreamingIngestClient, Arc<AtomicBool>) {
    let is_away = Arc::new(AtomicBool::new(false));
    let away = Arc::clone(&is_away);
    let elsewhere = move |request: &Request| -> Option<Response> {
        let is_away = request.uri().path() == "/oauth/token" && away.load(Ordering::Relaxed);
        is_away.then(|| answer(status, &json!({})))
    };
    let builder = world.intercepted(elsewhere).retry_for(RETRY_FOR);
    let client = builder.build().await.unwrap();
    let expire = Fault::ExpireToken.on(Endpoint::Append);
    world.emulator.faults().push(expire);
    (client, is_away)
}

/// Answers of an account host in maintenance, or of a proxy. They say nothing about the credential.
const NOT_ABOUT_CREDENTIALS: [u16; 4] = [302, 404, 409, 410];

const RETRY_FOR: Duration = Duration::from_secs(100);

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_account_host_is_not_one_of_the_rows() {
    for status in NOT_ABOUT_CREDENTIALS {
        let world = World::new();
        let (client, is_away) = behind_an_account_host(&world, status).await;
        let mut channel = client.open_channel("c").await.unwrap();
        is_away.store(true, Ordering::Relaxed);
        let receipt = channel.append_row(&row(0), 0).await.unwrap();
        sleep(RETRY_FOR / 2).await;
        is_away.store(false, Ordering::Relaxed);
        receipt.committed().await.unwrap();
        assert_eq!(world.landed(), [0], "{status}");

        is_away.store(true, Ordering::Relaxed);
        let expire = Fault::ExpireToken.on(Endpoint::Append);
        world.emulator.faults().push(expire);
        let receipt = channel.append_row(&row(1), 1).await.unwrap();
        let error = receipt.committed().await.unwrap_err();
        let unreachable = ErrorKind::Invalidated(InvalidationCause::Unreachable);
        assert_eq!(error.kind(), unreachable, "{error}");
        assert!(!error.is_ambiguous(), "it never left");
        let text = error.to_string();
        assert!(text.contains("exchanging the credential"), "{text}");
        assert!(text.contains(&status.to_string()), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_account_host_is_not_one_of_elastic_rows() {
    for status in NOT_ABOUT_CREDENTIALS {
        let world = World::new();
        let (client, is_away) = behind_an_account_host(&world, status).await;
        let channel = client.elastic_channel();
        is_away.store(true, Ordering::Relaxed);
        let ack = channel.append_row(&row(0), ()).await.unwrap();
        sleep(RETRY_FOR / 2).await;
        is_away.store(false, Ordering::Relaxed);
        ack.await.unwrap();

        is_away.store(true, Ordering::Relaxed);
        let expire = Fault::ExpireToken.on(Endpoint::Append);
        world.emulator.faults().push(expire);
        let ack = channel.append_row(&row(1), ()).await.unwrap();
        let failed = ack.await.unwrap_err();
        assert_eq!(failed.error().kind(), ErrorKind::Unreachable, "{failed}");
        assert!(!failed.is_ambiguous(), "it never left");
        assert!(failed.to_string().contains("exchanging"), "{failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn statuses_that_are_always_refused_cost_few_exchanges() {
    let world = World::new();
    let refusals = [Fault::Unauthorized.on(Endpoint::Status).always()];
    let (kind, text, _) = row_against(&world, refusals).await;
    assert!(matches!(kind, ErrorKind::Invalidated(_)), "{text}");
    sleep(Duration::from_secs(3600)).await;
    // At the rate of status calls it would be more than 600 in ten minutes.
    let tokens = world.requests(Endpoint::Token);
    assert!(tokens <= 100, "{tokens}");
}

/// The same for a pipe that is not found at the host where it is.
#[tokio::test(start_paused = true)]
async fn statuses_that_find_no_pipe_cost_few_look_ups_and_no_exchange() {
    let world = World::new();
    let misrouted = [Fault::BareNotFound.on(Endpoint::Status).always()];
    let (kind, text, _) = row_against(&world, misrouted).await;
    assert!(matches!(kind, ErrorKind::Invalidated(_)), "{text}");
    sleep(Duration::from_secs(3600)).await;
    let look_ups = world.requests(Endpoint::Hostname);
    assert!((2..=100).contains(&look_ups), "{look_ups}");
    // The first one, and the renewals of an hour.
    let tokens = world.requests(Endpoint::Token);
    assert!(tokens <= 3, "{tokens}");
}

#[tokio::test(start_paused = true)]
async fn a_token_endpoint_that_hangs_stops_nothing_while_the_token_is_valid() {
    let world = World::with(|e| e.token_life(Duration::from_secs(3000)));
    let (client, mut channel) = world.channel().await;
    let hang = Fault::Hang.on(Endpoint::Token).always();
    world.emulator.faults().push(hang);
    // In the last five minutes of the token, heartbeats have started its renewal.
    sleep(Duration::from_secs(2750)).await;
    assert!(world.requests(Endpoint::Token) > 1, "a renewal has started");
    let start = Instant::now();
    for n in 0..10 {
        let receipt = channel.append_row(&row(n), n).await.unwrap();
        receipt.committed().await.unwrap();
        sleep(Duration::from_secs(10)).await;
    }
    // The lag of a second, half a second until the commit, and the interval of polls.
    assert!(
        start.elapsed() < Duration::from_secs(10 * 13),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(client.metrics().rows_committed, 10);
}

#[tokio::test(start_paused = true)]
async fn a_token_fetch_that_outlasts_a_poll_completes() {
    let world = World::with(|e| e.token_life(Duration::from_secs(3000)));
    let (_client, channel) = world.channel().await;
    let slow = Fault::Delay(Duration::from_secs(40));
    // Only heartbeats need a token, and a poll does not wait that long.
    world
        .emulator
        .faults()
        .push(slow.on(Endpoint::Token).always());
    world
        .emulator
        .faults()
        .push(Fault::ExpireToken.on(Endpoint::Status));
    sleep(Duration::from_secs(120)).await;
    let asked = world.requests(Endpoint::Status);
    sleep(Duration::from_secs(120)).await;
    assert!(world.requests(Endpoint::Status) > asked, "{asked}");
    assert_eq!(world.requests(Endpoint::Token), 2, "one answer is enough");
    drop(channel);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_always_gives_the_same_token_ends() {
    let world = World::new();
    let same = |request: &Request| -> Option<Response> {
        let path = request.uri().path();
        if path == "/oauth/token" {
            return Some(answer(200, &json!("the.same.token")));
        }
        path.ends_with("/rows")
            .then(|| answer(401, &json!({"code": "390303", "message": "no"})))
            .or_else(|| {
                path.contains("/channels/").then(|| {
                    answer(
                        200,
                        &json!({"next_continuation_token": "0_1", "channel_status": {}}),
                    )
                })
            })
            .or_else(|| {
                path.ends_with("bulk-channel-status")
                    .then(|| answer(401, &json!({"code": "390303", "message": "no"})))
            })
    };
    let client = world.intercepted(same).build().await.unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    let start = Instant::now();
    let receipt = channel.append_row(&row(0), 0).await.unwrap();
    let error = receipt.committed().await.unwrap_err();
    assert_eq!(error.kind(), UNAUTHORIZED, "{error}");
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn an_oauth_server_that_gives_a_useless_token_for_ever_ends() {
    let world = World::with(|e| e.oauth_client("id", "secret", None));
    let useless = |request: &Request| -> Option<Response> {
        (request.uri().path() == "/oauth/token-request").then(|| {
            answer(
                200,
                &json!({"access_token": "useless", "expires_in": "600"}),
            )
        })
    };
    let oauth = OAuth::client_credentials("id", "secret");
    let building = world.intercepted(useless).credential(oauth).build();
    let error = building.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
    assert_eq!(
        world.requests(Endpoint::Hostname),
        1,
        "the same token is not sent twice"
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_keeps_retrying_is_slowed_down() {
    let world = World::with(|e| e.access_token("good", None));
    let good = ProgrammaticAccessToken::new("good", None);
    let client = world.builder().credential(good).build().await.unwrap();
    client.set_credential(ProgrammaticAccessToken::new("bad", None));
    let start = Instant::now();
    for _ in 0..10 {
        let error = client.channel_statuses(["c"]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
    }
    // Half to all of 0, 250 ms, 500 ms, 1 s, 2 s, 4 s, 8 s, and then 10 s each.
    let (longest, took) = (Duration::from_millis(35_750), start.elapsed());
    assert!(longest / 2 <= took && took <= longest, "{took:?}");
    client.set_credential(ProgrammaticAccessToken::new("good", None));
    let start = Instant::now();
    client.channel_statuses(["c"]).await.unwrap();
    assert_eq!(
        start.elapsed(),
        Duration::ZERO,
        "another credential is not held up"
    );
}

/// Each login ends the token of the login before (`wire.earlier_token` of an account), so that the clients take the only valid
/// token from each other.
#[tokio::test(start_paused = true)]
async fn clients_of_one_user_that_end_each_others_tokens_all_deliver() {
    for millis in [1, 200, 1_500] {
        let answers = Answers::default().with("wire.earlier_token", "dies");
        let world = World::with(|e| e.answers(answers.unwrap()));
        let delay = Rule::from(Fault::Delay(Duration::from_millis(millis)));
        world.emulator.faults().push(delay.always());
        let deliver = async |number: u64| {
            let client = world.builder().seed(number).build().await.unwrap();
            // Until a client has seen that its tokens end early, the second refusal in a row is final.
            let mut calls = 0;
            while calls < 5 {
                match client.channel_statuses(["c"]).await {
                    Ok(_) => calls += 1,
                    Err(why) => assert_eq!(why.kind(), ErrorKind::Authentication, "{why}"),
                }
            }
            let mut channel = client.open_channel(format!("c{number}")).await.unwrap();
            for n in 0..20 {
                let receipt = channel.append_row(&row(n), n).await.unwrap();
                receipt.committed().await.unwrap();
            }
            channel.close().await.unwrap();
        };
        join_all((0..5).map(deliver)).await;
        assert_eq!(world.landed().len(), 100, "{millis} ms");
    }
}
