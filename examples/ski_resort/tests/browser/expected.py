"""What every number on the page has to be, by SQL of the test's own on the program's files."""

import sqlite3
from datetime import date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

import written

PERIODS = ["today", "week", "month"]
TABLES = ["RESORT_TICKET", "SEASON_PASS", "LIFT_RIDE"]
# What a client may hold unless it is configured otherwise.
CLIENT_MEMORY = 128 * 2**20
LEVELS = {"normal": "Normal", "busy": "Busy", "full": "At Capacity"}
DAILY = {"ABOVE_TARGET": "Above target", "NEAR_TARGET": "Near target", "BELOW_TARGET": "Below target"}
BADGES = ["Normal", "Active", "Hot"]


class Reports:
    """The reports of one landing, as they are while it is open."""

    def __init__(self, path):
        self.database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        # All questions are about one state.
        self.database.execute("BEGIN")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.database.close()

    def rows(self, sql, *values):
        return self.database.execute(sql, values).fetchall()

    def one(self, sql, *values):
        return self.rows(sql, *values)[0]

    def resorts(self):
        return [name for (name,) in self.rows("SELECT DISTINCT RESORT FROM DAILY_RESORT_SUMMARY ORDER BY RESORT")]

    def network(self, period):
        (hour,) = self.one("SELECT MAX(RIDE_HOUR_TIMESTAMP) FROM HOURLY_RESORT_SUMMARY")
        expected = self.header(hour, "Vail")
        last = utc(hour).date()
        first, before_first, before_last = bounds(period, last)
        now = self.totals(first, last)
        before = self.totals(before_first, before_last)
        expected["network.range"] = written.days(first, last)
        for at, (name, write) in enumerate(
            [("visitors", written.count), ("revenue", written.money), ("rides", written.count)]
        ):
            expected[f"network.{name}"] = write(now[at])
            expected[f"network.{name}.change"] = written.change(now[at], before[at])
            expected[f"network.{name}.words"] = written.comparison(now[at], before[at])
            expected[f"network.{name}.before"] = written.days(before_first, before_last, written.short_day)
        expected["network.capacity"] = written.percent(now[3])
        expected["network.capacity.level"] = LEVELS[level(now[3])]
        for resort, visitors, revenue, rides, capacity in self.rows(
            """SELECT RESORT, SUM(TOTAL_VISITORS), ROUND(SUM(TOTAL_REVENUE), 8), SUM(TOTAL_RIDES), AVG(AVG_CAPACITY_PCT)
               FROM DAILY_RESORT_SUMMARY WHERE RIDE_DATE BETWEEN ? AND ? GROUP BY RESORT""",
            str(first),
            str(last),
        ):
            capacity = tenths(capacity)
            values = {
                "visitors": written.count(visitors),
                "revenue": written.money(revenue),
                "rides": written.count(rides),
                "capacity_pct": written.percent(capacity),
            }
            expected[f"network.resort.{resort}.status"] = LEVELS[level(capacity)]
            for metric, text in values.items():
                expected[f"network.bars.{resort}.{metric}"] = text
                expected[f"network.resort.{resort}.{metric.removesuffix('_pct')}"] = text
        trend_first = last - timedelta(days=6) if period == "today" else first
        self.trend(expected, trend_first, last)
        return expected

    def totals(self, first, last):
        visitors, revenue, rides, capacity = self.one(
            """SELECT SUM(TOTAL_NETWORK_VISITORS), ROUND(SUM(TOTAL_NETWORK_REVENUE), 8), SUM(TOTAL_NETWORK_RIDES),
                      AVG(AVG_NETWORK_CAPACITY_PCT)
               FROM V_DAILY_NETWORK_METRICS WHERE RIDE_DATE BETWEEN ? AND ?""",
            str(first),
            str(last),
        )
        return visitors, revenue, rides, tenths(capacity)

    def trend(self, expected, first, last):
        found = {
            (resort, ride_date): values
            for resort, ride_date, *values in self.rows(
                """SELECT RESORT, RIDE_DATE, TOTAL_VISITORS, TOTAL_REVENUE, AVG_CAPACITY_PCT
                   FROM DAILY_RESORT_SUMMARY WHERE RIDE_DATE BETWEEN ? AND ?""",
                str(first),
                str(last),
            )
        }
        writers = [("visitors", written.count), ("revenue", written.money), ("capacity_pct", written.percent)]
        for resort in sorted({resort for resort, _ in found}):
            for offset in range((last - first).days + 1):
                ride_date = str(first + timedelta(days=offset))
                values = found.get((resort, ride_date), [None] * 3)
                for (metric, write), value in zip(writers, values):
                    expected[f"network.trend.{ride_date}.{resort}.{metric}"] = write(value)

    def resort(self, resort):
        (hour,) = self.one("SELECT MAX(RIDE_HOUR_TIMESTAMP) FROM HOURLY_RESORT_SUMMARY WHERE RESORT = ?", resort)
        expected = self.header(hour, resort)
        visitors, capacity, rides, revenue = self.one(
            """SELECT VISITOR_COUNT, CAPACITY_PCT, TOTAL_RIDES, TOTAL_RECOGNIZED_REVENUE
               FROM HOURLY_RESORT_SUMMARY WHERE RESORT = ? AND RIDE_HOUR_TIMESTAMP = ?""",
            resort,
            hour,
        )
        expected["resort.now.visitors"] = written.count(visitors)
        expected["resort.now.capacity"] = written.percent(capacity)
        expected["resort.now.level"] = LEVELS[level(capacity)]
        expected["resort.now.rides"] = written.count(rides)
        expected["resort.now.revenue"] = written.money(revenue)
        self.lifts(expected, resort)
        self.hours(expected, resort, utc(hour).date())
        self.daily(expected, resort, utc(hour).date())
        self.weeks(expected, resort)
        return expected

    def lifts(self, expected, resort):
        lifts = self.rows(
            """SELECT LIFT, RIDES, UNIQUE_VISITORS, RIDES_PER_HOUR FROM V_LIFT_PERFORMANCE
               WHERE RESORT = ? ORDER BY RIDES DESC, LIFT LIMIT 10""",
            resort,
        )
        for rank, (lift, rides, visitors, rate) in enumerate(lifts, 1):
            name = f"resort.lift.{rank}"
            expected[f"{name}.rank"] = str(rank)
            expected[f"{name}.name"] = lift
            expected[f"{name}.rides"] = written.several(rides, "ride")
            expected[f"{name}.visitors"] = written.several(visitors, "visitor")
            expected[f"{name}.rate"] = written.rides_per_hour(rate)
            expected[f"{name}.badge"] = BADGES[((rate or 0) > 100) + ((rate or 0) > 200)]

    def hours(self, expected, resort, ride_date):
        zone = self.zone(resort)
        for hour in range(6, 23):
            expected[f"resort.hour.{hour}"] = written.NONE
        for hour, visitors in self.rows(
            "SELECT RIDE_HOUR_TIMESTAMP, VISITOR_COUNT FROM HOURLY_RESORT_SUMMARY WHERE RESORT = ? AND RIDE_DATE = ?",
            resort,
            str(ride_date),
        ):
            local = utc(hour).astimezone(zone)
            if 6 <= local.hour <= 22:
                expected[f"resort.hour.{local.hour}"] = written.count(visitors)

    def daily(self, expected, resort, ride_date):
        revenue, target, achieved, status = self.one(
            """SELECT TOTAL_REVENUE, REVENUE_TARGET, REVENUE_TARGET_PCT, PERFORMANCE_STATUS
               FROM V_DAILY_REVENUE_PERFORMANCE WHERE RESORT = ? AND RIDE_DATE = ?""",
            resort,
            str(ride_date),
        )
        expected["resort.daily.date"] = written.day(ride_date)
        expected["resort.daily.revenue"] = written.money(revenue)
        expected["resort.daily.target"] = written.money(target)
        expected["resort.daily.achievement"] = written.percent(achieved)
        expected["resort.daily.status"] = DAILY[status]

    def weeks(self, expected, resort):
        weeks = self.rows(
            """SELECT WEEK_START_DATE, WEEK_TOTAL_VISITORS, MAX_DAILY_UNIQUE_VISITORS, AVG_DAILY_UNIQUE_VISITORS,
                      WEEK_TOTAL_RIDES, WEEK_TOTAL_REVENUE, AVG_DAILY_REVENUE, WEEK_PEAK_CAPACITY_PCT
               FROM WEEKLY_RESORT_SUMMARY WHERE RESORT = ? ORDER BY WEEK_START_DATE DESC LIMIT 4""",
            resort,
        )
        for at, (start, visitors, most, average, rides, revenue, daily, peak) in enumerate(weeks, 1):
            name = f"resort.week.{at}"
            expected[f"{name}.start"] = written.day(date.fromisoformat(start))
            expected[f"{name}.visitors"] = written.count(visitors)
            expected[f"{name}.max_daily_visitors"] = written.count(most)
            expected[f"{name}.avg_daily_visitors"] = written.count(average)
            expected[f"{name}.rides"] = written.count(rides)
            expected[f"{name}.revenue"] = written.money(revenue)
            expected[f"{name}.avg_daily_revenue"] = written.money(daily)
            expected[f"{name}.peak_capacity"] = written.percent(peak)

    def header(self, hour, resort):
        (world,) = self.one("SELECT WORLD_TIME FROM V_WORLD_CLOCK")
        zone = self.zone(resort)

        def local(time):
            return written.NONE if time is None else written.moment(utc(time).astimezone(zone))

        return {
            "header.reporting_time": local(hour),
            "header.world_time": local(world),
            "header.time_zone": str(zone),
        }

    def zone(self, resort):
        return ZoneInfo(self.one("SELECT IANA_TIMEZONE FROM RESORT_CAPACITY WHERE RESORT = ?", resort)[0])


def bounds(period, last):
    """The first date of a period that ends at `last`, and the first and last of the one before."""
    if period == "today":
        return last, last - timedelta(days=1), last - timedelta(days=1)
    if period == "week":
        return last - timedelta(days=6), last - timedelta(days=13), last - timedelta(days=7)
    first = last.replace(day=1)
    end_before = first - timedelta(days=1)
    return first, end_before.replace(day=1), end_before.replace(day=min(last.day, end_before.day))


def level(capacity):
    return "normal" if capacity < 70 else "busy" if capacity < 90 else "full"


def tenths(value):
    """An average of tenths to one place. The ninth place of a double is noise here."""
    if value is None:
        return None
    return float(Decimal(repr(round(value, 9))).quantize(Decimal("0.1"), ROUND_HALF_UP))


def utc(text):
    return datetime.fromisoformat(text[:19]).replace(tzinfo=timezone.utc)


def pipeline(queue, landing, live, server=None):
    """
    The pipeline at its end, without a reject or a reopen: the rows by SQL on queue and landing, the requests as the server saw
    them, and what rests is nothing. Only what is about time, and without a server the requests, is by the program's own answer.
    """
    queue = sqlite3.connect(f"file:{queue}?mode=ro", uri=True)
    issued = dict(queue.execute("SELECT name, seq FROM sqlite_sequence"))
    endpoints = {row["endpoint"]: row for row in live["requests"]}
    requests, sent = server or (endpoints, live["bytes_sent"])
    expected = {
        "header.rows_per_s": "0 rows/s",
        "pipeline.rows_per_s": "0 rows/s",
        "pipeline.lag": "0.0 s",
        "pipeline.elapsed": written.duration(live["elapsed_s"]),
        "pipeline.speed": "max",
        "pipeline.channels.open": "0",
        "pipeline.channels.invalidated": "0",
        "pipeline.channels.reopened": "0",
        "pipeline.memory.in_use": "0.0 MiB",
        "pipeline.memory.budget": written.mebibytes(len(TABLES) * CLIENT_MEMORY),
        "pipeline.bytes_sent": written.mebibytes(sent),
    }
    for table in TABLES:
        (queued,) = queue.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
        name = f"pipeline.{table}"
        expected[f"{name}.generated"] = written.count(issued[table])
        expected[f"{name}.queued"] = written.count(queued)
        for stage in ["appended", "accepted", "committed"]:
            expected[f"{name}.{stage}"] = written.count(issued[table] - queued)
        expected[f"{name}.landed"] = written.count(landing and rows_in(landing, table))
        expected[f"{name}.rejected"] = "0"
        expected[f"{name}.rows_per_s"] = "0 rows/s"
        expected[f"{name}.lag_s"] = "0.0 s"
        expected[f"{name}.reopens"] = "0"
        expected[f"{name}.channel"] = "closed"
    assert requests.keys() == endpoints.keys(), (requests.keys(), endpoints.keys())
    for endpoint, row in requests.items():
        name = f"pipeline.requests.{endpoint}"
        for field in ["total", "retries", "unanswered", "throttled", "refused", "failed"]:
            expected[f"{name}.{field}"] = written.count(row[field])
        expected[f"{name}.mean_ms"] = written.milliseconds(endpoints[endpoint]["mean_ms"])
    history = live["history"]
    points = zip(history["elapsed_s"], history["rows_per_s"], history["lag_s"], strict=True)
    for at, (elapsed, rate, lag) in enumerate(points, 1):
        expected[f"pipeline.history.{at}.elapsed_s"] = written.seconds(elapsed)
        expected[f"pipeline.history.{at}.rows_per_s"] = written.rows_per_s(rate)
        expected[f"pipeline.history.{at}.lag_s"] = written.seconds(lag)
    queue.close()
    return expected


def stalled(queue, landing, log, channels):
    """
    The rows of a pipeline whose requests are not answered any more: by SQL on queue and landing, and by what the server has
    answered.
    """
    queue = sqlite3.connect(f"file:{queue}?mode=ro", uri=True)
    issued = dict(queue.execute("SELECT name, seq FROM sqlite_sequence"))
    server = sqlite3.connect(f"file:{landing}?mode=ro", uri=True)
    columns = "channel_name, offset_token, rows_error_count"
    kept = {name: rest for name, *rest in server.execute(f"SELECT {columns} FROM _snowpipe_channels")}
    server.close()
    expected = {"pipeline.channels.open": str(len(channels))}
    reopens = []
    for table, channel in channels.items():
        (queued,) = queue.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
        committed, rejected = int(kept[channel][0]), kept[channel][1]
        own = [request for request in log if channel in request["channels"]]
        appends = [request for request in own if request["endpoint"] == "append"]
        accepted = max(end_of(request) for request in appends if request["status"] == 200)
        opened = sum(request["endpoint"] == "open" and request["status"] == 200 for request in own)
        reopens.append(opened - 1)
        numbers = {
            "generated": issued[table],
            "queued": queued,
            # All of them fit into the memory.
            "appended": issued[table],
            "accepted": accepted,
            "committed": committed,
            "landed": rows_in(landing, table),
            "rejected": rejected,
            "reopens": opened - 1,
        }
        stages = [numbers[name] for name in ["appended", "accepted", "committed", "landed"]]
        assert stages == sorted(set(stages), reverse=True) and rejected > 0, numbers
        assert queued == issued[table] - committed and rejected == committed - numbers["landed"], numbers
        expected |= {f"pipeline.{table}.{name}": written.count(number) for name, number in numbers.items()}
        expected[f"pipeline.{table}.channel"] = "open"
    assert sorted(reopens) == [1, 2, 3], reopens
    expected["pipeline.channels.invalidated"] = expected["pipeline.channels.reopened"] = str(sum(reopens))
    queue.close()
    return expected


def end_of(request):
    return int(request["query"]["endOffsetToken"])


def rows_in(landing, table):
    landing = sqlite3.connect(f"file:{landing}?mode=ro", uri=True)
    (count,) = landing.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
    landing.close()
    return count
