use crate::reports::Reports;
use std::path::Path;
use std::time::Instant;
#[test]
fn reports_speed() {
    let limit: u64 = std::env::var("N").map_or(u64::MAX, |n| n.parse().unwrap());
    let d = Path::new("/tmp/rep/s");
    let _ = std::fs::remove_dir_all(d);
    let mut r = Reports::open(
        &d.join("r.db"),
        Path::new("/tmp/sr/ski_resort_data/landing.db"),
    )
    .unwrap();
    let cpu = || {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
    };
    let t = Instant::now();
    let c = cpu();
    let mut n = 0;
    loop {
        let taken = r.take_chunk(50_000).unwrap();
        n += 50_000;
        if !taken.behind || n >= limit {
            break;
        }
    }
    eprintln!(
        "{n} wall {:?} cpu {} -> {}/s cpu",
        t.elapsed(),
        cpu() - c,
        n as f64 / (cpu() - c)
    );
    let c = cpu();
    r.refresh_tables().unwrap();
    eprintln!("tables all {}", cpu() - c);
    let c = cpu();
    let k = crate::reports::reader(&d.join("r.db")).unwrap();
    let l: i64 = k
        .query_row("select count(*) from V_LIFT_PERFORMANCE", [], |r| r.get(0))
        .unwrap();
    eprintln!("lifts {l} {}", cpu() - c);
    let c = cpu();
    drop(r);
    Reports::open(
        &d.join("r.db"),
        Path::new("/tmp/sr/ski_resort_data/landing.db"),
    )
    .unwrap();
    eprintln!("open {}", cpu() - c);
}
