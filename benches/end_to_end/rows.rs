//! The rows that all runs stream: lift rides as in `examples/ski_resort`.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail};
use arrayvec::ArrayString;
use bytes::Bytes;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use snowpipe_connector_support::dice::Dice;
use snowpipe_streaming::{Channel, Receipt, RowBatch};

use crate::resorts::Resort;

/// Rows in a pool. They are unique, and are streamed repeatedly. They are many more than fit into a compressor's window.
pub(crate) const POOL: usize = 100_000;

/// 2026-01-17T15:00:00Z, when the lifts open.
const OPENING: i64 = 1_768_662_000;
/// The rides are those of a week, in random order, as they arrive from many gates. Sorted rides would compress better.
const DAYS: u64 = 7;
const OPEN_SECONDS: u64 = 8 * 3_600;

/// The form in which a program has its rows when it appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// A struct that serde serializes.
    Typed,
    /// A `serde_json::Value`.
    Value,
    /// The bytes of NDJSON.
    Ndjson,
}

/// A ride, in the order of its columns. The texts are stored inline, so that the pool needs little memory.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) struct Ride {
    txid: ArrayString<36>,
    rfid: ArrayString<28>,
    #[serde(rename = "RIDE_TIME")]
    time: ArrayString<28>,
    lift: ArrayString<40>,
    resort: ArrayString<16>,
    activation_day_count: u32,
}

/// Writes `POOL` rides as NDJSON.
pub(crate) fn write_pool(path: &Path) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut dice = Dice::new(9, 0);
    for _ in 0..POOL {
        let rfid = dice.bits(96);
        let resort = dice.choose(&Resort::POPULARITY, Resort::OTHERWISE).facts();
        let day = dice.below(DAYS);
        let seconds = i64::try_from(day * 86_400 + dice.below(OPEN_SECONDS))?;
        let at = jiff::Timestamp::from_second(OPENING + seconds)?;
        let ride = Ride {
            txid: text(dice.uuid())?,
            rfid: text(format_args!("{rfid:#x}"))?,
            time: text(at.strftime("%Y-%m-%dT%H:%M:%S+00:00"))?,
            lift: text(dice.pick(resort.lifts))?,
            resort: text(resort.name)?,
            activation_day_count: u32::try_from(day + 1)?,
        };
        serde_json::to_writer(&mut file, &ride)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    Ok(())
}

fn text<const N: usize>(value: impl std::fmt::Display) -> Result<ArrayString<N>> {
    ArrayString::try_from(format_args!("{value}"))
        .ok()
        .with_context(|| format!("{value} is longer than {N} bytes"))
}

/// The rows of a pool in one form.
#[derive(Debug)]
pub(crate) enum Pool {
    Typed(Vec<Ride>),
    Value(Vec<Value>),
    Ndjson(Lines),
}

/// NDJSON, and the end of each line.
#[derive(Debug)]
pub(crate) struct Lines {
    text: Bytes,
    ends: Vec<usize>,
}

impl Pool {
    /// Reads what [`write_pool`] wrote.
    pub(crate) fn read(path: &Path, form: Form) -> Result<Self> {
        let pool = match form {
            Form::Typed => Self::Typed(read_lines(path)?),
            Form::Value => Self::Value(read_lines(path)?),
            Form::Ndjson => Self::Ndjson(Lines::read(path)?),
        };
        if pool.len() == 0 {
            bail!("{} holds no rows", path.display());
        }
        Ok(pool)
    }

    /// Appends `batch` rows, or fewer at the end of the pool, starting at number `next`. The numbers are the tokens. Returns
    /// the receipt and how many rows were appended.
    pub(crate) async fn append(
        &self,
        channel: &mut Channel,
        next: u64,
        batch: usize,
    ) -> Result<(Receipt, u64)> {
        let at = usize::try_from(next)? % self.len();
        let until = self.len().min(at + batch);
        let receipt = match self {
            Self::Typed(rows) => append(channel, rows.get(at..until), next).await,
            Self::Value(rows) => append(channel, rows.get(at..until), next).await,
            Self::Ndjson(lines) => {
                let batch = RowBatch::from_ndjson(lines.slice(at, until))?;
                channel.append_batch(&batch, next..).await
            }
        };
        Ok((receipt?, (until - at) as u64))
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Typed(rows) => rows.len(),
            Self::Value(rows) => rows.len(),
            Self::Ndjson(lines) => lines.len(),
        }
    }
}

async fn append<R: Serialize>(
    channel: &mut Channel,
    rows: Option<&[R]>,
    next: u64,
) -> snowpipe_streaming::Result<Receipt> {
    match rows.unwrap_or_default() {
        [row] => channel.append_row(row, next).await,
        rows => channel.append_rows(rows, next..).await,
    }
}

impl Lines {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = Bytes::from(std::fs::read(path)?);
        let ends = text.iter().enumerate().filter(|&(_, byte)| *byte == b'\n');
        let ends = ends.map(|(at, _)| at + 1).collect();
        Ok(Self { text, ends })
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of one line.
    pub(crate) fn line(&self, number: usize) -> Option<&[u8]> {
        self.text.get(self.range(number, number + 1))
    }

    fn slice(&self, from: usize, until: usize) -> Bytes {
        self.text.slice(self.range(from, until))
    }

    /// The bytes of a range of lines.
    fn range(&self, from: usize, until: usize) -> Range<usize> {
        let end_of = |lines: usize| match lines.checked_sub(1) {
            Some(last) => self.ends.get(last).copied().unwrap_or(self.text.len()),
            None => 0,
        };
        end_of(from)..end_of(until)
    }
}

fn read_lines<R: for<'de> Deserialize<'de>>(path: &Path) -> Result<Vec<R>> {
    let mut rows = Vec::with_capacity(POOL);
    let mut file = BufReader::new(File::open(path)?);
    let mut line = String::new();
    while file.read_line(&mut line)? > 0 {
        rows.push(serde_json::from_str(&line)?);
        line.clear();
    }
    Ok(rows)
}
