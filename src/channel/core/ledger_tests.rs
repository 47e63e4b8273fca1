//! What the token of a status means, given the pending requests and the time at which the status was requested.

use super::*;

fn token(text: &str) -> OffsetToken {
    OffsetToken::new(text).unwrap()
}

fn ledger(open: Option<&str>, sent: &[(&str, u64)]) -> Ledger {
    let mut ledger = Ledger::new(Instant::now(), open.map(token), Some(7));
    for (end, position) in sent {
        ledger.sent(Pending {
            start: None,
            end: token(end),
            position: *position,
            rows: 1,
        });
    }
    ledger
}

/// The reading of a status that is requested when no replica lags behind the open any more.
fn see(ledger: &mut Ledger, text: &str) -> Reading {
    see_at(ledger, REPLICA_LAG, Some(text), Some(7))
}

/// The reading of a status that is requested this long after the open.
fn see_at(
    ledger: &mut Ledger,
    after_open: Duration,
    text: Option<&str>,
    created_on_ms: Option<u64>,
) -> Reading {
    let token = text.map(token);
    let asked = ledger.opened + after_open;
    let seen = Observation {
        token: token.as_ref(),
        created_on_ms,
        asked,
        answered: asked,
    };
    ledger.observe(seen, |_| ())
}

#[test]
fn the_open_token_is_no_news() {
    let mut l = ledger(Some("5"), &[("7", 2)]);
    assert_eq!(see(&mut l, "5"), Reading::Unchanged);
    assert_eq!(l.committed(), 0);
    let mut fresh = ledger(None, &[("7", 2)]);
    assert_eq!(
        see_at(&mut fresh, REPLICA_LAG, None, Some(7)),
        Reading::Unchanged
    );
}

#[test]
fn a_pending_token_commits_everything_before_it() {
    let mut l = ledger(None, &[("9", 3), ("10", 5), ("11", 6)]);
    assert_eq!(see(&mut l, "10"), Reading::Advanced);
    assert_eq!((l.committed(), l.watermark().unwrap().as_str()), (5, "10"));
    assert_eq!(see(&mut l, "11"), Reading::Advanced);
    assert!(l.is_settled());
}

#[test]
fn a_stale_read_is_ignored_and_never_moves_backward() {
    let mut l = ledger(Some("5"), &[("9", 3), ("10", 5)]);
    assert_eq!(see(&mut l, "10"), Reading::Advanced);
    for old in ["9", "5"] {
        assert_eq!(see(&mut l, old), Reading::Outdated, "{old}");
        assert_eq!(see(&mut l, old), Reading::Outdated, "{old} again");
    }
    assert_eq!((l.committed(), l.watermark().unwrap().as_str()), (5, "10"));
}

#[test]
fn an_idle_ledger_still_knows_the_latest_tokens_as_committed() {
    let mut l = ledger(None, &[]);
    for n in 0..1_000_u64 {
        l.sent(Pending {
            start: None,
            end: n.into(),
            position: n + 1,
            rows: 1,
        });
    }
    assert_eq!(see(&mut l, "999"), Reading::Advanced);
    l.shrink();
    assert_eq!(see(&mut l, "743"), Reading::Outdated);
    assert_eq!(see(&mut l, "742"), Reading::Suspicious);
    assert!(l.past.capacity() < 2 * HISTORY_IDLE && l.pending.capacity() == 0);
}

#[test]
fn an_unknown_token_is_a_conflict_when_it_is_seen_twice() {
    let mut l = ledger(Some("5"), &[("9", 3)]);
    assert_eq!(see(&mut l, "77"), Reading::Suspicious);
    assert_eq!(
        see(&mut l, "5"),
        Reading::Unchanged,
        "a single deviation is ignored"
    );
    assert_eq!(see(&mut l, "78"), Reading::Suspicious);
    assert_eq!(see(&mut l, "78"), Reading::Conflict);
    assert_eq!(l.committed(), 0);
}

#[test]
fn a_token_that_vanishes_or_a_recreated_channel_is_a_conflict() {
    for (open, later) in [(Some("5"), Duration::ZERO), (None, REPLICA_LAG)] {
        let mut l = ledger(open, &[("6", 1)]);
        assert_eq!(see(&mut l, "6"), Reading::Advanced);
        let vanished = |l: &mut Ledger| see_at(l, REPLICA_LAG + later, None, Some(7));
        assert_eq!(vanished(&mut l), Reading::Suspicious);
        assert_eq!(vanished(&mut l), Reading::Conflict);
    }
    let mut l = ledger(Some("5"), &[("6", 1)]);
    let anew = |l: &mut Ledger| see_at(l, Duration::ZERO, Some("6"), Some(8));
    assert_eq!(anew(&mut l), Reading::Suspicious, "even our own token");
    assert_eq!(anew(&mut l), Reading::Conflict);
    assert_eq!(l.committed(), 0);
}

#[test]
fn a_status_that_may_be_from_before_the_open_is_no_conflict() {
    let almost = REPLICA_LAG.saturating_sub(Duration::from_millis(1));
    for (token, created_on_ms) in [(Some("4"), 7), (None, 7), (Some("5"), 6)] {
        let mut l = ledger(Some("5"), &[("6", 1)]);
        let mut at = |after_open| see_at(&mut l, after_open, token, Some(created_on_ms));
        for _ in 0..5 {
            assert_eq!(at(almost), Reading::Suspicious, "{token:?}");
        }
        assert_eq!(at(REPLICA_LAG), Reading::Conflict, "{token:?}");
    }
}

#[test]
fn a_status_that_may_be_from_before_the_first_token_is_no_conflict() {
    let mut l = ledger(None, &[("6", 1)]);
    let hour = Duration::from_secs(3600);
    assert_eq!(see_at(&mut l, hour, Some("6"), Some(7)), Reading::Advanced);
    for _ in 0..5 {
        assert_eq!(see_at(&mut l, hour, None, Some(7)), Reading::Suspicious);
    }
    let later = hour + REPLICA_LAG;
    assert_eq!(see_at(&mut l, later, None, Some(7)), Reading::Conflict);
}

#[test]
fn after_a_reopen_older_states_are_possible_again() {
    let mut l = ledger(Some("5"), &[("6", 1), ("7", 2)]);
    assert_eq!(see(&mut l, "6"), Reading::Advanced);
    assert!(l.has_moved());
    let now = l.opened + REPLICA_LAG;
    assert!(!l.may_predate_open(now));
    assert!(l.restart(now, Some(&token("7")), Some(7), |_| ()));
    assert!(!l.has_moved() && l.may_predate_open(now));
    assert_eq!(
        see_at(&mut l, Duration::ZERO, Some("6"), Some(7)),
        Reading::Outdated
    );
}

#[test]
fn a_missing_creation_time_is_not_a_change() {
    let mut l = ledger(None, &[("6", 1)]);
    let reading = see_at(&mut l, Duration::ZERO, Some("6"), None);
    assert_eq!(reading, Reading::Advanced);
}

#[test]
fn a_refused_request_is_removed() {
    let mut l = ledger(None, &[("6", 1), ("7", 2)]);
    l.unsend(&token("6"));
    assert_eq!(l.pending().count(), 2, "only the latest can be");
    l.unsend(&token("7"));
    assert_eq!(see(&mut l, "7"), Reading::Suspicious);
}

#[test]
fn the_history_is_bounded() {
    let mut l = Ledger::new(Instant::now(), None, None);
    for n in 0..HISTORY as u64 + 10 {
        l.sent(Pending {
            start: None,
            end: n.into(),
            position: n + 1,
            rows: 1,
        });
    }
    let last = (HISTORY + 9).to_string();
    assert_eq!(see(&mut l, &last), Reading::Advanced);
    assert_eq!(l.past.len(), HISTORY);
    assert_eq!(see(&mut l, "0"), Reading::Suspicious);
}

proptest::proptest! {
    /// Whatever a server says, in whatever order: the watermark only rises, and only through tokens that were sent.
    #[test]
    fn the_watermark_only_rises(steps in proptest::collection::vec((0_u8..4, 0_u64..30), 1..200)) {
        let now = Instant::now();
        let mut ledger = Ledger::new(now, None, None);
        let mut sent = 0;
        let mut committed = 0;
        for (kind, value) in steps {
            if kind == 0 {
                sent += 1;
                ledger.sent(Pending { start: None, end: sent.into(), position: sent, rows: 1 });
                continue;
            }
            let mut heard = Vec::new();
            let token = OffsetToken::from(value);
            let seen = Observation { token: Some(&token), created_on_ms: None, asked: now, answered: now };
            let reading = ledger.observe(seen, |t| heard.push(t.parse::<u64>().unwrap()));
            let news = committed < value && value <= sent;
            assert_eq!(reading == Reading::Advanced, news);
            if news {
                assert_eq!(heard, (committed + 1..=value).collect::<Vec<_>>());
                committed = value;
            } else {
                assert!(heard.is_empty());
            }
            assert_eq!(ledger.committed(), committed);
            assert_eq!(ledger.pending().count() as u64, sent - committed);
            assert_eq!(ledger.is_settled(), sent == committed);
        }
    }
}

#[test]
fn two_different_unexplained_tokens_are_a_conflict() {
    let mut l = ledger(Some("5"), &[("7", 2)]);
    assert_eq!(see(&mut l, "100"), Reading::Suspicious);
    assert_eq!(see(&mut l, "200"), Reading::Conflict);
    // The first one may be a token from before the open, and then the second is a single one.
    let mut l = ledger(Some("5"), &[("7", 2)]);
    let early = Duration::from_secs(1);
    let seen = see_at(&mut l, early, Some("3"), Some(7));
    assert_eq!(seen, Reading::Suspicious);
    assert_eq!(see(&mut l, "200"), Reading::Suspicious);
    assert_eq!(see(&mut l, "300"), Reading::Conflict);
}
