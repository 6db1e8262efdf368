//! Moments in templates: what `to_datetime` gives, `strftime` and `strptime` formats, differences.

use std::fmt;
use std::sync::Arc;

use jiff::tz::Offset;
use minijinja::value::{Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value};

use super::args::{Call, err, integer, opt_string, string};

/// A date and time, as Python's `datetime.datetime`: with the zone's offset if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateTime(pub jiff::civil::DateTime, pub Option<Offset>);

/// A day, as Python's `datetime.date`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Date(pub jiff::civil::Date);

/// A time of day, as Python's `datetime.time`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock(pub jiff::civil::Time);

/// A span of time, as Python's `datetime.timedelta`: whole microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeDelta(pub i64);

const DAY: i64 = 86_400_000_000;

/// The text of a YAML date or time (as [`crate::yaml`] writes it) as its value; any other text stays text.
pub fn from_yaml(text: &str) -> Value {
    let parsed = || -> Option<Value> {
        let Some((date, time)) = text.split_once(' ') else {
            return Some(Value::from_object(Date(text.parse().ok()?)));
        };
        let at = time.find(['+', '-']).unwrap_or(time.len());
        let (clock, zone) = time.split_at(at);
        let moment = date.parse::<jiff::civil::Date>().ok()?.to_datetime(clock.parse().ok()?);
        let offset = match zone.split_once(':') {
            Some((hours, minutes)) => {
                let (sign, hours) = hours.split_at_checked(1)?;
                let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
                Some(Offset::from_seconds(if sign == "-" { -seconds } else { seconds }).ok()?)
            }
            None => None,
        };
        Some(Value::from_object(DateTime(moment, offset)))
    };
    parsed().unwrap_or_else(|| Value::from(text))
}

/// The name of Python's type, if the value is one of these.
pub fn type_name(value: &Value) -> Option<&'static str> {
    let object = value.as_object()?;
    if object.downcast_ref::<DateTime>().is_some() {
        Some("datetime")
    } else if object.downcast_ref::<Date>().is_some() {
        Some("date")
    } else if object.downcast_ref::<Clock>().is_some() {
        Some("time")
    } else if object.downcast_ref::<TimeDelta>().is_some() {
        Some("timedelta")
    } else {
        None
    }
}

/// A date or time as JSON has it: `isoformat()`.
pub fn iso(value: &Value) -> Option<String> {
    let object = value.as_object()?;
    object.downcast_ref::<DateTime>().map(|d| d.text('T')).or_else(|| {
        (object.downcast_ref::<Date>().is_some() || object.downcast_ref::<Clock>().is_some()).then(|| value.to_string())
    })
}

/// Python's `repr`, if the value is one of these.
pub fn repr(value: &Value) -> Option<String> {
    let joined = |parts: Vec<i64>| parts.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let clock = |t: jiff::civil::Time| {
        let mut parts = vec![i64::from(t.hour()), t.minute().into()];
        let micros = t.subsec_nanosecond() / 1000;
        if t.second() != 0 || micros != 0 {
            parts.push(t.second().into());
        }
        if micros != 0 {
            parts.push(micros.into());
        }
        parts
    };
    let object = value.as_object()?;
    if let Some(DateTime(d, offset)) = object.downcast_ref::<DateTime>() {
        let mut parts = vec![i64::from(d.year()), d.month().into(), d.day().into()];
        parts.extend(clock(d.time()));
        let zone = match offset.map(Offset::seconds) {
            None => String::new(),
            Some(0) => ", tzinfo=datetime.timezone.utc".to_owned(),
            Some(seconds) => format!(", tzinfo=datetime.timezone({})", delta_repr(i64::from(seconds) * 1_000_000)),
        };
        return Some(format!("datetime.datetime({}{zone})", joined(parts)));
    }
    if let Some(Date(d)) = object.downcast_ref::<Date>() {
        return Some(format!("datetime.date({})", joined(vec![d.year().into(), d.month().into(), d.day().into()])));
    }
    if let Some(Clock(t)) = object.downcast_ref::<Clock>() {
        return Some(format!("datetime.time({})", joined(clock(*t))));
    }
    object.downcast_ref::<TimeDelta>().map(|d| delta_repr(d.0))
}

fn delta_repr(micros: i64) -> String {
    let parts = [
        ("days", micros.div_euclid(DAY)),
        ("seconds", micros.rem_euclid(DAY) / 1_000_000),
        ("microseconds", micros.rem_euclid(1_000_000)),
    ];
    let parts: Vec<String> = parts.iter().filter(|(_, n)| *n != 0).map(|(name, n)| format!("{name}={n}")).collect();
    format!("datetime.timedelta({})", if parts.is_empty() { "0".to_owned() } else { parts.join(", ") })
}

fn clock_text(t: jiff::civil::Time) -> String {
    let mut out = format!("{:02}:{:02}:{:02}", t.hour(), t.minute(), t.second());
    if t.subsec_nanosecond() != 0 {
        out.push_str(&format!(".{:06}", t.subsec_nanosecond() / 1000));
    }
    out
}

/// `+02:00`.
fn offset_text(offset: Offset) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", seconds.abs() / 3600, seconds.abs() / 60 % 60)
}

impl DateTime {
    /// Python's `isoformat` with a separator of choice.
    pub fn text(&self, separator: char) -> String {
        let zone = self.1.map(offset_text).unwrap_or_default();
        format!("{}{separator}{}{zone}", self.0.date(), clock_text(self.0.time()))
    }

    /// The moment it means; without an offset, the control machine's zone decides.
    fn zoned(&self) -> Result<jiff::Zoned, Error> {
        let zone = self.1.map_or_else(jiff::tz::TimeZone::system, jiff::tz::TimeZone::fixed);
        self.0.to_zoned(zone).map_err(|e| err(e.to_string()))
    }
}

/// Methods of dates and of moments.
const DATE: &[&str] =
    &["strftime", "isoformat", "weekday", "isoweekday", "toordinal", "isocalendar", "timetuple", "ctime", "replace"];
/// Methods that only moments have.
const MOMENT: &[&str] = &["timestamp", "date", "time", "utcoffset", "tzname", "astimezone"];
/// The method of spans.
const SPAN: &str = "total_seconds";

/// The methods of dates, times and spans.
pub fn is_method(value: &Value, name: &str) -> bool {
    match type_name(value) {
        Some("datetime") => DATE.contains(&name) || MOMENT.contains(&name),
        Some("date") => DATE.contains(&name),
        Some("time") => matches!(name, "isoformat" | "strftime"),
        Some("timedelta") => name == SPAN,
        _ => false,
    }
}

/// Calls one of them.
pub fn method(value: &Value, call: Call) -> Result<Value, Error> {
    if let Some(delta) = value.downcast_object_ref::<TimeDelta>() {
        return Ok(Value::from(delta.0 as f64 / 1e6));
    }
    let moment = if let Some(moment) = value.downcast_object_ref::<DateTime>() {
        moment.clone()
    } else if let Some(date) = value.downcast_object_ref::<Date>() {
        DateTime(date.0.to_datetime(jiff::civil::Time::midnight()), None)
    } else if let Some(clock) = value.downcast_object_ref::<Clock>() {
        DateTime(jiff::civil::Date::constant(1900, 1, 1).to_datetime(clock.0), None)
    } else {
        return Err(err(format!("{} has no method `{}`", super::types::type_name(value), call.name)));
    };
    let is_moment = value.downcast_object_ref::<DateTime>().is_some();
    let date = moment.0.date();
    match call.name {
        "strftime" => {
            let [format] = call.bind(["format"], 1)?;
            let format = string(&format.unwrap_or_default(), "format")?;
            let zone = match moment.1 {
                None => Zone { offset: String::new(), name: String::new() },
                Some(offset) => Zone {
                    offset: offset_text(offset).replace(':', ""),
                    name: if offset.is_zero() { "UTC".to_owned() } else { format!("UTC{}", offset_text(offset)) },
                },
            };
            format_time(&format, &moment.zoned()?, true, Some(&zone)).map(Value::from)
        }
        "isoformat" if is_moment => {
            let [separator] = call.bind(["sep"], 0)?;
            let separator = opt_string(separator.as_ref(), "sep")?.and_then(|s| s.chars().next()).unwrap_or('T');
            Ok(Value::from(moment.text(separator)))
        }
        "isoformat" => Ok(Value::from(value.to_string())),
        "timestamp" => Ok(Value::from(moment.zoned()?.timestamp().as_microsecond() as f64 / 1e6)),
        "date" => Ok(Value::from_object(Date(date))),
        "time" => Ok(Value::from_object(Clock(moment.0.time()))),
        "weekday" => Ok(Value::from(date.weekday().to_monday_zero_offset())),
        "isoweekday" => Ok(Value::from(date.weekday().to_monday_one_offset())),
        "toordinal" => {
            // Python counts from the first day of the year 1.
            let first = jiff::civil::Date::constant(1, 1, 1);
            let days = date.since(first).map_err(|e| err(e.to_string()))?.get_days();
            Ok(Value::from(days + 1))
        }
        "isocalendar" => {
            let week = date.iso_week_date();
            let parts = [i64::from(week.year()), week.week().into(), week.weekday().to_monday_one_offset().into()];
            Ok(super::args::tuple(parts.map(Value::from)))
        }
        "timetuple" => {
            let d = moment.0;
            let parts = [
                i64::from(d.year()),
                d.month().into(),
                d.day().into(),
                d.hour().into(),
                d.minute().into(),
                d.second().into(),
                date.weekday().to_monday_zero_offset().into(),
                date.day_of_year().into(),
                -1,
            ];
            Ok(super::args::tuple(parts.map(Value::from)))
        }
        "ctime" => format_time("%a %b %e %H:%M:%S %Y", &moment.zoned()?, true, None).map(Value::from),
        "utcoffset" => {
            Ok(moment.1.map_or(Value::from(()), |o| Value::from_object(TimeDelta(i64::from(o.seconds()) * 1_000_000))))
        }
        "tzname" => Ok(moment.1.map_or(Value::from(()), |o| {
            Value::from(if o.is_zero() { "UTC".to_owned() } else { format!("UTC{}", offset_text(o)) })
        })),
        "astimezone" => {
            let local = moment.zoned()?.with_time_zone(jiff::tz::TimeZone::system());
            Ok(Value::from_object(DateTime(local.datetime(), Some(local.offset()))))
        }
        "replace" => {
            let names = ["year", "month", "day", "hour", "minute", "second", "microsecond"];
            let given = call.bind(names, 0)?;
            let number = |i: usize| super::args::opt_integer(given[i].as_ref(), names[i]);
            let fail = |_| err("there is no such date");
            let mut with = moment.0.with();
            if let Some(n) = number(0)? {
                with = with.year(i16::try_from(n).map_err(|_| err("there is no such year"))?);
            }
            let small = |n: i64| i8::try_from(n).map_err(|_| err("there is no such date"));
            if let Some(n) = number(1)? {
                with = with.month(small(n)?);
            }
            if let Some(n) = number(2)? {
                with = with.day(small(n)?);
            }
            if let Some(n) = number(3)? {
                with = with.hour(small(n)?);
            }
            if let Some(n) = number(4)? {
                with = with.minute(small(n)?);
            }
            if let Some(n) = number(5)? {
                with = with.second(small(n)?);
            }
            if let Some(n) = number(6)? {
                let nanos = i32::try_from(n.saturating_mul(1000)).map_err(|_| err("there is no such microsecond"))?;
                with = with.subsec_nanosecond(nanos);
            }
            let changed = with.build().map_err(fail)?;
            Ok(if is_moment {
                Value::from_object(DateTime(changed, moment.1))
            } else {
                Value::from_object(Date(changed.date()))
            })
        }
        other => Err(super::call::unsupported(format!("the method `{other}` of a date"))),
    }
}

macro_rules! moment_object {
    ($type:ty, $this:ident => $attributes:expr, $text:expr) => {
        impl Object for $type {
            fn repr(self: &Arc<Self>) -> ObjectRepr {
                ObjectRepr::Plain
            }

            fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
                let $this = self;
                let attributes: &[(&str, i64)] = &$attributes;
                let key = key.as_str()?;
                attributes.iter().find(|(name, _)| *name == key).map(|(_, n)| Value::from(*n))
            }

            fn custom_cmp(self: &Arc<Self>, other: &minijinja::value::DynObject) -> Option<std::cmp::Ordering> {
                order(&Value::from_dyn_object(self.clone()), &Value::from_dyn_object(other.downcast::<Self>()?))
            }

            fn call_method(
                self: &Arc<Self>,
                _: &mut State<'_, '_>,
                name: &str,
                args: &[Value],
            ) -> Result<Value, Error> {
                let value = Value::from_dyn_object(self.clone());
                if !is_method(&value, name) {
                    return Err(Error::from(ErrorKind::UnknownMethod));
                }
                method(&value, Call::new(intern(name), args)?)
            }

            fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $this = self;
                f.write_str(&$text)
            }
        }
    };
}

/// A method's name as the table has it.
pub fn intern(name: &str) -> &'static str {
    DATE.iter().chain(MOMENT).chain([&SPAN]).copied().find(|n| *n == name).unwrap_or("method")
}

moment_object!(DateTime, this => [
    ("year", this.0.year().into()), ("month", this.0.month().into()), ("day", this.0.day().into()),
    ("hour", this.0.hour().into()), ("minute", this.0.minute().into()), ("second", this.0.second().into()),
    ("microsecond", (this.0.subsec_nanosecond() / 1000).into()), ("fold", 0),
], this.text(' '));
moment_object!(Date, this => [
    ("year", this.0.year().into()), ("month", this.0.month().into()), ("day", this.0.day().into()),
], this.0.to_string());
moment_object!(Clock, this => [
    ("hour", this.0.hour().into()), ("minute", this.0.minute().into()), ("second", this.0.second().into()),
    ("microsecond", (this.0.subsec_nanosecond() / 1000).into()),
], clock_text(this.0));
moment_object!(TimeDelta, this => [
    ("days", this.0.div_euclid(DAY)), ("seconds", this.0.rem_euclid(DAY) / 1_000_000),
    ("microseconds", this.0.rem_euclid(1_000_000)),
], this.text());

impl TimeDelta {
    fn text(&self) -> String {
        let (days, rest) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let mut out = String::new();
        if days != 0 {
            out.push_str(&format!("{days} day{}, ", if days.abs() == 1 { "" } else { "s" }));
        }
        let seconds = rest / 1_000_000;
        out.push_str(&format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
        if rest % 1_000_000 != 0 {
            out.push_str(&format!(".{:06}", rest % 1_000_000));
        }
        out
    }
}

/// `left - right`, if one of them is a moment or a span; the rewritten `-` operator asks here.
pub fn subtract(left: &Value, right: &Value) -> Option<Result<Value, Error>> {
    combine(left, right, -1)
}

/// `left + right`, if one of them is a moment or a span.
pub fn add(left: &Value, right: &Value) -> Option<Result<Value, Error>> {
    combine(left, right, 1)
}

/// The order of two moments, two days or two spans; moments with and without a zone have none.
pub fn order(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
    if let (Some(a), Some(b)) = (left.downcast_object_ref::<DateTime>(), right.downcast_object_ref::<DateTime>()) {
        return (a.1.is_some() == b.1.is_some()).then(|| micros(a).ok().cmp(&micros(b).ok()));
    }
    if let (Some(a), Some(b)) = (left.downcast_object_ref::<Date>(), right.downcast_object_ref::<Date>()) {
        return Some(a.0.cmp(&b.0));
    }
    if let (Some(a), Some(b)) = (left.downcast_object_ref::<Clock>(), right.downcast_object_ref::<Clock>()) {
        return Some(a.0.cmp(&b.0));
    }
    let span = |v: &Value| v.downcast_object_ref::<TimeDelta>().map(|d| d.0);
    Some(span(left)?.cmp(&span(right)?))
}

/// Microseconds since the epoch; without an offset, as if at UTC.
fn micros(moment: &DateTime) -> Result<i64, Error> {
    let offset = moment.1.unwrap_or(Offset::UTC);
    offset.to_timestamp(moment.0).map(|t| t.as_microsecond()).map_err(|e| err(e.to_string()))
}

fn combine(left: &Value, right: &Value, sign: i64) -> Option<Result<Value, Error>> {
    let span = |v: &Value| v.downcast_object_ref::<TimeDelta>().map(|d| d.0);
    let too_far = |e: jiff::Error| err(e.to_string());
    if let (Some(a), Some(b)) = (left.downcast_object_ref::<DateTime>(), right.downcast_object_ref::<DateTime>()) {
        if sign > 0 {
            return None;
        }
        if a.1.is_some() != b.1.is_some() {
            return Some(Err(err("a time with a zone and one without cannot be subtracted")));
        }
        return Some(micros(a).and_then(|x| Ok(Value::from_object(TimeDelta(x - micros(b)?)))));
    }
    if let (Some(a), Some(b)) = (left.downcast_object_ref::<Date>(), right.downcast_object_ref::<Date>()) {
        let days = |d: jiff::civil::Date| {
            i64::from(d.since(jiff::civil::Date::constant(1970, 1, 1)).map_or(0, |s| s.get_days()))
        };
        return (sign < 0).then(|| Ok(Value::from_object(TimeDelta((days(a.0) - days(b.0)) * DAY))));
    }
    let shifted = |value: &Value, by: i64| {
        if let Some(DateTime(at, offset)) = value.downcast_object_ref::<DateTime>() {
            let moved = at.checked_add(jiff::SignedDuration::from_micros(by)).map_err(too_far);
            return Some(moved.map(|d| Value::from_object(DateTime(d, *offset))));
        }
        let date = value.downcast_object_ref::<Date>()?;
        let moved = date.0.checked_add(jiff::SignedDuration::from_hours(by.div_euclid(DAY) * 24)).map_err(too_far);
        Some(moved.map(|d| Value::from_object(Date(d))))
    };
    match (span(left), span(right)) {
        (Some(a), Some(b)) => Some(Ok(Value::from_object(TimeDelta(a + sign * b)))),
        (None, Some(b)) => shifted(left, sign * b),
        (Some(a), None) if sign > 0 => shifted(right, a),
        _ => None,
    }
}

/// What `%z` and `%Z` give.
pub struct Zone {
    pub offset: String,
    pub name: String,
}

/// Python's `strftime` on a moment: the C library's in its own language; what it does not know stays as written. `%f` are
/// microseconds for a date and time, and nothing special for the `strftime` filter.
pub fn format_time(format: &str, moment: &jiff::Zoned, micros: bool, zone: Option<&Zone>) -> Result<String, Error> {
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let letter = tail.find(|c: char| !("-_0^#".contains(c) || c.is_ascii_digit())).unwrap_or(tail.len());
        let Some(c) = tail[letter..].chars().next() else {
            out.push_str(&rest[at..]);
            return Ok(out);
        };
        let end = at + 1 + letter + c.len_utf8();
        let directive = &rest[at..end];
        rest = &rest[end..];
        let known = match c {
            'f' if micros => {
                out.push_str(&format!("{:06}", moment.subsec_nanosecond() / 1000));
                continue;
            }
            'z' | 'Z' if zone.is_some() => {
                out.push_str(zone.map_or("", |zone| if c == 'z' { &zone.offset } else { &zone.name }));
                continue;
            }
            'c' => "%a %b %e %H:%M:%S %Y",
            'x' => "%m/%d/%y",
            'X' => "%H:%M:%S",
            'r' => "%I:%M:%S %p",
            c if "aAbBCdDeFgGhHIjklmMnpPRsStTuUVwWyYzZ%".contains(c) => directive,
            _ => {
                out.push_str(directive);
                continue;
            }
        };
        out.push_str(
            &jiff::fmt::strtime::format(known, moment)
                .map_err(|e| err(format!("`{format}` is no time format: {e}")))?,
        );
    }
    Ok(out + rest)
}

/// `to_datetime`.
pub fn to_datetime(_: &mut State, call: Call) -> Result<Value, Error> {
    let [text, format] = call.bind(["string", "format"], 1)?;
    let text = string(&text.unwrap_or_default(), "string")?;
    let format = opt_string(format.as_ref(), "format")?.unwrap_or_else(|| "%Y-%m-%d %H:%M:%S".into());
    let fail = || err(format!("`{text}` does not match the time format `{format}`"));
    let parsed = jiff::fmt::strtime::BrokenDownTime::parse(&format, &text).map_err(|_| fail())?;
    let date = match (parsed.year(), parsed.month(), parsed.day()) {
        (Some(_), ..) if parsed.to_date().is_ok() => parsed.to_date().map_err(|_| fail())?,
        (year, month, day) => {
            jiff::civil::Date::new(year.unwrap_or(1900), month.unwrap_or(1), day.unwrap_or(1)).map_err(|_| fail())?
        }
    };
    let time = jiff::civil::Time::new(
        parsed.hour().unwrap_or(0),
        parsed.minute().unwrap_or(0),
        parsed.second().unwrap_or(0),
        parsed.subsec_nanosecond().unwrap_or(0),
    )
    .map_err(|_| fail())?;
    Ok(Value::from_object(DateTime(date.to_datetime(time), parsed.offset())))
}

/// `strftime`: the format is piped, the moment is seconds since the epoch or now.
pub fn strftime(_: &mut State, call: Call) -> Result<Value, Error> {
    let [format, second, utc] = call.bind(["string_format", "second", "utc"], 1)?;
    let format = string(&format.unwrap_or_default(), "string_format")?;
    let utc = super::args::flag(utc.as_ref(), false);
    let zone = if utc { jiff::tz::TimeZone::UTC } else { jiff::tz::TimeZone::system() };
    // Python's `time.gmtime`.
    let shown = utc.then(|| Zone { offset: "+0000".to_owned(), name: "GMT".to_owned() });
    let timestamp = match second.filter(|s| !s.is_none()) {
        None => jiff::Timestamp::now(),
        Some(value) => {
            let seconds = match value.as_str() {
                Some(s) => s.trim().parse::<f64>().ok(),
                None if value.is_integer() => Some(integer(&value, "second")? as f64),
                None => super::args::float(&value),
            };
            let seconds = seconds.ok_or_else(|| err(format!("`{value}` is no number of seconds since the epoch")))?;
            jiff::Timestamp::from_second(seconds.floor() as i64).map_err(|e| err(e.to_string()))?
        }
    };
    format_time(&format, &timestamp.to_zoned(zone), false, shown.as_ref()).map(Value::from)
}
