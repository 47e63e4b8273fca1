//! The report on all resorts.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::{Value, json};

use super::asked::Period;
use super::header::{Header, date};
use super::periods::{Range, dates, week};
use super::queries;
use super::source::{Question, Row, Rows, Source, Trouble};

/// The level of a resort's capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Normal,
    Busy,
    Full,
}

impl Level {
    pub(super) fn of(capacity_pct: &Value) -> Self {
        match capacity_pct.as_f64() {
            Some(pct) if pct >= 90.0 => Self::Full,
            Some(pct) if pct >= 70.0 => Self::Busy,
            _ => Self::Normal,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Busy => "busy",
            Self::Full => "full",
        }
    }

    fn status(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Busy => "Busy",
            Self::Full => "At Capacity",
        }
    }
}

/// The report for a period.
pub(super) async fn report(source: &Source, period: Period) -> Result<Value, Trouble> {
    let header = Header::read(source, None).await?;
    let Some((_, time)) = header.reporting() else {
        return Ok(empty(&header, period));
    };
    let range = Range::new(period, time.date()).map_err(Trouble::failed)?;
    // One date is not enough for a line.
    let trend_from = match period {
        Period::Today => week(range.to).map_err(Trouble::failed)?,
        Period::Week | Period::Month => range.from,
    };
    let between = |sql, from: Date, to: Date| Question::new(sql, [&from, &to]);
    let [now, before, resorts, trend] = source
        .ask([
            between(queries::NETWORK_SUMS, range.from, range.to),
            between(
                queries::NETWORK_SUMS,
                range.previous_from,
                range.previous_to,
            ),
            between(queries::RESORT_SUMS, range.from, range.to),
            between(queries::TREND, trend_from, range.to),
        ])
        .await?;
    Ok(json!({
        "view": "network",
        "empty": false,
        "period": period.name(),
        "header": header.json(),
        "range": {
            "from": range.from.to_string(),
            "to": range.to.to_string(),
            "previous_from": range.previous_from.to_string(),
            "previous_to": range.previous_to.to_string(),
        },
        "kpis": kpis(now, before),
        "resorts": resorts.into_iter().map(status).collect::<Value>(),
        "trend": lines(trend, trend_from, range.to)?,
    }))
}

/// The report before rows have landed.
pub(super) fn empty(header: &Header, period: Period) -> Value {
    json!({ "view": "network", "empty": true, "period": period.name(), "header": header.json() })
}

fn kpis(now: Rows, before: Rows) -> Value {
    let mut now = now.into_iter().next();
    let mut before = before.into_iter().next();
    let next = |row: &mut Option<Row>| row.as_mut().map_or(Value::Null, Row::number);
    let mut changing = || {
        let (now, before) = (next(&mut now), next(&mut before));
        json!({ "change_pct": change_pct(&now, &before), "value": now, "before": before })
    };
    let (visitors, revenue, rides) = (changing(), changing(), changing());
    let capacity = next(&mut now);
    json!({
        "visitors": visitors,
        "revenue": revenue,
        "rides": rides,
        "capacity": { "level": Level::of(&capacity).name(), "value": capacity },
    })
}

/// In hundredths, which represent cents and counts exactly, so that halves are rounded correctly.
fn change_pct(now: &Value, before: &Value) -> f64 {
    let hundredths = |value: &Value| (value.as_f64().unwrap_or_default() * 100.0).round();
    let (now, before) = (hundredths(now), hundredths(before));
    if before == 0.0 {
        return 0.0;
    }
    // Adding zero removes the sign of a negative zero.
    ((now - before) * 1_000.0 / before).round() / 10.0 + 0.0
}

fn status(mut row: Row) -> Value {
    let resort = row.text();
    let visitors = row.number();
    let capacity = row.number();
    json!({
        "resort": resort,
        "visitors": visitors,
        "status": Level::of(&capacity).status(),
        "capacity_pct": capacity,
        "revenue": row.number(),
        "rides": row.number(),
    })
}

/// Each resort's values on all dates; null where there is none.
fn lines(rows: Rows, from: Date, to: Date) -> Result<Value, Trouble> {
    let mut resorts: BTreeMap<String, BTreeMap<Date, [Value; 3]>> = BTreeMap::new();
    for mut row in rows {
        let resort = row.text().unwrap_or_default();
        let date = date(&row.text().unwrap_or_default())?;
        let values = [row.number(), row.number(), row.number()];
        resorts.entry(resort).or_default().insert(date, values);
    }
    let resorts = resorts.into_iter().map(|(resort, days)| {
        let mut columns = [const { Vec::new() }; 3];
        for date in dates(from, to) {
            let values = days.get(&date).cloned().unwrap_or_default();
            for (column, value) in columns.iter_mut().zip(values) {
                column.push(value);
            }
        }
        let [visitors, revenue, capacity] = columns;
        json!({ "resort": resort, "visitors": visitors, "revenue": revenue, "capacity_pct": capacity })
    });
    let resorts: Value = resorts.collect();
    let dates: Value = dates(from, to).map(|date| date.to_string()).collect();
    Ok(json!({ "dates": dates, "resorts": resorts }))
}
