"""Looks at the dashboard of the ski resort in a real browser. Started by run.sh."""

import argparse
import re
import tempfile
import time
from pathlib import Path

import landings
import looks
import snapshots
import switches
from browser import Browser
from emulator import Emulator
from expected import PERIODS, Reports, pipeline, stalled
from program import Generator, Program

EXAMPLE = Path(__file__).resolve().parents[2]
README_PICTURES = EXAMPLE / "screenshots"
# Over the end of a month, so that the month is another than the last seven days.
COMPLETE_RUN = ["--start", "2026-01-31T14:00:00Z", "--days", "2"]
RUN_SECONDS = 600
# In their order on the first appends there are.
FAULTS = [
    {"fault": "throttle", "endpoint": "append", "retry_after_s": 0, "times": 2},
    {"fault": "server_error", "endpoint": "append", "status": 503, "times": 1},
    {"fault": "lose", "endpoint": "append", "times": 1},
]
# Names longer than this are rejected.
SHORT_NAMES = ["NAME varchar(13)", "LIFT varchar(21)"]
# What the bars and the lines show, so that each has been shown once.
METRICS = [("Visitors", "Visitors"), ("Revenue", "Revenue"), ("Capacity %", "Capacity %"), ("Lift rides", "Visitors")]
KEYS = {"Visitors": "visitors", "Revenue": "revenue", "Capacity %": "capacity_pct", "Lift rides": "rides"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, type=Path)
    parser.add_argument("--emulator", required=True, type=Path)
    parser.add_argument("--browser", required=True)
    parser.add_argument("--screenshots", type=Path, metavar="DIRECTORY")
    parser.add_argument("--readme", action="store_true", help="only renew the pictures of the example's README")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, Browser(arguments.browser) as browser:
        test = Test(arguments, browser, Path(directory))
        parts = [
            test.complete_run,
            test.other_landing,
            test.bounds,
            test.other_server,
            test.stalled,
            test.distinct,
            test.live,
            test.empty,
            test.empty_landing,
            test.bad_news,
        ]
        for part in [test.readme] if arguments.readme else parts:
            part()
            print(f"{part.__name__.replace('_', ' ')}: ok ({time.monotonic() - began:.0f} s)", flush=True)


class Test:
    def __init__(self, arguments, browser, directory):
        self.arguments = arguments
        self.browser = browser
        self.directory = directory

    def program(self, name, *flags):
        directory = self.directory / name
        directory.mkdir()
        return Program(self.arguments.program.resolve(), directory, *flags)

    def complete_run(self):
        """Every number of a run at its end, every way to get to it, and what it looks like."""
        with self.program("complete", *COMPLETE_RUN) as program, self.browser.page(program.url) as page:
            page.open("pipeline")
            page.wait_for_text("#phase", "finished", RUN_SECONDS)
            data = program.directory / "ski_resort_data"
            live = program.data("view=pipeline")["pipeline"]
            assert live["phase"] == "finished" and live["reports"] == "current", live
            assert any(row["endpoint"] == "append" and row["total"] > 0 for row in live["requests"]), live["requests"]
            page.open("pipeline")
            counted = page.expect(pipeline(data / "queue.db", data / "landing.db", live), "pipeline")
            with Reports(data / "reports.db") as reports:
                counted += check_reports(page, reports)
                switches.check(page, reports)
            page.check_errors()
            looks.check(self.browser, program.url, self.arguments.screenshots)
            assert program.stop() == 0
            page.wait_for_text("#stale", "The program ended at ")
            print(f"{counted} numbers are those of their SQL")
            self.landing = data / "landing.db"

    def other_landing(self):
        """The reports of a landing by themselves, with what a week of simulation has not."""
        landing = self.directory / "other.db"
        landings.older_and_fuller(self.landing, landing)
        words = self.reports_of("other", landing, "2 Feb 2026")
        assert set(words.values()) == {"Normal", "Busy", "At Capacity"}, words

    def bounds(self):
        """Numbers at which a word or the last digit that is shown is about to change."""
        landing = self.directory / "bounds.db"
        landings.on_bounds(self.landing, landing)
        words = self.reports_of("bounds", landing, "4 Feb 2026")
        assert words == {"Heavenly": "At Capacity", "Keystone": "Busy", "Vail": "Normal"}, words

    def reports_of(self, name, landing, last):
        """Compares all that the page says of a landing; answers with the words for how full each resort is."""
        file = self.directory / f"{name}-reports.db"
        with self.program(name, "--only", "reports", "--landing", landing, "--reports", file) as program:
            with self.browser.page(program.url) as page:
                page.open("network/today")
                page.wait_for_text('[data-metric="network.range"]', last, 120)
                with Reports(file) as reports:
                    counted = check_reports(page, reports)
                page.open("network/today")
                rows = page.page.locator("#resort-status tr").all()
                words = {row.locator("th").text_content(): row.locator(".chip").text_content() for row in rows}
                page.check_errors()
        print(f"{counted} numbers are those of their SQL")
        return words

    def other_server(self):
        """Requests and bytes as the server counted them, some of which went wrong; and an account without reports."""
        directory = self.directory / "server"
        directory.mkdir()
        with Emulator(self.arguments.emulator.resolve(), directory, EXAMPLE / "sql/setup.sql") as emulator:
            emulator.ask("faults", FAULTS)
            with self.program("streamer", "--profile", emulator.profile, "--queue", "queue.db") as program:
                with self.browser.page(program.url) as page:
                    page.open("pipeline")
                    page.wait_for_text("#phase", "finished", RUN_SECONDS)
                    live = program.data("view=pipeline")["pipeline"]
                    server = emulator.seen()
                    appends = server[0]["append"]
                    assert (appends["throttled"], appends["failed"], appends["unanswered"]) == (2, 1, 1), appends
                    page.expect(pipeline(program.directory / "queue.db", None, live, server), "the server's own count")
                    page.open("network/today")
                    page.wait_for_text("#problem-message", "The account has no reports yet.")
                    page.wait_for_text("#problem-file", "sql/dynamic_tables.sql")
                    page.check_errors()
                assert program.stop() == 0

    def stalled(self):
        """
        A stream in which more is appended than accepted, more accepted than committed and more committed than landed, for rows
        are rejected; and whose channels were opened again, each another number of times. The server says how many it was.
        """
        directory = self.directory / "stalled"
        directory.mkdir()
        ddl = directory / "setup.sql"
        script = (EXAMPLE / "sql/setup.sql").read_text()
        for column in SHORT_NAMES:
            script = script.replace(f"{column.split()[0]} varchar(255)", column)
        ddl.write_text(script)
        queue, landing = directory / "queue.db", directory / "emulator.db"
        with (
            Emulator(self.arguments.emulator.resolve(), directory, ddl) as emulator,
            Generator(self.arguments.program.resolve(), queue, "--days", "9", "--speed", "2400") as generator,
        ):
            streamer = ["--only", "streamer", "--profile", emulator.profile, "--queue", queue, "--landing", landing]
            with self.program("stalled-streamer", *streamer, "--max-client-lag", "200ms") as program:
                channels = stall(program, emulator)
                generator.stop()
                wait_for(lambda: rests(program), "the streams to rest")
                with self.browser.page(program.url) as page:
                    page.open("pipeline")
                    page.expect(stalled(queue, landing, emulator.log(), channels), "a stream that is stalled", only=True)
                    page.check_errors()

    def distinct(self):
        """Every number of the pipeline is another one, so that none can stand in the place of another."""
        landing = self.directory / "complete/ski_resort_data/landing.db"
        with self.program("distinct", "--only", "reports", "--landing", landing, "--reports", "distinct.db") as program:
            snapshot, expected = snapshots.distinct(program.data("view=pipeline")["pipeline"])
            with self.browser.page(program.url) as page:
                page.answer(snapshot, None, "#pipeline")
                page.expect(expected, "numbers of which no two are the same")

    def live(self):
        """Numbers that grow by themselves, and a program that dies and comes back."""
        with self.program("live", "--days", "2", "--speed", "3600") as program, self.browser.page(program.url) as page:
            page.open("network/today")
            page.wait_for_more("network.rides", 0)
            switches.check_growth(page)
            switches.check_tabs(page)
            # Stopped and not ended: its connections stay.
            program.pause()
            page.wait_for_text("#connection", "reconnecting")
            check_stale(page)
            program.go_on()
            page.wait_for_text("#connection", "live")
            assert page.page.locator("#stale").text_content() == ""
            page.wait_for_more("network.rides", page.number("network.rides"))
            page.check_errors()
            program.kill()
            page.wait_for_text("#connection", "reconnecting")
            check_stale(page)
            before = page.number("network.rides")
            page.choose("Period", "Last 7 days")
            # Nobody knows the numbers of another period.
            page.wait("() => !document.querySelector('.view').checkVisibility()")
            page.wait("() => !document.querySelector('#stale').textContent.includes('All numbers')")
            page.page.go_back()
            program.start()
            page.wait_for_text("#connection", "live")
            page.settle()
            assert page.page.locator("#stale").text_content() == ""
            assert not page.page.locator("body[data-stale]").count()
            page.wait_for_more("network.rides", before)
            # Nobody answered for a while, and the browser said so.
            page.errors = [error for error in page.errors if "ERR_CONNECTION_REFUSED" not in error]
            page.errors = [error for error in page.errors if "ERR_INCOMPLETE_CHUNKED_ENCODING" not in error]
            page.check_errors()
            page.wait_for_text("#phase", "finished", 120)
            data = program.directory / "ski_resort_data"
            with Reports(data / "reports.db") as reports:
                page.expect(with_header(reports.network("today"), "rides", "visitors"), "after the return")
            page.check_errors()

    def empty(self):
        """Before the first lift turns."""
        with self.program("empty", "--speed", "1") as program, self.browser.page(program.url) as page:
            page.open("pipeline")
            page.wait_for_more("pipeline.RESORT_TICKET.landed", 0)
            check_empty(page)
            looks.check_empty(self.browser, program.url, self.arguments.screenshots)

    def empty_landing(self):
        """Reports without a stream, of a landing without rides."""
        landing = self.directory / "empty/ski_resort_data/landing.db"
        file = self.directory / "empty-reports.db"
        with self.program("nothing", "--only", "reports", "--landing", landing, "--reports", file) as program:
            with self.browser.page(program.url) as page:
                check_empty(page)
                page.open("pipeline")
                assert page.page.locator("#pipeline-idle").is_visible()

    def bad_news(self):
        """What the server says in words, which a healthy program never does: so the answers are made up."""
        landing = self.directory / "empty/ski_resort_data/landing.db"
        with self.program("bad", "--only", "reports", "--landing", landing, "--reports", "bad.db") as program:
            pipeline = program.data("view=pipeline")["pipeline"] | {"reports": "failed: the disk is full"}
            self.phases(program, pipeline)
            problem = {"message": "The account has no reports yet.", "script": "sql/dynamic_tables.sql"}
            with self.browser.page(program.url) as page:
                page.answer(pipeline, {"view": "network", "problem": problem})
                page.wait_for_text("#problem-message", problem["message"])
                page.wait_for_text("#problem-file", problem["script"])
                page.wait_for_text("#reports-failed", "the disk is full")
                for selector in ["#problem-message", "#problem-script", "#reports-failed"]:
                    assert page.page.locator(selector).is_visible(), selector
                assert page.overflow() <= 0 and not page.obstacles()

    def phases(self, program, pipeline):
        """Each phase is shown by its name, also one that the page does not know; what it is about, if it has to wait."""
        for phase, words in [("reconciling", "compared with what has landed"), ("hibernating", "")]:
            with self.browser.page(program.url, 390, 844) as page:
                page.answer(pipeline | {"phase": phase, "message": None}, None, "#pipeline")
                page.wait_for_text("#phase", phase)
                assert words in page.page.locator("#pipeline-message").text_content()
                assert page.page.locator("#pipeline-message").is_visible() == bool(words)
                page.wait_to_fit()

    def readme(self):
        """Some days of history first, as fast as it goes, and then a day at a speed that can be watched."""
        with self.program("readme", "--queue", "queue.db", "--days", "3") as program:
            with self.browser.page(program.url) as page:
                page.open("pipeline")
                page.wait_for_text("#phase", "finished", RUN_SECONDS)
            assert program.stop() == 0
            program.flags = ["--queue", "queue.db", "--days", "5", "--speed", "1800"]
            program.start()
            with self.browser.page(program.url) as page:
                looks.readme(page, README_PICTURES)


def stall(program, emulator):
    """
    Has each channel opened again, another number of times; then nothing more is committed, and then nothing more is answered.
    Answers with the channels' names by table.
    """

    def flows():
        return program.data("view=pipeline")["pipeline"]["tables"]

    def all_struck(fault):
        log = emulator.log()
        return all(any(one["fault"] == fault and name in one["channels"] for one in log) for name in channels.values())

    wait_for(lambda: all(flow["channel"]["name"] for flow in flows()), "the channels' names")
    channels = {flow["table"]: flow["channel"]["name"] for flow in flows()}
    appends = [{"endpoint": "append", "channel": channel} for channel in channels.values()]
    code = {"fault": "bad_request", "code": "ERR_CHANNEL_MUST_BE_REOPENED"}
    emulator.ask("faults", [append | code | {"times": times} for times, append in enumerate(appends, 1)])
    wait_for(
        lambda: all(flow["channel"]["reopens"] == times for times, flow in enumerate(flows(), 1)),
        "the channels to be opened again",
    )
    wait_for(lambda: all(flow["rejected"] for flow in flows()), "rows to be rejected")
    emulator.ask("faults", [append | {"fault": "withhold_commits", "times": 1} for append in appends])
    wait_for(lambda: all_struck("withhold_commits"), "rows that are accepted and not committed")
    emulator.ask("faults", [append | {"fault": "hang", "always": True} for append in appends])
    wait_for(lambda: all_struck("hang"), "rows that are not accepted")
    return channels


def rests(program):
    """Whether all rows are appended, and nothing changes but the time."""
    pipeline = program.data("view=pipeline")["pipeline"]
    time.sleep(2)
    flows, later = pipeline["tables"], program.data("view=pipeline")["pipeline"]["tables"]
    still = all(flow | {"lag_s": 0} == same | {"lag_s": 0} for flow, same in zip(flows, later))
    return still and all(flow["appended"] == flow["generated"] for flow in flows)


def wait_for(answer, what, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := answer()):
        assert time.monotonic() < deadline, f"it takes too long for {what}"
        time.sleep(0.1)
    return found


def check_reports(page, reports):
    """Every number of every period and resort."""
    counted = 0
    for period in PERIODS:
        expected = reports.network(period)
        page.open(f"network/{period}")
        for bars, trend in METRICS:
            page.choose("What the bars show", bars)
            page.choose("What the lines show", trend)
            counted += page.expect(with_header(expected, KEYS[bars], KEYS[trend]), f"network of {period}, {bars}")
    for resort in reports.resorts():
        page.open(f"resort/{resort}")
        counted += page.expect(with_header(reports.resort(resort)), resort)
    return counted


def with_header(expected, bars=None, trend=None):
    """What is expected while bars and lines show these metrics, and nothing is streamed any more."""
    shown = {"header.rows_per_s": "0 rows/s"}
    for name, text in expected.items():
        metric = name.rpartition(".")[2]
        if name.startswith("network.bars.") and metric != bars or name.startswith("network.trend.") and metric != trend:
            continue
        shown[name] = text
    return shown


def check_stale(page):
    """Numbers of a program that is gone say so, to everybody."""
    said = page.page.get_by_role("status").filter(has_text="The program has not answered")
    assert said.is_visible()
    text = said.text_content()
    assert re.fullmatch(r"The program has not answered since \d\d:\d\d:\d\d\. All numbers are from then\.", text), text
    filters = "() => ['main', '.top [data-of]'].map(name => getComputedStyle(document.querySelector(name)).filter)"
    assert all("grayscale" in filter for filter in page.page.evaluate(filters))
    assert page.overflow() <= 0 and not page.obstacles()


def check_empty(page):
    for view in ["network/today", "network/week", "network/month", "resort"]:
        page.open(view)
        section = page.page.locator(f"#{view.partition('/')[0]}-view")
        notice = section.locator("[data-when=empty]")
        assert notice.is_visible() and "No rides yet" in notice.text_content(), view
        assert not section.locator("[data-when=full]").is_visible(), view
        assert page.page.locator('[data-metric="header.reporting_time"]').text_content() == "–"
    page.check_errors()


if __name__ == "__main__":
    main()
