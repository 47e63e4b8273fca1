//! The program asks Snowpipe to load the objects: a server that answers as the documentation of the REST API says.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::World;

#[derive(Default)]
struct Pipe {
    /// How often each file was submitted.
    files: BTreeMap<String, usize>,
    calls: usize,
    problems: Vec<String>,
}

type Shared = Arc<Mutex<Pipe>>;

fn checked(pipe: &mut Pipe, name: &str, headers: &HeaderMap) {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    };
    let token = header("authorization")
        .strip_prefix("Bearer ")
        .unwrap_or("");
    // A JWT has three parts.
    if token.split('.').count() != 3
        || header("x-snowflake-authorization-token-type") != "KEYPAIR_JWT"
        || name != "SENSORS.PUBLIC.KINESIS_SENSORS_PIPE"
    {
        pipe.problems.push(format!("{name} with {headers:?}"));
    }
}

async fn insert(
    State(pipe): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let mut pipe = pipe.lock().unwrap_or_else(PoisonError::into_inner);
    checked(&mut pipe, &name, &headers);
    pipe.calls += 1;
    for file in body["files"].as_array().into_iter().flatten() {
        if let (Some(path), Some(_)) = (file["path"].as_str(), file["size"].as_u64()) {
            *pipe.files.entry(path.to_owned()).or_default() += 1;
        } else {
            pipe.problems.push(file.to_string());
        }
    }
    // The answer to the first call is lost: it has done its work.
    if pipe.calls == 1 {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(Value::Null));
    }
    let answer = json!({ "requestId": "1", "status": "success" });
    (StatusCode::OK, Json(answer))
}

async fn report(
    State(pipe): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Json<Value> {
    let mut pipe = pipe.lock().unwrap_or_else(PoisonError::into_inner);
    checked(&mut pipe, &name, &headers);
    let files = pipe.files.keys().map(|path| {
        let is_broken = path.contains("broken");
        let error = is_broken.then_some("Numeric value 'x' is not recognized");
        json!({
            "path": path,
            "stageLocation": "s3://raw/kinesiscsv/",
            "rowsInserted": if is_broken { 0 } else { 3 },
            "status": if is_broken { "LOAD_FAILED" } else { "LOADED" },
            "firstError": error,
            "complete": true,
        })
    });
    let files: Vec<_> = files.collect();
    Json(json!({ "pipe": name, "completeResult": true, "nextBeginMark": "1_39", "files": files }))
}

#[tokio::test]
async fn snowpipe_is_asked_for_each_object_until_it_has_answered() -> Result<()> {
    let world = World::new(1).await?;
    let pipe = Shared::default();
    let router = Router::new()
        .route("/v1/data/pipes/{pipe}/insertFiles", post(insert))
        .route("/v1/data/pipes/{pipe}/insertReport", get(report))
        .with_state(Arc::clone(&pipe));
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let server = tokio::spawn(async move { axum::serve(listener, router).await });

    // The login of the emulator, at another server.
    let text = std::fs::read_to_string(world.path("profile.json"))?;
    let mut profile: Value = serde_json::from_str(&text)?;
    profile["url"] = url.into();
    let path = world.path("snowpipe.json");
    std::fs::write(&path, profile.to_string())?;
    let profile = format!("--profile={}", path.display());

    let object = "sensorId,currentTemperature,status\n1,2,OK\n1,2,OK\n1,2,OK\n";
    for key in ["sensor-1/a.csv", "sensor-1/b.csv"] {
        world
            .bucket
            .put(&format!("kinesiscsv/{key}"), object.into())
            .await?;
    }
    let bucket = format!("--bucket={}", world.path("bucket").display());
    let history = format!("--history={}", world.path("snowpipe.db").display());
    let snowpipe = "--snowpipe=SENSORS.PUBLIC.KINESIS_SENSORS_PIPE";
    let arguments = [
        "load",
        &bucket,
        &history,
        &profile,
        snowpipe,
        "--once",
        "--poll=0.2",
    ];
    let mut loading = world.program(&arguments)?;
    loading
        .says("2 objects taken, 6 rows, 0 changed later, 0 refused")
        .await?;
    ensure!(loading.ended().await?.success(), "the program failed");
    let files = |pipe: &Shared| {
        pipe.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .files
            .clone()
    };
    let twice = ["sensor-1/a.csv", "sensor-1/b.csv"].map(|key| (key.to_owned(), 2));
    ensure!(files(&pipe) == twice.into(), "{:?}", files(&pipe));

    // Only new objects are submitted, and one that was not loaded is named.
    world
        .bucket
        .put("kinesiscsv/broken.csv", "x".into())
        .await?;
    let mut loading = world.program(&arguments)?;
    loading.says("Numeric value 'x' is not recognized").await?;
    loading
        .says("3 objects taken, 6 rows, 0 changed later, 1 refused")
        .await?;
    ensure!(
        loading.ended().await?.code() == Some(1),
        "the program has not failed"
    );
    let broken = files(&pipe).remove("broken.csv").context("not submitted")?;
    ensure!(
        broken == 1 && files(&pipe).values().sum::<usize>() == 5,
        "{:?}",
        files(&pipe)
    );
    let problems = pipe
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .problems
        .clone();
    ensure!(problems.is_empty(), "{problems:?}");
    server.abort();
    Ok(())
}
