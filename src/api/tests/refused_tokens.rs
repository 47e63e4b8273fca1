//! How often a refused token is exchanged and its request repeated, and the pauses between.

use super::*;
use tokio::task::yield_now;
use tokio::time::{Instant, advance};

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_renewed_once_and_the_same_attempt_sent_again() {
    let rig = Rig::logged_in([
        answer(401, r#"{"code":"390303"}"#),
        token("scoped-2"),
        answer(200, r#"{"next_continuation_token":"0_2"}"#),
    ]);
    assert_eq!(rig.append().await.unwrap().next_continuation_token, "0_2");
    let seen = rig.seen();
    assert_eq!(seen[2].replace("scoped-1", "scoped-2"), seen[4]);
    assert_eq!(
        rig.calls()[2..],
        [
            "POST ingest.example rows Bearer scoped-1",
            "POST acct.example token Bearer primary",
            "POST ingest.example rows Bearer scoped-2",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_refused_after_accepted_requests_is_renewed_without_a_pause() {
    let accepted = || answer(200, r#"{"next_continuation_token":"0_2"}"#);
    let rig = Rig::logged_in([
        answer(401, ""),
        token("scoped-2"),
        accepted(),
        answer(401, ""),
        token("scoped-3"),
        accepted(),
    ]);
    let started = Instant::now();
    for _ in 0..2 {
        rig.append().await.unwrap();
    }
    assert_eq!(
        started.elapsed(),
        Duration::ZERO,
        "each refusal is a first one"
    );
    assert_eq!(rig.seen().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_expired_on_arrival_is_used() {
    let accepted = || answer(200, r#"{"next_continuation_token":"0_2"}"#);
    // {"exp":1}: a clock is off, this machine's or the server's.
    let rig = Rig::new([host(), token("x.eyJleHAiOjF9.y"), accepted(), accepted()]);
    for _ in 0..2 {
        rig.append().await.unwrap();
    }
    assert_eq!(rig.seen().len(), 4, "one exchange");
}

#[tokio::test(start_paused = true)]
async fn the_lifetime_of_a_token_begins_with_its_arrival() {
    let accepted = || answer(200, r#"{"next_continuation_token":"0_2"}"#);
    // The renewal is requested beside the last call.
    let rest = [accepted(), accepted(), accepted(), token("scoped-2")];
    let replies = [host(), late(50, "scoped-1")].into_iter().chain(rest);
    let rig = Rig::new(replies);
    rig.append().await.unwrap();
    // It lives for 55 minutes, and is renewed when five are left.
    advance(Duration::from_secs(50 * 60 - 1)).await;
    rig.append().await.unwrap();
    yield_now().await;
    assert_eq!(rig.script.seen.lock().unwrap().len(), 4, "not renewed yet");
    advance(Duration::from_secs(1)).await;
    rig.append().await.unwrap();
    yield_now().await;
    assert_eq!(rig.seen().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_in_transit_is_used() {
    let accepted = || answer(200, r#"{"next_continuation_token":"0_2"}"#);
    // {"exp":1768658420}: twenty seconds after the world began.
    let ends_soon = "x.eyJleHAiOjE3Njg2NTg0MjB9.y";
    let rig = Rig::new([host(), late(30, ends_soon), accepted(), accepted()]);
    for _ in 0..2 {
        rig.append().await.unwrap();
    }
    assert_eq!(rig.seen().len(), 4, "one exchange");
}

#[tokio::test(start_paused = true)]
async fn a_second_refusal_is_returned() {
    let rig = Rig::logged_in([answer(401, ""), token("scoped-2"), answer(401, "")]);
    let failure = rig.append().await.unwrap_err();
    assert!(
        matches!(failure, Failure::Answered { status: 401, .. }),
        "{failure:?}"
    );
    let error = failure.into_error();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(
        error
            .to_string()
            .contains("the public key registered for the user")
    );
    assert_eq!(rig.seen().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_403_is_retried_with_one_new_token_only() {
    let no = || answer(403, r#"{"code":"390191","message":"no"}"#);
    let rig = Rig::logged_in([no(), token("scoped-2"), no(), no()]);
    for _ in 0..2 {
        let failure = rig.append().await.unwrap_err();
        assert_eq!(failure.code(), Some("390191"));
        assert_eq!(failure.error().kind(), ErrorKind::Forbidden);
        assert!(failure.error().to_string().contains("grant the role"));
    }
    assert_eq!(
        rig.calls()[2..],
        [
            "POST ingest.example rows Bearer scoped-1",
            "POST acct.example token Bearer primary",
            "POST ingest.example rows Bearer scoped-2",
            "POST ingest.example rows Bearer scoped-2",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_that_comes_again_is_not_sent_again_at_once() {
    let rig = Rig::logged_in([answer(401, ""), token("scoped-1")]);
    let failure = rig.append().await.unwrap_err();
    let error = failure.into_error();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert_eq!(error.http_status(), Some(401));
    assert!(
        error.to_string().contains("gave the same token again"),
        "{error}"
    );
    assert_eq!(rig.seen().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn refusals_in_a_row_cost_one_exchange_each_and_growing_pauses() {
    let no = || answer(401, "");
    let rig = Rig::logged_in([
        no(),
        token("scoped-2"),
        no(),
        token("scoped-3"),
        no(),
        token("scoped-4"),
        no(),
    ]);
    let start = tokio::time::Instant::now();
    for longest in [0, 250, 750].map(Duration::from_millis) {
        let failure = rig.append().await.unwrap_err();
        assert_eq!(failure.error().kind(), ErrorKind::Authentication);
        let took = start.elapsed();
        assert!(longest / 2 <= took && took <= longest, "{took:?}");
    }
    assert_eq!(rig.seen().len(), 9);
}

#[tokio::test(start_paused = true)]
async fn concurrent_refusals_of_one_token_cause_one_renewal() {
    let accepted = || answer(200, r#"{"next_continuation_token":"0_2"}"#);
    let rig = Rig::logged_in([
        answer(401, ""),
        answer(401, ""),
        token("scoped-2"),
        accepted(),
        accepted(),
    ]);
    let (one, two) = tokio::join!(rig.append(), rig.append());
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(
        rig.calls(),
        [
            "GET acct.example hostname Bearer primary",
            "POST acct.example token Bearer primary",
            "POST ingest.example rows Bearer scoped-1",
            "POST ingest.example rows Bearer scoped-1",
            "POST acct.example token Bearer primary",
            "POST ingest.example rows Bearer scoped-2",
            "POST ingest.example rows Bearer scoped-2",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn tokens_that_end_early_again_and_again_are_replaced_more_than_once() {
    let (no, accepted) = (
        || answer(401, ""),
        || answer(200, r#"{"next_continuation_token":"0_2"}"#),
    );
    let mut replies = vec![accepted()];
    // A second early end, after which the first three new tokens are refused as well.
    for (number, is_accepted) in [true, false, false, false, true].into_iter().enumerate() {
        let reply = if is_accepted { accepted() } else { no() };
        replies.extend([token(&format!("scoped-{}", number + 2)), reply]);
    }
    replies.insert(1, no());
    replies.insert(4, no());
    let rig = Rig::logged_in(replies);
    for _ in 0..3 {
        rig.append().await.unwrap();
    }
    assert_eq!(
        rig.calls().last().map(String::as_str),
        Some("POST ingest.example rows Bearer scoped-6")
    );
}
