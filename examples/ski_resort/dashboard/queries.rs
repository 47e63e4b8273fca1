//! The queries of the page. The same text works in SQLite and in Snowflake.
//!
//! Therefore they use the reports' names, bind text for `?`, round money to cents, cast dates and timestamps to text, and call
//! only functions that both have.

/// The latest hour of all resorts.
pub(super) const NETWORK_TIME: &str =
    "SELECT CAST(MAX(RIDE_HOUR_TIMESTAMP) AS VARCHAR) FROM HOURLY_RESORT_SUMMARY";

/// The latest hour of a resort.
pub(super) const RESORT_TIME: &str = "\
SELECT CAST(MAX(RIDE_HOUR_TIMESTAMP) AS VARCHAR) FROM HOURLY_RESORT_SUMMARY WHERE RESORT = ?";

/// The simulated time.
pub(super) const WORLD_TIME: &str = "SELECT CAST(WORLD_TIME AS VARCHAR) FROM V_WORLD_CLOCK";

/// A resort's time zone.
pub(super) const TIME_ZONE: &str = "SELECT IANA_TIMEZONE FROM RESORT_CAPACITY WHERE RESORT = ?";

/// The resorts with reports.
pub(super) const RESORTS: &str = "SELECT DISTINCT RESORT FROM DAILY_RESORT_SUMMARY ORDER BY RESORT";

/// The network's sums from one date to another.
pub(super) const NETWORK_SUMS: &str = "\
SELECT SUM(TOTAL_NETWORK_VISITORS), ROUND(SUM(TOTAL_NETWORK_REVENUE), 2), SUM(TOTAL_NETWORK_RIDES), \
ROUND(AVG(AVG_NETWORK_CAPACITY_PCT), 1) \
FROM V_DAILY_NETWORK_METRICS WHERE RIDE_DATE BETWEEN ? AND ?";

/// Each resort's sums from one date to another, the fullest first.
pub(super) const RESORT_SUMS: &str = "\
SELECT RESORT, SUM(TOTAL_VISITORS), ROUND(AVG(AVG_CAPACITY_PCT), 1), ROUND(SUM(TOTAL_REVENUE), 2), SUM(TOTAL_RIDES) \
FROM DAILY_RESORT_SUMMARY WHERE RIDE_DATE BETWEEN ? AND ? GROUP BY RESORT \
ORDER BY ROUND(AVG(AVG_CAPACITY_PCT), 1) DESC, RESORT";

/// Each resort's days from one date to another.
pub(super) const TREND: &str = "\
SELECT RESORT, CAST(RIDE_DATE AS VARCHAR), TOTAL_VISITORS, ROUND(TOTAL_REVENUE, 2), AVG_CAPACITY_PCT \
FROM DAILY_RESORT_SUMMARY WHERE RIDE_DATE BETWEEN ? AND ? ORDER BY RESORT, RIDE_DATE";

/// An hour of a resort.
pub(super) const NOW: &str = "\
SELECT VISITOR_COUNT, CAPACITY_PCT, TOTAL_RIDES, ROUND(TOTAL_RECOGNIZED_REVENUE, 2) \
FROM HOURLY_RESORT_SUMMARY WHERE RESORT = ? AND RIDE_HOUR_TIMESTAMP = ?";

/// A resort's lifts in the last half hour, the busiest first.
pub(super) const LIFTS: &str = "\
SELECT USAGE_RANK_IN_RESORT, LIFT, RIDES, UNIQUE_VISITORS, RIDES_PER_HOUR \
FROM V_LIFT_PERFORMANCE WHERE RESORT = ? AND USAGE_RANK_IN_RESORT <= 10 ORDER BY USAGE_RANK_IN_RESORT";

/// The hours of a date at a resort.
pub(super) const HOURS: &str = "\
SELECT CAST(RIDE_HOUR_TIMESTAMP AS VARCHAR), VISITOR_COUNT \
FROM HOURLY_RESORT_SUMMARY WHERE RESORT = ? AND RIDE_DATE = ? ORDER BY RIDE_HOUR_TIMESTAMP";

/// A date at a resort compared with its target.
pub(super) const DAY: &str = "\
SELECT ROUND(TOTAL_REVENUE, 2), ROUND(REVENUE_TARGET, 2), REVENUE_TARGET_PCT, PERFORMANCE_STATUS \
FROM V_DAILY_REVENUE_PERFORMANCE WHERE RESORT = ? AND RIDE_DATE = ?";

/// A resort's last four weeks, the newest first.
pub(super) const WEEKS: &str = "\
SELECT CAST(WEEK_START_DATE AS VARCHAR), MAX_DAILY_UNIQUE_VISITORS, AVG_DAILY_UNIQUE_VISITORS, WEEK_TOTAL_VISITORS, \
WEEK_TOTAL_RIDES, ROUND(WEEK_TOTAL_REVENUE, 2), ROUND(AVG_DAILY_REVENUE, 2), WEEK_PEAK_CAPACITY_PCT \
FROM WEEKLY_RESORT_SUMMARY WHERE RESORT = ? ORDER BY WEEK_START_DATE DESC LIMIT 4";
