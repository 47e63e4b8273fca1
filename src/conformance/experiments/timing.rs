//! E30, E32, E34, E38: counters, rates and times.

use http::Method;
use serde_json::Value;
use tokio::time::Instant;

use crate::conformance::Broken;
use crate::conformance::lab::Lab;
use crate::conformance::service::Request;

pub(super) async fn counters(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let at = ("T", "c");
    let token = lab.open(at.0, at.1).await?;
    lab.append(at, &token, "o1", "{\"A\":1}\n{\"A\":\"none\"}\n")
        .await?;
    let before = lab.committed(at, "o1").await?;
    lab.open(at.0, at.1).await?;
    let names = [
        "rows_parsed",
        "rows_inserted",
        "rows_error_count",
        "rows_errors",
    ];
    let counts = |status: &Value| -> Vec<Value> {
        let counts = names.iter().filter_map(|name| status.get(*name).cloned());
        counts.collect()
    };
    let after = lab.status(at.0, at.1).await?;
    let is_zero = |status: &Value| counts(status).iter().all(|count| count == &Value::from(0));
    let word = match counts(&after) {
        kept if kept == counts(&before) => "kept",
        _ if is_zero(&after) => "zero",
        _ => "neither kept nor zero",
    };
    lab.see("counters.after_reopen", word);
    let path = lab.channel_path(false, at.0, at.1);
    let answer = lab
        .service
        .ingest(&Request::new(Method::DELETE, path))
        .await?;
    if !answer.is_success() {
        return Err(Broken::of("dropping a channel", &answer));
    }
    lab.open(at.0, at.1).await?;
    let after = lab.status(at.0, at.1).await?;
    let word = if is_zero(&after) { "zero" } else { "kept" };
    lab.see("counters.after_drop", word);
    let offset = after
        .get("last_committed_offset_token")
        .unwrap_or(&Value::Null);
    lab.see("offset.after_drop", offset.to_string());
    Ok(())
}

pub(super) const RATE_ROWS: u32 = 60;

pub(super) async fn rate(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let at = ("T", "c");
    let mut token = lab.open(at.0, at.1).await?;
    for row in 0..RATE_ROWS {
        let answer = lab
            .try_append(at, &token, &format!("o{row}"), "{\"A\":1}\n")
            .await?;
        if let Some(next) = answer.field("next_continuation_token") {
            token = next;
            continue;
        }
        lab.see("rate.refusal", answer.outcome());
        let delay = answer.headers.get(http::header::RETRY_AFTER);
        let delay = delay.and_then(|delay| delay.to_str().ok());
        lab.see("rate.retry_after", delay.unwrap_or("none"));
        return Ok(());
    }
    lab.see("rate.refusal", format!("none in {RATE_ROWS} requests"));
    Ok(())
}

pub(super) async fn commits(lab: &mut Lab<'_>) -> Result<(), Broken> {
    const ROWS: u32 = 10;
    let at = ("T", "c");
    let mut token = lab.open(at.0, at.1).await?;
    let mut waited = Vec::new();
    for row in 0..ROWS {
        let end = format!("o{row}");
        token = lab.append(at, &token, &end, "{\"A\":1}\n").await?;
        let accepted = Instant::now();
        lab.committed(at, &end).await?;
        waited.push(accepted.elapsed().as_millis());
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
    lab.count("T", 1).await?;
    let late = seen.elapsed().as_secs_f64();
    lab.see("visible.when_committed", format!("{late:.1} s later"));
    Ok(())
}
