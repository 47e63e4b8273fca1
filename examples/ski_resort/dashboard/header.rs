//! The header of every report: its hour, the simulated time, and the time zone.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::queries;
use super::source::{Question, Rows, Source, Trouble};

/// The resort whose time zone the network's report uses.
const NETWORK_CLOCK: &str = "Vail";

/// The header of a report.
#[derive(Debug)]
pub(super) struct Header {
    /// The hour, as in the reports.
    reporting: Option<(String, DateTime)>,
    world: Option<DateTime>,
    zone_name: String,
    zone: TimeZone,
}

impl Header {
    /// The header of a resort's report, or of the network's.
    pub(super) async fn read(source: &Source, resort: Option<&str>) -> Result<Self, Trouble> {
        let time = match &resort {
            Some(resort) => Question::new(queries::RESORT_TIME, [resort]),
            None => Question::new(queries::NETWORK_TIME, []),
        };
        let [reporting, world, zone] = source
            .ask([
                time,
                Question::new(queries::WORLD_TIME, []),
                Question::new(queries::TIME_ZONE, [&resort.unwrap_or(NETWORK_CLOCK)]),
            ])
            .await?;
        let reporting = match first(reporting) {
            Some(text) => Some((text.clone(), date_time(&text)?)),
            None => None,
        };
        // A resort without a known time zone uses UTC.
        let known = first(zone).and_then(|name| Some((TimeZone::get(&name).ok()?, name)));
        let (zone, zone_name) = known.unwrap_or_else(|| (TimeZone::UTC, "UTC".to_owned()));
        Ok(Self {
            reporting,
            world: first(world).as_deref().map(date_time).transpose()?,
            zone_name,
            zone,
        })
    }

    /// The header without reports.
    pub(super) fn empty() -> Self {
        Self {
            reporting: None,
            world: None,
            zone_name: "UTC".to_owned(),
            zone: TimeZone::UTC,
        }
    }

    /// The hour, as text of the reports and as a date and time.
    pub(super) fn reporting(&self) -> Option<(&str, DateTime)> {
        let (text, time) = self.reporting.as_ref()?;
        Some((text, *time))
    }

    /// A UTC time in the report's time zone.
    pub(super) fn local(&self, utc: DateTime) -> Option<DateTime> {
        let instant = utc.to_zoned(TimeZone::UTC).ok()?;
        Some(instant.with_time_zone(self.zone.clone()).datetime())
    }

    pub(super) fn json(&self) -> Value {
        let reporting = self.reporting.as_ref().map(|(_, time)| *time);
        let shown = |time: DateTime| {
            Some(
                self.local(time)?
                    .strftime("%a %-d %b %Y, %H:%M")
                    .to_string(),
            )
        };
        let utc = |time: DateTime| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        json!({
            "reporting_time": reporting.map(utc),
            "reporting_local": reporting.and_then(shown),
            "world_time": self.world.map(utc),
            "world_local": self.world.and_then(shown),
            "time_zone": self.zone_name,
        })
    }
}

/// The only value of a result.
fn first(rows: Rows) -> Option<String> {
    rows.into_iter().next()?.text()
}

/// A time in the format of the reports.
pub(super) fn date_time(text: &str) -> Result<DateTime, Trouble> {
    text.parse().map_err(|_| unreadable(text))
}

/// A date in the format of the reports.
pub(super) fn date(text: &str) -> Result<Date, Trouble> {
    text.parse().map_err(|_| unreadable(text))
}

fn unreadable(text: &str) -> Trouble {
    Trouble::Failed(format!(
        "The reports have the date or time {text:?}, and not one like 2026-01-18 21:00:00: unset the user's DATE_OUTPUT_FORMAT \
         and TIMESTAMP_NTZ_OUTPUT_FORMAT."
    ))
}
