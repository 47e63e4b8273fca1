//! The rows of the tables, as they are sent.

use std::fmt::Display;

use jiff::civil::{Date, DateTime};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::customers::Segment;
use crate::money::Money;

/// A row of CUSTOMERS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(clippy::struct_field_names, reason = "the names of the columns")]
pub(crate) struct Customer {
    pub(crate) customer_id: u64,
    pub(crate) first_name: &'static str,
    pub(crate) last_name: &'static str,
    pub(crate) email: String,
    pub(crate) phone: String,
    pub(crate) address: String,
    pub(crate) city: &'static str,
    pub(crate) state: &'static str,
    #[serde(serialize_with = "as_text")]
    pub(crate) zip_code: u64,
    #[serde(serialize_with = "as_text")]
    pub(crate) registration_date: Date,
    pub(crate) customer_segment: Segment,
}

/// A row of ORDERS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(clippy::struct_field_names, reason = "the names of the columns")]
pub(crate) struct Order {
    #[serde(serialize_with = "as_text")]
    pub(crate) order_id: Uuid,
    pub(crate) customer_id: u64,
    #[serde(serialize_with = "as_seconds")]
    pub(crate) order_date: DateTime,
    pub(crate) order_status: &'static str,
    pub(crate) total_amount: Money,
    pub(crate) discount_percent: u64,
    pub(crate) shipping_cost: Money,
}

/// A row of `ORDER_ITEMS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(clippy::struct_field_names, reason = "the names of the columns")]
pub(crate) struct OrderItem {
    #[serde(serialize_with = "as_text")]
    pub(crate) order_item_id: Uuid,
    #[serde(serialize_with = "as_text")]
    pub(crate) order_id: Uuid,
    pub(crate) product_id: u32,
    pub(crate) product_name: &'static str,
    pub(crate) product_category: &'static str,
    pub(crate) quantity: u64,
    pub(crate) unit_price: Money,
    pub(crate) line_total: Money,
}

fn as_text<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn as_seconds<S: Serializer>(at: &DateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&at.strftime("%Y-%m-%d %H:%M:%S"))
}
