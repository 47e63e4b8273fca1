//! Which shards this program reads, and in which order: a shard that was split or merged is read to its end before its children.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::stream::Shard;

/// The shards of this program, if several share a stream: those whose number leaves this remainder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    number: u64,
    of: u64,
}

impl Share {
    pub(crate) fn has(self, shard: &str) -> bool {
        let digits = shard.rsplit('-').next().unwrap_or_default();
        // The ids of Kinesis end in a number. Any other rule would do if all programs follow it.
        let number = digits.parse().unwrap_or(shard.len() as u64);
        number % self.of == self.number - 1
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once('/')
            .and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err("write the number of this program and that of all, as 1/3".to_owned()),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// What has begun and what is over.
#[derive(Debug)]
pub(crate) struct Lineage {
    share: Share,
    begun: BTreeSet<String>,
    done: BTreeSet<String>,
}

/// What follows from a list of the shards.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Can be read.
    pub(crate) ready: Vec<String>,
    /// Belong to other programs, and have children here that wait for their end.
    pub(crate) awaited: BTreeSet<String>,
}

impl Lineage {
    pub(crate) fn new(share: Share) -> Self {
        Self {
            share,
            begun: BTreeSet::new(),
            done: BTreeSet::new(),
        }
    }

    /// Which of the listed shards can be read, and were not begun yet.
    pub(crate) fn plan(&self, listed: &[Shard]) -> Plan {
        let ids: BTreeSet<_> = listed.iter().map(|shard| shard.id.as_str()).collect();
        let mut plan = Plan::default();
        for shard in listed {
            if !self.share.has(&shard.id) || self.begun.contains(&shard.id) {
                continue;
            }
            // A parent that is not listed has no records any more.
            let open =
                |parent: &&String| ids.contains(parent.as_str()) && !self.done.contains(*parent);
            let open: Vec<_> = shard.parents.iter().filter(open).collect();
            if open.is_empty() {
                plan.ready.push(shard.id.clone());
            }
            let elsewhere = open.into_iter().filter(|parent| !self.share.has(parent));
            plan.awaited.extend(elsewhere.cloned());
        }
        plan
    }

    pub(crate) fn begin(&mut self, shard: &str) {
        self.begun.insert(shard.to_owned());
    }

    /// The shard was read to its end, and all of it is where it belongs.
    pub(crate) fn finish(&mut self, shard: String) {
        self.done.insert(shard);
    }

    /// Forgets finished shards that are not listed any more.
    pub(crate) fn forget(&mut self, listed: &[Shard]) {
        let ids: BTreeSet<_> = listed.iter().map(|shard| shard.id.as_str()).collect();
        self.begun
            .retain(|shard| ids.contains(shard.as_str()) || !self.done.contains(shard));
        self.done.retain(|shard| ids.contains(shard.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(number: u32, parents: &[u32]) -> Shard {
        let id = |number: u32| format!("shardId-{number:012}");
        Shard {
            id: id(number),
            parents: parents.iter().copied().map(id).collect(),
            end: None,
        }
    }

    fn numbers<'a>(ids: impl IntoIterator<Item = &'a String>) -> Vec<u32> {
        let number = |id: &String| id.rsplit('-').next().unwrap().parse().unwrap();
        ids.into_iter().map(number).collect()
    }

    fn step(lineage: &mut Lineage, listed: &[Shard]) -> Vec<u32> {
        let plan = lineage.plan(listed);
        plan.ready.iter().for_each(|shard| lineage.begin(shard));
        numbers(&plan.ready)
    }

    #[test]
    fn parents_are_read_before_their_children() {
        let mut lineage = Lineage::new("1/1".parse().unwrap());
        // 0 is split into 2 and 3; 3 and 1 are merged into 4.
        let listed = [
            shard(0, &[]),
            shard(1, &[]),
            shard(2, &[0]),
            shard(3, &[0]),
            shard(4, &[3, 1]),
        ];
        assert_eq!(step(&mut lineage, &listed), [0, 1]);
        assert_eq!(step(&mut lineage, &listed), [0; 0]);
        lineage.finish(listed[0].id.clone());
        assert_eq!(step(&mut lineage, &listed), [2, 3]);
        lineage.finish(listed[3].id.clone());
        assert_eq!(step(&mut lineage, &listed), [0; 0]);
        lineage.finish(listed[1].id.clone());
        assert_eq!(step(&mut lineage, &listed), [4]);
    }

    #[test]
    fn parents_that_are_gone_are_over() {
        let mut lineage = Lineage::new("1/1".parse().unwrap());
        let listed = [shard(4, &[3, 1]), shard(1, &[])];
        assert_eq!(step(&mut lineage, &listed), [1]);
        assert_eq!(step(&mut lineage, &[shard(4, &[3, 1])]), [4]);
    }

    #[test]
    fn forgotten_shards_are_finished_ones() {
        let mut lineage = Lineage::new("1/1".parse().unwrap());
        let listed = [shard(0, &[]), shard(1, &[])];
        step(&mut lineage, &listed);
        lineage.finish(listed[0].id.clone());
        // A list that lacks a shard by mistake.
        lineage.forget(&[]);
        assert_eq!(step(&mut lineage, &listed), [0]);
        assert!(lineage.done.is_empty());
    }

    #[test]
    fn programs_share_the_shards_and_wait_for_each_other() {
        let shares = ["1/3", "2/3", "3/3"].map(|share| share.parse::<Share>().unwrap());
        for number in 0..100 {
            let owners = shares
                .iter()
                .filter(|share| share.has(&shard(number, &[]).id));
            assert_eq!(owners.count(), 1);
        }
        let mut lineage = Lineage::new(shares[0]);
        let listed = [shard(0, &[]), shard(1, &[]), shard(3, &[0, 1])];
        let plan = lineage.plan(&listed);
        assert_eq!(
            (numbers(&plan.ready), numbers(&plan.awaited)),
            (vec![0], vec![1])
        );
        step(&mut lineage, &listed);
        lineage.finish(listed[1].id.clone());
        let plan = lineage.plan(&listed);
        assert_eq!(plan, Plan::default());
        lineage.finish(listed[0].id.clone());
        assert_eq!(step(&mut lineage, &listed), [3]);
        for wrong in ["", "0/3", "4/3", "1", "1/0", "-1/3", "a/b"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }
}
