//! Special dates on the page, calculated by hand: rows land, the reports include them, and the page shows the expected values.

use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::{Value, json};

use super::dashboard_reports::{assert_is, network, report, resort};
use super::reports_scene::Scene;
use crate::dashboard::ReportPlace;
use crate::dashboard::asked::{Asked, Period};
use crate::table::Table;

/// A report that includes all landed rows.
async fn shown(scene: &Scene, asked: Asked) -> Value {
    let mut reports = scene.open();
    reports.refresh_visits().unwrap();
    reports.refresh_tables().unwrap();
    report(ReportPlace::Embedded(scene.path()), asked).await
}

/// Lands the rides of this many different visitors.
fn visit(scene: &mut Scene, count: u32, resort: &str, hour: &str) {
    for visitor in 0..count {
        scene.ride(&format!("{resort} {hour} {visitor}"), resort, hour);
    }
}

fn ticket(scene: &mut Scene, rfid: &str, price: Option<&str>, days: Option<i64>) {
    let price = price.map(str::to_owned);
    let cells = vec![rfid.to_owned().into(), price.into(), days.into()];
    scene.land(Table::ResortTicket, "RFID, PRICE_USD, DAYS", cells);
}

#[tokio::test]
async fn a_period_has_its_dates_and_no_others() {
    use Period::{Month, Today, Week};
    // One visitor on the first of the dates, two on the second, four on the third and so on; and what is of the period, and
    // of the one before.
    for (period, dates, now, before, change) in [
        (Today, "2025-12-30 2025-12-31 2026-01-01", 4, Some(2), 100.0),
        (
            Week,
            "2025-12-18 2025-12-19 2025-12-25 2025-12-26 2026-01-01",
            24,
            Some(6),
            300.0,
        ),
        (
            Month,
            "2025-11-30 2025-12-01 2025-12-02 2025-12-31 2026-01-01",
            16,
            Some(2),
            700.0,
        ),
        (
            Week,
            "2025-12-20 2025-12-21 2025-12-27 2025-12-28 2025-12-31 2026-01-03",
            56,
            Some(6),
            833.3,
        ),
        (
            Month,
            "2025-11-30 2025-12-01 2025-12-03 2025-12-04 2026-01-01 2026-01-03",
            48,
            Some(6),
            700.0,
        ),
        (
            Month,
            "2025-11-30 2025-12-01 2025-12-31 2026-01-01 2026-01-31",
            24,
            Some(6),
            300.0,
        ),
        (Today, "2026-02-27 2026-02-28 2026-03-01", 4, Some(2), 100.0),
        (Today, "2028-02-28 2028-02-29 2028-03-01", 4, Some(2), 100.0),
        (
            Week,
            "2028-02-16 2028-02-17 2028-02-23 2028-02-24 2028-02-29 2028-03-01",
            56,
            Some(6),
            833.3,
        ),
        (
            Month,
            "2028-01-01 2028-01-29 2028-01-30 2028-02-01 2028-02-29",
            24,
            Some(3),
            700.0,
        ),
        (
            Month,
            "2028-01-31 2028-02-01 2028-02-29 2028-03-01",
            8,
            Some(2),
            300.0,
        ),
        (
            Month,
            "2026-01-31 2026-02-01 2026-02-28 2026-03-01 2026-03-31",
            24,
            Some(6),
            300.0,
        ),
        (
            Month,
            "2028-01-31 2028-02-01 2028-02-29 2028-03-01 2028-03-31",
            24,
            Some(6),
            300.0,
        ),
        (
            Month,
            "2026-03-31 2026-04-01 2026-04-30 2026-05-01 2026-05-31",
            24,
            Some(6),
            300.0,
        ),
        (Month, "2026-11-30 2026-12-01 2026-12-31", 6, Some(1), 500.0),
        // No visitors on this date.
        (Month, "2026-04-30 2026-06-01 2026-06-29", 6, None, 0.0),
    ] {
        let mut scene = Scene::new();
        let mut count = 1;
        // In turn in the last hour of a date and in the first.
        for (date, hour) in dates.split(' ').zip(["23", "00"].into_iter().cycle()) {
            visit(&mut scene, count, "Vail", &format!("{date} {hour}"));
            count *= 2;
        }
        let found = shown(&scene, network(period)).await;
        let wanted = json!({"value": now, "before": before, "change_pct": change});
        assert_eq!(found["range"]["to"], dates.rsplit(' ').next().unwrap());
        for kpi in ["visitors", "rides"] {
            assert_is(&found["kpis"][kpi], &wanted);
        }
        assert_is(&found["resorts"][0]["visitors"], &json!(now));
    }
}

#[tokio::test]
async fn a_resort_without_visitors_is_in_the_network_on_its_dates() {
    let mut scene = Scene::new();
    visit(&mut scene, 1, "Keystone", "2026-01-01 18");
    visit(&mut scene, 2, "Heavenly", "2026-01-10 18");
    visit(&mut scene, 4, "Vail", "2026-01-14 18");
    // Not one of the network's resorts.
    visit(&mut scene, 8, "Elsewhere", "2026-01-15 18");
    let names = |found: &Value, part: &Value| -> Vec<String> {
        let of = part.as_array().unwrap_or_else(|| panic!("{found}"));
        of.iter()
            .map(|row| row["resort"].as_str().unwrap().to_owned())
            .collect()
    };
    for (period, listed, lines, visitors, before) in [
        (
            Period::Today,
            vec!["Vail"],
            vec!["Heavenly", "Vail"],
            4,
            Value::Null,
        ),
        (
            Period::Week,
            vec!["Vail", "Heavenly"],
            vec!["Heavenly", "Vail"],
            6,
            json!(1),
        ),
        (
            Period::Month,
            vec!["Vail", "Heavenly", "Keystone"],
            vec!["Heavenly", "Keystone", "Vail"],
            7,
            Value::Null,
        ),
    ] {
        let found = shown(&scene, network(period)).await;
        assert_eq!(names(&found, &found["resorts"]), listed, "{period:?}");
        assert_eq!(
            names(&found, &found["trend"]["resorts"]),
            lines,
            "{period:?}"
        );
        assert_eq!(found["kpis"]["visitors"]["value"], visitors, "{period:?}");
        assert_eq!(found["kpis"]["visitors"]["before"], before, "{period:?}");
    }
    // Its own page does not change.
    let found = shown(&scene, resort(Some("Keystone"))).await;
    assert_eq!(found["header"]["reporting_time"], "2026-01-01T18:00:00Z");
    assert_eq!(found["header"]["world_time"], "2026-01-15T18:30:00Z");
    assert_eq!(found["daily"]["date"], "2026-01-01");
    assert_eq!(found["hours"][5], json!({"hour": 11, "visitors": 1}));
    assert_eq!(found["lifts"][0]["rides"], 1);
}

#[tokio::test]
async fn unknown_revenue_is_zero() {
    let mut scene = Scene::new();
    // The day before: a ride without a sale, a ticket without a price and one without days earn nothing.
    for (rfid, price, days) in [
        ("B", None, Some(1)),
        ("C", Some("50.00"), None),
        ("D", Some("0.00"), Some(3)),
    ] {
        ticket(&mut scene, rfid, price, days);
    }
    for rfid in ["A", "B", "C", "D"] {
        scene.ride(rfid, "Vail", "2026-02-28 18");
    }
    // The day: less than a day is a day, and a third of a price has no end.
    for (rfid, price, days) in [
        ("E", "10.01", 0),
        ("F", "20.02", -2),
        ("G", "100.00", 3),
        ("H", "100.00", 1),
    ] {
        ticket(&mut scene, rfid, Some(price), Some(days));
    }
    for rfid in ["A", "E", "F", "G"] {
        scene.ride(rfid, "Vail", "2026-03-01 18");
    }
    for (period, value, before, change) in [
        (Period::Today, json!(63.36), json!(0), 0.0),
        (Period::Week, json!(63.36), Value::Null, 0.0),
        (Period::Month, json!(63.36), Value::Null, 0.0),
    ] {
        let found = shown(&scene, network(period)).await;
        assert_is(
            &found["kpis"]["revenue"],
            &json!({"value": value, "before": before, "change_pct": change}),
        );
        assert_is(&found["resorts"][0]["revenue"], &value);
    }
    // A price that becomes known later counts for a past day.
    ticket(&mut scene, "A", Some("63.36"), Some(1));
    let found = shown(&scene, network(Period::Today)).await;
    assert_is(
        &found["kpis"]["revenue"],
        &json!({"value": 126.72, "before": 63.36, "change_pct": 100}),
    );
    // A pass is used up after twenty days, and its price may not be known either.
    for (rfid, price) in [("P", Cell::Text("810.00".to_owned())), ("Q", Cell::Null)] {
        scene.land(
            Table::SeasonPass,
            "RFID, PRICE_USD",
            vec![rfid.to_owned().into(), price],
        );
    }
    for (rfid, hour, count) in [("P", "19", 20), ("P", "20", 20), ("Q", "19", 1)] {
        let cells = [rfid, "Vail", &format!("2026-03-01 {hour}:00:00.000000000")]
            .map(|cell| cell.to_owned().into());
        let cells = cells.into_iter().chain([count.into()]).collect();
        scene.land(
            Table::LiftRide,
            "RFID, RESORT, RIDE_TIME, ACTIVATION_DAY_COUNT",
            cells,
        );
    }
    let found = shown(&scene, network(Period::Today)).await;
    assert_is(&found["kpis"]["revenue"]["value"], &json!(167.22));
    assert_is(
        &found["kpis"]["visitors"],
        &json!({"value": 6, "before": 4, "change_pct": 50}),
    );
}

#[tokio::test]
async fn a_week_can_span_two_years() {
    let mut scene = Scene::new();
    for (count, hour) in [
        (1, "2026-12-06 23"),
        (2, "2026-12-07 00"),
        (3, "2026-12-14 18"),
        (4, "2026-12-27 23"),
        (5, "2026-12-28 00"),
        (8, "2026-12-31 18"),
        (6, "2027-01-01 18"),
        (7, "2027-01-03 23"),
        (9, "2027-01-04 00"),
    ] {
        visit(&mut scene, count, "Vail", hour);
    }
    let found = shown(&scene, resort(Some("Vail"))).await;
    let weeks = found["weeks"].as_array().unwrap().iter();
    let weeks: Vec<_> = weeks
        .map(|week| {
            let number = |name: &str| week[name].as_f64().unwrap();
            let start = week["week_start"].as_str().unwrap();
            (
                start,
                number("total_visitors"),
                number("max_daily_visitors"),
                number("avg_daily_visitors"),
            )
        })
        .collect();
    let wanted = [
        ("2027-01-04", 9.0, 9.0, 9.0),
        // 26 on four days: a half goes up.
        ("2026-12-28", 26.0, 8.0, 7.0),
        ("2026-12-21", 4.0, 4.0, 4.0),
        ("2026-12-14", 3.0, 3.0, 3.0),
    ];
    assert_eq!(weeks, wanted);
    // The evening before, where the resort is.
    assert_eq!(found["header"]["reporting_time"], "2027-01-04T00:00:00Z");
    assert_eq!(found["header"]["reporting_local"], "Sun 3 Jan 2027, 17:00");
    assert_eq!(found["daily"]["date"], "2027-01-04");
    let found = shown(&scene, network(Period::Today)).await;
    assert_eq!(found["header"]["reporting_local"], "Sun 3 Jan 2027, 17:00");
    assert_eq!(found["range"]["from"], "2027-01-04");
    assert_is(
        &found["kpis"]["visitors"],
        &json!({"value": 9, "before": 7, "change_pct": 28.6}),
    );
}

#[tokio::test]
async fn a_date_has_its_hours_when_clocks_change() {
    // UTC hours of the date with so many visitors, and what they are on the resort's clock.
    for (zone, date, landed, wanted) in [
        // Forward at 09:00 UTC: the first hour is 17 of the date before, and the last is 17 of this one.
        (
            "America/Denver",
            "2026-03-08",
            "00:1 01:2 13:3 22:4 23:5",
            "07:3 16:4 17:5 18:2",
        ),
        ("America/Denver", "2026-03-08", "00:1 13:3", "07:3 17:1"),
        (
            "America/Denver",
            "2026-03-09",
            "00:1 12:2 23:3",
            "06:2 17:3 18:1",
        ),
        (
            "America/Los_Angeles",
            "2026-03-08",
            "00:1 14:2 23:3",
            "07:2 16:3",
        ),
        // Back at 08:00 UTC: no hour of it is 17.
        (
            "America/Denver",
            "2026-11-01",
            "00:1 13:2 14:3 23:4",
            "06:2 07:3 16:4 18:1",
        ),
        (
            "America/Denver",
            "2026-11-02",
            "00:1 13:2 23:4",
            "06:2 16:4 17:1",
        ),
        (
            "America/Los_Angeles",
            "2026-11-01",
            "00:1 14:2 23:3",
            "06:2 15:3 17:1",
        ),
        // East of UTC the first hour is the one of this date.
        ("Pacific/Auckland", "2026-09-26", "00:1 23:2", "12:1"),
    ] {
        let mut scene = Scene::new();
        for (hour, count) in landed.split(' ').map(|part| part.split_once(':').unwrap()) {
            visit(
                &mut scene,
                count.parse().unwrap(),
                "Vail",
                &format!("{date} {hour}"),
            );
        }
        drop(scene.open());
        let connection = Connection::open(scene.path()).unwrap();
        let sql = "UPDATE RESORT_CAPACITY SET IANA_TIMEZONE = ?1";
        connection.execute(sql, [zone]).unwrap();
        let found = shown(&scene, resort(Some("Vail"))).await;
        let hours = found["hours"].as_array().unwrap().iter();
        let hours: Vec<_> = hours
            .filter(|hour| !hour["visitors"].is_null())
            .map(|hour| format!("{:02}:{}", hour["hour"].as_i64().unwrap(), hour["visitors"]))
            .collect();
        assert_eq!(hours.join(" "), wanted, "{zone} {date} {landed}");
    }
}
