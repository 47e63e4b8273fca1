//! The simulated history, which must not depend on interruptions of the process.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;

use super::{DAY_ONE, SEED, rows, rows_of, winter};
use crate::generator::{Event, Generator};
use crate::resorts::{Resort, Zone};
use crate::rider::Entitlement;
use crate::table::Table;
use crate::world::{STEPS_PER_DAY, World, iso};

const DAY: u64 = 86_400;

#[test]
fn a_day_has_its_golden_counts_and_no_txid_twice() {
    let count = |table| DAY_ONE.iter().filter(|(of, _)| *of == table).count();
    assert_eq!(count(Table::ResortTicket), 16_000);
    assert_eq!(count(Table::SeasonPass), 799);
    assert_eq!(count(Table::LiftRide), 84_143);

    // `{"TXID":"` and 36 characters.
    let txids: HashSet<_> = DAY_ONE.iter().map(|(_, row)| &row[9..45]).collect();
    assert_eq!(txids.len(), 16_000 + 799 + 84_143);
}

#[test]
fn the_same_seed_and_start_give_the_same_bytes() {
    let once = rows(7, winter(), 400);
    assert_eq!(once, rows(7, winter(), 400));
    assert_ne!(once, rows(8, winter(), 400));
}

#[test]
fn passes_follow_the_tickets_sold_before_the_step() {
    let mut generator = Generator::new(SEED, winter()).unwrap();
    let (mut tickets, mut passes) = (0, 0);
    for _ in 0..200 {
        let before = tickets;
        for event in generator.step().unwrap() {
            match event {
                Event::Sold {
                    entitlement: Entitlement::Pass,
                    ..
                } => passes += 1,
                Event::Sold { .. } => tickets += 1,
                Event::Rode { .. } => {}
            }
        }
        assert_eq!((tickets, passes), (before + 5, before / 20));
    }
}

#[test]
fn a_history_continues_from_any_step_with_the_same_events() {
    let steps = STEPS_PER_DAY + 700;
    let mut unbroken = Generator::new(SEED, winter()).unwrap();
    let mut checkpoint = None;
    for step in 0..steps {
        if step == STEPS_PER_DAY {
            checkpoint = Some(unbroken.checkpoint().unwrap());
        }
        unbroken.step().unwrap();
    }
    let next = rows_of(&mut unbroken, SEED, winter(), 20);
    assert!(next.len() > 200, "rides among them");

    for from in [None, checkpoint.as_deref()] {
        let mut resumed = Generator::resume(SEED, winter(), from, steps).unwrap();
        assert_eq!(resumed.next_step(), steps);
        assert_eq!(rows_of(&mut resumed, SEED, winter(), 20), next);
    }
}

/// The rules of a rider's history.
#[derive(Default)]
struct Seen {
    ticket: Option<(Resort, u64)>,
    expires: u64,
    dates: BTreeSet<u64>,
    resort_of_date: Option<(u64, Resort)>,
    last_ride: Option<u64>,
}

#[test]
fn every_ride_keeps_the_rules_over_eight_days() {
    // Midnight, so that days since the start are UTC dates. In winter 08:00 to 16:00 is 15:00 to 23:00 UTC in
    // Colorado and 16:00 to 24:00 UTC at Heavenly.
    let start: Timestamp = "2026-01-17T00:00:00Z".parse().unwrap();
    let mut generator = Generator::new(SEED, start).unwrap();
    let mut riders: BTreeMap<u128, Seen> = BTreeMap::new();
    let mut later_days = 0;
    for event in (0..8 * STEPS_PER_DAY).flat_map(|_| generator.step().unwrap()) {
        match event {
            Event::Sold {
                rfid,
                entitlement,
                expires,
                ..
            } => {
                let ticket = match entitlement {
                    Entitlement::Ticket { resort, days } => Some((resort, days)),
                    Entitlement::Pass => None,
                };
                let before = riders.insert(
                    rfid,
                    Seen {
                        ticket,
                        expires,
                        ..Seen::default()
                    },
                );
                assert!(before.is_none(), "an RFID was sold twice");
            }
            Event::Rode { rfid, at, ride, .. } => {
                let rider = riders.get_mut(&rfid).expect("sold before it is ridden on");
                let (date, hour) = (at / DAY, at % DAY / 3_600);
                let opens = if ride.resort == Resort::Heavenly {
                    16
                } else {
                    15
                };
                assert!((opens..opens + 8).contains(&hour));
                assert!(ride.resort.facts().lifts.contains(&ride.lift));
                assert!(at < rider.expires);
                if let Some(last) = rider.last_ride.replace(at) {
                    assert!(at - last > 600, "rides {} s apart", at - last);
                }
                rider.dates.insert(date);
                assert_eq!(ride.activation_day_count, rider.dates.len() as u64);
                if let Some((resort, days)) = rider.ticket {
                    assert_eq!(ride.resort, resort);
                    assert!(rider.dates.len() as u64 <= days);
                }
                if let Some((last, resort)) = rider.resort_of_date.replace((date, ride.resort))
                    && last == date
                {
                    assert_eq!(ride.resort, resort);
                }
                later_days += u64::from(ride.activation_day_count > 1);
            }
        }
    }
    assert!(later_days > 1_000);
}

#[test]
fn a_one_day_ticket_bought_after_closing_time_is_ridden_the_next_day() {
    // From 23:00 UTC only Heavenly is open for another hour, and then no resort for fifteen.
    let start: Timestamp = "2026-01-17T23:00:00Z".parse().unwrap();
    let mut generator = Generator::new(SEED, start).unwrap();
    let mut evening = BTreeSet::new();
    let mut rode = BTreeSet::new();
    for step in 0..STEPS_PER_DAY {
        for event in generator.step().unwrap() {
            match event {
                Event::Sold {
                    rfid,
                    entitlement: Entitlement::Ticket { resort, days: 1 },
                    ..
                } if step < 100 && resort != Resort::Heavenly => {
                    evening.insert(rfid);
                }
                Event::Rode { rfid, ride, .. } if evening.contains(&rfid) => {
                    assert_eq!(ride.activation_day_count, 1);
                    rode.insert(rfid);
                }
                _ => {}
            }
        }
    }
    // 85 % of them decide to ride on the next date.
    let share = rode.len() as f64 / evening.len() as f64;
    assert!((0.75..0.95).contains(&share), "{share}");
}

#[test]
fn resorts_open_by_local_clocks_in_both_zones_and_across_daylight_saving() {
    let open = |instant: &str| {
        let now = World::new(instant.parse().unwrap()).unwrap().at(0).unwrap();
        (now.is_open(Zone::Mountain), now.is_open(Zone::Pacific))
    };
    assert_eq!(open("2026-01-17T14:59:59Z"), (false, false));
    assert_eq!(open("2026-01-17T15:00:00Z"), (true, false));
    assert_eq!(open("2026-01-17T16:00:00Z"), (true, true));
    assert_eq!(open("2026-01-17T23:00:00Z"), (false, true));
    assert_eq!(open("2026-01-18T00:00:00Z"), (false, false));
    // Clocks go forward on March 8th 2026, and back on November 1st.
    assert_eq!(open("2026-03-07T14:30:00Z"), (false, false));
    assert_eq!(open("2026-03-08T14:30:00Z"), (true, false));
    assert_eq!(open("2026-10-31T22:30:00Z"), (false, true));
    assert_eq!(open("2026-11-01T22:30:00Z"), (true, true));
}

#[test]
fn steps_are_27_seconds_apart_and_know_their_weekends() {
    let world = World::new(winter()).unwrap();
    let step = |number| world.at(number).unwrap();
    assert_eq!(
        iso(world.after(step(1).elapsed).unwrap()),
        "2026-01-17T14:00:27+00:00"
    );
    assert_eq!(
        iso(world.after(step(3_200).elapsed).unwrap()),
        "2026-01-18T14:00:00+00:00"
    );
    // A Saturday, a Sunday and a Monday; the UTC date changes ten hours after the start.
    assert!(step(0).weekend && step(3_200).weekend && step(4_533).weekend);
    assert!(!step(4_534).weekend);
    assert!(world.at(u64::MAX).is_err());
}

#[test]
fn microseconds_show_only_where_there_are_any() {
    let text = |instant: &str| iso(instant.parse().unwrap());
    assert_eq!(text("2026-11-21T14:00:00Z"), "2026-11-21T14:00:00+00:00");
    assert_eq!(
        text("2026-11-21T15:00:19.79424Z"),
        "2026-11-21T15:00:19.794240+00:00"
    );
}

#[test]
fn thirty_days_hold_a_bounded_number_of_riders() {
    let mut generator = Generator::new(SEED, winter()).unwrap();
    let mut most = [0; 30];
    for most in &mut most {
        for _ in 0..STEPS_PER_DAY {
            generator.step().unwrap();
            *most = generator.resident().0.max(*most);
        }
    }
    // The longest ticket is valid for 14 days, so from then on as many go as come: 16,000 a day, and most are used
    // up within three. Passes stay for a year.
    let early = most[10..14].iter().max().unwrap();
    for later in &most[14..] {
        assert!(*later < early + early / 20, "{most:?}");
    }
    assert!(*early < 50_000, "{most:?}");
    assert_eq!(generator.resident().1, 23_999);
}
