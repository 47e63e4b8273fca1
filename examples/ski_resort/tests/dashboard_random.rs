//! For random rows around special dates, the page shows the values calculated from the rows.

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::Config;
use rusqlite::Connection;
use rusqlite::types::Value as Cell;

use super::dashboard_model::{Landed, RESORTS, Ride, Sale};
use super::dashboard_reports::{assert_is, network, report, resort};
use super::reports_scene::Scene;
use crate::dashboard::ReportPlace;
use crate::dashboard::asked::Period;
use crate::table::Table;

/// Last dates around the ends of years, weeks and months, and around changes of the clock.
const DATES: [&str; 16] = [
    "2026-01-01",
    "2026-01-03",
    "2026-01-31",
    "2026-02-28",
    "2026-03-01",
    "2028-02-29",
    "2028-03-01",
    "2026-03-31",
    "2026-05-31",
    "2026-03-08",
    "2026-03-09",
    "2026-11-01",
    "2026-11-02",
    "2026-12-31",
    "2027-01-03",
    "2024-12-30",
];

fn maybe(values: &'static [&'static str]) -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![1 => Just(None), 15 => select(values).prop_map(Some)]
}

fn time(last: Date) -> impl Strategy<Value = Option<DateTime>> {
    let back = prop_oneof![3 => 0..2_i64, 2 => 5..15_i64, 2 => 27..32_i64, 1 => 0..65_i64];
    let hour = select(&[0_i8, 0, 1, 5, 6, 7, 8, 9, 10, 15, 16, 22, 23, 23][..]);
    let minute = select(&[0_i8, 1, 29, 30, 45, 59][..]);
    let time = (back, hour, minute, select(&[0_i32, 999_999_999][..]));
    let time = time.prop_map(move |(back, hour, minute, nanosecond)| {
        Some((last - back.days()).at(hour, minute, 0, nanosecond))
    });
    prop_oneof![1 => Just(None), 30 => time]
}

fn whole(values: &'static [i64]) -> impl Strategy<Value = Option<i64>> {
    prop_oneof![1 => Just(None), 7 => select(values).prop_map(Some)]
}

fn landed() -> impl Strategy<Value = Landed> {
    let rfids = &["A", "B", "C", "D", "E", "F", "G", "H"];
    let txids = &["1", "2", "12", "3"];
    select(&DATES[..]).prop_flat_map(move |last| {
        let last: Date = last.parse().unwrap();
        let resort = maybe(&["Vail", "Vail", "Keystone", "Heavenly", "Elsewhere"]);
        let lift = maybe(&["Gondola One", "Wayback", "Avanti"]);
        let ride = (
            maybe(txids),
            maybe(rfids),
            resort,
            lift,
            time(last),
            whole(&[-1, 1, 20, 21]),
        );
        let ride = ride.prop_map(|(txid, rfid, resort, lift, time, count)| Ride {
            txid,
            rfid,
            resort,
            lift,
            time,
            count,
        });
        let cents = whole(&[1, 1_001, 45_555, 78_300, 20_000, 9_999_999, 0]);
        let sale = (
            any::<bool>(),
            maybe(txids),
            maybe(rfids),
            time(last),
            cents,
            whole(&[-1, 0, 1, 2, 3, 7, 30]),
        );
        let sale = sale.prop_map(|(is_pass, txid, rfid, time, cents, days)| Sale {
            is_pass,
            txid,
            rfid,
            time,
            cents,
            days,
        });
        let rides = prop::collection::vec(ride, 1..60);
        let sales = prop::collection::vec(sale, 0..12);
        (rides, sales).prop_map(|(rides, sales)| Landed { rides, sales })
    })
}

fn land(scene: &mut Scene, landed: &Landed) {
    let text = |text: Option<&str>| text.map(str::to_owned).into();
    let time = |time: Option<DateTime>| -> Cell {
        time.map(|time| time.strftime("%Y-%m-%d %H:%M:%S.%9f").to_string())
            .into()
    };
    for ride in &landed.rides {
        let cells = [ride.txid, ride.rfid, ride.resort, ride.lift]
            .map(text)
            .into_iter();
        let cells = cells.chain([time(ride.time), ride.count.into()]).collect();
        scene.land(
            Table::LiftRide,
            "TXID, RFID, RESORT, LIFT, RIDE_TIME, ACTIVATION_DAY_COUNT",
            cells,
        );
    }
    for sale in &landed.sales {
        let price = sale
            .cents
            .map(|cents| format!("{}.{:02}", cents / 100, cents % 100));
        let mut cells = vec![
            text(sale.txid),
            text(sale.rfid),
            time(sale.time),
            text(price.as_deref()),
        ];
        if sale.is_pass {
            scene.land(
                Table::SeasonPass,
                "TXID, RFID, PURCHASE_TIME, PRICE_USD",
                cells,
            );
        } else {
            cells.push(sale.days.into());
            scene.land(
                Table::ResortTicket,
                "TXID, RFID, PURCHASE_TIME, PRICE_USD, DAYS",
                cells,
            );
        }
    }
}

#[test]
fn the_page_shows_what_follows_from_the_rows() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let cases = 32;
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    proptest!(config, |(landed in landed())| {
        let mut scene = Scene::new();
        let mut reports = scene.open();
        let connection = Connection::open(scene.path()).unwrap();
        for (resort, capacity, _) in RESORTS {
            let sql = "UPDATE RESORT_CAPACITY SET MAX_CAPACITY = ?2 WHERE RESORT = ?1";
            connection.execute(sql, (resort, capacity)).unwrap();
        }
        land(&mut scene, &landed);
        reports.refresh_visits().unwrap();
        reports.refresh_tables().unwrap();
        let place = ReportPlace::Embedded(scene.path());
        runtime.block_on(async {
            for period in [Period::Today, Period::Week, Period::Month] {
                let found = report(place.clone(), network(period)).await;
                assert_is(&found, &landed.network_report(period));
            }
            for name in ["Vail", "Keystone", "Heavenly", "Elsewhere"] {
                let found = report(place.clone(), resort(Some(name))).await;
                assert_is(&found, &landed.resort_report(name));
            }
        });
    });
}
