//! The engine of the simulated group: a coordinator that assigns partitions to members, and the partitions' records.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::repeatable::Trace;

/// A record with the time from which it can be read.
#[derive(Debug, Clone)]
pub struct Record {
    pub row: Value,
    pub at: Instant,
}

/// What a member hears from the coordinator.
#[derive(Debug)]
pub enum Notice {
    Assigned(Vec<usize>),
    /// With the member's answer that it has stopped.
    Revoked(Vec<usize>, oneshot::Sender<()>),
    Lost,
}

/// What is drawn once for a history.
#[derive(Debug, Clone)]
pub struct Rules {
    pub partitions: usize,
    pub session: Duration,
    pub heartbeat: Duration,
    /// Each rebalance takes all partitions from all members.
    pub is_eager: bool,
    /// The coordinator does not wait for the last owner, so two members can believe that they own a partition.
    pub is_hasty: bool,
}

/// A clone is the same cluster.
#[derive(Clone)]
pub struct Cluster {
    state: Arc<Mutex<State>>,
    pub trace: Arc<Trace>,
}

pub struct State {
    pub rules: Rules,
    /// The records of each partition by offset. Offsets have holes.
    pub records: Vec<BTreeMap<i64, Record>>,
    members: BTreeMap<u64, mpsc::UnboundedSender<Notice>>,
    owners: Vec<Option<u64>>,
    /// Raised by each rebalance, which ends the ones before.
    epoch: u64,
    pub is_away: bool,
    /// Dead letters: partition and offset.
    pub letters: BTreeSet<(usize, i64)>,
    /// What the engine stores for each partition: the released offset, and how many rejects were kept by then.
    pub stored: BTreeMap<usize, (i64, u64)>,
    pub wrong: Vec<String>,
    pub counts: BTreeMap<&'static str, u64>,
    rng: fastrand::Rng,
}

impl Cluster {
    pub fn new(rules: Rules, rng: &mut fastrand::Rng, records: i64, span: Duration) -> Self {
        let start = Instant::now();
        let mut log = |partition: usize| {
            let mut offset = 0;
            let mut log = BTreeMap::new();
            let bad = if rng.bool() { 0 } else { rng.i64(2..40) };
            // Some partitions fall silent early.
            let span = span.mul_f64([1.0, 0.5, 0.0][rng.usize(..3)]);
            for n in 0..records {
                offset += if rng.u8(..8) == 0 { rng.i64(2..50) } else { 1 };
                let row = if bad > 0 && n % bad == 1 {
                    json!({ "P": partition })
                } else {
                    json!({ "P": partition, "N": offset })
                };
                let part = f64::from(u32::try_from(n).unwrap())
                    / f64::from(u32::try_from(records).unwrap());
                let at = start + span.mul_f64(part);
                log.insert(offset, Record { row, at });
            }
            log
        };
        let records = (0..rules.partitions).map(&mut log).collect();
        let state = State {
            owners: vec![None; rules.partitions],
            rules,
            records,
            members: BTreeMap::new(),
            epoch: 0,
            is_away: false,
            letters: BTreeSet::new(),
            stored: BTreeMap::new(),
            wrong: Vec::new(),
            counts: BTreeMap::new(),
            rng: rng.fork(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            trace: Arc::new(Trace::new()),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn log(&self, what: impl fmt::Display) {
        self.trace.log(what);
    }

    pub fn count(&self, what: &'static str) {
        *self.state().counts.entry(what).or_default() += 1;
    }

    pub fn blame(&self, what: impl Into<String>) {
        let what = what.into();
        self.log(format!("WRONG {what}"));
        self.state().wrong.push(what);
    }

    /// A member joins, or joins again.
    pub fn join(&self, member: u64) -> mpsc::UnboundedReceiver<Notice> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.drop_member(member);
        self.state().members.insert(member, sender);
        self.rebalance();
        receiver
    }

    /// A member leaves, or its session is over: what it owned is free.
    pub fn remove(&self, member: u64) {
        if self.drop_member(member) {
            self.rebalance();
        }
    }

    fn drop_member(&self, member: u64) -> bool {
        let mut state = self.state();
        let Some(gone) = state.members.remove(&member) else {
            return false;
        };
        self.log(format!("the cluster removes {member}"));
        // It hears of it when it can hear at all.
        let _ = gone.send(Notice::Lost);
        for owner in &mut state.owners {
            if *owner == Some(member) {
                *owner = None;
            }
        }
        true
    }

    /// The member to which a partition is assigned.
    pub fn owner(&self, partition: usize) -> Option<u64> {
        self.state().owners[partition]
    }

    pub fn owns(&self, member: u64, partition: usize) -> bool {
        let state = self.state();
        state.members.contains_key(&member) && state.owners[partition] == Some(member)
    }

    /// The coordinator is gone: no session survives if it stays away for long.
    pub fn go_away(&self) {
        self.log("the cluster goes away");
        self.state().is_away = true;
    }

    pub fn come_back(&self) {
        self.log("the cluster comes back");
        self.state().is_away = false;
        self.rebalance();
    }

    pub fn end_all_sessions(&self) {
        let members: Vec<u64> = self.state().members.keys().copied().collect();
        for member in members {
            self.drop_member(member);
        }
    }

    /// Assigns the partitions to the members anew.
    pub fn rebalance(&self) {
        let mut state = self.state();
        state.epoch += 1;
        if state.members.is_empty() || state.is_away {
            return;
        }
        let mut members: Vec<u64> = state.members.keys().copied().collect();
        state.rng.shuffle(&mut members);
        let is_eager = state.rules.is_eager;
        let mut taken: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        let mut given: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for partition in 0..state.owners.len() {
            let target = members[partition % members.len()];
            match state.owners[partition] {
                Some(owner) if owner == target && !is_eager => continue,
                Some(owner) => taken.entry(owner).or_default().push(partition),
                None => {}
            }
            state.owners[partition] = None;
            given.entry(target).or_default().push(partition);
        }
        let epoch = state.epoch;
        self.log(format!("rebalance {epoch}: from {taken:?} to {given:?}"));
        let mut stopping = Vec::new();
        for (member, partitions) in taken {
            let (sender, stopped) = oneshot::channel();
            if let Some(events) = state.members.get(&member)
                && events.send(Notice::Revoked(partitions, sender)).is_ok()
            {
                stopping.push((member, stopped));
            }
        }
        let Rules {
            is_hasty, session, ..
        } = state.rules;
        drop(state);
        let cluster = self.clone();
        tokio::spawn(async move {
            for (member, stopped) in stopping {
                if !is_hasty && timeout(session, stopped).await.is_err() {
                    // It does not answer, so its session is over, which begins another rebalance.
                    cluster.remove(member);
                }
            }
            cluster.give(epoch, given);
        });
    }

    fn give(&self, epoch: u64, given: BTreeMap<u64, Vec<usize>>) {
        let mut state = self.state();
        if state.epoch != epoch {
            return;
        }
        for (member, partitions) in given {
            for partition in &partitions {
                state.owners[*partition] = Some(member);
            }
            if let Some(events) = state.members.get(&member) {
                let _ = events.send(Notice::Assigned(partitions));
            }
        }
    }
}

impl State {
    /// The records of a range that can be read by now.
    pub fn read(
        &self,
        partition: usize,
        range: impl RangeBounds<i64>,
        max: usize,
    ) -> Vec<(i64, Value)> {
        let now = Instant::now();
        let records = self.records[partition].range(range);
        let there = records.take_while(|(_, record)| record.at <= now);
        there
            .take(max)
            .map(|(offset, record)| (*offset, record.row.clone()))
            .collect()
    }
}
