//! A member of the simulated group: what the program gives to `ingest::group`.

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use snowpipe_streaming::ingest::group::{Event, Partitions};
use snowpipe_streaming::ingest::{Batch, Ownership, Rejected, Source};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::cluster::{Cluster, Notice};
use super::process::Process;

/// The number of a partition. Its text has capitals, which channel names cannot tell from small letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(pub usize);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Partitions 0 and 1 are `a` and `A`.
        let letter = ["a", "A"][self.0 % 2];
        write!(f, "{letter}:{}", self.0 / 2)
    }
}

/// The member's connection to the coordinator.
pub struct Membership {
    pub cluster: Cluster,
    pub process: Process,
    pub rng: fastrand::Rng,
    notices: mpsc::UnboundedReceiver<Notice>,
    /// A notice that is on its way to the program.
    next: Option<(Instant, Notice)>,
    /// What the program was assigned.
    owned: Vec<usize>,
}

#[derive(Debug, thiserror::Error)]
#[error("the cluster is away")]
pub struct Away;

impl Membership {
    pub fn new(cluster: Cluster, process: Process, rng: fastrand::Rng) -> Self {
        Self {
            notices: cluster.join(process.id),
            cluster,
            process,
            rng,
            next: None,
            owned: Vec::new(),
        }
    }

    fn source(&mut self, partition: usize) -> (Number, Partition) {
        let source = Partition {
            cluster: self.cluster.clone(),
            process: self.process.clone(),
            number: partition,
            rng: self.rng.fork(),
            rejects_kept: 0,
        };
        (Number(partition), source)
    }
}

impl Partitions for Membership {
    type Partition = Number;
    type Source = Partition;
    type Error = Away;

    async fn next(&mut self) -> Result<Option<Event<Number, Partition>>, Away> {
        if self.next.is_none() {
            let notice = match self.notices.recv().await {
                Some(notice) => notice,
                None => std::future::pending().await,
            };
            let delay = Duration::from_millis(self.rng.u64(..300));
            self.next = Some((Instant::now() + delay, notice));
        }
        if let Some((due, _)) = &self.next {
            sleep_until(*due).await;
        }
        self.process.awake().await;
        if !self.process_failures() {
            return Err(Away);
        }
        let notice = self.next.take().unwrap().1;
        let id = self.process.id;
        self.cluster.log(format!("{id} hears {notice:?}"));
        let event = match notice {
            Notice::Assigned(partitions) => {
                self.owned.extend(&partitions);
                Event::Assigned(partitions.into_iter().map(|p| self.source(p)).collect())
            }
            Notice::Revoked(partitions, stopped) => {
                self.owned.retain(|p| !partitions.contains(p));
                let _ = stopped.send(());
                Event::Revoked(partitions.into_iter().map(Number).collect())
            }
            Notice::Lost => {
                // A client of a real engine joins again at once.
                self.notices = self.cluster.join(self.process.id);
                Event::Lost(
                    std::mem::take(&mut self.owned)
                        .into_iter()
                        .map(Number)
                        .collect(),
                )
            }
        };
        Ok(Some(event))
    }

    async fn leave(&mut self) -> Result<(), Away> {
        self.process.awake().await;
        self.cluster.remove(self.process.id);
        Ok(())
    }
}

impl Membership {
    /// Fails now and then.
    fn process_failures(&mut self) -> bool {
        self.rng.u8(..30) > 0
    }
}

/// One partition, as a source.
pub struct Partition {
    cluster: Cluster,
    process: Process,
    number: usize,
    rng: fastrand::Rng,
    /// How many rejects of the channel were kept.
    rejects_kept: u64,
}

impl Partition {
    async fn call(&mut self) -> Result<(), Away> {
        self.process.awake().await;
        if self.rng.u8(..60) == 0 {
            self.log("fails");
            return Err(Away);
        }
        Ok(())
    }

    fn log(&self, what: &str) {
        let (id, number) = (self.process.id, self.number);
        self.cluster
            .log(format!("{id}: the source {number} {what}"));
    }
}

impl Source for Partition {
    type Offset = i64;
    type Row = Value;
    type Error = Away;

    async fn read_after(
        &mut self,
        after: Option<&i64>,
        max: usize,
    ) -> Result<Batch<i64, Value>, Away> {
        self.call().await?;
        let from = after.map_or(i64::MIN, |after| after + 1);
        let max = self.rng.usize(1..=max);
        Ok(Batch::new(self.cluster.state().read(
            self.number,
            from..,
            max,
        )))
    }

    async fn ready(&mut self) -> Result<(), Away> {
        let wait = self.rng.u64(10..500);
        sleep(Duration::from_millis(wait)).await;
        self.call().await
    }

    async fn release_through(&mut self, through: &i64) -> Result<(), Away> {
        self.call().await?;
        // The engine refuses the offsets of a member that it has given up, and some get lost.
        if self.cluster.owns(self.process.id, self.number) && self.rng.u8(..4) > 0 {
            let stored = (*through, self.rejects_kept);
            self.cluster.state().stored.insert(self.number, stored);
        }
        Ok(())
    }

    async fn released(&mut self) -> Result<Option<i64>, Away> {
        self.call().await?;
        let state = self.cluster.state();
        Ok(state.stored.get(&self.number).map(|(offset, _)| *offset))
    }

    async fn dead_letter(
        &mut self,
        rejected: &Rejected<i64>,
        rows: Vec<(i64, Value)>,
    ) -> Result<(), Away> {
        self.call().await?;
        self.rejects_kept = rejected.total;
        let letters = rows.iter().map(|(offset, _)| (self.number, *offset));
        self.cluster.state().letters.extend(letters);
        Ok(())
    }

    async fn rejects_seen(&mut self, _: &str) -> Result<Option<u64>, Away> {
        self.call().await?;
        let state = self.cluster.state();
        self.rejects_kept = state.stored.get(&self.number).map_or(0, |(_, kept)| *kept);
        Ok(Some(self.rejects_kept))
    }

    async fn check(&mut self, channel: &str, committed: Option<&i64>) -> Result<(), Away> {
        self.call().await?;
        let mut state = self.cluster.state();
        if let Some(committed) = committed
            && !state.records[self.number].contains_key(committed)
        {
            let what = format!("{channel} has committed {committed}, which is no record of its");
            state.wrong.push(what);
        }
        Ok(())
    }

    async fn ownership(&mut self, _: &str) -> Result<Ownership, Away> {
        let heartbeat = self.cluster.state().rules.heartbeat;
        sleep(heartbeat).await;
        self.call().await?;
        if self.cluster.state().is_away {
            return Err(Away);
        }
        let owns = self.cluster.owns(self.process.id, self.number);
        self.log(if owns { "is owned" } else { "is not owned" });
        Ok(if owns {
            Ownership::Owned
        } else {
            Ownership::NotOwned
        })
    }
}
