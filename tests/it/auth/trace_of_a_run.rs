//! No secret is revealed in `Debug`, errors, or the trace of a whole run.

use serde_json::json;
use snowpipe_streaming::OnUncommitted;
use tracing::Level;

use crate::scripted_server::{Call, Stage, builder, everything, json, refusal, text, within};
use snowpipe_connector_support::trace::Trace;

const PASSPHRASE: &str = "open-sesame-91";
const SCOPED: [&str; 2] = ["ver.first-scoped.y", "ver.second-scoped.y"];

/// What must not appear after a run against `stage`.
fn secrets(stage: &Stage) -> Vec<String> {
    let pem = std::fs::read_to_string("tests/fixtures/keys/rsa_p8.pem").unwrap();
    let key = pem.lines().filter(|line| !line.starts_with("-----"));
    let jwts = stage.all().into_iter().filter_map(|seen| {
        let bearer = seen.header("authorization")?.strip_prefix("Bearer ")?;
        // The signature. The rest of the token is not secret.
        let (_, signature) = bearer.rsplit_once('.')?;
        (seen.call == Call::Hostname || seen.call == Call::Token).then(|| signature.to_owned())
    });
    let fixed = SCOPED.iter().chain([&PASSPHRASE]).map(|s| (*s).to_owned());
    let all: Vec<_> = key.map(str::to_owned).chain(jwts).chain(fixed).collect();
    assert!(all.iter().all(|secret| secret.len() >= 10), "{all:?}");
    all
}

#[tokio::test]
async fn a_whole_run_reveals_no_secret() {
    let trace = Trace::of(Level::TRACE);
    let mut output = Vec::new();

    let stage = Stage::new().await;
    stage.answer(
        Call::Hostname,
        json(503, "\"ERR_GENERAL_EXCEPTION_RETRY_REQUEST\""),
    );
    stage.answer(Call::Token, text(200, SCOPED[0]));
    stage.answer(
        Call::Token,
        json(200, &format!(r#"{{"token":"{}"}}"#, SCOPED[1])),
    );
    let pem = std::fs::read_to_string("tests/fixtures/keys/rsa_p8.pem").unwrap();
    let profile = stage
        .profile()
        .with_private_key(pem)
        .with_private_key_passphrase(PASSPHRASE.to_owned())
        .with_role("LOADER");
    output.push(format!("{profile:?} {profile:#?}"));
    let build = builder(profile);
    output.push(format!("{build:?}"));
    let client = build.build().await.unwrap();
    output.push(format!("{client:?}"));

    let mut channel = client.open_channel("c").await.unwrap();
    stage.answer(Call::Append, refusal(401, "390303"));
    stage.answer(
        Call::Append,
        refusal(500, "ERR_GENERAL_EXCEPTION_RETRY_REQUEST"),
    );
    let receipt = channel.append_row(&json!({"A": 1}), 1).await.unwrap();
    within(receipt.committed()).await.unwrap();
    output.push(format!("{channel:?} {receipt:?} {client:#?}"));

    stage.answer(Call::Append, refusal(403, "390189"));
    stage.answer(Call::Append, refusal(400, "ERR_BAD"));
    let receipt = channel.append_row(&json!({"A": 2}), 2).await.unwrap();
    output.push(everything(&within(receipt.committed()).await.unwrap_err()));
    let append = channel.append_row(&json!({"A": 2}), 2);
    output.push(format!("{append:?}"));
    output.push(everything(&append.await.unwrap_err()));

    stage.answer(Call::Status, refusal(401, "390303"));
    stage.answer(Call::Status, refusal(401, "390303"));
    stage.always(
        Call::Token,
        json(401, r#"{"code":"390144","message":"no"}"#),
    );
    output.push(everything(
        &client.channel_statuses(["c"]).await.unwrap_err(),
    ));
    let open = client
        .open_channel("d")
        .on_uncommitted(OnUncommitted::Discard);
    output.push(format!("{open:?}"));
    output.push(everything(&within(open.into_future()).await.unwrap_err()));
    output.push(everything(&within(channel.close()).await.unwrap_err()));
    drop(client);

    let (trace, output) = (trace.text(), output.concat());
    for word in [
        "client connected",
        "channel open",
        "sealed",
        "sent",
        "accepted",
        "committed",
    ] {
        assert!(trace.contains(word), "{word:?} is not traced:\n{trace}");
    }
    for secret in secrets(&stage) {
        assert!(!trace.contains(&secret), "traced: {secret}");
        assert!(!output.contains(&secret), "revealed: {secret}");
    }
}
