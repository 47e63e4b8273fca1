//! How batches are filled, cut and compressed.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::base::budget::Budget;

const BUDGET: usize = 1 << 20;

/// A unit as a test writes it down.
#[derive(Debug, Clone)]
enum Plan {
    /// Rows numbered from `first`.
    Run {
        first: i64,
        rows: Vec<String>,
    },
    /// Rows under the tokens `<name>a` and `<name>z`.
    Whole {
        name: u16,
        rows: Vec<String>,
    },
    Untracked {
        rows: Vec<String>,
    },
}

impl Plan {
    fn rows(&self) -> &[String] {
        match self {
            Plan::Run { rows, .. } | Plan::Whole { rows, .. } | Plan::Untracked { rows } => rows,
        }
    }

    fn unit(&self) -> Unit {
        let tokens = match self {
            Plan::Run { first, .. } => UnitTokens::Run {
                first: i128::from(*first),
            },
            Plan::Whole { name, .. } => UnitTokens::Whole {
                start: token(&format!("{name}a")),
                end: token(&format!("{name}z")),
            },
            Plan::Untracked { .. } => UnitTokens::Untracked,
        };
        Unit {
            tokens,
            rows: self.rows().len() as u64,
            len: self.rows().iter().map(String::len).sum(),
        }
    }

    /// The rows, each with the token a request that begins with it starts with, the one a request that ends with it
    /// ends with, and whether a request may end with it.
    fn expanded(&self) -> Vec<(String, Option<String>, Option<String>, bool)> {
        let rows = self.rows();
        let of = |(i, row): (i64, &String)| {
            let last = usize::try_from(i + 1).unwrap() == rows.len();
            match self {
                Plan::Run { first, .. } => {
                    let token = Some((first + i).to_string());
                    (row.clone(), token.clone(), token, true)
                }
                Plan::Whole { name, .. } => {
                    let (start, end) = (Some(format!("{name}a")), Some(format!("{name}z")));
                    (row.clone(), start, end, last)
                }
                Plan::Untracked { .. } => (row.clone(), None, None, true),
            }
        };
        (0..).zip(rows).map(of).collect()
    }
}

#[test]
fn rows_appended_together_are_charged_for_each_of_their_units() {
    let rows = || vec!["{}\n".to_owned()];
    let run = Plan::Run {
        first: 10,
        rows: rows(),
    };
    let whole = Plan::Whole {
        name: 1,
        rows: rows(),
    };
    let units = [run.unit(), whole.unit()];
    let alone = units
        .each_ref()
        .map(|unit| cost(3, std::slice::from_ref(unit)));
    assert!(alone[0] > 3 && alone[1] > alone[0], "{alone:?}");
    assert_eq!(cost(6, &units), alone[0] + alone[1]);
}

fn token(text: &str) -> OffsetToken {
    OffsetToken::new(text).unwrap()
}

fn text(token: Option<OffsetToken>) -> Option<String> {
    token.map(|t| t.as_str().to_owned())
}

fn batch(budget: &Arc<Budget>, plans: &[Plan], before: u64) -> RawBatch {
    let mut bytes = Vec::new();
    let mut units = Vec::new();
    for plan in plans {
        for row in plan.rows() {
            bytes.extend_from_slice(row.as_bytes());
        }
        push_unit(&mut units, plan.unit());
    }
    let rows: u64 = units.iter().map(|u| u.rows).sum();
    let charge = budget.share(BUDGET).try_charge(cost(bytes.len(), &units));
    RawBatch {
        payload: bytes,
        units,
        charge: charge.unwrap(),
        position: before + rows,
        first_append: Instant::now(),
        first_append_ms: 17,
        is_refused: false,
    }
}

/// Rows of noise: what is cut in two is about half as large compressed.
fn noise(seed: u64, len: usize) -> String {
    let mut rng = fastrand::Rng::with_seed(seed);
    let noise: String = std::iter::repeat_with(|| rng.alphanumeric())
        .take(len)
        .collect();
    format!("{{\"X\":\"{noise}\"}}\n")
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let rows = prop::collection::vec(
        (any::<u64>(), 0_usize..200).prop_map(|(seed, len)| noise(seed, len)),
        1..8,
    );
    let plan = (0..3_u8, any::<u16>(), any::<i32>(), rows).prop_map(|(kind, name, first, rows)| {
        let first = i64::from(first);
        match kind {
            0 => Plan::Run { first, rows },
            1 => Plan::Whole { name, rows },
            _ => Plan::Untracked { rows },
        }
    });
    prop::collection::vec(plan, 1..12)
}

/// Checks parts against the rows they were made of.
fn check(plans: &[Plan], parts: &[SealedBatch], before: u64, limit: usize) {
    let rows: Vec<_> = plans.iter().flat_map(Plan::expanded).collect();
    let mut at = 0;
    for part in parts {
        let count = usize::try_from(part.rows()).unwrap();
        let mine = &rows[at..at + count];
        let (first, last) = (mine.first().unwrap(), mine.last().unwrap());
        assert!(part.payload.body.len() <= limit || !part.may_be_split());
        assert_eq!(text(part.start()), first.1);
        assert_eq!(text(part.end()), last.2);
        assert!(last.3, "rows that share a token were parted");
        at += count;
        assert_eq!(part.position, before + at as u64);
        assert_eq!(part.first_append_ms, 17);
        let plain: String = mine.iter().map(|r| r.0.as_str()).collect();
        assert_eq!(part.payload.uncompressed_len, plain.len());
        let read = frame::decompress(&part.payload.body, plain.len()).unwrap();
        assert_eq!(String::from_utf8(read).unwrap(), plain);
    }
    assert_eq!(at, rows.len(), "every row is in one part");
}

proptest! {
    #[test]
    fn parts_keep_order_units_tokens_positions_and_charges(
        plans in plans(),
        before in 0..1000_u64,
        limit in 60..4000_usize,
        smaller in 60..4000_usize,
    ) {
        let budget = Budget::new(BUDGET);
        let raw = batch(&budget, &plans, before);
        let charged = budget.in_use();
        let mut compressor = Compressor::new(1).unwrap();
        let parts = seal(&mut compressor, raw, limit).unwrap();
        check(&plans, &parts, before, limit);
        let sum = |parts: &[SealedBatch]| parts.iter().map(|p| p.charge.bytes()).sum::<usize>();
        prop_assert_eq!(budget.in_use(), sum(&parts));
        prop_assert!(budget.in_use() <= charged);

        // Each again, as after a 413.
        let mut again = Vec::new();
        for part in parts {
            let charged = part.charge.bytes();
            let parts = seal(&mut compressor, part.decompress().unwrap(), smaller).unwrap();
            let bodies: usize = parts.iter().map(|p| cost(p.payload.body.len(), &p.units)).sum();
            prop_assert_eq!(sum(&parts), charged.min(bodies));
            again.extend(parts);
        }
        check(&plans, &again, before, smaller);
        drop(again);
        prop_assert_eq!(budget.in_use(), 0);
    }
}

#[test]
fn a_batch_too_large_for_one_request_becomes_several() {
    let budget = Budget::new(BUDGET);
    let rows: Vec<_> = (0..64).map(|n| noise(n, 100)).collect();
    let plans = [Plan::Run { first: 100, rows }];
    let raw = batch(&budget, &plans, 0);
    let parts = seal(&mut Compressor::new(1).unwrap(), raw, 2_000).unwrap();
    assert!((4..=8).contains(&parts.len()), "{}", parts.len());
    check(&plans, &parts, 0, 2_000);
    assert_eq!(text(parts[0].start()), Some("100".to_owned()));
    assert_eq!(text(parts.last().unwrap().end()), Some("163".to_owned()));
}

#[test]
fn rows_that_stay_together_are_never_split() {
    let budget = Budget::new(BUDGET);
    let rows = |from: u64| (from..from + 20).map(|n| noise(n, 100)).collect();
    let whole = |name| Plan::Whole {
        name,
        rows: rows(100 * u64::from(name)),
    };
    let mut compressor = Compressor::new(1).unwrap();
    let alone = seal(&mut compressor, batch(&budget, &[whole(1)], 0), 1_000).unwrap();
    assert_eq!(alone.len(), 1);
    assert!(alone[0].payload.body.len() > 1_000 && !alone[0].may_be_split());
    assert_eq!(budget.in_use(), alone[0].charge.bytes());
    drop(alone);
    // Two of them are parted between them.
    let plans = [whole(1), whole(2)];
    let parts = seal(&mut compressor, batch(&budget, &plans, 0), 2_500).unwrap();
    let ends: Vec<_> = parts.iter().map(|p| text(p.end()).unwrap()).collect();
    assert_eq!(ends, ["1z", "2z"]);
    check(&plans, &parts, 0, 2_500);
}

#[test]
fn only_what_continues_a_run_joins_it() {
    let run = |first, rows| Unit {
        tokens: UnitTokens::Run { first },
        rows,
        len: 10,
    };
    let mut units = Vec::new();
    for unit in [run(0, 3), run(3, 2), run(6, 1), run(7, 1)] {
        push_unit(&mut units, unit);
    }
    let seen: Vec<_> = units.iter().map(|u| (u.start(), u.rows, u.len)).collect();
    assert_eq!(
        seen,
        [
            (Some(OffsetToken::from(0)), 5, 20),
            (Some(OffsetToken::from(6)), 2, 20)
        ]
    );
}

#[test]
fn rows_that_stay_together_are_split_at_the_edge_nearer_to_the_middle() {
    let budget = Budget::new(BUDGET);
    let head = |lens: [usize; 3]| {
        let whole = |(name, len): (u16, usize)| Plan::Whole {
            name,
            rows: vec!["x".repeat(len)],
        };
        let plans: Vec<_> = (0..).zip(lens).map(whole).collect();
        let (head, tail) = batch(&budget, &plans, 0).split().unwrap();
        assert_eq!(head.units.len() + tail.units.len(), 3);
        assert_eq!((head.position, tail.position), (head.rows(), 3));
        head.payload.len()
    };
    assert_eq!(head([10, 40, 6]), 10);
    assert_eq!(head([20, 12, 20]), 32, "as near: behind it");
    assert_eq!(head([6, 40, 10]), 46);
    assert_eq!(head([40, 6, 6]), 40, "neither side is empty");
    assert_eq!(head([6, 6, 40]), 12);
    assert_eq!(head([6, 6, 13]), 12);
}
