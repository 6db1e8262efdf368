//! Moments in templates: what `to_datetime` gives, `strftime` and `strptime` formats, differences.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value};

use super::args::{Call, err, integer, opt_string, string};

/// A date and time without zone, as Python's `datetime.datetime`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateTime(pub jiff::civil::DateTime);

/// A span of time, as Python's `datetime.timedelta`: whole microseconds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeDelta(pub i64);

impl DateTime {
    pub fn repr(&self) -> String {
        let d = self.0;
        let mut parts = vec![i64::from(d.year()), d.month().into(), d.day().into(), d.hour().into(), d.minute().into()];
        let micros = d.subsec_nanosecond() / 1000;
        if d.second() != 0 || micros != 0 {
            parts.push(d.second().into());
        }
        if micros != 0 {
            parts.push(micros.into());
        }
        format!("datetime.datetime({})", parts.iter().map(i64::to_string).collect::<Vec<_>>().join(", "))
    }

    /// Python's `isoformat` with a separator of choice.
    pub fn text(&self, separator: char) -> String {
        let d = self.0;
        let mut out = format!(
            "{:04}-{:02}-{:02}{separator}{:02}:{:02}:{:02}",
            d.year(),
            d.month(),
            d.day(),
            d.hour(),
            d.minute(),
            d.second()
        );
        if d.subsec_nanosecond() != 0 {
            out.push_str(&format!(".{:06}", d.subsec_nanosecond() / 1000));
        }
        out
    }

    /// `isoformat()`.
    pub fn iso(&self) -> String {
        self.text('T')
    }
}

impl Object for DateTime {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let d = self.0;
        Some(match key.as_str()? {
            "year" => Value::from(d.year()),
            "month" => Value::from(d.month()),
            "day" => Value::from(d.day()),
            "hour" => Value::from(d.hour()),
            "minute" => Value::from(d.minute()),
            "second" => Value::from(d.second()),
            "microsecond" => Value::from(d.subsec_nanosecond() / 1000),
            _ => return None,
        })
    }

    fn custom_cmp(self: &Arc<Self>, other: &minijinja::value::DynObject) -> Option<std::cmp::Ordering> {
        other.downcast_ref::<Self>().map(|o| self.0.cmp(&o.0))
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        match method {
            "strftime" => {
                let [format] = Call::new("strftime", args)?.bind(["format"], 1)?;
                let format = string(&format.unwrap_or_default(), "format")?;
                format_time(
                    &format,
                    &self.0.to_zoned(jiff::tz::TimeZone::system()).map_err(|e| err(e.to_string()))?,
                    true,
                )
                .map(Value::from)
            }
            "isoformat" => Ok(Value::from(self.iso())),
            "timestamp" => {
                let zoned = self.0.to_zoned(jiff::tz::TimeZone::system()).map_err(|e| err(e.to_string()))?;
                Ok(Value::from(zoned.timestamp().as_microsecond() as f64 / 1e6))
            }
            "date" => Ok(Value::from(format!("{}", self.0.date()))),
            "weekday" => Ok(Value::from(self.0.weekday().to_monday_zero_offset())),
            "isoweekday" => Ok(Value::from(self.0.weekday().to_monday_one_offset())),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(' '))
    }
}

impl Object for TimeDelta {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        const DAY: i64 = 86_400_000_000;
        Some(match key.as_str()? {
            "days" => Value::from(self.0.div_euclid(DAY)),
            "seconds" => Value::from(self.0.rem_euclid(DAY) / 1_000_000),
            "microseconds" => Value::from(self.0.rem_euclid(1_000_000)),
            _ => return None,
        })
    }

    fn custom_cmp(self: &Arc<Self>, other: &minijinja::value::DynObject) -> Option<std::cmp::Ordering> {
        other.downcast_ref::<Self>().map(|o| self.0.cmp(&o.0))
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, _: &[Value]) -> Result<Value, Error> {
        match method {
            "total_seconds" => Ok(Value::from(self.0 as f64 / 1e6)),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.0.div_euclid(86_400_000_000), self.0.rem_euclid(86_400_000_000));
        if days != 0 {
            write!(f, "{days} day{}, ", if days.abs() == 1 { "" } else { "s" })?;
        }
        let seconds = rest / 1_000_000;
        write!(f, "{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        if rest % 1_000_000 != 0 {
            write!(f, ".{:06}", rest % 1_000_000)?;
        }
        Ok(())
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

/// The order of two moments or two spans.
pub fn order(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
    let moment = |v: &Value| v.downcast_object_ref::<DateTime>().map(|d| d.0);
    let span = |v: &Value| v.downcast_object_ref::<TimeDelta>().map(|d| d.0);
    match (moment(left), moment(right), span(left), span(right)) {
        (Some(a), Some(b), ..) => Some(a.cmp(&b)),
        (.., Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => None,
    }
}

fn combine(left: &Value, right: &Value, sign: i64) -> Option<Result<Value, Error>> {
    let moment = |v: &Value| v.downcast_object_ref::<DateTime>().map(|d| d.0);
    let span = |v: &Value| v.downcast_object_ref::<TimeDelta>().map(|d| d.0);
    let micros = |d: jiff::civil::DateTime| {
        d.to_zoned(jiff::tz::TimeZone::UTC).map(|z| z.timestamp().as_microsecond()).map_err(|e| err(e.to_string()))
    };
    let shifted = |d: jiff::civil::DateTime, by: i64| {
        d.checked_add(jiff::SignedDuration::from_micros(by))
            .map(|d| Value::from_object(DateTime(d)))
            .map_err(|e| err(e.to_string()))
    };
    Some(match (moment(left), span(left), moment(right), span(right)) {
        (Some(a), _, Some(b), _) if sign < 0 => (|| Ok(Value::from_object(TimeDelta(micros(a)? - micros(b)?))))(),
        (Some(a), _, _, Some(b)) => shifted(a, sign * b),
        (_, Some(a), Some(b), _) if sign > 0 => shifted(b, a),
        (_, Some(a), _, Some(b)) => Ok(Value::from_object(TimeDelta(a + sign * b))),
        _ => return None,
    })
}

/// Python's `strftime` on a moment: the C library's in its own language; what it does not know stays as written. `%f` are
/// microseconds for a date and time, and nothing special for the `strftime` filter.
pub fn format_time(format: &str, moment: &jiff::Zoned, micros: bool) -> Result<String, Error> {
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
    if parsed.offset().is_some() {
        return Err(super::call::unsupported("times with a zone (`%z`) in `to_datetime`"));
    }
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
    Ok(Value::from_object(DateTime(date.to_datetime(time))))
}

/// `strftime`: the format is piped, the moment is seconds since the epoch or now.
pub fn strftime(_: &mut State, call: Call) -> Result<Value, Error> {
    let [format, second, utc] = call.bind(["string_format", "second", "utc"], 1)?;
    let format = string(&format.unwrap_or_default(), "string_format")?;
    let zone =
        if super::args::flag(utc.as_ref(), false) { jiff::tz::TimeZone::UTC } else { jiff::tz::TimeZone::system() };
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
    format_time(&format, &timestamp.to_zoned(zone), false).map(Value::from)
}
