//! The page's files, which are embedded in the program.

use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

/// A file by its path.
macro_rules! file {
    ($kind:expr, $path:literal) => {
        (
            concat!("/", $path),
            $kind,
            include_str!(concat!("page/", $path)),
        )
    };
}

const FILES: &[(&str, &str, &str)] = &[
    file!(HTML, "index.html"),
    file!(CSS, "style.css"),
    file!(SVG, "favicon.svg"),
    file!(SCRIPT, "app.js"),
    file!(SCRIPT, "charts.js"),
    file!(SCRIPT, "connection.js"),
    file!(SCRIPT, "dom.js"),
    file!(SCRIPT, "format.js"),
    file!(SCRIPT, "network.js"),
    file!(SCRIPT, "pipeline.js"),
    file!(SCRIPT, "resort.js"),
    file!(SCRIPT, "vendor/uPlot.iife.min.js"),
    file!(CSS, "vendor/uPlot.min.css"),
    file!(TEXT, "vendor/LICENSE"),
];

/// The file for a path.
pub(super) async fn page(uri: Uri) -> Response {
    let path = match uri.path() {
        "/" => "/index.html",
        path => path,
    };
    match FILES.iter().find(|(name, ..)| *name == path) {
        Some((_, kind, text)) => ([(CONTENT_TYPE, *kind)], *text).into_response(),
        None => (StatusCode::NOT_FOUND, "There is no such page.").into_response(),
    }
}
