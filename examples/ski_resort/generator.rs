//! The simulation: people buy tickets and passes and ride lifts, one step of 27 simulated seconds at a time.

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Builder;

use crate::customer::Customer;
use crate::dice::Dice;
use crate::resorts::Resort;
use crate::rider::{Entitlement, Rider};
use crate::table::Table;
use crate::world::{Moment, SECONDS_PER_DAY, STEPS_PER_DAY, World, iso};

const TICKETS_PER_STEP: u64 = 5;
/// One season pass is sold to so many tickets.
const TICKETS_PER_PASS: u64 = 20;
/// How many ticket holders, and how many pass holders, are looked at in a step.
const TICKET_SAMPLE: usize = 1_000;
const PASS_SAMPLE: usize = 200;
/// How many steps pass between two clearings of those who can ride no more: a simulated hour.
const STEPS_PER_CLEARING: u64 = STEPS_PER_DAY / 24;

/// A row of one table, as JSON.
pub(crate) type Row = (Table, String);

/// The simulation. The same seed and start give the same rows, byte for byte, whatever the speed.
#[derive(Debug)]
pub(crate) struct Generator {
    world: World,
    state: State,
}

/// Everything that decides what comes next.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    next_step: u64,
    tickets_sold: u64,
    passes_sold: u64,
    tickets: Vec<Rider>,
    passes: Vec<Rider>,
    /// What is sold, who buys it, and who rides draw from streams of their own,
    /// so that other names in the vocabulary do not change who rides when.
    sales: Dice,
    people: Dice,
    slopes: Dice,
}

#[derive(Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct Sale<'a> {
    txid: String,
    rfid: &'a str,
    purchase_time: String,
    price_usd: u64,
    expiration_time: String,
    #[serde(flatten)]
    customer: Customer,
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resort: Option<&'static str>,
    days_used: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct LiftRide<'a> {
    txid: String,
    rfid: &'a str,
    ride_time: &'a str,
    lift: &'static str,
    resort: &'static str,
    activation_day_count: u64,
}

impl Generator {
    /// A history that begins at `start`.
    pub(crate) fn new(seed: u64, start: Timestamp) -> Result<Self> {
        Ok(Self {
            world: World::new(start)?,
            state: State {
                next_step: 0,
                tickets_sold: 0,
                passes_sold: 0,
                tickets: Vec::new(),
                passes: Vec::new(),
                sales: Dice::new(seed, 0),
                people: Dice::new(seed, 1),
                slopes: Dice::new(seed, 2),
            },
        })
    }

    /// The history of `seed` and `start` as it stands before `next_step`: from a checkpoint, if there is one, and
    /// by walking the steps since again.
    pub(crate) fn resume(
        seed: u64,
        start: Timestamp,
        checkpoint: Option<&str>,
        next_step: u64,
    ) -> Result<Self> {
        let mut generator = Self::new(seed, start)?;
        if let Some(checkpoint) = checkpoint {
            generator.state = serde_json::from_str(checkpoint)
                .context("the queue's checkpoint of the generator cannot be read")?;
        }
        while generator.state.next_step < next_step {
            generator.step()?;
        }
        Ok(generator)
    }

    /// The step that [`Generator::step`] does next.
    pub(crate) fn next_step(&self) -> u64 {
        self.state.next_step
    }

    /// What [`Generator::resume`] can go on from.
    pub(crate) fn checkpoint(&self) -> Result<String> {
        Ok(serde_json::to_string(&self.state)?)
    }

    /// How many ticket and pass holders are in memory.
    #[cfg(test)]
    pub(crate) fn resident(&self) -> (usize, usize) {
        (self.state.tickets.len(), self.state.passes.len())
    }

    /// Does one step and returns its rows, those of each table in order. A ride's ticket or pass always comes before it.
    pub(crate) fn step(&mut self) -> Result<Vec<Row>> {
        let now = self.world.at(self.state.next_step)?;
        let mut rows = Vec::new();
        if self.state.next_step.is_multiple_of(STEPS_PER_CLEARING) {
            self.state.tickets.retain(|rider| !rider.is_spent(&now));
            self.state.passes.retain(|rider| !rider.is_spent(&now));
        }
        while self.state.passes_sold < self.state.tickets_sold / TICKETS_PER_PASS {
            rows.push(self.sell_pass(&now)?);
        }
        for _ in 0..TICKETS_PER_STEP {
            rows.push(self.sell_ticket(&now)?);
        }
        if now.any_open() {
            self.state.ride(&now, &mut rows)?;
        }
        self.state.next_step += 1;
        Ok(rows)
    }

    fn sell_ticket(&mut self, now: &Moment) -> Result<Row> {
        let days = self
            .state
            .sales
            .choose(&[(35, 1), (35, 2), (10, 3), (5, 4), (5, 5), (5, 6)], 7);
        let resort = self
            .state
            .sales
            .choose(&Resort::POPULARITY, Resort::OTHERWISE);
        let price_usd = ticket_price(resort, days, now.weekend, &mut self.state.sales);
        self.state.tickets_sold += 1;
        let entitlement = Entitlement::Ticket { resort, days };
        self.sell(now, entitlement, price_usd, 2 * days)
    }

    fn sell_pass(&mut self, now: &Moment) -> Result<Row> {
        let price_usd = self
            .state
            .sales
            .choose(&[(40, 1_051), (50, 783), (5, 537)], 407);
        self.state.passes_sold += 1;
        self.sell(now, Entitlement::Pass, price_usd, 365)
    }

    fn sell(
        &mut self,
        now: &Moment,
        entitlement: Entitlement,
        price_usd: u64,
        valid_days: u64,
    ) -> Result<Row> {
        let expires = now.elapsed + valid_days * SECONDS_PER_DAY;
        let state = &mut self.state;
        let rfid = state.sales.bits(96);
        let rider = Rider::new(rfid, entitlement, expires, state.sales.below(1_000));
        let (table, days, resort) = match entitlement {
            Entitlement::Ticket { resort, days } => {
                state.tickets.push(rider);
                (Table::ResortTicket, Some(days), Some(resort.facts().name))
            }
            Entitlement::Pass => {
                state.passes.push(rider);
                (Table::SeasonPass, None, None)
            }
        };
        let sale = Sale {
            txid: txid(&mut state.people),
            rfid: &rfid_text(rfid),
            purchase_time: iso(now.timestamp),
            price_usd,
            expiration_time: iso(self.world.after(expires)?),
            customer: Customer::new(&mut state.people),
            days,
            resort,
            days_used: 0,
        };
        Ok((table, serde_json::to_string(&sale)?))
    }
}

impl State {
    fn ride(&mut self, now: &Moment, rows: &mut Vec<Row>) -> Result<()> {
        let ride_time = iso(now.timestamp);
        let samples = [
            (&mut self.tickets, TICKET_SAMPLE),
            (&mut self.passes, PASS_SAMPLE),
        ];
        for (riders, size) in samples {
            for rider in sample(riders, size, &mut self.slopes) {
                let Some(ride) = rider.ride(now, &mut self.slopes) else {
                    continue;
                };
                let ride = LiftRide {
                    txid: txid(&mut self.people),
                    rfid: &rfid_text(rider.rfid),
                    ride_time: &ride_time,
                    lift: ride.lift,
                    resort: ride.resort.facts().name,
                    activation_day_count: ride.activation_day_count,
                };
                rows.push((Table::LiftRide, serde_json::to_string(&ride)?));
            }
        }
        Ok(())
    }
}

/// At most `size` of the riders, drawn without putting back, and moved to the front.
fn sample<'a>(riders: &'a mut [Rider], size: usize, dice: &mut Dice) -> &'a mut [Rider] {
    let size = size.min(riders.len());
    for place in 0..size {
        riders.swap(place, place + dice.index(riders.len() - place));
    }
    riders.split_at_mut(size).0
}

/// The day's price, dearer at weekends, up to a tenth cheaper or dearer by chance, times the days, cut to whole dollars.
fn ticket_price(resort: Resort, days: u64, weekend: bool, dice: &mut Dice) -> u64 {
    const MILLION: u64 = 1_000_000;
    let facts = resort.facts();
    let tenths = if weekend { facts.weekend_tenths } else { 10 };
    let chance = 900_000 + dice.below(200_000);
    facts.base_usd * tenths * chance * days / (10 * MILLION)
}

fn rfid_text(rfid: u128) -> String {
    format!("{rfid:#x}")
}

fn txid(dice: &mut Dice) -> String {
    Builder::from_random_bytes(dice.bits(128).to_be_bytes())
        .into_uuid()
        .to_string()
}
