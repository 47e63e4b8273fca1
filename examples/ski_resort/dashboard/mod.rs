//! The dashboard: a page on a loopback port that shows the pipeline and the reports, and Prometheus text beside it.
//!
//! A view is computed once for all its readers, by a task that ends when there are none. An event stream has no queue: it sends
//! the last state, at most twice a second, and ends with the pipeline's last state and `end`. A connection from which nothing is
//! read for a minute is closed, which frees the place of its stream. The browser gets the files in `page/` without a build
//! step. Each number on the page is in an element with `data-metric`, which the browser test reads.

pub(crate) mod asked;
mod connections;
pub(crate) mod events;
mod guard;
mod header;
mod network;
mod pages;
mod periods;
mod prometheus;
mod queries;
mod resort;
mod source;
pub(crate) mod views;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde_json::json;
use serde_json::value::RawValue;
use snowpipe_streaming::sql::SqlClient;
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::asked::Asked;
use self::events::Streams;
use self::guard::Guard;
use self::views::Views;
use crate::live::Live;
use crate::misconfigured::Misconfigured;

/// The default port, if it is free.
const DEFAULT_PORT: u16 = 8214;

/// Where the reports are.
#[derive(Debug, Clone)]
pub(crate) enum ReportPlace {
    /// Not known yet.
    Unknown,
    /// In this SQLite file.
    Embedded(PathBuf),
    /// In an account.
    Account(Arc<SqlClient>),
}

/// A dashboard that is bound to its port, so that its address is known.
#[derive(Debug)]
pub(crate) struct Dashboard {
    listener: TcpListener,
    port: u16,
}

impl Dashboard {
    /// Binds `port`, or without one the default port or any free port.
    ///
    /// # Errors
    /// [`Misconfigured`] if `port` cannot be used.
    pub(crate) async fn bind(port: Option<u16>) -> Result<Self> {
        let loopback = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = match port {
            Some(port) => loopback(port).await.map_err(|error| {
                Misconfigured::new(format!(
                    "the dashboard cannot use port {port}: {error}; give another --port, omit it, or give --no-dashboard"
                ))
            })?,
            None => match loopback(DEFAULT_PORT).await {
                Ok(listener) => listener,
                Err(_) => loopback(0)
                    .await
                    .context("cannot bind a port for the dashboard")?,
            },
        };
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// The page's address.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Serves until `stop` becomes true, when all streams end. `changed` counts the changes of embedded reports.
    pub(crate) async fn serve(
        self,
        live: watch::Receiver<Live>,
        reports: watch::Receiver<ReportPlace>,
        changed: watch::Receiver<u64>,
        stop: watch::Receiver<bool>,
    ) -> Result<()> {
        let shared = Arc::new(Shared {
            views: Views::new(reports, changed, stop.clone()),
            streams: Streams::new(live.clone(), stop.clone()),
            live,
        });
        connections::serve(self.listener, routes(shared, Guard::new(self.port)), stop).await;
        Ok(())
    }
}

/// The state shared by all requests.
struct Shared {
    live: watch::Receiver<Live>,
    views: Arc<Views>,
    streams: Streams,
}

fn routes(shared: Arc<Shared>, guard: Guard) -> Router {
    Router::new()
        .route("/events", get(events))
        .route("/data", get(data))
        .route("/metrics", get(metrics))
        .with_state(shared)
        .fallback(pages::page)
        .layer(middleware::from_fn_with_state(guard, guard::check))
}

/// Waits until `stop` becomes true or its sender is dropped.
async fn is_true(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|flag| *flag).await;
}

type Parameters = Result<Query<Asked>, QueryRejection>;

async fn events(State(shared): State<Arc<Shared>>, asked: Parameters) -> Response {
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(why) => return refused(&why),
    };
    match shared.streams.open(&shared.views, &asked) {
        Some(stream) => stream.into_response(),
        None => busy(),
    }
}

async fn data(State(shared): State<Arc<Shared>>, asked: Parameters) -> Response {
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(why) => return refused(&why),
    };
    let report = match shared.views.now(&asked).await {
        Ok(text) => text,
        Err(views::TooMany) => return busy(),
    };
    let report = report.and_then(|text| RawValue::from_string(text.to_string()).ok());
    let pipeline = shared.live.borrow().clone();
    Json(json!({ "pipeline": pipeline, "report": report })).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let live = shared.live.borrow().clone();
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, kind)], prometheus::text(&live)).into_response()
}

fn refused(why: &QueryRejection) -> Response {
    let message = json!({ "error": why.body_text() });
    (StatusCode::BAD_REQUEST, Json(message)).into_response()
}

fn busy() -> Response {
    let message = json!({ "error": "Too many pages are open: close some of them." });
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(RETRY_AFTER, "5")],
        Json(message),
    )
        .into_response()
}
