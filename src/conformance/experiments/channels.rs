//! E7, E23, E25, E28: continuation tokens, names of channels, offset tokens, reopening.

use serde_json::{Value, json};

use crate::conformance::Broken;
use crate::conformance::lab::Lab;
use crate::conformance::service::Answer;

/// A continuation token that lies `further` ahead, if tokens have the form that is known.
fn ahead(token: &str, further: u64) -> Option<String> {
    let (client, row) = token.split_once('_')?;
    let row: u64 = row.parse().ok()?;
    client.parse::<u64>().ok()?;
    Some(format!("{client}_{}", row.checked_add(further)?))
}

fn word<'a>(answer: &Answer, known: &[(u16, &str, &'a str)]) -> Option<&'a str> {
    let code = answer.code().unwrap_or_default();
    let mut known = known.iter();
    let found =
        known.find(|(status, start, _)| *status == answer.status && code.starts_with(start));
    found.map(|(.., word)| *word)
}

fn see_answer(lab: &mut Lab<'_>, what: &'static str, answer: &Answer, known: &[(u16, &str, &str)]) {
    let word = word(answer, known).map_or_else(|| answer.outcome(), str::to_owned);
    lab.see(what, word);
}

pub(super) async fn tokens(lab: &mut Lab<'_>) -> Result<(), Broken> {
    replayed(lab).await?;
    let at = ("T", "skipping");
    let token = lab.open(at.0, at.1).await?;
    match ahead(&token, 3) {
        None => lab.see("wire.skipped_token", "continuation tokens are opaque"),
        Some(skipped) => {
            let answer = lab.try_append(at, &skipped, "o1", "{\"A\":1}\n").await?;
            let known = [
                (
                    400,
                    "ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP",
                    "gap",
                ),
                (400, "ERR_CHANNEL_HAS_INVALID_ROW_SEQUENCER", "invalid"),
                (409, "", "conflict"),
            ];
            see_answer(lab, "wire.skipped_token", &answer, &known);
            let answer = lab.try_append(at, &token, "o1", "{\"A\":1}\n").await?;
            let word = if answer.is_success() {
                "takes"
            } else {
                "refuses"
            };
            lab.see("wire.after_skipped_token", word);
        }
    }
    let at = ("T", "superseded");
    let token = lab.open(at.0, at.1).await?;
    lab.open(at.0, at.1).await?;
    let answer = lab.try_append(at, &token, "o1", "{\"A\":1}\n").await?;
    let known = [(400, "STALE", "stale"), (409, "", "conflict")];
    see_answer(lab, "wire.superseded_token", &answer, &known);
    Ok(())
}

async fn replayed(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let at = ("T", "replaying");
    let token = lab.open(at.0, at.1).await?;
    let next = lab.append(at, &token, "o1", "{\"A\":1}\n").await?;
    let answer = lab.try_append(at, &token, "o1", "{\"A\":1}\n").await?;
    let known = [
        (200, "", "accept"),
        (400, "STALE", "stale"),
        (409, "", "conflict"),
    ];
    see_answer(lab, "wire.replayed_token", &answer, &known);
    if answer.is_success() {
        let again = answer.field("next_continuation_token");
        let is_same = again.as_ref() == Some(&next);
        let word = if is_same {
            "the one given out before"
        } else {
            "another one"
        };
        lab.see("replay.next_token", word);
    }
    lab.committed(at, "o1").await?;
    lab.count("T", 1).await?;
    let other = lab.try_append(at, &token, "o9", "{\"A\":9}\n").await?;
    let next = match other.field("next_continuation_token") {
        Some(again) if again != next => again,
        _ => next,
    };
    // What follows shows whether the channel is still open.
    let last = lab.try_append(at, &next, "o2", "{\"A\":2}\n").await?;
    if last.is_success() {
        lab.committed(at, "o2").await?;
    }
    let nines = lab.column("SELECT COUNT(*) FROM {T} WHERE A = 9").await?;
    lab.see(
        "replay.other_rows",
        match nines.first().map(String::as_str) {
            Some("0") => "ignored",
            _ => "taken",
        },
    );
    let ones = lab.column("SELECT COUNT(*) FROM {T} WHERE A = 1").await?;
    lab.see("replay.rows", ones.join(","));
    Ok(())
}

pub(super) async fn names(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let lower = lab.open("T", "case").await?;
    lab.open("T", "CASE").await?;
    let answer = lab
        .try_append(("T", "case"), &lower, "o1", "{\"A\":1}\n")
        .await?;
    let word = if answer.is_success() {
        "exact"
    } else {
        "folded"
    };
    lab.see("channels.name_case", word);
    let found = lab.status("T", "Case").await?;
    let word = if found.is_null() {
        "another channel"
    } else {
        "the same channel"
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
        let answer = lab.try_open("T", name, &json!({})).await?;
        lab.see(what, answer.outcome());
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
        let token = lab.open("T", channel).await?;
        let answer = lab
            .try_append(("T", channel), &token, offset, "{\"A\":1}\n")
            .await?;
        if !answer.is_success() {
            lab.see(what, answer.outcome());
            continue;
        }
        // An empty offset may be stored as none: a second row shows when the first one is committed.
        let next = answer.field("next_continuation_token").unwrap_or_default();
        let word = if offset.is_empty() {
            lab.append(("T", channel), &next, "end", "{\"A\":2}\n")
                .await?;
            lab.committed(("T", channel), "end").await?;
            "accepted"
        } else {
            lab.committed(("T", channel), offset).await?;
            "stored"
        };
        lab.see(what, word);
    }
    Ok(())
}

pub(super) async fn reopening(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let token = lab.open("T", "c").await?;
    lab.append(("T", "c"), &token, "o1", "{\"A\":1}\n").await?;
    let careful = json!({ "fail_on_uncommitted_rows": true });
    let answer = lab.try_open("T", "c", &careful).await?;
    let is_committed = || "the row was committed before the second request".to_owned();
    let word = if answer.is_success() {
        is_committed()
    } else {
        answer.outcome()
    };
    lab.see("open.uncommitted_fails", word);
    let answer = lab
        .try_open("T", "d", &json!({ "offset_token": "set" }))
        .await?;
    if !answer.is_success() {
        return Err(Broken::of(
            "opening a channel with an offset token",
            &answer,
        ));
    }
    let offset = lab.status("T", "d").await?;
    let offset = offset.get("last_committed_offset_token");
    lab.see(
        "open.sets_offset",
        offset.map_or_else(|| "none".to_owned(), Value::to_string),
    );
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
