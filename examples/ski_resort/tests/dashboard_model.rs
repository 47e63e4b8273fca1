//! The values that the page must show for the landed rows: arithmetic over the rows, in whole numbers and without a query.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::dashboard::asked::Period;

/// A low capacity, so that few visitors make a resort full.
pub(super) const RESORTS: [(&str, i64, &str); 3] = [
    ("Heavenly", 7, "America/Los_Angeles"),
    ("Keystone", 9, "America/Denver"),
    ("Vail", 3, "America/Denver"),
];
/// Money is counted in these parts of a dollar, and of a cent.
const DOLLAR: i128 = 100_000_000;
const CENT: i128 = 1_000_000;

#[derive(Debug, Clone)]
pub(super) struct Ride {
    pub(super) txid: Option<&'static str>,
    pub(super) rfid: Option<&'static str>,
    pub(super) resort: Option<&'static str>,
    pub(super) lift: Option<&'static str>,
    pub(super) time: Option<DateTime>,
    pub(super) count: Option<i64>,
}

#[derive(Debug, Clone)]
pub(super) struct Sale {
    pub(super) is_pass: bool,
    pub(super) txid: Option<&'static str>,
    pub(super) rfid: Option<&'static str>,
    pub(super) time: Option<DateTime>,
    pub(super) cents: Option<i64>,
    pub(super) days: Option<i64>,
}

/// All landed rows.
#[derive(Debug, Clone)]
pub(super) struct Landed {
    pub(super) rides: Vec<Ride>,
    pub(super) sales: Vec<Sale>,
}

/// An hour of a resort, a date of one, or of the network.
#[derive(Debug, Clone, Default)]
struct Sums {
    visitors: i128,
    riders: BTreeSet<&'static str>,
    rides: i128,
    worth: i128,
    /// In tenths of a percent.
    capacity: i128,
    peak: i128,
}

/// A quotient without places, half away from zero.
fn quotient(number: i128, by: i128) -> i128 {
    let half = number.signum() * by / 2;
    (number + half) / by
}

fn mean(numbers: impl Iterator<Item = i128>) -> Option<i128> {
    let numbers: Vec<_> = numbers.collect();
    let count = i128::try_from(numbers.len()).unwrap();
    (count > 0).then(|| quotient(numbers.iter().sum(), count))
}

fn tenths(number: i128) -> Value {
    json!(number as f64 / 10.0)
}

fn money(worth: i128) -> Value {
    json!(quotient(worth, CENT) as f64 / 100.0)
}

fn iso(date: Date) -> Value {
    date.to_string().into()
}

fn level(capacity: Option<i128>) -> [&'static str; 2] {
    match capacity {
        Some(900..) => ["full", "At Capacity"],
        Some(700..) => ["busy", "Busy"],
        _ => ["normal", "Normal"],
    }
}

fn hour_of(time: DateTime) -> DateTime {
    time.date().at(time.hour(), 0, 0, 0)
}

fn capacity_of(resort: &str) -> Option<i128> {
    let found = RESORTS.iter().find(|(name, ..)| *name == resort);
    found.map(|(_, capacity, _)| i128::from(*capacity))
}

fn on_clock(time: DateTime, zone: &str) -> DateTime {
    let instant = time.to_zoned(TimeZone::UTC).unwrap().timestamp();
    instant.in_tz(zone).unwrap().datetime()
}

impl Landed {
    fn sale(&self, rfid: &str, is_pass: bool) -> Option<&Sale> {
        let sales = self.sales.iter();
        let sales = sales.filter(|sale| sale.rfid == Some(rfid) && sale.is_pass == is_pass);
        sales.min_by_key(|sale| {
            (
                sale.time.is_none(),
                sale.time,
                sale.txid.is_none(),
                sale.txid,
            )
        })
    }

    /// The revenue of a visit that starts with this ride.
    fn worth(&self, rfid: &str, first: &Ride) -> i128 {
        if let Some(pass) = self.sale(rfid, true) {
            let earns = first.count.is_some_and(|count| count <= 20);
            let cents = pass.cents.filter(|_| earns);
            return cents.map_or(0, |cents| quotient(i128::from(cents) * CENT, 20));
        }
        let ticket = self.sale(rfid, false);
        let known = ticket.and_then(|ticket| Some((ticket.cents?, ticket.days?)));
        known.map_or(0, |(cents, days)| {
            quotient(i128::from(cents) * CENT, days.max(1).into())
        })
    }

    /// By resort and hour.
    fn hours(&self) -> BTreeMap<(&'static str, DateTime), Sums> {
        let mut hours: BTreeMap<_, Sums> = BTreeMap::new();
        let mut visits: BTreeMap<_, &Ride> = BTreeMap::new();
        let key = |ride: &Ride| {
            (
                ride.time,
                (ride.txid.is_none(), ride.txid),
                (ride.lift.is_none(), ride.lift),
                (ride.count.is_none(), ride.count),
            )
        };
        for ride in &self.rides {
            let (Some(rfid), Some(resort), Some(time)) = (ride.rfid, ride.resort, ride.time) else {
                continue;
            };
            let Some(most) = capacity_of(resort) else {
                continue;
            };
            let hour = hours.entry((resort, hour_of(time))).or_default();
            hour.rides += 1;
            hour.riders.insert(rfid);
            let riders = i128::try_from(hour.riders.len()).unwrap();
            hour.capacity = quotient(riders * 1_000, most);
            let first = visits.entry((resort, time.date(), rfid)).or_insert(ride);
            if key(ride) < key(first) {
                *first = ride;
            }
        }
        for ((resort, _, rfid), first) in visits {
            let hour = hours
                .get_mut(&(resort, hour_of(first.time.unwrap())))
                .unwrap();
            hour.visitors += 1;
            hour.worth += self.worth(rfid, first);
        }
        hours
    }

    /// By resort and date.
    fn days(&self) -> BTreeMap<(&'static str, Date), Sums> {
        let mut days: BTreeMap<_, Vec<Sums>> = BTreeMap::new();
        for ((resort, hour), sums) in self.hours() {
            days.entry((resort, hour.date())).or_default().push(sums);
        }
        let days = days.into_iter();
        days.map(|(day, hours)| (day, total(hours.iter()).unwrap()))
            .collect()
    }

    /// By date.
    fn network(&self) -> BTreeMap<Date, Sums> {
        let mut dates: BTreeMap<_, Vec<Sums>> = BTreeMap::new();
        for ((_, date), sums) in self.days() {
            dates.entry(date).or_default().push(sums);
        }
        let dates = dates.into_iter();
        dates
            .map(|(date, resorts)| (date, total(resorts.iter()).unwrap()))
            .collect()
    }

    fn header(&self, reporting: Option<DateTime>, zone: &str) -> Value {
        let rides = self.rides.iter().map(|ride| ride.time);
        let world = rides
            .chain(self.sales.iter().map(|sale| sale.time))
            .max()
            .flatten();
        let utc = |time: DateTime| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let local = |time| {
            on_clock(time, zone)
                .strftime("%a %-d %b %Y, %H:%M")
                .to_string()
        };
        json!({
            "reporting_time": reporting.map(utc), "reporting_local": reporting.map(local),
            "world_time": world.map(utc), "world_local": world.map(local), "time_zone": zone,
        })
    }

    pub(super) fn network_report(&self, period: Period) -> Value {
        let name = ["today", "week", "month"][period as usize];
        let hours = self.hours();
        let reporting = hours.keys().map(|(_, hour)| *hour).max();
        let header = self.header(reporting, "America/Denver");
        let Some(to) = reporting.map(DateTime::date) else {
            return json!({"view": "network", "empty": true, "period": name, "header": header});
        };
        let (from, before) = match period {
            Period::Today => (to, (to - 1.day(), to - 1.day())),
            Period::Week => (to - 6.days(), (to - 13.days(), to - 7.days())),
            Period::Month => {
                let last = to.first_of_month() - 1.day();
                let day = to.day().min(last.day());
                let end = Date::new(last.year(), last.month(), day).unwrap();
                (to.first_of_month(), (last.first_of_month(), end))
            }
        };
        let network = self.network();
        let sum = |from: Date, to: Date| total(network.range(from..=to).map(|(_, sums)| sums));
        let (now, previous) = (sum(from, to), sum(before.0, before.1));
        let kpi = |of: fn(&Sums) -> i128, shown: fn(i128) -> Value| {
            let (now, before) = (now.as_ref().map(of), previous.as_ref().map(of));
            let change = match before {
                None | Some(0) => 0,
                Some(before) => quotient((now.unwrap() - before) * 1_000, before),
            };
            json!({"value": now.map(shown), "before": before.map(shown), "change_pct": tenths(change)})
        };
        let count = |count: i128| json!(count as f64);
        let capacity = now.as_ref().map(|sums| sums.capacity);
        let days = self.days();
        let mut resorts: Vec<_> = RESORTS
            .iter()
            .filter_map(|(resort, ..)| {
                let days = days.range((*resort, from)..=(*resort, to));
                Some((total(days.map(|(_, sums)| sums))?, *resort))
            })
            .collect();
        resorts.sort_by_key(|(sums, resort)| (-sums.capacity, *resort));
        let resorts = resorts.iter().map(|(sums, resort)| {
            let status = level(Some(sums.capacity))[1];
            json!({
                "resort": resort, "visitors": count(sums.visitors), "capacity_pct": tenths(sums.capacity),
                "revenue": money(sums.worth), "rides": count(sums.rides), "status": status,
            })
        });
        let trend_from = if period == Period::Today {
            to - 6.days()
        } else {
            from
        };
        let dates: Vec<_> = trend_from
            .series(1.day())
            .take_while(|date| *date <= to)
            .collect();
        let lines = RESORTS.iter().filter_map(|(resort, ..)| {
            let found: Vec<_> = dates.iter().map(|date| days.get(&(*resort, *date))).collect();
            found.iter().any(Option::is_some).then(|| {
                let line = |of: &dyn Fn(&Sums) -> Value| -> Value {
                    found.iter().map(|sums| sums.map(of)).collect::<Vec<_>>().into()
                };
                json!({
                    "resort": resort, "visitors": line(&|sums| count(sums.visitors)),
                    "revenue": line(&|sums| money(sums.worth)), "capacity_pct": line(&|sums| tenths(sums.capacity)),
                })
            })
        });
        json!({
                    "view": "network", "empty": false, "period": name, "header": header,
                    "range": {
        "from": iso(from), "to": iso(to), "previous_from": iso(before.0), "previous_to": iso(before.1),
        },
                    "kpis": {
                        "visitors": kpi(|sums| sums.visitors, count),
                        "revenue": kpi(|sums| quotient(sums.worth, CENT), |cents| money(cents * CENT)),
                        "rides": kpi(|sums| sums.rides, count),
                        "capacity": {"value": capacity.map(tenths), "level": level(capacity)[0]},
                    },
                    "resorts": resorts.collect::<Value>(),
                    "trend": {
                        "dates": dates.iter().map(|date| iso(*date)).collect::<Value>(), "resorts": lines.collect::<Value>(),
                    },
                })
    }

    pub(super) fn resort_report(&self, asked: &str) -> Value {
        let (days, hours) = (self.days(), self.hours());
        let names: BTreeSet<_> = days.keys().map(|(resort, _)| *resort).collect();
        let zone = RESORTS
            .iter()
            .find(|(name, ..)| *name == asked)
            .map_or("UTC", |found| found.2);
        let of_resort = |key: &&(&str, DateTime)| key.0 == asked;
        let reporting = hours.keys().filter(of_resort).map(|key| key.1).max();
        let header = self.header(reporting, zone);
        let Some(reporting) = reporting else {
            return json!({"view": "resort", "empty": true, "resort": asked, "resorts": names, "header": header});
        };
        let &(resort, most, _) = RESORTS.iter().find(|(name, ..)| *name == asked).unwrap();
        let date = reporting.date();
        let now = &hours[&(resort, reporting)];
        let riders = |sums: &Sums| sums.riders.len() as f64;
        let mut by_hour = BTreeMap::new();
        for hour in 0..24 {
            let utc = date.at(hour, 0, 0, 0);
            let local = on_clock(utc, zone);
            let Some(sums) = hours.get(&(resort, utc)) else {
                continue;
            };
            if local.date() == date || !by_hour.contains_key(&local.hour()) {
                by_hour.insert(local.hour(), riders(sums));
            }
        }
        let day = &days[&(resort, date)];
        let most = i128::from(most);
        let target = most * 70 * DOLLAR;
        let status = match day.worth {
            worth if worth >= target => "ABOVE_TARGET",
            worth if worth * 10 >= target * 9 => "NEAR_TARGET",
            _ => "BELOW_TARGET",
        };
        let mut weeks: BTreeMap<Date, Vec<&Sums>> = BTreeMap::new();
        for ((_, date), sums) in days.iter().filter(|((name, _), _)| *name == resort) {
            let monday = *date - i32::from(date.weekday().to_monday_zero_offset()).days();
            weeks.entry(monday).or_default().push(sums);
        }
        let weeks = weeks.into_iter().rev().take(4).map(|(monday, days)| {
            let sums = total(days.iter().copied()).unwrap();
            let count = i128::try_from(days.len()).unwrap();
            json!({
                "week_start": iso(monday), "max_daily_visitors": days.iter().map(|day| day.visitors).max().unwrap() as f64,
                "avg_daily_visitors": quotient(sums.visitors, count) as f64, "total_visitors": sums.visitors as f64,
                "total_rides": sums.rides as f64, "total_revenue": money(sums.worth),
                "avg_daily_revenue": quotient(sums.worth, count * DOLLAR) as f64, "peak_capacity_pct": tenths(sums.peak),
            })
        });
        json!({
            "view": "resort", "empty": false, "resort": asked, "resorts": names, "header": header,
            "now": {
                "visitors": riders(now), "capacity_pct": tenths(now.capacity), "rides": now.rides as f64,
                "level": level(Some(now.capacity))[0], "revenue": money(now.worth),
            },
            "lifts": self.lifts(resort),
            "hours": (6..=22).map(|hour| json!({"hour": hour, "visitors": by_hour.get(&hour)})).collect::<Value>(),
            "daily": {
                "date": iso(date), "revenue": money(day.worth), "target": (most * 70) as f64,
                "achievement_pct": tenths(quotient(day.worth * 1_000, target)), "status": status,
            },
            "weeks": weeks.collect::<Value>(),
        })
    }

    fn lifts(&self, resort: &str) -> Value {
        let rides = self.rides.iter().filter(|ride| ride.resort == Some(resort));
        let rides = rides.filter_map(|ride| Some((ride.time?, ride.rfid?, ride.lift)));
        let rides: Vec<_> = rides.collect();
        let last = rides.iter().map(|(time, ..)| *time).max().unwrap();
        let mut lifts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (time, rfid, lift) in rides {
            if let Some(lift) = lift.filter(|_| time > last - 30.minutes()) {
                lifts.entry(lift).or_default().push((time, rfid));
            }
        }
        let mut lifts: Vec<_> = lifts.into_iter().collect();
        lifts.sort_by_key(|(lift, rides)| (std::cmp::Reverse(rides.len()), *lift));
        let most = lifts.first().map_or(0, |(_, rides)| rides.len());
        let lifts = lifts.iter().take(10).enumerate().map(|(rank, (lift, rides))| {
            let minute = |time: DateTime| i128::from(time.to_zoned(TimeZone::UTC).unwrap().timestamp().as_second().div_euclid(60));
            let times = || rides.iter().map(|(time, _)| minute(*time));
            let minutes = times().max().unwrap() - times().min().unwrap();
            let count = i128::try_from(rides.len()).unwrap();
            let per_hour = (minutes > 0).then(|| quotient(count * 600, minutes));
            let badge = match per_hour {
                Some(2_001..) => "hot",
                Some(1_001..) => "active",
                _ => "normal",
            };
            let visitors: BTreeSet<_> = rides.iter().map(|(_, rfid)| rfid).collect();
            json!({
                "rank": rank + 1, "lift": lift, "rides": count as f64, "visitors": visitors.len(),
                "share_pct": tenths(quotient(count * 1_000, most.try_into().unwrap())),
                "rides_per_hour": per_hour.map(tenths), "badge": badge,
            })
        });
        lifts.collect()
    }
}

/// All of them together: counts and worth are summed, capacity is the mean. None of none.
fn total<'a>(parts: impl Iterator<Item = &'a Sums> + Clone) -> Option<Sums> {
    Some(Sums {
        visitors: parts.clone().map(|sums| sums.visitors).sum(),
        riders: BTreeSet::new(),
        rides: parts.clone().map(|sums| sums.rides).sum(),
        worth: parts.clone().map(|sums| sums.worth).sum(),
        peak: parts
            .clone()
            .map(|sums| sums.capacity.max(sums.peak))
            .max()?,
        capacity: mean(parts.map(|sums| sums.capacity))?,
    })
}
