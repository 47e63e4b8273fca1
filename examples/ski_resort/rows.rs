//! The rows as JSON, in the form that the tables' pipes read.

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use snowpipe_connector_support::dice::Dice;

use crate::customer::Customer;
use crate::generator::Event;
use crate::rider::Entitlement;
use crate::table::Table;
use crate::world::{World, iso};

/// A row of one table, as JSON.
pub(crate) type Row = (Table, String);

/// Turns events into rows. Customers and TXIDs, which the simulation does not determine, are drawn from a separate stream for
/// each row: they depend only on the seed and the row's number, and have no effect on the rides.
#[derive(Debug)]
pub(crate) struct Writer {
    seed: u64,
    world: World,
}

#[derive(Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct Sale {
    txid: String,
    rfid: String,
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
struct LiftRide {
    txid: String,
    rfid: String,
    ride_time: String,
    lift: &'static str,
    resort: &'static str,
    activation_day_count: u64,
}

impl Writer {
    /// For the history of `seed` that begins at `start`.
    pub(crate) fn new(seed: u64, start: Timestamp) -> Result<Self> {
        Ok(Self {
            seed,
            world: World::new(start)?,
        })
    }

    /// The event's row.
    pub(crate) fn row(&self, event: &Event) -> Result<Row> {
        match event {
            Event::Sold {
                number,
                rfid,
                entitlement,
                price_usd,
                at,
                expires,
            } => {
                let (table, days, resort) = match entitlement {
                    Entitlement::Ticket { resort, days } => {
                        (Table::ResortTicket, Some(*days), Some(resort.facts().name))
                    }
                    Entitlement::Pass => (Table::SeasonPass, None, None),
                };
                let mut dice = self.dice(table, *number);
                let sale = Sale {
                    txid: txid(&mut dice),
                    rfid: rfid_text(*rfid),
                    purchase_time: iso(self.world.after(*at)?),
                    price_usd: *price_usd,
                    expiration_time: iso(self.world.after(*expires)?),
                    customer: Customer::new(&mut dice),
                    days,
                    resort,
                    // Written at the sale, when no day has been used.
                    days_used: 0,
                };
                Ok((table, serde_json::to_string(&sale)?))
            }
            Event::Rode {
                number,
                rfid,
                at,
                ride,
            } => {
                let row = LiftRide {
                    txid: txid(&mut self.dice(Table::LiftRide, *number)),
                    rfid: rfid_text(*rfid),
                    ride_time: iso(self.world.after(*at)?),
                    lift: ride.lift,
                    resort: ride.resort.facts().name,
                    activation_day_count: ride.activation_day_count,
                };
                Ok((Table::LiftRide, serde_json::to_string(&row)?))
            }
        }
    }

    fn dice(&self, table: Table, number: u64) -> Dice {
        let kind = match table {
            Table::ResortTicket => 1,
            Table::SeasonPass => 2,
            Table::LiftRide => 3,
        };
        Dice::new(self.seed, (kind << 56) | number)
    }
}

fn rfid_text(rfid: u128) -> String {
    format!("{rfid:#x}")
}

fn txid(dice: &mut Dice) -> String {
    dice.uuid().to_string()
}
