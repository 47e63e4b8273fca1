//! The page's reports on tables with values set by hand.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::dashboard::ReportPlace;
use crate::dashboard::asked::{Asked, Period};
use crate::dashboard::views::Views;

/// A report's name, its columns, and its rows: a line each, with nothing for NULL.
pub(super) type Filled = (&'static str, &'static str, &'static str);

/// What the page reads of each report. The newest hour is Heavenly's, at a month's border.
pub(super) const FILLED: &[Filled] = &[
    (
        "RESORT_CAPACITY",
        "RESORT varchar, IANA_TIMEZONE varchar",
        "Vail|America/Denver
         Heavenly|America/Los_Angeles",
    ),
    (
        "V_WORLD_CLOCK",
        "WORLD_TIME datetime",
        "2026-03-01 22:12:13.5",
    ),
    (
        "HOURLY_RESORT_SUMMARY",
        "RIDE_DATE date, RIDE_HOUR_TIMESTAMP datetime, RESORT varchar, VISITOR_COUNT number, TOTAL_RIDES number, \
         TOTAL_RECOGNIZED_REVENUE number(18, 8), CAPACITY_PCT number(5, 1)",
        "2026-02-28|2026-02-28 17:00:00|Vail|1|1|1|0.1
         2026-03-01|2026-03-01 16:00:00|Vail|100|150|20|1.4
         2026-03-01|2026-03-01 21:00:00|Vail|6300|9000|1234.125|90
         2026-03-01|2026-03-01 22:00:00|Heavenly|10|12|50.5|0.2",
    ),
    (
        "DAILY_RESORT_SUMMARY",
        "RIDE_DATE date, RESORT varchar, TOTAL_VISITORS number, AVG_CAPACITY_PCT number(5, 1), \
         TOTAL_REVENUE number(18, 8), TOTAL_RIDES number",
        "2026-02-01|Vail|7|5|3|9
         2026-02-22|Vail|40|10|10|30
         2026-02-23|Heavenly|100|80|100|100
         2026-02-28|Vail|200|69.8|500.5|1000
         2026-03-01|Vail|200|90|900.126|600
         2026-03-01|Keystone|1|70|0.01|1
         2026-03-01|Heavenly|100|70|100|300",
    ),
    (
        "V_DAILY_NETWORK_METRICS",
        "RIDE_DATE date, TOTAL_NETWORK_VISITORS number, TOTAL_NETWORK_REVENUE number(18, 8), \
         AVG_NETWORK_CAPACITY_PCT number(5, 1), TOTAL_NETWORK_RIDES number",
        "2026-02-01|7|3|5|9
         2026-02-22|40|10|10|30
         2026-02-23|100|100|80|100
         2026-02-28|200|500.5|69.9|1000
         2026-03-01|300|1000.126|50.1|900",
    ),
    (
        "V_LIFT_PERFORMANCE",
        "RESORT varchar, LIFT varchar, RIDES number, UNIQUE_VISITORS number, USAGE_RANK_IN_RESORT number, \
         RIDES_PER_HOUR number(9, 1)",
        "Vail|Elkhorn|10|9|3|100
         Vail|Gondola One|30|20|1|200.5
         Vail|Avanti|20|15|2|200
         Vail|D|1|1|4|
         Vail|E|1|1|5|
         Vail|F|1|1|6|
         Vail|G|1|1|7|
         Vail|H|1|1|8|
         Vail|I|1|1|9|
         Vail|J|1|1|10|2
         Vail|K|1|1|11|2
         Heavenly|Sky|5|5|1|110.1",
    ),
    (
        "V_DAILY_REVENUE_PERFORMANCE",
        "RIDE_DATE date, RESORT varchar, TOTAL_REVENUE number(18, 8), REVENUE_TARGET number(18, 8), \
         REVENUE_TARGET_PCT number(9, 1), PERFORMANCE_STATUS varchar",
        "2026-02-28|Vail|500.5|490000|0.1|NEAR_TARGET
         2026-03-01|Vail|900.126|490000|0.2|BELOW_TARGET",
    ),
    (
        "WEEKLY_RESORT_SUMMARY",
        "WEEK_START_DATE date, RESORT varchar, MAX_DAILY_UNIQUE_VISITORS number, AVG_DAILY_UNIQUE_VISITORS number, \
         WEEK_TOTAL_VISITORS number, WEEK_TOTAL_RIDES number, WEEK_TOTAL_REVENUE number(18, 8), \
         AVG_DAILY_REVENUE number(18, 8), WEEK_PEAK_CAPACITY_PCT number(5, 1)",
        "2026-01-26|Vail|9|9|9|9|9|9|9
         2026-02-02|Vail|7|7|7|9|3|3|5.5
         2026-02-09|Vail|8||8|8|8.126|8|8
         2026-02-16|Vail|40|40|40|30|10|10|10
         2026-02-23|Vail|200|200|400|1600|1400.626|700|90
         2026-02-23|Heavenly|100|100|200|400|200|100|80",
    ),
];

pub(super) fn rows(
    filled: &Filled,
) -> impl Iterator<Item = Vec<(&'static str, Option<&'static str>)>> {
    let columns = filled
        .1
        .split(", ")
        .filter_map(|column| column.split(' ').next());
    // A scale is no column.
    let columns: Vec<_> = columns
        .filter(|name| name.starts_with(char::is_alphabetic))
        .collect();
    filled.2.lines().map(move |line| {
        let cells = line
            .trim()
            .split('|')
            .map(|cell| Some(cell).filter(|cell| !cell.is_empty()));
        columns.iter().copied().zip(cells).collect()
    })
}

/// Reports in a file, made of these tables.
pub(super) fn embedded(directory: &Path, filled: &[Filled]) -> PathBuf {
    let path = directory.join("reports.db");
    let database = Connection::open(&path).unwrap();
    for table in filled {
        database
            .execute_batch(&format!("CREATE TABLE {} ({})", table.0, table.1))
            .unwrap();
        for row in rows(table) {
            let marks = vec!["?"; row.len()].join(", ");
            let cells = row.into_iter().map(|(_, cell)| cell);
            database
                .execute(
                    &format!("INSERT INTO {} VALUES ({marks})", table.0),
                    rusqlite::params_from_iter(cells),
                )
                .unwrap();
        }
    }
    path
}

pub(super) async fn report(place: ReportPlace, asked: Asked) -> Value {
    let (_places, places) = watch::channel(place);
    let (_changed, changed) = watch::channel(0);
    let (_stop, stop) = watch::channel(false);
    let views = Views::new(places, changed, stop);
    let text = views.now(&asked).await.unwrap().unwrap();
    assert!(!text.contains('\n'));
    serde_json::from_str(&text).unwrap()
}

pub(super) fn network(period: Period) -> Asked {
    Asked::Network { period }
}

pub(super) fn resort(name: Option<&str>) -> Asked {
    let resort = name.map(str::to_owned);
    Asked::Resort { resort }
}

/// Compares as a script does, for which 1.0 is 1.
#[track_caller]
pub(super) fn assert_is(found: &Value, wanted: &Value) {
    assert_eq!(plain(found.clone()), plain(wanted.clone()));
}

fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(values) => values.into_iter().map(plain).collect(),
        Value::Object(values) => values
            .into_iter()
            .map(|(key, value)| (key, plain(value)))
            .collect(),
        other => other,
    }
}

#[tokio::test]
async fn the_network_is_compared_with_the_period_before() {
    let directory = tempfile::tempdir().unwrap();
    let place = ReportPlace::Embedded(embedded(directory.path(), FILLED));
    let header = json!({
        "reporting_time": "2026-03-01T22:00:00Z", "reporting_local": "Sun 1 Mar 2026, 15:00",
        "world_time": "2026-03-01T22:12:13Z", "world_local": "Sun 1 Mar 2026, 15:12",
        "time_zone": "America/Denver",
    });
    let today = report(place.clone(), network(Period::Today)).await;
    assert_is(
        &today,
        &json!({
            "view": "network", "empty": false, "period": "today", "header": header,
            "range": {
                "from": "2026-03-01", "to": "2026-03-01", "previous_from": "2026-02-28", "previous_to": "2026-02-28",
            },
            "kpis": {
                "visitors": {"value": 300, "before": 200, "change_pct": 50},
                "revenue": {"value": 1000.13, "before": 500.5, "change_pct": 99.8},
                "rides": {"value": 900, "before": 1000, "change_pct": -10},
                "capacity": {"value": 50.1, "level": "normal"},
            },
            "resorts": [
                {"resort": "Vail", "visitors": 200, "capacity_pct": 90, "revenue": 900.13, "rides": 600, "status": "At Capacity"},
                {"resort": "Heavenly", "visitors": 100, "capacity_pct": 70, "revenue": 100, "rides": 300, "status": "Busy"},
                {"resort": "Keystone", "visitors": 1, "capacity_pct": 70, "revenue": 0.01, "rides": 1, "status": "Busy"},
            ],
            "trend": {
                "dates": ["2026-02-23", "2026-02-24", "2026-02-25", "2026-02-26", "2026-02-27", "2026-02-28", "2026-03-01"],
                "resorts": [
                    {
                        "resort": "Heavenly",
                        "visitors": [100, null, null, null, null, null, 100],
                        "revenue": [100, null, null, null, null, null, 100],
                        "capacity_pct": [80, null, null, null, null, null, 70],
                    },
                    {
                        "resort": "Keystone",
                        "visitors": [null, null, null, null, null, null, 1],
                        "revenue": [null, null, null, null, null, null, 0.01],
                        "capacity_pct": [null, null, null, null, null, null, 70],
                    },
                    {
                        "resort": "Vail",
                        "visitors": [null, null, null, null, null, 200, 200],
                        "revenue": [null, null, null, null, null, 500.5, 900.13],
                        "capacity_pct": [null, null, null, null, null, 69.8, 90],
                    },
                ],
            },
        }),
    );

    let week = report(place.clone(), network(Period::Week)).await;
    assert_is(
        &week["range"],
        &json!({
            "from": "2026-02-23", "to": "2026-03-01", "previous_from": "2026-02-16", "previous_to": "2026-02-22",
        }),
    );
    assert_is(
        &week["kpis"],
        &json!({
            "visitors": {"value": 600, "before": 40, "change_pct": 1400},
            "revenue": {"value": 1600.63, "before": 10, "change_pct": 15906.3},
            "rides": {"value": 2000, "before": 30, "change_pct": 6566.7},
            "capacity": {"value": 66.7, "level": "normal"},
        }),
    );
    assert_is(
        &week["resorts"],
        &json!([
            {"resort": "Vail", "visitors": 400, "capacity_pct": 79.9, "revenue": 1400.63, "rides": 1600, "status": "Busy"},
            {"resort": "Heavenly", "visitors": 200, "capacity_pct": 75, "revenue": 200, "rides": 400, "status": "Busy"},
            {"resort": "Keystone", "visitors": 1, "capacity_pct": 70, "revenue": 0.01, "rides": 1, "status": "Busy"},
        ]),
    );
    assert_eq!(week["trend"], today["trend"]);

    let month = report(place, network(Period::Month)).await;
    assert_is(
        &month["range"],
        &json!({
            "from": "2026-03-01", "to": "2026-03-01", "previous_from": "2026-02-01", "previous_to": "2026-02-01",
        }),
    );
    assert_is(
        &month["kpis"],
        &json!({
            "visitors": {"value": 300, "before": 7, "change_pct": 4185.7},
            "revenue": {"value": 1000.13, "before": 3, "change_pct": 33237.7},
            "rides": {"value": 900, "before": 9, "change_pct": 9900},
            "capacity": {"value": 50.1, "level": "normal"},
        }),
    );
    assert_eq!(month["resorts"], today["resorts"]);
    assert_eq!(month["trend"]["dates"], json!(["2026-03-01"]));
    assert_is(&month["trend"]["resorts"][2]["revenue"], &json!([900.13]));
}

#[tokio::test]
async fn without_a_previous_period_there_is_no_change() {
    let directory = tempfile::tempdir().unwrap();
    let mut filled = FILLED.to_vec();
    filled[4].2 = "2026-02-28|0|0||0\n2026-03-01|300|1000.126||900";
    let place = ReportPlace::Embedded(embedded(directory.path(), &filled));
    let before = [
        (Period::Today, json!(0)),
        (Period::Week, Value::Null),
        (Period::Month, Value::Null),
    ];
    for (period, before) in before {
        let report = report(place.clone(), network(period)).await;
        assert_is(
            &report["kpis"],
            &json!({
                "visitors": {"value": 300, "before": before, "change_pct": 0},
                "revenue": {"value": 1000.13, "before": before, "change_pct": 0},
                "rides": {"value": 900, "before": before, "change_pct": 0},
                "capacity": {"value": null, "level": "normal"},
            }),
        );
    }
}

#[tokio::test]
async fn a_resort_has_its_own_clock_lifts_and_weeks() {
    let directory = tempfile::tempdir().unwrap();
    let place = ReportPlace::Embedded(embedded(directory.path(), FILLED));
    let vail = report(place.clone(), resort(Some("Vail"))).await;
    let lift = |rank: u8, lift: &str, per_hour: Option<f64>| {
        json!({
            "rank": rank, "lift": lift, "rides": 1, "visitors": 1, "share_pct": 3.3, "rides_per_hour": per_hour,
            "badge": "normal",
        })
    };
    let hours: Vec<_> = (6..=22)
        .map(|hour| match hour {
            9 => json!({"hour": 9, "visitors": 100}),
            14 => json!({"hour": 14, "visitors": 6300}),
            _ => json!({"hour": hour, "visitors": null}),
        })
        .collect();
    assert_is(
        &vail,
        &json!({
            "view": "resort", "empty": false, "resort": "Vail", "resorts": ["Heavenly", "Keystone", "Vail"],
            "header": {
                "reporting_time": "2026-03-01T21:00:00Z", "reporting_local": "Sun 1 Mar 2026, 14:00",
                "world_time": "2026-03-01T22:12:13Z", "world_local": "Sun 1 Mar 2026, 15:12",
                "time_zone": "America/Denver",
            },
            "now": {"visitors": 6300, "capacity_pct": 90, "level": "full", "rides": 9000, "revenue": 1234.13},
            "lifts": [
                {
                    "rank": 1, "lift": "Gondola One", "rides": 30, "visitors": 20, "share_pct": 100,
                    "rides_per_hour": 200.5, "badge": "hot",
                },
                {
                    "rank": 2, "lift": "Avanti", "rides": 20, "visitors": 15, "share_pct": 66.7, "rides_per_hour": 200,
                    "badge": "active",
                },
                {
                    "rank": 3, "lift": "Elkhorn", "rides": 10, "visitors": 9, "share_pct": 33.3, "rides_per_hour": 100,
                    "badge": "normal",
                },
                lift(4, "D", None), lift(5, "E", None), lift(6, "F", None), lift(7, "G", None), lift(8, "H", None),
                lift(9, "I", None), lift(10, "J", Some(2.0)),
            ],
            "hours": hours,
            "daily": {
                "date": "2026-03-01", "revenue": 900.13, "target": 490_000, "achievement_pct": 0.2, "status": "BELOW_TARGET",
            },
            "weeks": [
                {
                    "week_start": "2026-02-23", "max_daily_visitors": 200, "avg_daily_visitors": 200, "total_visitors": 400,
                    "total_rides": 1600, "total_revenue": 1400.63, "avg_daily_revenue": 700, "peak_capacity_pct": 90,
                },
                {
                    "week_start": "2026-02-16", "max_daily_visitors": 40, "avg_daily_visitors": 40, "total_visitors": 40,
                    "total_rides": 30, "total_revenue": 10, "avg_daily_revenue": 10, "peak_capacity_pct": 10,
                },
                {
                    "week_start": "2026-02-09", "max_daily_visitors": 8, "avg_daily_visitors": null, "total_visitors": 8,
                    "total_rides": 8, "total_revenue": 8.13, "avg_daily_revenue": 8, "peak_capacity_pct": 8,
                },
                {
                    "week_start": "2026-02-02", "max_daily_visitors": 7, "avg_daily_visitors": 7, "total_visitors": 7,
                    "total_rides": 9, "total_revenue": 3, "avg_daily_revenue": 3, "peak_capacity_pct": 5.5,
                },
            ],
        }),
    );

    let first = report(place.clone(), resort(None)).await;
    assert_eq!(first, report(place.clone(), resort(Some("Heavenly"))).await);
    assert_eq!(first["header"]["reporting_local"], "Sun 1 Mar 2026, 14:00");
    assert_eq!(first["header"]["world_local"], "Sun 1 Mar 2026, 14:12");
    assert_eq!(first["header"]["time_zone"], "America/Los_Angeles");
    assert_is(
        &first["now"],
        &json!({
            "visitors": 10, "capacity_pct": 0.2, "level": "normal", "rides": 12, "revenue": 50.5,
        }),
    );
    assert_is(&first["hours"][8], &json!({"hour": 14, "visitors": 10}));
    assert_eq!(first["lifts"][0]["badge"], "active");
    assert_eq!(first["daily"], Value::Null);
    assert_eq!(first["weeks"].as_array().unwrap().len(), 1);

    // A resort that does not exist, and one without an hour in the reports.
    for (name, zone) in [("Aspen'; --", "UTC"), ("Keystone", "UTC"), ("\0", "UTC")] {
        let report = report(place.clone(), resort(Some(name))).await;
        assert_eq!(report["empty"], true);
        assert_eq!(report["resort"], name);
        assert_eq!(report["resorts"], vail["resorts"]);
        assert_eq!(report["header"]["reporting_time"], Value::Null);
        assert_eq!(report["header"]["time_zone"], zone);
    }
}

#[tokio::test]
async fn reports_that_are_not_there_yet_are_empty() {
    let directory = tempfile::tempdir().unwrap();
    let header = |zone: &str| {
        json!({
            "reporting_time": null, "reporting_local": null, "world_time": null, "world_local": null, "time_zone": zone,
        })
    };
    std::fs::create_dir(directory.path().join("made")).unwrap();
    std::fs::create_dir(directory.path().join("incomplete")).unwrap();
    let mut bare = FILLED.to_vec();
    for table in &mut bare[1..] {
        table.2 = "";
    }
    let made = embedded(&directory.path().join("made"), &bare);
    // A file without all its tables yet, and a view without rows.
    let incomplete = embedded(&directory.path().join("incomplete"), &bare[..1]);
    for (place, zone) in [
        (
            ReportPlace::Embedded(directory.path().join("none.db")),
            "UTC",
        ),
        (ReportPlace::Embedded(incomplete), "UTC"),
        (ReportPlace::Embedded(made), "America/Denver"),
    ] {
        let found = report(place.clone(), network(Period::Week)).await;
        let wanted =
            json!({ "view": "network", "empty": true, "period": "week", "header": header(zone) });
        assert_eq!(found, wanted, "{place:?}");
        let found = report(place.clone(), resort(None)).await;
        let wanted = json!({ "view": "resort", "empty": true, "resort": null, "resorts": [], "header": header(zone) });
        assert_eq!(found, wanted, "{place:?}");
    }
}

#[tokio::test]
async fn an_unknown_place_of_the_reports_is_not_reported_as_missing_reports() {
    let found = report(ReportPlace::Unknown, network(Period::Week)).await;
    let problem = json!({ "message": "The program is not connected yet.", "script": null });
    assert_eq!(found, json!({ "view": "network", "problem": problem }));
}

#[tokio::test]
async fn a_damaged_file_is_reported_as_a_message() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("reports.db");
    std::fs::write(&path, "no database at all, ".repeat(100)).unwrap();
    let found = report(ReportPlace::Embedded(path), network(Period::Today)).await;
    let message = found["problem"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("The reports cannot be read: "),
        "{message}"
    );
    assert!(message.contains("not a database"), "{message}");
    assert_eq!(found["problem"]["script"], Value::Null);
}
