//! The rows that all partitions of a group may have in flight together.

use std::sync::Arc;

use crate::base::watched::Watched;

/// The part of the limit that has to be free before a partition that has rows in flight reads more. Without it, each commit
/// of a few rows would be followed by a read of a few rows.
const FREE_PART: u64 = 8;

/// The limit and its use.
#[derive(Debug)]
pub(in crate::ingest) struct Quota {
    limit: u64,
    used: Watched<Used>,
}

#[derive(Debug, Default)]
struct Used {
    rows: u64,
    partitions: u64,
    /// How often rows were freed that had left no room.
    freed: u64,
}

impl Quota {
    pub(super) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: Watched::default(),
        })
    }

    /// The share of one more partition.
    pub(super) fn share(self: &Arc<Self>) -> QuotaShare {
        let mut used = self.used.value();
        used.partitions += 1;
        QuotaShare {
            quota: Arc::clone(self),
            freed: used.freed,
            rows: 0,
        }
    }

    /// More rows in flight than this leave no room.
    fn threshold(&self) -> u64 {
        self.limit - self.limit / FREE_PART
    }

    /// Replaces `before` rows of a share by `after` rows.
    fn replace(&self, before: u64, after: u64) {
        self.used.change(|used| {
            let was_full = used.rows > self.threshold();
            used.rows = (used.rows + after).saturating_sub(before);
            let is_freed = was_full && used.rows <= self.threshold();
            used.freed += u64::from(is_freed);
            is_freed
        });
    }
}

/// The rows of one partition.
#[derive(Debug)]
pub(in crate::ingest) struct QuotaShare {
    quota: Arc<Quota>,
    /// The count of `freed` when the use was last read.
    freed: u64,
    rows: u64,
}

impl QuotaShare {
    /// How many rows the partition may read, now that it has `in_flight` rows in flight. A partition with none may always read
    /// its even part of the limit, so partitions whose rows are not committed do not stop the others.
    pub(in crate::ingest) fn room(&mut self, in_flight: u64) -> u64 {
        if in_flight != self.rows {
            self.quota.replace(self.rows, in_flight);
            self.rows = in_flight;
        }
        let used = self.quota.used.value();
        self.freed = used.freed;
        let free = if used.rows > self.quota.threshold() {
            0
        } else {
            self.quota.limit - used.rows
        };
        if in_flight == 0 {
            free.max(self.quota.limit / used.partitions.max(1)).max(1)
        } else {
            free
        }
    }

    /// Counts as many rows as in flight until the next call of [`room`](Self::room).
    pub(in crate::ingest) fn reserve(&mut self, rows: u64) {
        self.quota.replace(self.rows, rows);
        self.rows = rows;
    }

    /// Resolves when the other partitions hold few enough rows in flight since the last call of
    /// [`room`](Self::room). Cancel safe.
    pub(in crate::ingest) async fn freed(&mut self) {
        let seen = self.freed;
        let used = &self.quota.used;
        used.wait(|used| (used.freed != seen).then_some(())).await;
    }
}

impl Drop for QuotaShare {
    fn drop(&mut self) {
        self.quota.replace(self.rows, 0);
        self.quota.used.value().partitions -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_share_the_limit() {
        let quota = Quota::new(800);
        let (mut a, mut b) = (quota.share(), quota.share());
        assert_eq!((a.room(0), b.room(0)), (800, 800));
        assert_eq!(a.room(300), 500);
        assert_eq!(b.room(300), 200);
        // Less than an eighth is free.
        assert_eq!((a.room(401), b.room(300)), (0, 0));
        assert_eq!((a.room(400), b.room(300)), (100, 100));
    }

    #[test]
    fn a_partition_without_rows_in_flight_may_always_read() {
        let quota = Quota::new(800);
        let (mut slow, mut idle) = (quota.share(), quota.share());
        assert_eq!(slow.room(800), 0);
        assert_eq!(idle.room(0), 400);
        assert_eq!(idle.room(400), 0);
        drop(slow);
        assert_eq!(idle.room(400), 400);

        let tiny = Quota::new(1);
        let mut shares: Vec<_> = (0..10).map(|_| tiny.share()).collect();
        assert!(shares.iter_mut().all(|share| share.room(0) == 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_partition_resumes_when_others_have_fewer_rows() {
        let quota = Quota::new(800);
        let (mut a, mut b) = (quota.share(), quota.share());
        a.room(700);
        assert_eq!(b.room(100), 0);
        assert!(waits(&mut b).await);
        a.room(650);
        assert!(waits(&mut b).await, "750 are in flight");
        a.room(600);
        assert!(!waits(&mut b).await);
        assert_eq!(b.room(100), 100);

        a.room(700);
        assert_eq!(b.room(100), 0);
        drop(a);
        assert!(!waits(&mut b).await);
        assert_eq!(b.room(100), 700);
    }

    /// Whether nothing was freed since the share was last read.
    async fn waits(share: &mut QuotaShare) -> bool {
        tokio::select! {
            biased;
            () = share.freed() => false,
            () = tokio::task::yield_now() => true,
        }
    }
}
