"""How the page has to write a number. Written apart from the page's own code, so that the two can disagree."""

from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

NONE = "–"
DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def rounded(value, digits):
    """Half away from zero, of the number as it is printed and not of its binary neighbour."""
    return Decimal(repr(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def fixed(value, digits):
    return f"{rounded(value, digits):,}"


def count(value):
    return NONE if value is None else fixed(value, 0)


def money(value):
    # Sums of eight places, whose last binary digits are noise.
    return NONE if value is None else "$" + fixed(round(value, 8), 2)


def percent(value):
    return NONE if value is None else fixed(value, 1) + "%"


def seconds(value):
    return fixed(value, 1) + " s"


def milliseconds(value):
    return fixed(value, 1) + " ms"


def rows_per_s(value):
    return several(value, "row") + "/s"


def several(value, word):
    return fixed(value, 0) + " " + (word if value == 1 else word + "s")


def rides_per_hour(value):
    return (NONE if value is None else fixed(value, 1)) + " rides/h"


def mebibytes(value):
    return fixed(value / 2**20, 1) + " MiB"


def change(now, before):
    """In percent, none where there was nothing before."""
    if not before:
        return "0.0%"
    ratio = (Decimal(repr(now)) - Decimal(repr(before))) / Decimal(repr(before)) * 100
    value = ratio.quantize(Decimal("0.1"), ROUND_HALF_UP)
    sign = "+" if value > 0 else "−" if value < 0 else ""
    return f"{sign}{abs(value):,}%"


def comparison(now, before):
    """What leads from a change to the dates before."""
    if not before:
        return "no numbers for"
    shown = change(now, before)
    return "up from" if shown[0] == "+" else "down from" if shown[0] == "−" else "against"


def duration(value):
    minutes, rest = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def day(value: date):
    return f"{DAYS[value.weekday()]} {short_day(value)} {value.year}"


def short_day(value: date):
    return f"{value.day} {MONTHS[value.month - 1]}"


def days(first: date, last: date, write=day):
    return write(first) if first == last else f"{write(first)} – {write(last)}"


def moment(value: datetime):
    return f"{day(value.date())}, {value:%H:%M}"
