// Numbers and dates as text, each with its unit. A missing number is a dash.

const NONE = "–";

const decimals = (digits) =>
  new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const whole = decimals(0);
const tenths = decimals(1);
const cents = decimals(2);
const thousandths = new Intl.NumberFormat("en-US", { maximumFractionDigits: 3 });
const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

const orNone = (write) => (value) => (value === null || value === undefined ? NONE : write(value));

/** "1 ride", "2 rides". */
const many = (value, word) => {
  const text = whole.format(value);
  return `${text} ${word}${text === "1" ? "" : "s"}`;
};

const signed = (format, value) => {
  const text = format.format(Math.abs(value));
  const isZero = !/[1-9]/.test(text);
  return { sign: isZero ? "" : value < 0 ? "−" : "+", text };
};

export const count = orNone((value) => whole.format(value));
export const factor = orNone((value) => thousandths.format(value));
export const percent = orNone((value) => `${tenths.format(value)}%`);
export const money = orNone((value) => `$${cents.format(value)}`);
export const seconds = orNone((value) => `${tenths.format(value)} s`);
export const milliseconds = orNone((value) => `${tenths.format(value)} ms`);
export const rowsPerSecond = orNone((value) => `${many(value, "row")}/s`);
export const rides = orNone((value) => many(value, "ride"));
export const visitors = orNone((value) => many(value, "visitor"));
export const ridesPerHour = (value) => `${orNone(tenths.format)(value)} rides/h`;
export const mebibytes = orNone((value) => `${tenths.format(value / 1048576)} MiB`);

/** "+12.3%": a change always shows its sign, unless it is zero. */
export const change = orNone((value) => {
  const { sign, text } = signed(tenths, value);
  return `${sign}${text}%`;
});

/** Short enough for an axis. */
export const axis = (value) => compact.format(value);

const two = (part) => String(part).padStart(2, "0");

/** "3720" seconds are "1:02:00". */
export const duration = orNone((value) => {
  const all = Math.floor(value);
  const [hours, minutes, rest] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
});

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** "2026-01-18" is "Sun 18 Jan 2026". */
export const date = orNone((iso) => {
  const day = new Date(`${iso}T00:00:00Z`);
  return `${DAYS[day.getUTCDay()]} ${shortDate(iso)} ${day.getUTCFullYear()}`;
});

/** "2026-01-18" is "18 Jan". */
export const shortDate = (iso) => {
  const [, month, day] = iso.split("-").map(Number);
  return `${day} ${MONTHS[month - 1]}`;
};

export const range = (from, to) => (from === to ? date(from) : `${date(from)} – ${date(to)}`);

export const shortRange = (from, to) => (from === to ? shortDate(from) : `${shortDate(from)} – ${shortDate(to)}`);

export const hour = (value) => `${two(value)}:00`;

/** A time in the time zone of the browser: "14:03:07", and on another day "18 Jan, 14:03:07". */
export const moment = (time) => {
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
  const isToday = time.toDateString() === new Date().toDateString();
  return isToday ? clock : `${time.getDate()} ${MONTHS[time.getMonth()]}, ${clock}`;
};

const LEVELS = { normal: "Normal", busy: "Busy", full: "At Capacity" };

/** How full a resort is, in the words of the reports' statuses. */
export const level = (name) => LEVELS[name] ?? "";

export const text = orNone(String);
