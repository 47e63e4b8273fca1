//! E30, E34, E38: counters and times.

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
    let word = if counts(&before) == counts(&after) {
        "kept"
    } else {
        "changed"
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
    let is_zero = counts(&after).iter().all(|count| count == &Value::from(0));
    lab.see("counters.after_drop", if is_zero { "zero" } else { "kept" });
    let offset = after
        .get("last_committed_offset_token")
        .unwrap_or(&Value::Null);
    lab.see("offset.after_drop", offset.to_string());
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
