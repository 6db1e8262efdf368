//! `access_time` and `modification_time`.

use super::Work;
use crate::node::Action;
use crate::problem::Problem;
use crate::resources::common::{attributes, diff};
use crate::resources::{Args, ChangeKind};
use crate::world::{Answer, Query, Stat, Stop, View};

/// What a task asks of a file's times.
#[derive(Debug, Clone)]
pub(super) struct Times {
    access: Time,
    modify: Time,
}

#[derive(Debug, Clone, PartialEq)]
enum Time {
    Preserve,
    Now,
    /// Seconds since the epoch as if the written time were UTC; the node's own offset is taken off.
    At(i64),
}

impl Times {
    pub(super) fn from_args(args: &Args, touch: bool) -> Result<Self, Problem> {
        let time = |name: &str, format: &str| -> Result<Time, Problem> {
            let Some(text) = args.str(name)? else {
                return Ok(if touch { Time::Now } else { Time::Preserve });
            };
            match text.as_str() {
                "preserve" => Ok(Time::Preserve),
                "now" => Ok(Time::Now),
                _ => {
                    let format = args.need(format)?;
                    jiff::civil::DateTime::strptime(&format, &text)
                        .ok()
                        .and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC).ok())
                        .map(|at| Time::At(at.timestamp().as_second()))
                        .ok_or_else(|| {
                            args.wrong(name, &format!("`now`, `preserve` or a time like `{format}`"), &text.into())
                        })
                }
            }
        };
        Ok(Self {
            access: time("access_time", "access_time_format")?,
            modify: time("modification_time", "modification_time_format")?,
        })
    }

    pub(super) fn queries(&self) -> Option<Query> {
        let fixed = |t: &Time| matches!(t, Time::At(_));
        (fixed(&self.access) || fixed(&self.modify)).then(offset_query)
    }

    /// Adds what sets the times of the file.
    pub(super) fn apply(&self, view: &View, path: &str, stat: &mut Stat, work: &mut Work) -> Result<(), Stop> {
        let offset = match self.queries() {
            None => 0,
            Some(query) => match view.ask(query)? {
                Answer::Output(output) => offset_of(&output.stdout),
                _ => 0,
            },
        };
        let wanted = |time: &Time, now: f64| -> Option<String> {
            match time {
                Time::Preserve => None,
                Time::Now => Some("now".to_owned()),
                Time::At(at) => {
                    let at = at - offset;
                    #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch are far below 2^52")]
                    let same = (now - at as f64).abs() < 1e-6;
                    (!same).then(|| format!("@{at}"))
                }
            }
        };
        let access = wanted(&self.access, stat.atime);
        let modify = wanted(&self.modify, stat.mtime);
        if access.is_none() && modify.is_none() {
            return Ok(());
        }
        let (mut before, mut after) = (vec![], vec![]);
        for (name, new, old) in [("atime", &access, &mut stat.atime), ("mtime", &modify, &mut stat.mtime)] {
            if let Some(new) = new {
                before.push((name, old.to_string()));
                after.push((name, new.clone()));
                *old = new.strip_prefix('@').and_then(|t| t.parse().ok()).unwrap_or(f64::NAN);
            }
        }
        stat.ctime = f64::NAN;
        if work.kind != Some(ChangeKind::Create) {
            work.diff.push(diff::attributes(path, &before, &after));
        }
        work.actions.push(Action::Touch { path: path.to_owned(), access, modify });
        work.effects.extend(attributes::stat_effects(path, Some(stat)));
        Ok(())
    }
}

/// The node's offset from UTC.
fn offset_query() -> Query {
    Query::Read { argv: ["date", "+%z"].map(str::to_owned).to_vec() }
}

fn offset_of(stdout: &[u8]) -> i64 {
    let text = String::from_utf8_lossy(stdout);
    let text = text.trim();
    let Some(digits) = text.get(1..).filter(|d| d.len() == 4) else { return 0 };
    let Ok(number) = digits.parse::<i64>() else { return 0 };
    let seconds = (number / 100) * 3600 + (number % 100) * 60;
    if text.starts_with('-') { -seconds } else { seconds }
}
