//! E7, E23, E25, E28: continuation tokens, names of channels, offset tokens, reopening.

use std::time::Duration;

use serde_json::{Value, json};

use crate::conformance::Broken;
use crate::conformance::lab::{Lab, Parts};
use crate::conformance::outcome::{Outcome, Patience};
use crate::conformance::sending::{may_change, status_in, token_of};
use crate::conformance::service::Answer;

const ROW: &str = "{\"A\":1}\n";

/// A continuation token that lies `further` ahead, if tokens have the form that is known.
fn ahead(token: &str, further: u64) -> Option<String> {
    let (client, row) = token.split_once('_')?;
    let row: u64 = row.parse().ok()?;
    client.parse::<u64>().ok()?;
    Some(format!("{client}_{}", row.checked_add(further)?))
}

/// The word for a status and the beginning of a code; otherwise status and code themselves.
fn word(answer: &Answer, known: &[(u16, &str, &str)]) -> String {
    let code = answer.code().unwrap_or_default();
    let mut known = known.iter();
    let found =
        known.find(|(status, start, _)| *status == answer.status && code.starts_with(start));
    found.map_or_else(|| answer.outcome(), |(.., word)| (*word).to_owned())
}

pub(super) async fn tokens(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let mut parts = Parts::default();
    parts.add(replayed(lab).await)?;
    parts.add(skipped(lab).await)?;
    parts.add(superseded(lab).await)?;
    parts.end()
}

async fn skipped(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let at = ("T", "skipping");
    let token = lab.open(at.0, at.1).await?;
    let Some(skipped) = ahead(&token, 3) else {
        lab.see("wire.skipped_token", "continuation tokens are opaque");
        return Ok(());
    };
    let answer = lab.append_within(at, &skipped, "o1", ROW).await?;
    let known = [
        (
            400,
            "ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP",
            "gap",
        ),
        (400, "ERR_CHANNEL_HAS_INVALID_ROW_SEQUENCER", "invalid"),
        (409, "", "conflict"),
    ];
    lab.see("wire.skipped_token", word(&answer, &known));
    let answer = lab.append_within(at, &token, "o1", ROW).await?;
    let word = if answer.is_success() {
        "takes".to_owned()
    } else if is_sequence(&answer) {
        "refuses".to_owned()
    } else {
        answer.outcome()
    };
    lab.see("wire.after_skipped_token", word);
    Ok(())
}

/// Whether a refusal is about the order of requests or of owners.
fn is_sequence(answer: &Answer) -> bool {
    let code = answer.code().unwrap_or_default();
    answer.status == 409 || code.contains("SEQUENCER") || code.contains("REOPENED")
}

async fn superseded(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let at = ("T", "superseded");
    let token = lab.open(at.0, at.1).await?;
    let owners = lab.open(at.0, at.1).await?;
    let answer = lab.append_within(at, &token, "o1", "{\"A\":11}\n").await?;
    let known = [(400, "STALE_CONTINUATION", "stale"), (409, "", "conflict")];
    let Some(next) = token_of(&answer) else {
        lab.see("wire.superseded_token", word(&answer, &known));
        return Ok(());
    };
    // Whether the rows land shows when a later row of the channel has landed.
    lab.append(at, &owners, "o2", "{\"A\":12}\n").await?;
    lab.committed(at, "o2").await?;
    lab.at_least("SELECT COUNT(*) FROM {T} WHERE A = 12", 1)
        .await?;
    let landed = lab.cells("SELECT COUNT(*) FROM {T} WHERE A = 11").await?;
    let word = match &*landed {
        "0" if next == owners => "drop_with_owners_token",
        "0" if next == token || ahead(&token, 1).as_ref() == Some(&next) => "drop_with_old_token",
        "0" => "200, dropped, with another continuation token",
        _ => "200, and the rows land",
    };
    lab.see("wire.superseded_token", word);
    Ok(())
}

async fn replayed(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let at = ("T", "replaying");
    let token = lab.open(at.0, at.1).await?;
    // The request is repeated as a client repeats it, and then sent anew.
    let request = lab.append_request(at, &token, "o1", ROW);
    let first = lab.ingest_while(may_change, request.clone()).await?;
    let next = token_of(&first).ok_or_else(|| Broken::of("appending a row", &first))?;
    let answer = lab.ingest_while(may_change, request.again()).await?;
    let anew = lab.append_within(at, &token, "o1", ROW).await?;
    lab.committed(at, "o1").await?;
    lab.visible("T", 1).await?;
    // What follows shows whether the token is used up for other rows, and whether the channel is still open.
    let other = lab.append_within(at, &token, "o9", "{\"A\":9}\n").await?;
    let after = token_of(&other).filter(|again| *again != next);
    let after = after.unwrap_or_else(|| next.clone());
    let last = lab.append_within(at, &after, "o2", "{\"A\":2}\n").await?;
    let goes_on = last.is_success() && {
        let settled = lab.settled(at, "o2").await?;
        let twos = "SELECT COUNT(*) FROM {T} WHERE A = 2";
        matches!(settled, Outcome::Committed(_)) && lab.at_least(twos, 1).await? == 1
    };
    let count = "SELECT COUNT(*) FROM {T} WHERE A = 1";
    if !goes_on {
        // Rows that are taken again may become visible later, and no later row shows when.
        let patience = Patience::of(Duration::from_secs(30));
        lab.at_least_within(count, 2, patience).await?;
    }
    let ones = lab.cells(count).await?;
    let nines = lab.cells("SELECT COUNT(*) FROM {T} WHERE A = 9").await?;
    lab.see("replay.rows", &*ones);
    if answer.is_success() {
        let is_same = token_of(&answer).as_ref() == Some(&next);
        let word = match (is_same, &*ones) {
            (true, "1") => "accept",
            (true, _) => "200, and the rows are taken again",
            (false, _) => "200, with another continuation token",
        };
        lab.see("wire.replayed_token", word);
        let word = if is_same {
            "the one given out before"
        } else {
            "another one"
        };
        lab.see("replay.next_token", word);
    } else {
        let known = [(400, "STALE_CONTINUATION", "stale"), (409, "", "conflict")];
        lab.see("wire.replayed_token", word(&answer, &known));
    }
    let word = match token_of(&anew) {
        Some(again) if again == next => "as a repeated one".to_owned(),
        Some(_) => "200, with another continuation token".to_owned(),
        None if anew.outcome() == answer.outcome() => "as a repeated one".to_owned(),
        None => anew.outcome(),
    };
    lab.see("replay.new_request_id", word);
    let word = match (other.is_success(), &*nines) {
        (false, "0") => format!("refused: {}", other.outcome()),
        (true, "0") if goes_on => "ignored".to_owned(),
        (true, "0") => "200, and the channel does not go on".to_owned(),
        _ => "taken".to_owned(),
    };
    lab.see("replay.other_rows", word);
    Ok(())
}

pub(super) async fn names(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let lower = lab.open("T", "case").await?;
    lab.open("T", "CASE").await?;
    let answer = lab.append_within(("T", "case"), &lower, "o1", ROW).await?;
    let word = if answer.is_success() {
        // The rows of a superseded token may be dropped.
        match lab.settled(("T", "case"), "o1").await? {
            Outcome::Committed(_) => "exact".to_owned(),
            _ => "folded".to_owned(),
        }
    } else if is_sequence(&answer) {
        "folded".to_owned()
    } else {
        answer.outcome()
    };
    lab.see("channels.name_case", word);
    lab.known(("T", "case")).await?;
    let found = lab.statuses("T", &["Case"]).await?.json();
    let found = found.get("channel_statuses").and_then(Value::as_object);
    let word = match found.and_then(|found| found.keys().next()) {
        None => "another channel".to_owned(),
        Some(key) => format!("the same channel, as {key}"),
    };
    lab.see("channel.case_in_status", word);
    let longest = "n".repeat(255);
    let long = "n".repeat(1_024);
    for (what, name) in [
        ("channel.name_of_255", longest.as_str()),
        ("channel.name_of_1024", &long),
        ("channel.name_with_space", "a b"),
        ("channel.name_with_slash", "a/b"),
        ("channel.name_with_quote", "a\"b"),
        ("channel.name_of_emoji", "\u{26f7}"),
    ] {
        let answer = lab.open_within("T", name, Duration::from_secs(5)).await;
        lab.see_part(what, answer.map(|answer| answer.outcome()))?;
    }
    Ok(())
}

pub(super) async fn offsets(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let (short, long) = ("x".repeat(1_000), "y".repeat(4_000));
    for (what, channel, offset) in [
        ("offset.of_1000", "c1000", short.as_str()),
        ("offset.of_4000", "c4000", &long),
        ("offset.unicode", "unicode", "pi\u{e8}ce \u{26f7} 1"),
        ("offset.empty", "empty", ""),
    ] {
        let word = offset_word(lab, channel, offset).await;
        lab.see_part(what, word)?;
    }
    Ok(())
}

async fn offset_word(lab: &mut Lab<'_>, channel: &str, offset: &str) -> Result<String, Broken> {
    let at = ("T", channel);
    let token = lab.open(at.0, at.1).await?;
    // The end alone, so that a limit on the length of the whole address is met late.
    let request = lab.append_request_without_start(at, &token, offset, ROW);
    let answer = lab.ingest_while(may_change, request).await?;
    let Some(next) = token_of(&answer) else {
        return Ok(answer.outcome());
    };
    // An empty offset may be stored as none: a second row shows when the first one is committed.
    let (end, word) = if offset.is_empty() {
        lab.append(at, &next, "end", ROW).await?;
        ("end", "accepted")
    } else {
        (offset, "stored")
    };
    Ok(match lab.settled(at, end).await? {
        Outcome::Committed(_) => word.to_owned(),
        Outcome::Pending(status) if !status.field("last_committed_offset_token").is_null() => {
            "is changed".to_owned()
        }
        other => other.word(),
    })
}

pub(super) async fn reopening(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let mut parts = Parts::default();
    parts.add(reopened(lab).await)?;
    parts.add(opened_at_offset(lab).await)?;
    parts.end()
}

/// Opens a channel right after each of a few rows, until one is not committed yet.
async fn reopened(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let at = ("T", "c");
    let careful = json!({ "fail_on_uncommitted_rows": true });
    let mut token = lab.open(at.0, at.1).await?;
    for row in 1..=REOPENED_ROWS {
        let end = format!("o{row}");
        lab.append(at, &token, &end, ROW).await?;
        let answer = lab.try_open(at.0, at.1, &careful).await?;
        let Some(next) = token_of(&answer) else {
            lab.see("open.uncommitted_fails", answer.outcome());
            return Ok(());
        };
        let committed = status_in(&answer).field("last_committed_offset_token");
        if committed != *end {
            let word = format!("200, with {committed} as the committed offset");
            lab.see("open.uncommitted_fails", word);
            return Ok(());
        }
        token = next;
    }
    let word = "not asked: each row was committed before the next request";
    lab.see("open.uncommitted", word);
    Ok(())
}

pub(super) const REOPENED_ROWS: u32 = 5;

async fn opened_at_offset(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let body = json!({ "offset_token": "set" });
    let answer = lab.try_open("T", "d", &body).await?;
    if !answer.is_success() {
        lab.see("open.sets_offset", answer.outcome());
        return Ok(());
    }
    let status = lab.known(("T", "d")).await?;
    let word = match status.field("last_committed_offset_token") {
        Value::Null => "none".to_owned(),
        offset => offset.to_string(),
    };
    lab.see("open.sets_offset", word);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::ahead;

    #[test]
    fn a_token_of_another_form_has_no_further_one() {
        assert_eq!(ahead("0_1", 3).as_deref(), Some("0_4"));
        for opaque in ["", "x", "a_1", "1_b", "0_18446744073709551615"] {
            assert_eq!(ahead(opaque, 3), None, "{opaque}");
        }
    }
}
