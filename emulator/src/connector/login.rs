//! The login of a connector: a credential is exchanged for the token of a session.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{Rejection, success};
use super::parameters;
use super::sessions::{Names, Sessions};
use crate::messages::answer::{Answer, Refusal};
use crate::messages::time::epoch_millis;
use crate::sql::names::identifier;
use crate::sql_api::statements::Access;

/// From how many values on `executemany` uploads them as files: more than a request can hold, so that it never does.
const ARRAY_BINDING_THRESHOLD: u32 = 100_000_000;

#[derive(Deserialize)]
struct Body {
    data: Login,
}

/// The credential has no `Debug`, so that it is never shown.
#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Login {
    #[serde(default)]
    authenticator: String,
    token: Option<String>,
    #[serde(default)]
    session_parameters: BTreeMap<String, Value>,
}

/// Begins a session if the credential is one of the account.
pub(crate) fn log_in(
    access: &Access<'_>,
    sessions: &Sessions,
    request: &Request<Bytes>,
    body: &[u8],
) -> Result<Answer, Rejection> {
    let Body { data } = serde_json::from_slice(body)
        .map_err(|why| Refusal::malformed(format!("The body cannot be read: {why}.")))?;
    let token = data.token.as_deref();
    let checked =
        access
            .handler()
            .login
            .check_session(&data.authenticator, token, epoch_millis(access.now));
    checked?;
    for (name, value) in &data.session_parameters {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        // A connector says in CLIENT_… what it is, and nothing of that matters here.
        parameters::check(name, &value)?;
    }
    let names = names(request);
    let begun = sessions.begin(names.clone())?;
    Ok(success(&json!({
        "token": begun.token,
        "masterToken": begun.token,
        "sessionId": begun.number,
        "validityInSeconds": 3600,
        "masterValidityInSeconds": 14_400,
        "serverVersion": env!("CARGO_PKG_VERSION"),
        "parameters": [
            { "name": "AUTOCOMMIT", "value": true },
            { "name": "CLIENT_STAGE_ARRAY_BINDING_THRESHOLD", "value": ARRAY_BINDING_THRESHOLD },
            { "name": "TIMEZONE", "value": "UTC" },
        ],
        "sessionInfo": {
            "databaseName": names.database,
            "schemaName": names.schema,
            "warehouseName": null,
            "roleName": null,
        },
    })))
}

/// The database and schema that the connection names. A database has a schema PUBLIC.
fn names(request: &Request<Bytes>) -> Names {
    let (mut database, mut schema) = (None, None);
    let query = request.uri().query().unwrap_or_default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let value = Some(stored(&value)).filter(|value| !value.is_empty());
        match &*name {
            "databaseName" => database = value,
            "schemaName" => schema = value,
            _ => {}
        }
    }
    if database.is_some() && schema.is_none() {
        schema = Some("PUBLIC".to_owned());
    }
    Names { database, schema }
}

/// A name as Snowflake stores it: upper-case unless it is quoted.
fn stored(name: &str) -> String {
    let inner = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'));
    match inner {
        Some(inner) => identifier(inner, Some('"')),
        None => identifier(name, None),
    }
}
