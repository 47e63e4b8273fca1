//! The endpoint of a request, and the objects that it names.

use std::fmt;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::DEFAULT_PIPE_SUFFIX;
use crate::channels::channel::ELASTIC;
use crate::messages::answer::Refusal;

/// The bucket of the stage that files are uploaded to.
pub(crate) const STAGE: &str = "snowpipe-emulator-stage";

/// An endpoint of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `GET /v2/streaming/hostname`
    Hostname,
    /// `POST /oauth/token`
    Token,
    /// `PUT …/channels/{channel}`
    Open,
    /// `POST …/channels/{channel}/rows`
    Append,
    /// `POST …/pipes/{pipe}:bulk-channel-status`
    Status,
    /// `DELETE …/channels/{channel}`
    Drop,
    /// `POST …/pipes/{pipe}:pipe-info`
    PipeInfo,
    /// `POST …/channels/{channel}/filebuffer`
    AppendFiles,
    /// `PUT /{bucket}/{key}`, as an object store takes it
    Upload,
    /// `POST /telemetry/send/sessionless`
    Telemetry,
    /// `POST /oauth/token-request`
    Authorize,
    /// `POST /api/v2/statements` and `GET /api/v2/statements/{handle}`
    Statement,
    /// `POST /session/v1/login-request`, with which Snowflake's connectors log in
    Login,
    /// `POST /queries/v1/query-request`: a statement of a connector
    Query,
    /// What else a connector sends: `POST /session`, `/session/heartbeat`, `/queries/v1/abort-request`, `/telemetry/send`
    Session,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hostname => "hostname",
            Self::Token => "token",
            Self::Open => "open",
            Self::Append => "append",
            Self::Status => "status",
            Self::Drop => "drop",
            Self::PipeInfo => "pipe-info",
            Self::AppendFiles => "append files",
            Self::Upload => "upload",
            Self::Telemetry => "telemetry",
            Self::Authorize => "authorize",
            Self::Statement => "statement",
            Self::Login => "login",
            Self::Query => "query",
            Self::Session => "session",
        })
    }
}

/// A request as its address describes it.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) endpoint: Endpoint,
    /// The pipe as the client wrote it; the endpoints of the account name none.
    pub(crate) pipe: Option<ObjectName>,
    /// The channel, or the channels of a bulk status.
    pub(crate) channels: Vec<String>,
    pub(crate) query: Query,
}

/// The known query parameters. Empty ones count as absent.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pub(crate) continuation_token: Option<String>,
    pub(crate) start_offset_token: Option<String>,
    pub(crate) end_offset_token: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) retry_count: Option<u32>,
}

#[derive(Deserialize)]
struct Names {
    channel_names: Vec<String>,
}

impl Call {
    /// Reads the address and, of a bulk status, the names in the body.
    pub(crate) fn read(request: &Request<Bytes>) -> Result<Self, Refusal> {
        let segments: Vec<String> = request
            .uri()
            .path()
            .split('/')
            .skip(1)
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let query = Query::read(request.uri().query().unwrap_or_default());
        let method = request.method();
        if let Some(endpoint) = of_account(method, &segments) {
            return Ok(Self::account(endpoint, query));
        }
        match segments.as_slice() {
            [
                "v2",
                "streaming",
                "data",
                "databases",
                database,
                "schemas",
                schema,
                "tables",
                table,
                "rows",
            ] if method == Method::POST => {
                let pipe = ObjectName {
                    database: unquoted(database).to_owned(),
                    schema: unquoted(schema).to_owned(),
                    name: format!("{}{DEFAULT_PIPE_SUFFIX}", unquoted(table)),
                };
                Ok(Self::channel(Endpoint::Append, pipe, ELASTIC, query))
            }
            ["v2", "streaming", "data", path @ ..] => {
                let (pipe, rest) = pipe(path).ok_or_else(|| no_endpoint(request))?;
                match rest {
                    ["channels", channel, "rows"] if method == Method::POST => {
                        Ok(Self::channel(Endpoint::Append, pipe, channel, query))
                    }
                    ["channels", channel, "filebuffer"] if method == Method::POST => {
                        Ok(Self::channel(Endpoint::AppendFiles, pipe, channel, query))
                    }
                    _ => Err(no_endpoint(request)),
                }
            }
            ["v2", "streaming", path @ ..] => {
                let (pipe, rest) = pipe(path).ok_or_else(|| no_endpoint(request))?;
                match rest {
                    ["channels", channel] if method == Method::PUT => {
                        Ok(Self::channel(Endpoint::Open, pipe, channel, query))
                    }
                    ["channels", channel] if method == Method::DELETE => {
                        Ok(Self::channel(Endpoint::Drop, pipe, channel, query))
                    }
                    [] if method == Method::POST && pipe.name.ends_with(":pipe-info") => {
                        let stem = pipe.name.trim_end_matches(":pipe-info");
                        let name = unquoted(stem).to_owned();
                        Ok(Self {
                            endpoint: Endpoint::PipeInfo,
                            pipe: Some(ObjectName { name, ..pipe }),
                            channels: Vec::new(),
                            query,
                        })
                    }
                    [] if method == Method::POST => {
                        let stem = pipe.name.strip_suffix(":bulk-channel-status");
                        let stem = stem.ok_or_else(|| no_endpoint(request))?;
                        let name = unquoted(stem).to_owned();
                        let Names { channel_names } = serde_json::from_slice(request.body())
                            .map_err(|why| {
                                Refusal::malformed(format!(
                                    "The body is not {{\"channel_names\":[…]}}: {why}."
                                ))
                            })?;
                        Ok(Self {
                            endpoint: Endpoint::Status,
                            pipe: Some(ObjectName { name, ..pipe }),
                            channels: channel_names,
                            query,
                        })
                    }
                    _ => Err(no_endpoint(request)),
                }
            }
            _ if is_upload(method, request.uri().path()) => {
                Ok(Self::account(Endpoint::Upload, query))
            }
            _ => Err(no_endpoint(request)),
        }
    }

    fn account(endpoint: Endpoint, query: Query) -> Self {
        Self {
            endpoint,
            pipe: None,
            channels: Vec::new(),
            query,
        }
    }

    fn channel(endpoint: Endpoint, pipe: ObjectName, channel: &str, query: Query) -> Self {
        Self {
            endpoint,
            pipe: Some(pipe),
            channels: vec![channel.to_owned()],
            query,
        }
    }
}

impl Query {
    fn read(text: &str) -> Self {
        let mut query = Self::default();
        let mut old_style = None;
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            let value = Some(value.into_owned()).filter(|value| !value.is_empty());
            match &*name {
                "continuationToken" => query.continuation_token = value,
                "startOffsetToken" => query.start_offset_token = value,
                "endOffsetToken" => query.end_offset_token = value,
                "offsetToken" => old_style = value,
                "requestId" => query.request_id = value,
                "retryCount" => query.retry_count = value.and_then(|count| count.parse().ok()),
                _ => {}
            }
        }
        query.end_offset_token = query.end_offset_token.or(old_style);
        query
    }
}

/// The endpoint of the account that a request is for.
fn of_account(method: &Method, segments: &[&str]) -> Option<Endpoint> {
    match (method.as_str(), segments) {
        ("GET", ["v2", "streaming", "hostname"]) => Some(Endpoint::Hostname),
        ("POST", ["oauth", "token"]) => Some(Endpoint::Token),
        ("POST", ["oauth", "token-request"]) => Some(Endpoint::Authorize),
        ("POST", ["telemetry", "send", "sessionless"]) => Some(Endpoint::Telemetry),
        ("POST", ["api", "v2", "statements"]) | ("GET", ["api", "v2", "statements", _]) => {
            Some(Endpoint::Statement)
        }
        ("POST", ["session", "v1", "login-request"]) => Some(Endpoint::Login),
        ("POST", ["queries", "v1", "query-request"]) => Some(Endpoint::Query),
        (
            "POST",
            ["session"]
            | ["session", "heartbeat"]
            | ["queries", "v1", "abort-request"]
            | ["telemetry", "send"],
        ) => Some(Endpoint::Session),
        _ => None,
    }
}

/// Whether a request puts a file into the stage.
pub(crate) fn is_upload(method: &Method, path: &str) -> bool {
    let key = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(STAGE));
    method == Method::PUT && key.is_some_and(|key| key.starts_with('/'))
}

/// Whether a path belongs to the SQL API.
#[cfg(feature = "server")]
pub(crate) fn is_sql(path: &str) -> bool {
    is_under(path, "/api/v2/statements")
}

/// Whether a path is one that Snowflake's connectors use.
#[cfg(feature = "server")]
pub(crate) fn is_connector(path: &str) -> bool {
    is_under(path, "/session") || is_under(path, "/queries") || path == "/telemetry/send"
}

/// Whether a request to a path may run a statement, which takes time.
#[cfg(feature = "server")]
pub(crate) fn has_statement(path: &str) -> bool {
    is_sql(path) || is_connector(path)
}

/// Whether a path is `root` or below it.
#[cfg(feature = "server")]
pub(crate) fn is_under(path: &str, root: &str) -> bool {
    path.strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The pipe at the start of a path, and the rest of the path.
fn pipe<'a>(path: &'a [&'a str]) -> Option<(ObjectName, &'a [&'a str])> {
    let [
        "databases",
        database,
        "schemas",
        schema,
        "pipes",
        pipe,
        rest @ ..,
    ] = path
    else {
        return None;
    };
    let name = ObjectName {
        database: unquoted(database).to_owned(),
        schema: unquoted(schema).to_owned(),
        name: unquoted(pipe).to_owned(),
    };
    Some((name, rest))
}

/// A name without the double quotes that some clients put around one to keep its case.
fn unquoted(name: &str) -> &str {
    name.strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'))
        .unwrap_or(name)
}

fn no_endpoint(request: &Request<Bytes>) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "ERR_ENDPOINT_DOES_NOT_EXIST",
        format!(
            "There is no endpoint {} {}.",
            request.method(),
            request.uri().path()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of the guide's table of endpoints, asked for one by one.
    #[test]
    fn the_guide_lists_the_endpoints() {
        let page = include_str!("../guide/support.md");
        let (_, section) = page.split_once("\n## Endpoints\n").unwrap();
        let section = section.split("\n## ").next().unwrap();
        let mut known = Vec::new();
        for line in section.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
            let (request, verdict) = (cells[0].trim().trim_matches('`'), cells[1].trim());
            let (method, path) = request.split_once(' ').unwrap();
            let request = Request::builder().method(method).uri(path);
            let body = Bytes::from_static(br#"{"channel_names":[]}"#);
            let call = Call::read(&request.body(body).unwrap());
            assert_eq!(call.is_ok(), verdict == "supported", "{line}");
            known.extend(call.map(|call| call.endpoint));
        }
        for endpoint in [
            Endpoint::Append,
            Endpoint::AppendFiles,
            Endpoint::Authorize,
            Endpoint::Drop,
            Endpoint::Hostname,
            Endpoint::Login,
            Endpoint::Open,
            Endpoint::PipeInfo,
            Endpoint::Query,
            Endpoint::Session,
            Endpoint::Statement,
            Endpoint::Status,
            Endpoint::Telemetry,
            Endpoint::Token,
        ] {
            assert!(
                known.contains(&endpoint),
                "{endpoint:?} is not in the guide"
            );
        }
    }
}
