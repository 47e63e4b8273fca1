//! Tests that each check can fail: it detects a sabotaged server, connection or source.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use snowpipe_streaming::transport::Response;

use super::draw::draw;
use super::plan::{ChannelPlan, Kind, Plan};
use super::run::run;
use super::truth::Sabotage;

/// In how many of the first twenty suitable scripts a violation with these words is reported for the sabotage.
fn found(sabotage: Sabotage, words: &str, is_fit: impl Fn(&Plan) -> bool) -> usize {
    let plans = (0..).map(draw).filter(is_fit).take(20);
    let wrong = plans.map(|plan| run(&plan, Some(sabotage)).wrong);
    let found = wrong.filter(|wrong| wrong.iter().any(|what| what.contains(words)));
    found.count()
}

#[test]
fn a_sabotaged_server_is_detected() {
    for (sabotage, least) in [
        (Sabotage::Lose, 15),
        (Sabotage::Double, 15),
        (Sabotage::Reverse, 15),
        (Sabotage::ForgetRejects, 5),
        (Sabotage::SwapContents, 15),
    ] {
        let found = found(sabotage, "", |_| true);
        assert!(found >= least, "{sabotage:?}: found in {found} of 20 runs");
    }
}

#[test]
fn wrong_rejects_and_releases_are_detected() {
    let is_source = |channel: &ChannelPlan| matches!(channel.kind, Kind::Source { .. });
    let windows = |plan: &Plan| {
        plan.channels
            .iter()
            .any(|c| c.bad_percent > 3 && c.sees_token())
    };
    let letters = |plan: &Plan| {
        plan.channels
            .iter()
            .any(|c| c.bad_percent > 3 && is_source(c))
    };
    for (sabotage, words, is_fit) in [
        (
            Sabotage::CountHalf,
            "rejected rows were counted before row",
            &windows as &dyn Fn(&Plan) -> bool,
        ),
        (Sabotage::CountHalf, "miscounted dead letters", &letters),
        (
            Sabotage::SwapDeadLetters,
            "the dead letter of row",
            &letters,
        ),
        (
            Sabotage::LoseDeadLetter,
            "is not among the dead letters",
            &letters,
        ),
        (
            Sabotage::KeepDeadLettersLater,
            "is released before it is a dead letter",
            &letters,
        ),
        (
            Sabotage::ForgetRelease,
            "rows are released through",
            &letters,
        ),
    ] {
        let found = found(sabotage, words, is_fit);
        assert!(found >= 2, "{sabotage:?}: {words:?} in {found} of 20 runs");
    }
}

#[test]
fn early_and_late_reports_are_detected() {
    let is_untracked = |plan: &Plan| !plan.channels.iter().any(ChannelPlan::is_tracked);
    for (sabotage, words, is_fit) in [
        (
            Sabotage::LandLater,
            "was called committed and is not",
            &is_untracked as &dyn Fn(&Plan) -> bool,
        ),
        (
            Sabotage::DelayStatuses,
            "that became known",
            &Plan::is_fault_free,
        ),
        (Sabotage::StartLate, "hangs at nothing", &|_| true),
    ] {
        let found = found(sabotage, words, is_fit);
        assert!(found >= 5, "{sabotage:?}: {words:?} in {found} of 20 runs");
    }
}

#[test]
fn rows_that_are_handed_back_wrongly_are_detected() {
    let is_untracked = |plan: &Plan| !plan.channels.iter().any(ChannelPlan::is_tracked);
    let words = "is not handed back as unsent";
    let found = found(Sabotage::SwapHandedBack, words, is_untracked);
    assert!(found >= 1, "{words:?} in {found} of 20 runs");
}

#[test]
fn rows_and_appends_out_of_order_are_detected() {
    let is_untracked = |plan: &Plan| !plan.channels.iter().any(ChannelPlan::is_tracked);
    let is_sharded = |plan: &Plan| {
        let sharded = |c: &ChannelPlan| matches!(c.kind, Kind::Source { shards: 2.., .. });
        plan.channels.iter().all(sharded)
    };
    for (sabotage, is_fit) in [
        (Sabotage::Reverse, &is_untracked as &dyn Fn(&Plan) -> bool),
        (Sabotage::Overtake, &is_untracked),
        (Sabotage::Reverse, &is_sharded),
        (Sabotage::Overtake, &is_sharded),
    ] {
        let found = found(sabotage, "out of order", is_fit);
        assert!(found >= 5, "{sabotage:?}: found in {found} of 20 runs");
    }
}

#[test]
fn conflicts_over_a_channel_are_detected() {
    let is_contested = |plan: &Plan| {
        let mut channels = 0..plan.channels.len();
        channels.any(|channel| plan.rivals(channel).any(|own| own))
    };
    // Without other faults that explain the error.
    let is_plain = |plan: &Plan| is_contested(plan) && plan.rates.is_empty();
    for (sabotage, words, is_fit) in [
        (
            Sabotage::Ahead,
            "it resumes after",
            &is_contested as &dyn Fn(&Plan) -> bool,
        ),
        (
            Sabotage::Fence,
            "it was the last to open its channel",
            &is_plain,
        ),
    ] {
        let found = found(sabotage, words, is_fit);
        assert!(found >= 5, "{sabotage:?}: {words:?} in {found} of 20 runs");
    }
}

/// The refusal of an append after another client has taken over the channel.
pub fn stale() -> Response {
    let refusal = json!({ "code": "STALE_CONTINUATION_TOKEN_SEQUENCER", "message": "stale" });
    let mut answer = Response::new(refusal.to_string().into());
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    answer
}

/// Advances every committed token by one row.
pub fn ahead(body: &Bytes) -> Bytes {
    changed(body, &|name, value| {
        if name == "last_committed_offset_token"
            && let Some(token) = value.as_str()
        {
            let number = token.rsplit('-').next().unwrap_or(token);
            let width = number.len();
            if let Ok(row) = number.parse::<u64>() {
                let start = &token[..token.len() - width];
                *value = format!("{start}{:0width$}", row + 1).into();
            }
        }
    })
}

/// Counts half of the rejected rows as inserted ones.
pub fn count_half(body: &Bytes) -> Bytes {
    let Ok(mut value) = serde_json::from_slice(body) else {
        return body.clone();
    };
    miscount(&mut value);
    value.to_string().into()
}

fn miscount(value: &mut Value) {
    let Value::Object(fields) = value else {
        return;
    };
    let count = |name: &str| fields.get(name).and_then(Value::as_u64);
    let rejected = ["rows_error_count", "rows_errors"];
    let rejected = rejected.into_iter().find(|name| fields.contains_key(*name));
    if let (Some(name), Some(inserted)) = (rejected, count("rows_inserted"))
        && let Some(rejected) = count(name)
    {
        let half = rejected.div_ceil(2);
        fields.insert(
            "rows_inserted".to_owned(),
            (inserted + rejected - half).into(),
        );
        fields.insert(name.to_owned(), half.into());
    }
    fields.values_mut().for_each(miscount);
}

/// The body with `change` applied to each named value.
fn changed(body: &Bytes, change: &dyn Fn(&str, &mut Value)) -> Bytes {
    let Ok(mut value) = serde_json::from_slice(body) else {
        return body.clone();
    };
    visit(&mut value, change);
    value.to_string().into()
}

fn visit(value: &mut Value, change: &dyn Fn(&str, &mut Value)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                change(name, value);
                visit(value, change);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| visit(value, change)),
        _ => {}
    }
}
