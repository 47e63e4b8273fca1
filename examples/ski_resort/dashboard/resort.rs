//! The report for one resort.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::{Value, json};

use super::header::{Header, date_time};
use super::network::Level;
use super::queries;
use super::source::{Question, Row, Rows, Source, Trouble};

/// The hours of a day in the report.
const HOURS: std::ops::RangeInclusive<i8> = 6..=22;
/// Rides an hour above which a lift counts as hot, or as active.
const HOT: f64 = 200.0;
const ACTIVE: f64 = 100.0;

/// The report for a resort; the first by name if none is given.
pub(super) async fn report(source: &Source, asked: Option<&str>) -> Result<Value, Trouble> {
    let [resorts] = source.ask([Question::new(queries::RESORTS, [])]).await?;
    let resorts: Vec<_> = resorts
        .into_iter()
        .filter_map(|mut row| row.text())
        .collect();
    let resort = asked.or(resorts.first().map(String::as_str));
    let header = Header::read(source, resort).await?;
    let (Some(resort), Some((hour, time))) = (resort, header.reporting()) else {
        return Ok(empty(&header, resort, &resorts));
    };
    let date = time.date();
    let [now, lifts, hours, day, weeks] = source
        .ask([
            Question::new(queries::NOW, [&resort, &hour]),
            Question::new(queries::LIFTS, [&resort]),
            Question::new(queries::HOURS, [&resort, &date]),
            Question::new(queries::DAY, [&resort, &date]),
            Question::new(queries::WEEKS, [&resort]),
        ])
        .await?;
    let day = day.into_iter().next().map(|mut row| {
        json!({
            "date": date.to_string(),
            "revenue": row.number(),
            "target": row.number(),
            "achievement_pct": row.number(),
            "status": row.text(),
        })
    });
    Ok(json!({
        "view": "resort",
        "empty": false,
        "resort": resort,
        "resorts": resorts,
        "header": header.json(),
        "now": now.into_iter().next().map(tiles),
        "lifts": busiest(lifts),
        "hours": by_hour(&header, date, hours)?,
        "daily": day,
        "weeks": weeks.into_iter().map(week).collect::<Value>(),
    }))
}

/// The report for a resort without landed rows.
pub(super) fn empty(header: &Header, resort: Option<&str>, resorts: &[String]) -> Value {
    json!({ "view": "resort", "empty": true, "resort": resort, "resorts": resorts, "header": header.json() })
}

fn tiles(mut row: Row) -> Value {
    let visitors = row.number();
    let capacity = row.number();
    json!({
        "visitors": visitors,
        "level": Level::of(&capacity).name(),
        "capacity_pct": capacity,
        "rides": row.number(),
        "revenue": row.number(),
    })
}

/// Lifts, with their rides relative to those of the busiest lift.
fn busiest(rows: Rows) -> Value {
    let mut most = None;
    let lifts = rows.into_iter().map(|mut row| {
        let rank = row.number();
        let lift = row.text();
        let rides = row.number();
        let visitors = row.number();
        let per_hour = row.number();
        let count = rides.as_f64().unwrap_or_default();
        let most = *most.get_or_insert(count);
        let badge = match per_hour.as_f64() {
            Some(rides) if rides > HOT => "hot",
            Some(rides) if rides > ACTIVE => "active",
            _ => "normal",
        };
        json!({
            "rank": rank,
            "lift": lift,
            "rides": rides,
            "visitors": visitors,
            "share_pct": (count * 1_000.0 / most).round() / 10.0,
            "rides_per_hour": per_hour,
            "badge": badge,
        })
    });
    lifts.collect()
}

/// The visitors in the hours of a date, in the resort's time zone.
fn by_hour(header: &Header, date: Date, rows: Rows) -> Result<Value, Trouble> {
    let mut visitors = BTreeMap::new();
    for mut row in rows {
        let hour = date_time(&row.text().unwrap_or_default())?;
        let Some(local) = header.local(hour) else {
            continue;
        };
        // When clocks go forward, the first and the last hour have the same number, on two dates of the resort. Their visitors
        // belong to different days and are not added: the hour on the date itself counts.
        if local.date() == date || !visitors.contains_key(&local.hour()) {
            visitors.insert(local.hour(), row.number());
        }
    }
    let hours = HOURS.map(|hour| json!({ "hour": hour, "visitors": visitors.get(&hour) }));
    Ok(hours.collect())
}

fn week(mut row: Row) -> Value {
    json!({
        "week_start": row.text(),
        "max_daily_visitors": row.number(),
        "avg_daily_visitors": row.number(),
        "total_visitors": row.number(),
        "total_rides": row.number(),
        "total_revenue": row.number(),
        "avg_daily_revenue": row.number(),
        "peak_capacity_pct": row.number(),
    })
}
