//! Checks of requests with rows: the body has at least as many bytes as its rows need and, if rows are read, contains the rows
//! of its tokens, in order and unchanged.

use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use crate::rows::Lines;

/// Every ride has 218 random bits, in TXID and RFID, which cannot be compressed.
const LEAST_BYTES: u64 = 27;

/// The numbers of the rows in a request. They are its offset tokens: a channel's first row is number 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Span {
    /// Reads the two tokens of a request.
    pub(crate) fn parse(start: Option<&str>, end: Option<&str>) -> Result<Self, String> {
        let number = |token: Option<&str>| token?.parse::<u64>().ok();
        match (number(start), number(end)) {
            (Some(first), Some(last)) if first <= last && last < u64::MAX => {
                Ok(Self { first, last })
            }
            _ => Err(format!(
                "the tokens {start:?} to {end:?} are not the numbers of rows"
            )),
        }
    }

    pub(crate) fn rows(self) -> u64 {
        self.last - self.first + 1
    }

    /// Checks without reading a compressed body that it is long enough for the rows.
    pub(crate) fn fits(self, body_bytes: u64) -> Result<(), String> {
        if body_bytes < self.rows().saturating_mul(LEAST_BYTES) {
            return Err(format!(
                "{self} are {} rows, and {body_bytes} bytes cannot hold them",
                self.rows()
            ));
        }
        Ok(())
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rows {} to {}", self.first, self.last)
    }
}

/// The rows that clients stream: row `n` of every channel is line `n` of the pool, which starts again after its last line.
#[derive(Debug)]
pub(crate) struct Pool(Lines);

impl Pool {
    /// Reads the file that the clients read.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let lines = Lines::read(path).with_context(|| path.display().to_string())?;
        anyhow::ensure!(lines.len() > 0, "{} holds no rows", path.display());
        Ok(Self(lines))
    }

    /// Compares the lines of a zstd frame with the rows of a span. Returns how many of them are the same JSON in other bytes.
    pub(crate) fn compare(&self, span: Span, frame: &[u8]) -> Result<u64, String> {
        let text =
            zstd::decode_all(frame).map_err(|why| format!("{span} are not a zstd frame: {why}"))?;
        let mut number = span.first;
        let mut rewritten = 0;
        // The official SDK ends each append with an empty line.
        for line in text.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()) {
            if number > span.last {
                return Err(format!("the body of {span} has an additional row"));
            }
            let expected = self.line(number);
            if line != expected {
                if !is_same_json(line, expected) {
                    return Err(self.other_row(number, line));
                }
                rewritten += 1;
            }
            number += 1;
        }
        if number <= span.last {
            return Err(format!("the body of {span} ends before row {number}"));
        }
        Ok(rewritten)
    }

    /// The line of a row, without its end.
    fn line(&self, number: u64) -> &[u8] {
        let at = number % self.0.len() as u64;
        let line = usize::try_from(at).ok().and_then(|at| self.0.line(at));
        line.unwrap_or_default().trim_ascii_end()
    }

    fn other_row(&self, number: u64, line: &[u8]) -> String {
        let pool = self.0.len() as u64;
        let found = (0..pool).find(|&other| self.line(other) == line);
        let found = found.map_or_else(
            || format!("{}", line.escape_ascii()),
            |found| format!("row {found} of the pool"),
        );
        format!(
            "in the place of row {number}, row {} of the pool, is {found}",
            number % pool
        )
    }
}

fn is_same_json(line: &[u8], expected: &[u8]) -> bool {
    let read = |line| serde_json::from_slice::<Value>(line).ok();
    read(line).is_some_and(|row| read(expected) == Some(row))
}
