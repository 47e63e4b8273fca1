//! The main loop of a group: tasks of partitions start and stop as the engine says.
//!
//! Each assignment is a task. A revocation aborts the task, which ends its channel at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::Instant;
use tracing::{error, info};

use super::board::Board;
use super::builder::{ClientFor, Group, Observer};
use super::engine::Engine;
use super::names;
use super::partitions::{Event, Partitions};
use super::quota::Quota;
use super::report::{GroupProgress, GroupReport};
use super::task::Task;
use crate::base::task::reached;
use crate::base::watched::Watched;
use crate::client::StreamingIngestClient;
use crate::ingest::options::{Options, Stop};
use crate::ingest::report::Finish;
use crate::ingest::source::Source;
use crate::types::error::{Error, ErrorKind, Result};

type Offset<T> = <<T as Partitions>::Source as Source>::Offset;

/// How long after the drain timeout the tasks of the partitions get to close their channels.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// The state of a group that runs.
pub(super) struct Member<'a, T: Partitions> {
    client: StreamingIngestClient,
    client_for: Option<ClientFor<'a, T::Partition>>,
    name: String,
    engine: Engine<'a, T>,
    options: Options,
    quota: Arc<Quota>,
    board: Arc<Board<T::Partition, Offset<T>>>,
    observer: Option<Observer<'a, T::Partition, Offset<T>>>,
    signal: Option<Stop<'a>>,
    stop: Arc<Watched<bool>>,
    /// The tasks. Dropping the group aborts them.
    tasks: JoinSet<Result<()>>,
    owned: BTreeMap<T::Partition, AbortHandle>,
    /// Per partition, resolves when the task of its last assignment is gone.
    last: BTreeMap<T::Partition, oneshot::Receiver<()>>,
    /// The number of the last assignment.
    generation: u64,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    assigned: u64,
    revoked: u64,
    lost: u64,
}

/// What ended a wait of the group.
enum Happened<P, S> {
    Stopped,
    DrainTimedOut,
    Event(Result<Option<Event<P, S>>>),
    Ended(Result<Result<()>, JoinError>),
    Changed,
}

impl<'a, T: Partitions> Member<'a, T> {
    pub(super) fn new(group: Group<'a, T>) -> Self {
        let patience = group.options.source_patience;
        Self {
            engine: Engine::new(group.partitions, group.client.clone(), patience),
            client: group.client,
            client_for: group.client_for,
            name: group.name,
            quota: Quota::new(group.total_in_flight),
            board: Board::new(),
            observer: group.observer,
            signal: Some(group.stop),
            stop: Arc::new(Watched::new(false)),
            options: group.options,
            tasks: JoinSet::new(),
            owned: BTreeMap::new(),
            last: BTreeMap::new(),
            generation: 0,
            tally: Tally::default(),
        }
    }

    /// Runs until the group was asked to stop and is drained, or until the engine and all partitions are at their end.
    pub(super) async fn run(mut self) -> Result<GroupReport<T::Partition, Offset<T>>> {
        let outcome = self.stream().await;
        // After an error, the channels end at once.
        self.tasks.shutdown().await;
        self.engine.leave().await;
        self.publish();
        let finish = outcome?;
        let (partitions, totals) = self.board.reports();
        Ok(GroupReport {
            finish,
            assigned: self.tally.assigned,
            revoked: self.tally.revoked,
            lost: self.tally.lost,
            totals,
            partitions,
        })
    }

    async fn stream(&mut self) -> Result<Finish> {
        let mut drained_by: Option<Instant> = None;
        while !(self.tasks.is_empty() && (drained_by.is_some() || self.engine.is_over())) {
            let signal = &mut self.signal;
            let stopped = async {
                match signal {
                    Some(signal) => signal.as_mut().await,
                    None => std::future::pending().await,
                }
            };
            let happened = tokio::select! {
                biased;
                () = stopped => Happened::Stopped,
                () = reached(drained_by) => Happened::DrainTimedOut,
                event = self.engine.next() => Happened::Event(event),
                Some(ended) = self.tasks.join_next() => Happened::Ended(ended),
                () = self.board.changed() => Happened::Changed,
            };
            match happened {
                Happened::Stopped => {
                    info!(name = self.name, "the group drains");
                    self.signal = None;
                    self.stop
                        .change(|is_stopped| !std::mem::replace(is_stopped, true));
                    let timeout = self.options.drain_timeout.saturating_add(CLOSE_GRACE);
                    drained_by = Some(Instant::now() + timeout);
                }
                Happened::DrainTimedOut => break,
                Happened::Event(event) => match event? {
                    Some(Event::Assigned(partitions)) if drained_by.is_none() => {
                        self.assign(partitions);
                    }
                    Some(Event::Revoked(partitions)) => {
                        self.tally.revoked += self.unassign(&partitions);
                    }
                    Some(Event::Lost(partitions)) => self.tally.lost += self.unassign(&partitions),
                    // While the group drains, new partitions are left to the next owner.
                    Some(Event::Assigned(_)) | None => {}
                },
                Happened::Ended(Ok(ended)) => ended?,
                Happened::Ended(Err(error)) => self.panicked(&error),
                Happened::Changed => {}
            }
            self.publish();
        }
        Ok(if drained_by.is_some() {
            Finish::Stopped
        } else {
            Finish::Exhausted
        })
    }

    fn assign(&mut self, partitions: Vec<(T::Partition, T::Source)>) {
        for (partition, source) in partitions {
            self.tally.lost += self.unassign(std::slice::from_ref(&partition));
            self.tally.assigned += 1;
            self.generation += 1;
            let channel = names::channel_name(&self.name, &partition);
            let (done, gone) = oneshot::channel();
            let predecessor = self.last.insert(partition.clone(), gone);
            info!(channel, generation = self.generation, "assigned");
            let task = Task {
                client: match &mut self.client_for {
                    Some(client_for) => client_for(&partition),
                    None => self.client.clone(),
                },
                known: None,
                cell: self.board.assign(&partition, self.generation, &channel),
                channel,
                source,
                options: self.options,
                quota: Arc::clone(&self.quota),
                stop: Arc::clone(&self.stop),
                predecessor,
                _done: done,
            };
            let abort = self.tasks.spawn(task.run());
            self.owned.insert(partition, abort);
        }
    }

    /// Ends the tasks of partitions at once. Returns how many there were.
    fn unassign(&mut self, partitions: &[T::Partition]) -> u64 {
        let mut ended = 0;
        for partition in partitions {
            if let Some(task) = self.owned.remove(partition) {
                info!(name = self.name, %partition, "no longer owned");
                // Its channel sends nothing more, and its rows in flight are the next owner's.
                task.abort();
                self.board.unassign(partition);
                ended += 1;
            }
        }
        ended
    }

    /// A task was aborted, or the source of its partition panicked, which stops that partition only.
    fn panicked(&self, error: &JoinError) {
        let mut owned = self.owned.iter();
        if let Some((partition, _)) = owned.find(|(_, task)| task.id() == error.id())
            && !error.is_cancelled()
        {
            error!(name = self.name, %partition, %error, "the source of a partition panicked");
            let text = format!("the source of the partition {partition} panicked: {error}");
            let error = Error::new(ErrorKind::Source, text);
            self.board.fail(partition, error);
        }
    }

    fn publish(&mut self) {
        let Some(observe) = &mut self.observer else {
            return;
        };
        let (changes, totals) = self.board.changes();
        for (partition, report) in &changes {
            observe(&GroupProgress {
                partition,
                report,
                totals,
            });
        }
    }
}
