//! E1, E2, E35, E39: the account host, and what its tokens are good for.

use std::time::{Duration, SystemTime};

use http::Method;
use serde_json::{Value, json};

use crate::conformance::Broken;
use crate::conformance::lab::Lab;
use crate::conformance::service::{Answer, Request};
use crate::conformance::wire;
use snowpipe_streaming::auth::Secret;

/// The form of an answer that is a single text.
fn form(answer: &Answer) -> &'static str {
    let text = answer.text();
    match serde_json::from_str(&text) {
        Ok(Value::Object(_)) => "json",
        Ok(_) => "json_text",
        Err(_) if text.ends_with('\n') => "line",
        Err(_) => "text",
    }
}

pub(super) async fn bodies(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let request = Request::get("/v2/streaming/hostname");
    let answer = lab.service.account(&request).await?;
    if !answer.is_success() {
        return Err(Broken::of("asking for the ingest host", &answer));
    }
    lab.service.keep_host(&answer)?;
    lab.see("wire.hostname_body", form(&answer));
    let answer = lab.service.exchange().await?;
    lab.service.keep_token(&answer)?;
    lab.see("wire.token_body", form(&answer));
    Ok(())
}

pub(super) async fn token_life(lab: &mut Lab<'_>) -> Result<(), Broken> {
    let answer = lab.service.exchange().await?;
    let earlier = lab.service.keep_token(&answer)?;
    let now = lab.service.time().now();
    // The clock of this machine may be off.
    let begin = wire::token_issue(earlier.expose()).unwrap_or(now);
    let life = wire::token_expiry(earlier.expose())
        .and_then(|end| end.duration_since(begin).ok())
        .map(minutes);
    lab.see(
        "token.life_s",
        life.unwrap_or_else(|| "not in the token".to_owned()),
    );
    lab.open("T", "c").await?;
    let answer = lab.service.exchange().await?;
    let mut later = lab.service.keep_token(&answer)?;
    if later.expose() == earlier.expose() {
        // Tokens of one second may be the same.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let answer = lab.service.exchange().await?;
        later = lab.service.keep_token(&answer)?;
    }
    if later.expose() == earlier.expose() {
        lab.see("wire.earlier_token", "the same token is given again");
        return Ok(());
    }
    let answer = status_with(lab, &earlier).await?;
    let word = match answer.status {
        401 => "dies".to_owned(),
        _ if answer.is_success() => "lives".to_owned(),
        _ => answer.outcome(),
    };
    lab.see("wire.earlier_token", word);
    Ok(())
}

/// Seconds, rounded to whole minutes.
fn minutes(life: Duration) -> String {
    ((life.as_secs() + 30) / 60 * 60).to_string()
}

async fn status_with(lab: &mut Lab<'_>, token: &Secret) -> Result<Answer, Broken> {
    let path = lab.pipe_path("T", "bulk-channel-status");
    let body = json!({ "channel_names": ["c"] });
    let request = Request::post(path).json(&body);
    lab.service.ingest_with(token, &request).await
}

pub(super) async fn refusals(lab: &mut Lab<'_>) -> Result<(), Broken> {
    // A token in the form of a JWT that no key has signed.
    let second = lab
        .service
        .time()
        .now()
        .duration_since(SystemTime::UNIX_EPOCH);
    let number = second.unwrap_or_default().as_secs();
    let token = Secret::from(format!("eyJhbGciOiJub25lIn0.e30.{number}"));
    let answer = status_with(lab, &token).await?;
    lab.see("login.unknown_token_status", answer.status.to_string());
    lab.see("login.unknown_token", answer.outcome());
    Ok(())
}

pub(super) async fn other_tokens(lab: &mut Lab<'_>) -> Result<(), Broken> {
    lab.open("T", "c").await?;
    if let Some(scope) = lab.service.role_scope() {
        let answer = lab.service.exchange_for(Some(scope)).await?;
        let answer = match wire::scoped_token(&answer.body) {
            Ok(token) if answer.is_success() => {
                lab.service.hidden.secret(&token);
                status_with(lab, &token).await?
            }
            _ => answer,
        };
        lab.see("scope.role_only", answer.outcome());
    }
    // As observed of key-pair JWTs (littleK0i/SnowDDL, pull request 330, test PI004).
    if lab.service.bearer().await?.token_type() == "KEYPAIR_JWT" {
        let path = lab.channel_path(false, "T", "c");
        let body = json!({ "offset_token": null, "fail_on_uncommitted_rows": false });
        let request = Request::new(Method::PUT, path).json(&body);
        let answer = lab.service.account(&request).await?;
        lab.see("open.on_account_host", answer.outcome());
    }
    Ok(())
}
