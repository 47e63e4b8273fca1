//! The judges can fail: each betrayal of a server, or of what stands between it and a program, is found out by its judge.

use bytes::Bytes;
use serde_json::Value;

use super::draw::draw;
use super::plan::{ChannelPlan, Kind, Plan};
use super::run::run;
use super::truth::Sabotage;

/// In how many of the first twenty scripts that are fit for it a sabotage is found out in these words.
fn found(sabotage: Sabotage, words: &str, is_fit: impl Fn(&Plan) -> bool) -> usize {
    let plans = (0..).map(draw).filter(is_fit).take(20);
    let wrong = plans.map(|plan| run(&plan, Some(sabotage)).wrong);
    let found = wrong.filter(|wrong| wrong.iter().any(|what| what.contains(words)));
    found.count()
}

#[test]
fn a_server_that_betrays_is_found_out() {
    for (sabotage, least) in [
        (Sabotage::Lose, 15),
        (Sabotage::Double, 15),
        (Sabotage::Reverse, 15),
        (Sabotage::ForgetRejects, 5),
        (Sabotage::Mix, 15),
    ] {
        let found = found(sabotage, "", |_| true);
        assert!(found >= least, "{sabotage:?}: found in {found} of 20 runs");
    }
}

#[test]
fn what_is_wrong_with_rejects_and_releases_is_found_out() {
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
            "rejected rows were counted from row",
            &windows as &dyn Fn(&Plan) -> bool,
        ),
        (Sabotage::CountHalf, "miscounted dead letters", &letters),
        (Sabotage::SwapLetters, "the dead letter of row", &letters),
        (
            Sabotage::LoseLetter,
            "is not among the dead letters",
            &letters,
        ),
        (
            Sabotage::KeepLater,
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
        assert!(found >= 3, "{sabotage:?}: {words:?} in {found} of 20 runs");
    }
}

/// Every count of rejected rows is half of what it was.
pub fn count_half(body: &Bytes) -> Bytes {
    changed(body, &|name, value| {
        if name == "rows_error_count"
            && let Some(count) = value.as_u64()
        {
            *value = count.div_ceil(2).into();
        }
    })
}

/// The body with each of its named values changed.
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
