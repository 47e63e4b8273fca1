//! `snowpipe conformance`: what it asks, prints, writes and ends with.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;
use snowpipe_cli::conformance::{self, Options};
use snowpipe_streaming::Profile;
use snowpipe_streaming::transport::HttpTransport;

use crate::world::{World, ended};

const SOME: &str = "conformance --database sandbox --only E1,e6 --yes";

fn schemas(world: &World) -> Vec<String> {
    let profile = Profile::from_file(world.path("profile.json")).expect("a profile");
    let transport = HttpTransport::builder()
        .no_proxy()
        .build()
        .expect("a transport");
    let options = Options::new("SANDBOX").transport(transport);
    let found = world
        .runtime
        .block_on(conformance::leftovers(&profile, &options));
    found.expect("an answer")
}

#[test]
fn a_run_prints_and_writes_a_report_and_leaves_nothing() {
    let world = World::new();
    let run = world.run(&format!("{SOME} --out r.json"));
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("E6   wire.healthy_status"), "{}", run.out);
    assert!(
        run.out.contains("0 unsure; 0 experiments incomplete"),
        "{}",
        run.out
    );
    assert!(run.err.contains("E6 (2 of 4)"), "{}", run.err);
    assert_eq!(schemas(&world), Vec::<String>::new());
    let text = fs::read_to_string(world.path("r.json")).expect("the report");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["answers"]["wire"]["hostname_body"], "text");
    assert!(!text.contains("SANDBOX"), "{text}");

    let again = world.run(&format!("{SOME} --out r.json"));
    assert_eq!(again.code, 2, "{again:?}");
    assert!(again.err.contains("r.json exists"), "{}", again.err);

    let same = world.run("conformance --compare r.json r.json");
    assert_eq!(
        (same.code, same.out.as_str()),
        (0, "no answer has changed\n")
    );
    let other = text.replace("\"SUCCESS\"", "\"ACTIVE\"");
    fs::write(world.path("other.json"), other).expect("a file");
    let changed = world.run("conformance --compare r.json other.json");
    assert_eq!(changed.code, 1, "{changed:?}");
    assert!(changed.out.contains("SUCCESS -> ACTIVE"), "{}", changed.out);
    let missing = world.run("conformance --compare r.json none.json");
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(missing.err.contains("none.json"), "{}", missing.err);
}

#[test]
fn nothing_is_done_without_an_agreement() {
    let world = World::new();
    let list = world.run("conformance --list");
    assert_eq!(list.code, 0, "{list:?}");
    assert!(
        list.out
            .contains("E7   What happens to a continuation token"),
        "{}",
        list.out
    );
    let plan = world.run("conformance --database sandbox --dry-run");
    assert_eq!(plan.code, 0, "{plan:?}");
    assert!(
        plan.out.contains("CREATE SCHEMA on the database"),
        "{}",
        plan.out
    );
    let script = world.run("conformance --database sandbox --schema mine --print-sql --runs 1");
    assert_eq!(script.code, 0, "{script:?}");
    let create = r#"CREATE TABLE "SANDBOX"."MINE"."E6_T_1" (A NUMBER);"#;
    assert!(script.out.contains(create), "{}", script.out);
    let unasked = world.run("conformance --database sandbox");
    assert_eq!(unasked.code, 2, "{unasked:?}");
    assert!(unasked.err.contains("--yes"), "{}", unasked.err);
    let unknown = world.run("conformance --database sandbox --only E99 --yes");
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert_eq!(world.emulator().log().len(), 0);
}

#[test]
fn a_short_soak_prints_its_counts_and_writes_a_picture() {
    let world = World::new();
    let plan = world.run("conformance --database sandbox --soak 1h --dry-run");
    assert!(plan.out.contains("1080000 rows"), "{}", plan.out);
    let soak =
        "conformance --database sandbox --soak 3s --yes --seed 1 --out s.json --picture s.svg";
    let run = world.run(soak);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("each row is there once"), "{}", run.out);
    let text = fs::read_to_string(world.path("s.json")).expect("the report");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["channels"][0]["lost"], 0);
    let picture = fs::read_to_string(world.path("s.svg")).expect("the picture");
    assert!(picture.starts_with("<svg"), "{picture}");
    assert_eq!(schemas(&world), Vec::<String>::new());
}

#[cfg(unix)]
#[test]
fn ctrl_c_drops_the_schema() {
    let world = World::new();
    let mut command = world.command("conformance --database sandbox --yes");
    let piped = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().expect("it runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("its stderr"));
    let mut line = String::new();
    while !line.contains("E7 (") {
        line.clear();
        assert!(stderr.read_line(&mut line).expect("a line") > 0, "it ended");
    }
    assert!(!schemas(&world).is_empty());
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status();
    assert!(sent.expect("kill runs").success());
    let end = ended(child.wait_with_output().expect("it ends"));
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.out.contains("the run was stopped"), "{}", end.out);
    assert_eq!(schemas(&world), Vec::<String>::new());
}
