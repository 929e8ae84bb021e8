//! Six fields: minute, hour, day of month, month, day of week, year. Exactly one of the days is
//! `?`.

use super::calendar::{Date, date_of, days_from, days_in, weekday};

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const YEARS: std::ops::RangeInclusive<u32> = 1970..=2199;
const MINUTES_A_DAY: i64 = 24 * 60;

/// The fields, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    /// Bit for bit, as those below.
    minutes: u64,
    hours: u64,
    months: u64,
    days: Days,
    /// By their distance from 1970.
    years: Vec<bool>,
}

/// Which days of a month.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Days {
    OfMonth(Vec<OfMonth>),
    OfWeek(Vec<OfWeek>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfMonth {
    /// A day, if the month has it.
    Day(u32),
    /// So many days before the last one: `L`, `L-3`.
    BeforeLast(u32),
    /// The weekday nearest to a day, within the month: `15W`.
    Nearest(u32),
    /// The last weekday: `LW`.
    LastWeekday,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfWeek {
    /// Every such day; 1 is Sunday.
    Every(u32),
    /// The last such day: `6L`.
    Last(u32),
    /// The k-th such day: `6#3`.
    Nth(u32, u32),
}

impl Cron {
    /// Reads the fields.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minutes, hours, of_month, months, of_week, years] = fields[..] else { return None };
        let days = match (of_month, of_week) {
            ("?", "?") => return None,
            (of_month, "?") => Days::OfMonth(list(of_month, of_month_item)?),
            ("?", of_week) => Days::OfWeek(list(of_week, of_week_item)?),
            _ => return None,
        };
        let mut in_years = vec![false; YEARS.count()];
        for year in numbers(years, *YEARS.start(), *YEARS.end(), &[])? {
            in_years[(year - YEARS.start()) as usize] = true;
        }
        let bits =
            |numbers: Vec<u32>| numbers.into_iter().fold(0, |bits, number| bits | 1 << number);
        Some(Self {
            minutes: bits(numbers(minutes, 0, 59, &[])?),
            hours: bits(numbers(hours, 0, 23, &[])?),
            months: bits(numbers(months, 1, 12, &MONTHS)?),
            days,
            years: in_years,
        })
    }

    /// The first minute (since 1970) that is meant, `minute` or later.
    pub(super) fn at_or_after(&self, minute: i64) -> Option<i64> {
        let minute = minute.max(0);
        let first = date_of(minute.div_euclid(MINUTES_A_DAY));
        if let Some(found) = self.within_day(minute.rem_euclid(MINUTES_A_DAY))
            && self.is_on(first)
        {
            return Some(days_from(first) * MINUTES_A_DAY + found);
        }
        let start = self.within_day(0)?;
        let (mut year, mut month, mut after) = (first.year, first.month, first.day);
        while self.years.get(usize::try_from(year - 1970).ok()?).is_some() {
            let set = self.of_month(year, month) & !((2_u64 << after) - 1);
            if set != 0 {
                let date = Date { year, month, day: set.trailing_zeros() };
                return Some(days_from(date) * MINUTES_A_DAY + start);
            }
            after = 0;
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        }
        None
    }

    /// The first minute of a day that is meant, `minute` or later.
    fn within_day(&self, minute: i64) -> Option<i64> {
        (minute..MINUTES_A_DAY).find(|minute| {
            self.hours >> (minute / 60) & 1 == 1 && self.minutes >> (minute % 60) & 1 == 1
        })
    }

    fn is_on(&self, date: Date) -> bool {
        self.of_month(date.year, date.month) >> date.day & 1 == 1
    }

    /// The days of a month that are meant, bit for bit.
    fn of_month(&self, year: i64, month: u32) -> u64 {
        let in_years = usize::try_from(year - 1970).ok().and_then(|year| self.years.get(year));
        if in_years != Some(&true) || self.months >> month & 1 == 0 {
            return 0;
        }
        let length = days_in(year, month);
        let first = weekday(Date { year, month, day: 1 });
        let bit = |day: Option<u32>| day.filter(|day| *day <= length).map_or(0, |day| 1 << day);
        match &self.days {
            Days::OfMonth(items) => items.iter().fold(0, |set, item| {
                set | bit(match *item {
                    OfMonth::Day(day) => Some(day),
                    OfMonth::BeforeLast(days) => length.checked_sub(days).filter(|day| *day > 0),
                    OfMonth::Nearest(day) => nearest(day, first, length),
                    OfMonth::LastWeekday => nearest(length, first, length),
                })
            }),
            Days::OfWeek(items) => items.iter().fold(0, |set, item| {
                let begin = |wanted: u32| 1 + (wanted + 7 - first) % 7;
                set | match *item {
                    OfWeek::Every(day) => {
                        (begin(day)..=length).step_by(7).fold(0, |set, day| set | 1 << day)
                    }
                    OfWeek::Last(day) => bit((begin(day)..=length).step_by(7).last()),
                    OfWeek::Nth(day, count) => bit(Some(begin(day) + 7 * (count - 1))),
                }
            }),
        }
    }
}

/// The weekday nearest to a day of a month that begins on the weekday `first`; none if the month
/// has no such day.
fn nearest(day: u32, first: u32, length: u32) -> Option<u32> {
    if day > length {
        return None;
    }
    Some(match (first + day - 2) % 7 + 1 {
        // Sunday: the Monday after, or at the month's end the Friday before.
        1 if day == length => day - 2,
        1 => day + 1,
        // Saturday: the Friday before, or at the month's begin the Monday after.
        7 if day == 1 => day + 2,
        7 => day - 1,
        _ => day,
    })
}

/// The items of a field with commas.
fn list<T>(field: &str, item: impl Fn(&str, &mut Vec<T>) -> Option<()>) -> Option<Vec<T>> {
    let mut items = Vec::new();
    for part in field.split(',') {
        item(part, &mut items)?;
    }
    Some(items)
}

fn of_month_item(part: &str, items: &mut Vec<OfMonth>) -> Option<()> {
    let day = |text: &str| number(text, &[]).filter(|day| (1..=31).contains(day));
    match part {
        "L" => items.push(OfMonth::BeforeLast(0)),
        "LW" => items.push(OfMonth::LastWeekday),
        _ => {
            if let Some(before) = part.strip_prefix("L-") {
                let before = number(before, &[]).filter(|days| *days <= 30)?;
                items.push(OfMonth::BeforeLast(before));
            } else if let Some(near) = part.strip_suffix('W') {
                items.push(OfMonth::Nearest(day(near)?));
            } else {
                items.extend(numbers(part, 1, 31, &[])?.into_iter().map(OfMonth::Day));
            }
        }
    }
    Some(())
}

fn of_week_item(part: &str, items: &mut Vec<OfWeek>) -> Option<()> {
    let day = |text: &str| number(text, &WEEKDAYS).filter(|day| (1..=7).contains(day));
    if part == "L" {
        items.push(OfWeek::Every(7));
    } else if let Some((wanted, count)) = part.split_once('#') {
        let count = number(count, &[]).filter(|count| (1..=5).contains(count))?;
        items.push(OfWeek::Nth(day(wanted)?, count));
    } else if let Some(last) = part.strip_suffix('L').and_then(day) {
        items.push(OfWeek::Last(last));
    } else {
        items.extend(numbers(part, 1, 7, &WEEKDAYS)?.into_iter().map(OfWeek::Every));
    }
    Some(())
}

/// A number, or one of the names: the first is 1. Any case is taken.
fn number(text: &str, names: &[&str]) -> Option<u32> {
    if let Some(at) = names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
        return u32::try_from(at + 1).ok();
    }
    let is_number = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// The numbers of a field: `*`, `a`, `a-b` (which may wrap), each with `/step`, joined by commas.
fn numbers(field: &str, min: u32, max: u32, names: &[&str]) -> Option<Vec<u32>> {
    let bounded = |text: &str| number(text, names).filter(|number| (min..=max).contains(number));
    let mut all = Vec::new();
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(number(step, &[]).filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (min, max),
            Some((from, to)) => (bounded(from)?, bounded(to)?),
            None => {
                let from = bounded(range)?;
                (from, if step.is_some() { max } else { from })
            }
        };
        // A range that ends before it begins goes on from the start.
        let length = if to >= from { to - from } else { max - from + 1 + to - min };
        let steps = (0..=length).step_by(step.unwrap_or(1) as usize);
        all.extend(steps.map(|ahead| min + (from - min + ahead) % (max - min + 1)));
    }
    Some(all)
}
