"""Looks at the dashboard of the ski resort in a real browser. Started by run.sh."""

import argparse
import tempfile
import time
from pathlib import Path

import landings
import looks
import switches
from browser import Browser
from expected import PERIODS, Reports, pipeline
from program import Program

README_PICTURES = Path(__file__).parents[2] / "examples/ski_resort/screenshots"
# Over the end of a month, so that it is another than the last seven days.
LONG_RUN = ["--start", "2026-01-29T14:00:00Z", "--days", "8"]
LONG_SECONDS = 400
# What the bars and the lines show, so that each has been shown once.
METRICS = [("Visitors", "Visitors"), ("Revenue", "Revenue"), ("Capacity %", "Capacity %"), ("Lift rides", "Visitors")]
KEYS = {"Visitors": "visitors", "Revenue": "revenue", "Capacity %": "capacity_pct", "Lift rides": "rides"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, type=Path)
    parser.add_argument("--browser", required=True)
    parser.add_argument("--screenshots", type=Path, metavar="DIRECTORY")
    parser.add_argument("--readme", action="store_true", help="renew the pictures of the example's README")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, Browser(arguments.browser) as browser:
        test = Test(arguments, browser, Path(directory))
        for part in [test.long_run, test.other_landing, test.live, test.empty, test.empty_landing]:
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

    def long_run(self):
        """Every number of a run at its end, every way to get to it, and what it looks like."""
        with self.program("long", *LONG_RUN) as program, self.browser.page(program.url) as page:
            if self.arguments.readme:
                looks.readme(page, README_PICTURES)
            page.open("pipeline")
            page.wait_for_text("#phase", "finished", LONG_SECONDS)
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
            print(f"{counted} numbers are those of their SQL")
            self.landing = data / "landing.db"

    def other_landing(self):
        """The reports of a landing by themselves, with what a week of simulation has not."""
        landing = self.directory / "other.db"
        landings.older_and_fuller(self.landing, landing)
        file = self.directory / "other-reports.db"
        with self.program("other", "--only", "reports", "--landing", landing, "--reports", file) as program:
            with self.browser.page(program.url) as page:
                page.open("network/today")
                page.wait_for_text('[data-metric="network.range"]', "6 Feb 2026", 120)
                with Reports(file) as reports:
                    counted = check_reports(page, reports)
                page.open("network/today")
                words = set(page.page.locator("#resort-status .chip").all_text_contents())
                assert words == {"Normal", "Busy", "At Capacity"}, words
                page.check_errors()
            print(f"{counted} numbers are those of their SQL")

    def live(self):
        """Numbers that grow by themselves, and a program that dies and comes back."""
        with self.program("live", "--days", "2", "--speed", "3600") as program, self.browser.page(program.url) as page:
            page.open("network/today")
            page.wait_for_more("network.rides", 0)
            switches.check_growth(page)
            page.check_errors()
            program.kill()
            page.wait_for_text("#connection", "reconnecting")
            before = page.number("network.rides")
            program.start()
            page.wait_for_text("#connection", "live")
            page.wait_for_more("network.rides", before)
            # Nobody answered for a while, and the browser said so.
            page.errors = [error for error in page.errors if "ERR_CONNECTION_REFUSED" not in error]
            page.errors = [error for error in page.errors if "ERR_INCOMPLETE_CHUNKED_ENCODING" not in error]
            page.check_errors()
            page.wait_for_text("#phase", "finished", 120)
            data = program.directory / "ski_resort_data"
            with Reports(data / "reports.db") as reports:
                page.expect(with_header(reports.network("today"), "visitors", "visitors"), "after the return")
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
