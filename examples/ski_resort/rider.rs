//! A person with a ticket or a pass: the days of riding, the number of rides, and the lifts.

use serde::{Deserialize, Serialize};
use snowpipe_connector_support::dice::Dice;

use crate::resorts::Resort;
use crate::world::Moment;

/// The ticket or pass of a rider.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Entitlement {
    /// A number of days at one resort.
    Ticket { resort: Resort, days: u64 },
    /// All resorts, a different one each day, until the pass expires.
    Pass,
}

/// A rider. Times are simulated seconds since the start, dates are days since the Unix epoch in UTC.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Rider {
    pub(crate) rfid: u128,
    entitlement: Entitlement,
    expires: u64,
    /// From 0 (a beginner) to 999.
    skill: u64,
    /// The last decided date, and the resort on it, if the rider rides.
    today: Option<(i64, Option<Resort>)>,
    last_ride: Option<u64>,
    last_ride_date: Option<i64>,
    days_ridden: u64,
}

/// One ride.
#[derive(Debug)]
pub(crate) struct Ride {
    pub(crate) resort: Resort,
    pub(crate) lift: &'static str,
    /// The number of days with rides so far, including this one.
    pub(crate) activation_day_count: u64,
}

impl Rider {
    /// A rider who has just bought `entitlement`.
    pub(crate) fn new(rfid: u128, entitlement: Entitlement, expires: u64, skill: u64) -> Self {
        Self {
            rfid,
            entitlement,
            expires,
            skill,
            today: None,
            last_ride: None,
            last_ride_date: None,
            days_ridden: 0,
        }
    }

    /// Whether the rider can never ride again from `now` on: the pass has expired, or all days are used and the last is over.
    pub(crate) fn is_spent(&self, now: &Moment) -> bool {
        now.elapsed >= self.expires || !self.has_day_left(now.date)
    }

    /// Takes a lift if it is a riding day, the resort is open, and the last ride was long enough ago.
    pub(crate) fn ride(&mut self, now: &Moment, dice: &mut Dice) -> Option<Ride> {
        if self.is_spent(now) {
            return None;
        }
        let resort = self.resort_on(now.date, dice)?;
        // A closed resort has no effect: no day is used, and the next ride is not delayed.
        if !now.is_open(resort.facts().zone) || !self.is_due(now.elapsed, dice) {
            return None;
        }
        self.last_ride = Some(now.elapsed);
        if self.last_ride_date != Some(now.date) {
            self.last_ride_date = Some(now.date);
            self.days_ridden += 1;
        }
        Some(Ride {
            resort,
            lift: self.choose_lift(resort, dice),
            activation_day_count: self.days_ridden,
        })
    }

    fn has_day_left(&self, date: i64) -> bool {
        match self.entitlement {
            Entitlement::Ticket { days, .. } => {
                self.days_ridden < days || self.last_ride_date == Some(date)
            }
            Entitlement::Pass => true,
        }
    }

    /// The resort on `date`, decided once for each date: 85 % of tickets and 10 % of passes ride.
    fn resort_on(&mut self, date: i64, dice: &mut Dice) -> Option<Resort> {
        if let Some((decided, resort)) = self.today
            && decided == date
        {
            return resort;
        }
        let resort = match self.entitlement {
            Entitlement::Ticket { resort, .. } => dice.percent(85).then_some(resort),
            Entitlement::Pass => dice
                .percent(10)
                .then(|| dice.choose(&Resort::POPULARITY, Resort::OTHERWISE)),
        };
        self.today = Some((date, resort));
        resort
    }

    /// Whether the wait since the last ride is over; each call draws a new wait.
    fn is_due(&self, elapsed: u64, dice: &mut Dice) -> bool {
        let Some(last) = self.last_ride else {
            return true;
        };
        let minutes = if dice.percent(10) {
            dice.within(&(30..=59))
        } else {
            dice.within(&(10..=29))
        };
        last + minutes * 60 < elapsed
    }

    fn choose_lift(&self, resort: Resort, dice: &mut Dice) -> &'static str {
        let lifts = resort.facts().lifts;
        let count = lifts.len();
        let last = count.saturating_sub(1);
        let (from, to) = match self.skill {
            0..300 => (0, (count / 3).max(1)),
            300..700 => (count / 4, 3 * count / 4),
            _ => (2 * count / 3, last),
        };
        dice.pick(lifts.get(from..=to.min(last)).unwrap_or(lifts))
    }
}
