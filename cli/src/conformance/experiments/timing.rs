//! E30, E32, E34, E38: counters, rates and times.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::conformance::Broken;
use crate::conformance::lab::Lab;
use crate::conformance::outcome::{COMMIT, Outcome, Patience, Status};
use crate::conformance::sending::{status_in, token_of};
use crate::conformance::service::Request;

/// The counters of a status that are there.
fn counts(status: &Status) -> Vec<Value> {
    let names = [
        "rows_parsed",
        "rows_inserted",
        "rows_error_count",
        "rows_errors",
    ];
    let counts = names.into_iter().map(|name| status.field(name));
    counts.filter(|count| !count.is_null()).collect()
}

/// Opens a channel; its status as the answer has it, or as the statuses have it.
async fn opened(lab: &mut Lab<'_>) -> Result<Status, Broken> {
    let answer = lab.try_open("T", "c", &json!({})).await?;
    if !answer.is_success() {
        return Err(Broken::of("opening a channel", &answer));
    }
    let status = status_in(&answer);
    if counts(&status).is_empty() {
        return lab.known(("T", "c")).await;
    }
    Ok(status)
}

/// The status that counts the rows through the token `o1`. Says how much later than the token the counts come.
async fn counted(lab: &mut Lab<'_>, at: (&str, &str), rows: u64) -> Result<Status, Broken> {
    let patience = Patience::of(COMMIT);
    let outcome = lab.shown_within(at, "o1", patience).await?;
    let Outcome::Committed(mut status) = outcome else {
        return Err(Broken::new(format!("the rows: {}", outcome.word())));
    };
    let shown = Instant::now();
    let (mut patience, mut late) = (Patience::of(COMMIT), Duration::ZERO);
    let word = loop {
        match status.accounted() {
            None => break "not in the status",
            Some(count) if count >= rows && late.is_zero() => break "at_once",
            Some(count) if count >= rows => break "late",
            Some(_) if patience.waits().await => status = lab.known(at).await?,
            Some(_) => break "never",
        }
        late = shown.elapsed();
    };
    lab.see("wire.row_counters", word);
    let late = format!("{:.1} s later", late.as_secs_f64());
    lab.see("counters.after_offset", late);
    Ok(status)
}

pub(super) async fn counters(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let at = ("T", "c");
    let token = lab.open(at.0, at.1).await?;
    lab.append(at, &token, "o1", "{\"A\":1}\n{\"A\":\"none\"}\n")
        .await?;
    let before = counted(lab, at, 2).await?;
    let word = |after: &Status| {
        let after = counts(after);
        if after.is_empty() {
            "not in the status"
        } else if after.iter().all(|count| *count == 0) {
            "zero"
        } else if after == counts(&before) {
            "kept"
        } else {
            "neither kept nor zero"
        }
    };
    let after = opened(lab).await?;
    lab.see("counters.after_reopen", word(&after));
    let path = lab.channel_path(false, at.0, at.1);
    let request = Request::new(Method::DELETE, path);
    let answer = lab.service.ingest(&request).await?;
    if !answer.is_success() {
        return Err(Broken::of("dropping a channel", &answer));
    }
    let after = opened(lab).await?;
    lab.see("counters.after_drop", word(&after));
    let offset = after.field("last_committed_offset_token");
    lab.see("offset.after_drop", offset.to_string());
    Ok(())
}

pub(super) const RATE_ROWS: u32 = 60;

pub(super) async fn rate(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let at = ("T", "c");
    let mut token = lab.open(at.0, at.1).await?;
    let begun = Instant::now();
    let mut accepted = 0;
    let refusal = loop {
        if accepted == RATE_ROWS {
            break None;
        }
        let end = format!("o{accepted}");
        let answer = lab.try_append(at, &token, &end, "{\"A\":1}\n").await?;
        match token_of(&answer) {
            Some(next) => token = next,
            None => break Some(answer),
        }
        accepted += 1;
    };
    let seconds = begun.elapsed().as_secs_f64();
    lab.see("rate.sent", format!("{accepted} in {seconds:.1} s"));
    let Some(answer) = refusal else {
        lab.see("rate.refusal", format!("none in {RATE_ROWS} requests"));
        return Ok(());
    };
    lab.see("rate.refusal", answer.outcome());
    let delay = answer.headers.get(http::header::RETRY_AFTER);
    let delay = delay.and_then(|delay| delay.to_str().ok());
    lab.see("rate.retry_after", delay.unwrap_or("none"));
    Ok(())
}

/// How precise the times of commits are at most.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) async fn commits(lab: &mut Lab<'_>) -> Result<(), Broken> {
    const ROWS: u32 = 10;
    let at = ("T", "c");
    let mut token = lab.open(at.0, at.1).await?;
    let mut waited = Vec::new();
    for row in 0..ROWS {
        let end = format!("o{row}");
        token = lab.append(at, &token, &end, "{\"A\":1}\n").await?;
        let accepted = Instant::now();
        let patience = Patience::of(COMMIT).with_pauses(PAUSE);
        let outcome = lab.settled_within(at, &end, patience).await?;
        if !matches!(outcome, Outcome::Committed(_)) {
            return Err(Broken::new(format!("row {row} {}", outcome.word())));
        }
        let took = accepted.elapsed();
        // The table is new, so its first commit may take longer.
        if row == 0 {
            lab.see("first_commit_s", format!("{:.0}", took.as_secs_f64()));
        } else {
            waited.push(took.as_millis());
        }
    }
    waited.sort_unstable();
    let quarter = |part: usize| {
        waited
            .get(waited.len() * part / 4)
            .copied()
            .unwrap_or_default()
    };
    lab.see(
        "commit.quartiles",
        format!("{} ms, {} ms, {} ms", quarter(1), quarter(2), quarter(3)),
    );
    Ok(())
}

pub(super) async fn visibility(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let at = ("T", "c");
    let token = lab.open(at.0, at.1).await?;
    lab.append(at, &token, "o1", "{\"A\":1}\n").await?;
    lab.committed(at, "o1").await?;
    let seen = Instant::now();
    let found = lab.column("SELECT COUNT(*) FROM {T}").await?;
    if found == ["1"] {
        lab.see("visible.when_committed", "yes");
        return Ok(());
    }
    lab.visible("T", 1).await?;
    let late = seen.elapsed().as_secs_f64();
    lab.see("visible.when_committed", format!("{late:.1} s later"));
    Ok(())
}
