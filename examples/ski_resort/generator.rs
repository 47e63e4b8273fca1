//! The simulation: people buy tickets and passes and ride lifts, one step of 27 simulated seconds at a time.

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use snowpipe_connector_support::dice::Dice;

use crate::resorts::Resort;
use crate::rider::{Entitlement, Ride, Rider};
use crate::world::{Moment, SECONDS_PER_DAY, STEPS_PER_DAY, World};

const TICKETS_PER_STEP: u64 = 5;
/// One season pass is sold for this many tickets.
const TICKETS_PER_PASS: u64 = 20;
/// How many ticket holders, and how many pass holders, may ride in a step.
const TICKET_SAMPLE: usize = 1_000;
const PASS_SAMPLE: usize = 200;
/// The steps between two removals of riders who can never ride again: about a simulated hour.
const STEPS_PER_CLEARING: u64 = STEPS_PER_DAY / 24;

/// An event of a step. Each kind is numbered from 1. Times are simulated seconds since the start.
#[derive(Debug)]
pub(crate) enum Event {
    /// A ticket or a pass was sold.
    Sold {
        number: u64,
        rfid: u128,
        entitlement: Entitlement,
        price_usd: u64,
        at: u64,
        expires: u64,
    },
    /// A ticket or pass holder took a lift.
    Rode {
        number: u64,
        rfid: u128,
        at: u64,
        ride: Ride,
    },
}

/// The simulation. The same seed and start give the same events at any speed.
#[derive(Debug)]
pub(crate) struct Generator {
    world: World,
    state: State,
}

/// The state that determines all later events.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    next_step: u64,
    tickets_sold: u64,
    passes_sold: u64,
    rides: u64,
    tickets: Vec<Rider>,
    passes: Vec<Rider>,
    sales: Dice,
    slopes: Dice,
}

impl Generator {
    /// A history that starts at `start`.
    pub(crate) fn new(seed: u64, start: Timestamp) -> Result<Self> {
        Ok(Self {
            world: World::new(start)?,
            state: State {
                next_step: 0,
                tickets_sold: 0,
                passes_sold: 0,
                rides: 0,
                tickets: Vec::new(),
                passes: Vec::new(),
                sales: Dice::new(seed, 0),
                slopes: Dice::new(seed, 1),
            },
        })
    }

    /// The history of `seed` and `start` before `next_step`: continues from a checkpoint, if there is one, and repeats the
    /// steps since then.
    pub(crate) fn resume(
        seed: u64,
        start: Timestamp,
        checkpoint: Option<&str>,
        next_step: u64,
    ) -> Result<Self> {
        let mut generator = Self::new(seed, start)?;
        if let Some(checkpoint) = checkpoint {
            generator.state = serde_json::from_str(checkpoint)
                .context("cannot read the generator's checkpoint in the queue")?;
        }
        while generator.state.next_step < next_step {
            generator.step()?;
        }
        Ok(generator)
    }

    /// The next step of [`Generator::step`].
    pub(crate) fn next_step(&self) -> u64 {
        self.state.next_step
    }

    /// The state for [`Generator::resume`].
    pub(crate) fn checkpoint(&self) -> Result<String> {
        Ok(serde_json::to_string(&self.state)?)
    }

    /// The number of ticket and pass holders in memory.
    #[cfg(test)]
    pub(crate) fn resident(&self) -> (usize, usize) {
        (self.state.tickets.len(), self.state.passes.len())
    }

    /// Runs one step and returns its events in order: each sale comes before its rides.
    pub(crate) fn step(&mut self) -> Result<Vec<Event>> {
        let now = self.world.at(self.state.next_step)?;
        let mut events = Vec::new();
        if self.state.next_step.is_multiple_of(STEPS_PER_CLEARING) {
            self.state.tickets.retain(|rider| !rider.is_spent(&now));
            self.state.passes.retain(|rider| !rider.is_spent(&now));
        }
        while self.state.passes_sold < self.state.tickets_sold / TICKETS_PER_PASS {
            events.push(self.state.sell_pass(&now));
        }
        for _ in 0..TICKETS_PER_STEP {
            events.push(self.state.sell_ticket(&now));
        }
        if now.any_open() {
            self.state.ride(&now, &mut events);
        }
        self.state.next_step += 1;
        Ok(events)
    }
}

impl State {
    fn sell_ticket(&mut self, now: &Moment) -> Event {
        let sales = &mut self.sales;
        let days = sales.choose(&[(35, 1), (35, 2), (10, 3), (5, 4), (5, 5), (5, 6)], 7);
        let resort = sales.choose(&Resort::POPULARITY, Resort::OTHERWISE);
        let price_usd = ticket_price(resort, days, now.weekend, sales);
        self.tickets_sold += 1;
        let entitlement = Entitlement::Ticket { resort, days };
        self.sell(now, self.tickets_sold, entitlement, price_usd, 2 * days)
    }

    fn sell_pass(&mut self, now: &Moment) -> Event {
        let price_usd = self.sales.choose(&[(40, 1_051), (50, 783), (5, 537)], 407);
        self.passes_sold += 1;
        self.sell(now, self.passes_sold, Entitlement::Pass, price_usd, 365)
    }

    fn sell(
        &mut self,
        now: &Moment,
        number: u64,
        entitlement: Entitlement,
        price_usd: u64,
        valid_days: u64,
    ) -> Event {
        let expires = now.elapsed + valid_days * SECONDS_PER_DAY;
        let rfid = self.sales.bits(96);
        let rider = Rider::new(rfid, entitlement, expires, self.sales.below(1_000));
        match entitlement {
            Entitlement::Ticket { .. } => self.tickets.push(rider),
            Entitlement::Pass => self.passes.push(rider),
        }
        Event::Sold {
            number,
            rfid,
            entitlement,
            price_usd,
            at: now.elapsed,
            expires,
        }
    }

    fn ride(&mut self, now: &Moment, events: &mut Vec<Event>) {
        let samples = [
            (&mut self.tickets, TICKET_SAMPLE),
            (&mut self.passes, PASS_SAMPLE),
        ];
        for (riders, size) in samples {
            for rider in sample(riders, size, &mut self.slopes) {
                if let Some(ride) = rider.ride(now, &mut self.slopes) {
                    self.rides += 1;
                    events.push(Event::Rode {
                        number: self.rides,
                        rfid: rider.rfid,
                        at: now.elapsed,
                        ride,
                    });
                }
            }
        }
    }
}

/// At most `size` riders, drawn without replacement and moved to the front.
fn sample<'a>(riders: &'a mut [Rider], size: usize, dice: &mut Dice) -> &'a mut [Rider] {
    let size = size.min(riders.len());
    for place in 0..size {
        riders.swap(place, place + dice.index(riders.len() - place));
    }
    riders.split_at_mut(size).0
}

/// The price of a day, higher at weekends and randomly up to a tenth lower or higher, multiplied by the days and truncated to
/// whole dollars.
fn ticket_price(resort: Resort, days: u64, weekend: bool, dice: &mut Dice) -> u64 {
    const MILLION: u64 = 1_000_000;
    let facts = resort.facts();
    let tenths = if weekend { facts.weekend_tenths } else { 10 };
    let chance = 900_000 + dice.below(200_000);
    facts.base_usd * tenths * chance * days / (10 * MILLION)
}
