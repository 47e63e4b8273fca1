//! The cost of the work without a client, called the floor: encoding and compressing the rows in one thread, with reused
//! memory. It is measured on an otherwise idle machine, and beside a busy neighbour, a process that does the same work all the
//! time. A client shares the processors and their caches with the server, as the floor does with its neighbour.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use zstd::bulk::Compressor;

use crate::figures::float;
use crate::rows::{Form, Pool};
use crate::usage;

/// The compression level of the client.
const LEVEL: i32 = 1;
/// Bytes of rows in a body.
const BODIES: [usize; 4] = [256 << 10, 1 << 20, 4 << 20, 14 << 20];

/// Rows of one pass of the neighbour: few, so that it soon reports that it is busy.
const PASS: u64 = 10_000;

/// The input of a floor process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) pool: PathBuf,
    pub(crate) form: Form,
    pub(crate) rows: u64,
}

/// The cost of bodies of one size.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Floor {
    pub(crate) body_bytes: usize,
    pub(crate) cpu_us_per_row: f64,
    pub(crate) json_bytes_per_row: f64,
    pub(crate) wire_bytes_per_row: f64,
}

/// The cost of the cheapest bodies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Floors {
    /// On an otherwise idle machine.
    pub(crate) alone: Floor,
    /// Beside a busy neighbour.
    pub(crate) beside: Floor,
}

impl Floors {
    /// The medians of several measurements.
    pub(crate) fn middle(runs: &[Self]) -> Option<Self> {
        let middle = |of: fn(&Self) -> &Floor| {
            let mut floors: Vec<&Floor> = runs.iter().map(of).collect();
            floors.sort_by(|a, b| a.cpu_us_per_row.total_cmp(&b.cpu_us_per_row));
            floors
                .get(floors.len().saturating_sub(1) / 2)
                .map(|floor| Floor::clone(floor))
        };
        Some(Self {
            alone: middle(|floors| &floors.alone)?,
            beside: middle(|floors| &floors.beside)?,
        })
    }
}

/// Does the same work until the standard input ends. Prints `{}` after the first pass.
pub(crate) fn be_neighbour(pool: &Path) -> Result<()> {
    let pool = Pool::read(pool, Form::Typed)?;
    std::thread::spawn(|| {
        // A read error counts as the end.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let mut passes = 0_u64;
    loop {
        for size in BODIES {
            floor(&pool, size, PASS)?;
        }
        passes += 1;
        if passes == 1 {
            println!("{{}}");
        }
    }
}

/// Measures bodies of all sizes, and prints the floors.
pub(crate) fn run(job: &str) -> Result<()> {
    let job: Job = serde_json::from_str(job)?;
    let pool = Pool::read(&job.pool, job.form)?;
    let floors: Vec<_> = BODIES
        .into_iter()
        .map(|size| floor(&pool, size, job.rows))
        .collect::<Result<_>>()?;
    println!("{}", serde_json::to_string(&floors)?);
    Ok(())
}

fn floor(pool: &Pool, size: usize, rows: u64) -> Result<Floor> {
    let mut compressor = Compressor::new(LEVEL)?;
    // Room for one row more than the size, and for incompressible bodies.
    let mut body = Vec::with_capacity(size + 1_024);
    let mut packed = Vec::with_capacity(zstd::zstd_safe::compress_bound(size + 1_024));
    let mut json_bytes = 0;
    let mut wire_bytes = 0;
    let mut pack = |body: &mut Vec<u8>| -> Result<()> {
        packed.clear();
        wire_bytes += compressor.compress_to_buffer(body, &mut packed)? as u64;
        json_bytes += body.len() as u64;
        body.clear();
        Ok(())
    };
    let started = usage::cpu_seconds();
    for row in (0..pool.len()).cycle().take(usize::try_from(rows)?) {
        encode(pool, row, &mut body)?;
        if body.len() >= size {
            pack(&mut body)?;
        }
    }
    pack(&mut body)?;
    let cpu_s = usage::cpu_seconds() - started;
    Ok(Floor {
        body_bytes: size,
        cpu_us_per_row: cpu_s * 1e6 / float(rows),
        json_bytes_per_row: float(json_bytes) / float(rows),
        wire_bytes_per_row: float(wire_bytes) / float(rows),
    })
}

fn encode(pool: &Pool, row: usize, body: &mut Vec<u8>) -> Result<()> {
    match pool {
        Pool::Typed(rows) => write(rows.get(row), body),
        Pool::Value(rows) => write(rows.get(row), body),
        Pool::Ndjson(lines) => {
            body.extend_from_slice(lines.line(row).context("the row is in the pool")?);
            Ok(())
        }
    }
}

fn write<R: Serialize>(row: Option<&R>, body: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(&mut *body, row.context("the row is in the pool")?)?;
    body.push(b'\n');
    Ok(())
}
