//! The shards of the stream and their records.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use md5::{Digest as _, Md5};

use super::Refusal;

/// The limits of a shard, in a second.
const READS: usize = 5;
const RECORDS: usize = 1_000;
const BYTES_IN: usize = 1_000_000;
const BYTES_OUT: f64 = 2e6;
const SECOND: Duration = Duration::from_secs(1);
/// The digits before the number of a record: sequence numbers of Kinesis have 56.
const PREFIX: &str = "49590338271490256608559692538361571095";

pub(super) struct Shards {
    pub(super) stream: String,
    pub(super) created: SystemTime,
    pub(super) all: Vec<Shard>,
    pub(super) iterator_life: Duration,
    /// The number of the last record.
    last: u64,
    pub(super) throttled: u64,
    pub(super) expired: u64,
    /// How many answers without records follow a new iterator.
    pub(super) hollow: usize,
    pub(super) retention_hours: u32,
    /// How many puts are done without an answer.
    pub(super) silent_puts: usize,
    /// What is deleted after the next put.
    pub(super) trim_after_put: Option<(String, usize)>,
}

pub(super) struct Shard {
    pub(super) id: String,
    pub(super) parents: Vec<String>,
    /// The hashes of its keys.
    pub(super) begin: u128,
    pub(super) end: u128,
    /// The number after which it was closed.
    pub(super) closed_at: Option<u64>,
    pub(super) records: VecDeque<Stored>,
    reads: VecDeque<Instant>,
    /// After a long answer.
    silent_until: Option<Instant>,
    puts: VecDeque<(Instant, usize)>,
}

#[derive(Clone)]
pub(super) struct Stored {
    pub(super) number: u64,
    pub(super) key: String,
    pub(super) data: Bytes,
    pub(super) arrived: f64,
}

pub(super) fn sequence(number: u64) -> String {
    format!("{PREFIX}{number:018}")
}

pub(super) fn number(sequence: &str) -> Option<u64> {
    sequence.strip_prefix(PREFIX)?.parse().ok()
}

pub(super) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

impl Shards {
    pub(super) fn new(stream: &str, count: usize, iterator_life: Duration) -> Self {
        let mut shards = Self {
            stream: stream.to_owned(),
            created: SystemTime::now(),
            all: Vec::new(),
            iterator_life,
            last: 0,
            throttled: 0,
            expired: 0,
            hollow: 0,
            retention_hours: 24,
            silent_puts: 0,
            trim_after_put: None,
        };
        let count = count.max(1) as u128;
        let width = u128::MAX / count;
        for number in 0..count {
            let begin = width * number + u128::from(number > 0);
            let end = if number + 1 == count {
                u128::MAX
            } else {
                width * (number + 1)
            };
            shards.add(Vec::new(), begin, end);
        }
        shards
    }

    fn add(&mut self, parents: Vec<String>, begin: u128, end: u128) {
        self.all.push(Shard {
            id: format!("shardId-{:012}", self.all.len()),
            parents,
            begin,
            end,
            closed_at: None,
            records: VecDeque::new(),
            reads: VecDeque::new(),
            silent_until: None,
            puts: VecDeque::new(),
        });
    }

    pub(super) fn get(&mut self, id: &str) -> Result<&mut Shard, Refusal> {
        let found = self.all.iter_mut().find(|shard| shard.id == id);
        found.ok_or_else(|| Refusal::new("ResourceNotFoundException", format!("no shard {id}")))
    }

    /// Puts a record. Returns its shard and its sequence number.
    pub(super) fn put(&mut self, key: String, data: Bytes) -> Result<(String, String), Refusal> {
        let hash = u128::from_be_bytes(Md5::digest(&key).into());
        let number = self.last + 1;
        let is_it = |shard: &&mut Shard| {
            shard.closed_at.is_none() && (shard.begin..=shard.end).contains(&hash)
        };
        let shard = self.all.iter_mut().find(is_it);
        let shard = shard.ok_or_else(|| Refusal::invalid("no shard has this hash"))?;
        let now = Instant::now();
        while shard
            .puts
            .front()
            .is_some_and(|(at, _)| now - *at >= SECOND)
        {
            shard.puts.pop_front();
        }
        let bytes: usize = shard.puts.iter().map(|(_, bytes)| bytes).sum();
        if shard.puts.len() >= RECORDS || bytes + data.len() > BYTES_IN {
            return Err(Refusal::new(
                "ProvisionedThroughputExceededException",
                "Rate exceeded",
            ));
        }
        shard.puts.push_back((now, data.len()));
        shard.records.push_back(Stored {
            number,
            key,
            data,
            arrived: seconds(SystemTime::now()),
        });
        self.last = number;
        Ok((shard.id.clone(), sequence(number)))
    }

    /// The records after this one, within the limits of the shard, and whether the shard is at its end.
    pub(super) fn read(
        &mut self,
        id: &str,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<Stored>, bool), Refusal> {
        let shard = self.get(id)?;
        let now = Instant::now();
        while shard.reads.front().is_some_and(|at| now - *at >= SECOND) {
            shard.reads.pop_front();
        }
        if shard.reads.len() >= READS || shard.silent_until.is_some_and(|until| now < until) {
            self.throttled += 1;
            return Err(Refusal::new(
                "ProvisionedThroughputExceededException",
                "Rate exceeded",
            ));
        }
        shard.reads.push_back(now);
        let records = shard.records.iter().filter(|record| record.number > after);
        let records: Vec<_> = records.take(limit).cloned().collect();
        let bytes: usize = records.iter().map(|record| record.data.len()).sum();
        #[allow(clippy::cast_precision_loss, reason = "an answer has at most 10 MB")]
        let transfer = Duration::from_secs_f64(bytes as f64 / BYTES_OUT);
        shard.silent_until = (transfer > SECOND).then(|| now + transfer);
        let last = records.last().map_or(after, |record| record.number);
        let is_end = shard.closed_at.is_some()
            && shard
                .records
                .back()
                .is_none_or(|newest| newest.number <= last);
        Ok((records, is_end))
    }

    pub(super) fn split(&mut self, id: &str, at: u128) -> Result<(), Refusal> {
        let last = self.last;
        let shard = self.get(id)?;
        let (begin, end) = (shard.begin, shard.end);
        if shard.closed_at.is_some() || at <= begin || at > end {
            return Err(Refusal::invalid(format!("{id} cannot be split there")));
        }
        shard.closed_at = Some(last);
        self.add(vec![id.to_owned()], begin, at - 1);
        self.add(vec![id.to_owned()], at, end);
        Ok(())
    }

    pub(super) fn merge(&mut self, id: &str, other: &str) -> Result<(), Refusal> {
        let last = self.last;
        let (begin, end) = {
            let first = self.get(id)?;
            (first.begin, first.end)
        };
        let second = self.get(other)?;
        let (begin, end) = if second.begin == end.wrapping_add(1) {
            (begin, second.end)
        } else if begin == second.end.wrapping_add(1) {
            (second.begin, end)
        } else {
            return Err(Refusal::invalid("the shards are not adjacent"));
        };
        for id in [id, other] {
            self.get(id)?.closed_at = Some(last);
        }
        self.add(vec![id.to_owned(), other.to_owned()], begin, end);
        Ok(())
    }

    pub(super) fn trim(&mut self, id: &str, count: usize) {
        if let Ok(shard) = self.get(id) {
            shard.records.drain(..count.min(shard.records.len()));
        }
    }
}
