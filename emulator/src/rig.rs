//! A client for the tests: requests written by hand, and answers read by hand.

use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value, json};
use snowpipe_streaming::auth::Secret;

use super::auth::keys::{self, PublicKey};
use super::builder::EmulatorBuilder;
use super::channels::limits::Limits;
use super::instance::Emulator;
use super::messages::answer::Reply;

/// 2026-01-17T14:00:00Z, in seconds and milliseconds.
pub(crate) const START: u64 = 1_768_658_400;
pub(crate) const START_MS: u64 = START * 1000;

pub(crate) const PIPES: &str = "/v2/streaming/databases/DB/schemas/S/pipes";
pub(crate) const DATA: &str = "/v2/streaming/data/databases/DB/schemas/S/pipes";

/// A client that does nothing by itself, and its clock.
pub(crate) struct Client {
    pub(crate) emulator: Emulator,
    pub(crate) now: SystemTime,
    pub(crate) token: String,
}

/// An emulator without rate limits, whose batches commit half a second after they are accepted.
pub(crate) fn settings() -> EmulatorBuilder {
    Emulator::builder()
        .limits(Limits {
            requests_per_second: None,
            ..Limits::default()
        })
        .commit_delay(Duration::from_millis(500))
        .commit_every(Duration::from_millis(250))
}

impl Client {
    pub(crate) fn new() -> Self {
        Self::of(settings())
    }

    pub(crate) fn of(settings: EmulatorBuilder) -> Self {
        Self::at(settings.build().unwrap(), START_MS)
    }

    /// A client of `emulator` that logs in at `now_ms`.
    pub(crate) fn at(emulator: Emulator, now_ms: u64) -> Self {
        let mut client = Self {
            emulator,
            now: SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms),
            token: String::new(),
        };
        client.login();
        client
    }

    pub(crate) fn login(&mut self) {
        let now = self.now_ms() / 1000;
        let jwt = jwt(now, now + 3540);
        let answer = self.exchange(&jwt);
        assert_eq!(answer.status(), 200, "{answer:?}");
        let token = text(&answer);
        self.token = match serde_json::from_str::<Value>(&token) {
            Ok(object) => object["token"].as_str().unwrap().to_owned(),
            Err(_) => token.trim_end().to_owned(),
        };
    }

    pub(crate) fn now_ms(&self) -> u64 {
        let since = self.now.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        u64::try_from(since.as_millis()).unwrap()
    }

    pub(crate) fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    pub(crate) fn exchange(&self, jwt: &str) -> Response<Bytes> {
        let form =
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=127.0.0.1";
        let request = request("POST", "/oauth/token", jwt)
            .body(Bytes::from(form))
            .unwrap();
        answered(self.emulator.handle(self.now, request))
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Reply {
        let request = request(method, path, &self.token)
            .body(body.into())
            .unwrap();
        self.emulator.handle(self.now, request)
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: impl Into<Bytes>) -> (u16, Value) {
        read(&answered(self.send(method, path, body)))
    }

    pub(crate) fn try_open(&self, channel: &str, body: &str) -> (u16, Value) {
        let path = format!("{PIPES}/T-STREAMING/channels/{channel}");
        self.call("PUT", &path, body.to_owned())
    }

    /// Opens a channel; its continuation token.
    pub(crate) fn open(&self, channel: &str) -> String {
        let (status, answer) = self.try_open(channel, "{}");
        assert_eq!(status, 200, "{answer}");
        answer["next_continuation_token"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) fn send_rows(
        &self,
        channel: &str,
        continuation: &str,
        end: &str,
        rows: &str,
    ) -> Reply {
        let path = append_path(channel, continuation, end);
        self.send("POST", &path, rows.to_owned())
    }

    pub(crate) fn try_append(
        &self,
        channel: &str,
        continuation: &str,
        end: &str,
        rows: &str,
    ) -> (u16, Value) {
        read(&answered(self.send_rows(channel, continuation, end, rows)))
    }

    /// Appends one request; the next continuation token.
    pub(crate) fn append(
        &self,
        channel: &str,
        continuation: &str,
        end: &str,
        rows: &str,
    ) -> String {
        let (status, answer) = self.try_append(channel, continuation, end, rows);
        assert_eq!(status, 200, "{answer}");
        answer["next_continuation_token"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// A channel's status; null if it is not in the answer.
    pub(crate) fn status(&self, channel: &str) -> Value {
        let body = json!({ "channel_names": [channel] }).to_string();
        let path = format!("{PIPES}/T-STREAMING:bulk-channel-status");
        let (status, answer) = self.call("POST", &path, body);
        assert_eq!(status, 200, "{answer}");
        answer["channel_statuses"][channel].clone()
    }

    pub(crate) fn committed(&self, channel: &str) -> Value {
        self.status(channel)["last_committed_offset_token"].clone()
    }

    /// The landed rows' `n`.
    pub(crate) fn landed(&self) -> Vec<i64> {
        let rows = self.emulator.rows("DB.S.T").unwrap();
        rows.iter()
            .map(|row| row["ROW"]["n"].as_i64().unwrap())
            .collect()
    }
}

pub(crate) fn append_path(channel: &str, continuation: &str, end: &str) -> String {
    format!(
        "{DATA}/T-STREAMING/channels/{channel}/rows?startOffsetToken=&endOffsetToken={end}\
         &continuationToken={continuation}&requestId=r-{end}&retryCount=0"
    )
}

pub(crate) fn request(method: &str, path: &str, token: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(format!("http://127.0.0.1{path}"))
        .header("authorization", format!("Bearer {token}"))
        .header("accept", "application/json")
}

#[track_caller]
pub(crate) fn answered(reply: Reply) -> Response<Bytes> {
    match reply {
        Reply::Respond(answer) => answer,
        other => panic!("not an answer: {other:?}"),
    }
}

pub(crate) fn text(answer: &Response<Bytes>) -> String {
    String::from_utf8(answer.body().to_vec()).unwrap()
}

pub(crate) fn read(answer: &Response<Bytes>) -> (u16, Value) {
    let body = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
    (answer.status().as_u16(), body)
}

/// A refusal's code, whichever way it is spelled.
pub(crate) fn code(answer: &Value) -> &str {
    let code = answer.get("code").or_else(|| answer.get("error_code"));
    code.and_then(Value::as_str).unwrap_or_default()
}

/// A JWT of the default user, signed with the default key.
pub(crate) fn jwt(iat: u64, exp: u64) -> String {
    let key = keys::shared().unwrap();
    jwt_of(&key, "EMULATOR.STREAMING_INGEST", iat, exp)
}

pub(crate) fn jwt_of(key: &Secret, subject: &str, iat: u64, exp: u64) -> String {
    let body: String = key
        .expose()
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let pair = KeyPair::from_pkcs8(&STANDARD.decode(body).unwrap()).unwrap();
    let public = PublicKey::of_private_pem(key).unwrap();
    let claims = json!({
        "iss": format!("{subject}.{}", public.fingerprint()),
        "sub": subject,
        "iat": iat,
        "exp": exp,
    });
    let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"RS256"}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        message.as_bytes(),
        &mut signature,
    )
    .unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}
