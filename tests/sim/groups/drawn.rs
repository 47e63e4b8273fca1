//! Histories that are drawn from a seed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::cluster::{Cluster, Rules};
use super::history::{History, Outcome};
use super::script::Script;
use crate::drawn_world;
use crate::repeatable::in_virtual_time;
use crate::support::World;

fn world(rng: &mut fastrand::Rng) -> World {
    drawn_world::draw(rng, "P NUMBER, N NUMBER NOT NULL", 0.05, None)
}

fn history(seed: u64) -> History {
    let mut rng = fastrand::Rng::with_seed(seed);
    let rules = Rules {
        partitions: rng.usize(1..6),
        session: Duration::from_secs(rng.u64(3..15)),
        heartbeat: Duration::from_secs(1),
        is_eager: rng.u8(..4) == 0,
        is_hasty: rng.u8(..3) == 0,
    };
    let span = Duration::from_secs(rng.u64(20..120));
    let records = rng.i64(20..150);
    let calm_at = Instant::now() + span;
    let cluster = Cluster::new(rules, &mut rng, records, span);
    let (script, _) = Script::new(&[]);
    History::new(world(&mut rng), cluster, rng, calm_at, Arc::new(script))
}

/// Runs the history of a seed.
pub fn run(seed: u64) -> Outcome {
    in_virtual_time(async {
        let mut history = history(seed);
        history.start().await;
        while Instant::now() < history.calm_at {
            let pause = Duration::from_millis(history.rng.u64(100..8_000));
            let until = (Instant::now() + pause).min(history.calm_at);
            sleep_until(until).await;
            history.expire();
            history.step().await;
        }
        history.settle().await
    })
}

impl History {
    /// One thing that happens.
    async fn step(&mut self) {
        let Some(id) = self.any() else {
            return self.start().await;
        };
        match self.rng.u8(..12) {
            0 | 1 if self.members.len() < 5 => self.start().await,
            2 => self.kill(id),
            3 => self.stop(id),
            4 | 5 => self.suspend(id),
            6 | 7 => self.resume(id),
            8 => {
                // A storm.
                for _ in 0..self.rng.u8(1..6) {
                    self.cluster.rebalance();
                    sleep(Duration::from_millis(self.rng.u64(..800))).await;
                }
                self.cluster.count("storm");
            }
            9 => {
                self.cluster.go_away();
                let session = self.cluster.state().rules.session;
                let away = session.mul_f64(self.rng.f64() * 2.0);
                sleep(away).await;
                if away >= session {
                    self.cluster.end_all_sessions();
                }
                self.cluster.come_back();
                self.cluster.count("coordinator away");
            }
            _ => self.cluster.rebalance(),
        }
    }
}
