//! E4, E5, E6, E8, E31, E36, E40: the forms of requests and answers.

use std::io::{self, Write as _};

use http::{HeaderValue, Method, header};
use serde_json::{Value, json};

use crate::conformance::Broken;
use crate::conformance::lab::Lab;
use crate::conformance::sending::{is_busy, may_change};
use crate::conformance::service::{Answer, Request};

pub(super) async fn elastic(lab: &mut Lab<'_>) -> Result<(), Broken> {
    // The pipe comes into being with a channel.
    lab.open("T", "c").await?;
    lab.known(("T", "c")).await?;
    let before = lab.status("T", "ELASTIC").await?;
    let word = if before.is_absent() {
        "absent"
    } else {
        "present"
    };
    lab.see("wire.elastic_status", word);
    let request = lab.elastic_request("T", "{\"A\":1}\n");
    let answer = lab.ingest_while(may_change, request).await?;
    lab.see("elastic.table_path", answer.outcome());
    if answer.is_success() {
        let has_token = answer.field("next_continuation_token").is_some();
        let word = if has_token { "with_token" } else { "message" };
        lab.see("wire.elastic_body", word);
    }
    Ok(())
}

/// Where the code of an error is.
fn place_of_code(answer: &Answer) -> &'static str {
    let body = answer.json();
    if body.is_string() {
        return "text";
    }
    match (body.get("error_code"), body.get("code")) {
        (Some(_), _) => "error_code",
        (None, Some(_)) => "code",
        (None, None) => "none",
    }
}

pub(super) async fn errors(lab: &mut Lab<'_>) -> Result<(), Broken> {
    lab.open("T", "c").await?;
    let path = lab.path(false, "pipes/NO_SUCH_PIPE/channels/c");
    let request = Request::new(Method::PUT, path).json(&json!({}));
    let unknown_pipe = lab.service.ingest(&request).await?;
    lab.see("error.unknown_pipe", unknown_pipe.outcome());
    let at = ("T", "no-such-channel");
    let request = lab.append_request(at, "0_1", "o1", "{\"A\":1}\n");
    let unknown_channel = lab.ingest_while(is_busy, request).await?;
    lab.see("error.unknown_channel", unknown_channel.outcome());
    let path = lab.channel_path(false, "T", "c");
    let request = Request::new(Method::PUT, path).body("application/json", "{");
    let malformed = lab.service.ingest(&request).await?;
    lab.see("error.malformed_open", malformed.outcome());
    let path = lab.path(false, "no-such-thing");
    let unknown_path = lab.service.ingest(&Request::get(path)).await?;
    lab.see("error.unknown_path", unknown_path.outcome());
    let word = match (place_of_code(&unknown_pipe), place_of_code(&malformed)) {
        ("error_code", "code") => "by_status".to_owned(),
        (one, other) if one == other => one.to_owned(),
        (one, other) => format!("{one} of a 404, {other} of a 400"),
    };
    lab.see("wire.error_body", word);
    Ok(())
}

pub(super) async fn status(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let token = lab.open("T", "c").await?;
    let rows = "{\"A\":1}\n{\"A\":\"none\"}\n";
    lab.append(("T", "c"), &token, "o1", rows).await?;
    let status = lab.committed(("T", "c"), "o1").await?;
    lab.see("wire.healthy_status", status.code().unwrap_or("none"));
    let names = ["rows_error_count", "rows_errors"];
    let name = names.into_iter().find(|name| !status.field(name).is_null());
    lab.see("wire.error_counter", name.unwrap_or("none"));
    lab.see(
        "wire.error_timestamp",
        match status.field("last_error_timestamp") {
            Value::Number(_) => "milliseconds",
            Value::String(_) => "text",
            _ => "none",
        },
    );
    let count = |name: &str| match status.field(name) {
        Value::Null => "-".to_owned(),
        count => count.to_string(),
    };
    lab.see(
        "status.counters",
        format!(
            "parsed {}, inserted {}, rejected {}",
            count("rows_parsed"),
            count("rows_inserted"),
            count(name.unwrap_or_default())
        ),
    );
    lab.see(
        "status.error_offset",
        count("last_error_offset_upper_bound"),
    );
    lab.see("status.error_message", count("last_error_message"));
    Ok(())
}

const DECIMAL: usize = 4_000_000;
const BINARY: usize = 4 << 20;
const ROW_BYTES: usize = 100_000;
/// How many rows the bodies of E8 have at most.
pub(super) const LONG_BODIES_ROWS: u32 = 162;

/// Rows of exactly this many bytes together, which the column is too short for: they are rejected and cost nothing.
fn rows_of(bytes: usize) -> String {
    let frame = "{\"A\":\"\"}\n".len();
    let mut rows = String::with_capacity(bytes);
    while rows.len() < bytes {
        let left = bytes - rows.len();
        let row = if left < 2 * ROW_BYTES {
            left
        } else {
            ROW_BYTES
        };
        let text = "x".repeat(row.saturating_sub(frame));
        rows += &["{\"A\":\"", &text, "\"}\n"].concat();
    }
    rows
}

/// What a long body is answered: whether it is taken, or a word if that is not what the answer is about.
async fn long_body(lab: &mut Lab<'_>, bytes: usize) -> Result<Result<bool, String>, Broken> {
    let channel = format!("c{bytes}");
    let at = ("T", channel.as_str());
    let token = lab.open(at.0, at.1).await?;
    let answer = match lab.append_within(at, &token, "o1", rows_of(bytes)).await {
        Ok(answer) => answer,
        Err(why) if why.is_last => return Err(why),
        Err(why) => return Ok(Err(why.why)),
    };
    Ok(match answer.status {
        200..300 => Ok(true),
        400 | 413 => {
            lab.see("wire.oversized_body", answer.status.to_string());
            lab.see("body.refusal", answer.outcome());
            Ok(false)
        }
        _ => Err(answer.outcome()),
    })
}

/// Tries both readings of 4 MB. A refusal is about the length only if one byte less was taken.
pub(super) async fn long_bodies(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let mut word = "more".to_owned();
    for (limit, smaller) in [
        (DECIMAL, "less than 4000000"),
        (BINARY, "less than 4194304"),
    ] {
        match long_body(lab, limit).await? {
            Ok(true) => {}
            Ok(false) => word = smaller.to_owned(),
            Err(why) => word = why,
        }
        if word != "more" {
            break;
        }
        match long_body(lab, limit + 1).await? {
            Ok(true) => {}
            Ok(false) => word = limit.to_string(),
            Err(why) => word = why,
        }
        if word != "more" {
            break;
        }
    }
    lab.see("wire.max_body", word);
    Ok(())
}

/// A frame of one row. Its header has the window, and not the length of the row.
fn frame(window_log: u32) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1)?;
    encoder.window_log(window_log)?;
    encoder.write_all(b"{\"A\":1}\n")?;
    encoder.finish()
}

/// Appends a compressed body to a channel of its own: how many rows land, or what the request is answered.
async fn compressed(
    lab: &mut Lab<'_>,
    channel: &str,
    body: Vec<u8>,
) -> Result<Result<u64, String>, Broken> {
    let at = ("T", channel);
    let token = lab.open(at.0, at.1).await?;
    let mut request = lab.append_request(at, &token, "o1", body);
    let zstd = HeaderValue::from_static("zstd");
    request.headers.push((header::CONTENT_ENCODING, zstd));
    let answer = lab.ingest_while(may_change, request).await?;
    if !answer.is_success() {
        return Ok(Err(answer.outcome()));
    }
    let status = lab.committed(at, "o1").await?;
    Ok(Ok(status.inserted().unwrap_or_default()))
}

/// supabase/etl (`tests/snowflake/large_rows.rs`) saw several frames in a body, and a window of 32 MiB. A decoder of zstd takes
/// windows of up to 128 MiB unless it is told otherwise.
pub(super) async fn compressed_bodies(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let of = |window_log| frame(window_log).map_err(|why| Broken::new(why.to_string()));
    let word = match compressed(lab, "frames", [of(20)?, of(20)?].concat()).await? {
        Ok(2) => "many".to_owned(),
        Ok(1) => "one".to_owned(),
        Ok(landed) => format!("{landed} of 2 rows land"),
        Err(why) => why,
    };
    lab.see("body.frames", word);
    let mut word = "less than 23".to_owned();
    for (channel, log) in [("w23", 23), ("w25", 25), ("w27", 27)] {
        match compressed(lab, channel, of(log)?).await? {
            Ok(1) => word = log.to_string(),
            _ => break,
        }
    }
    lab.see("body.window_log", word);
    Ok(())
}

pub(super) async fn many_names(lab: &mut Lab<'_>) -> Result<(), Broken> {
    lab.open("T", "c").await?;
    lab.known(("T", "c")).await?;
    let answer = lab.statuses("T", &[]).await?;
    lab.see("status.no_names", answer.outcome());
    let answer = lab.statuses("T", &["c", "c", "d"]).await?;
    let body = answer.json();
    let all = body.get("channel_statuses").and_then(Value::as_object);
    let all = all.ok_or_else(|| Broken::of("asking for statuses", &answer))?;
    let is_there = |name: &str| all.contains_key(name);
    lab.see(
        "status.unknown_name",
        if is_there("d") { "present" } else { "absent" },
    );
    lab.see(
        "status.repeated_name",
        if is_there("c") { "once" } else { "absent" },
    );
    for (what, count) in [
        ("status.of_1000_names", 1_000),
        ("status.of_5000_names", 5_000),
    ] {
        let names: Vec<String> = (0..count).map(|number| format!("n{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let answer = lab.statuses("T", &names).await?;
        lab.see(what, answer.outcome());
    }
    Ok(())
}

pub(super) async fn pipe_info(lab: &mut Lab<'_>) -> Result<(), Broken> {
    lab.open("T", "c").await?;
    let path = lab.pipe_path("T", "pipe-info");
    let body = json!({ "generate_new_token": true, "encryption_version": "AES-CTR-128.1" });
    let answer = lab.service.ingest(&Request::post(path).json(&body)).await?;
    if !answer.is_success() {
        return Err(Broken::of("asking for the pipe's information", &answer));
    }
    let body = answer.json();
    let mut names: Vec<_> = body.as_object().into_iter().flatten().collect();
    names.sort_by_key(|(name, _)| name.as_str());
    let names: Vec<&str> = names.into_iter().map(|(name, _)| name.as_str()).collect();
    lab.see("pipe_info.fields", names.join(", "));
    let format = answer.field("binary_input_format");
    lab.see(
        "pipe_info.binary_input_format",
        format.unwrap_or_else(|| "none".to_owned()),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{BINARY, DECIMAL, LONG_BODIES_ROWS, rows_of};

    #[test]
    fn long_bodies_have_exactly_their_length_and_many_rows() {
        let mut rows = 0;
        for bytes in [DECIMAL, DECIMAL + 1, BINARY, BINARY + 1] {
            let body = rows_of(bytes);
            assert_eq!(body.len(), bytes);
            assert!(body.ends_with("\"}\n"));
            rows += body.lines().count();
        }
        assert_eq!(usize::try_from(LONG_BODIES_ROWS), Ok(rows));
    }
}
