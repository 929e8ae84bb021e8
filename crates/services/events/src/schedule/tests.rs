//! Schedules against AWS's own samples, and against a search minute by minute.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let date =
        calendar::Date { year: part(0..4), month: part(5..7) as u32, day: part(8..10) as u32 };
    let minutes = calendar::days_from(date) * 1440 + part(11..13) * 60 + part(14..16);
    Timestamp::from_millis(minutes * MINUTE_MS)
}

fn check(expression: &str, after: &str, expected: &[&str]) {
    let schedule = Schedule::parse(expression).unwrap();
    let mut now = at(after);
    for expected in expected {
        now = schedule.next(now, at(after)).unwrap();
        assert_eq!(now, at(expected), "{expression} after {after}: {now}");
    }
}

#[test]
fn cron_as_the_user_guide_has_it() {
    check("cron(0 10 * * ? *)", "2026-01-01 10:00", &["2026-01-02 10:00", "2026-01-03 10:00"]);
    check("cron(15 12 * * ? *)", "2026-01-01 00:00", &["2026-01-01 12:15"]);
    check("cron(0 18 ? * MON-FRI *)", "2026-01-02 18:00", &["2026-01-05 18:00"]);
    check("cron(0 8 1 * ? *)", "2026-01-31 09:00", &["2026-02-01 08:00"]);
    check("cron(0/15 * * * ? *)", "2026-01-01 00:46", &["2026-01-01 01:00", "2026-01-01 01:15"]);
    check(
        "cron(0/5 8-17 ? * MON-FRI *)",
        "2026-01-02 17:55",
        &["2026-01-05 08:00", "2026-01-05 08:05"],
    );
    check("cron(0/30 20-2 ? * MON-FRI *)", "2026-01-02 23:30", &["2026-01-05 00:00"]);
}

#[test]
fn cron_with_letters() {
    check("cron(0 0 L * ? *)", "2026-02-01 00:00", &["2026-02-28 00:00", "2026-03-31 00:00"]);
    check("cron(0 0 L-2 * ? *)", "2026-02-01 00:00", &["2026-02-26 00:00"]);
    // The 1st of August 2026 is a Saturday, the 31st of May 2026 a Sunday.
    check("cron(0 0 1W 8 ? *)", "2026-07-01 00:00", &["2026-08-03 00:00"]);
    check("cron(0 0 31W 5 ? *)", "2026-05-01 00:00", &["2026-05-29 00:00"]);
    check("cron(0 0 15W 3 ? *)", "2026-01-01 00:00", &["2026-03-16 00:00"]);
    check("cron(0 0 LW 5 ? *)", "2026-01-01 00:00", &["2026-05-29 00:00"]);
    check("cron(0 0 ? * 6L *)", "2026-01-01 00:00", &["2026-01-30 00:00", "2026-02-27 00:00"]);
    check("cron(0 0 ? * 2#1 *)", "2026-01-01 00:00", &["2026-01-05 00:00", "2026-02-02 00:00"]);
    check("cron(0 0 ? * fri#5 *)", "2026-01-01 00:00", &["2026-01-30 00:00", "2026-05-29 00:00"]);
    check("cron(0 0 ? * L *)", "2026-01-01 00:00", &["2026-01-03 00:00"]);
    check("cron(0 0 ? * FRI-MON *)", "2026-01-01 00:00", &["2026-01-02 00:00", "2026-01-03 00:00"]);
    check("cron(0 0 29 2 ? *)", "2026-01-01 00:00", &["2028-02-29 00:00", "2032-02-29 00:00"]);
    check("cron(0 0 31 * ? *)", "2026-01-31 00:00", &["2026-03-31 00:00", "2026-05-31 00:00"]);
}

#[test]
fn years_end() {
    check("cron(59 23 31 12 ? 2199)", "2026-01-01 00:00", &["2199-12-31 23:59"]);
    let never = ["cron(0 0 30 2 ? *)", "cron(0 0 1 1 ? 2020)", "cron(0 0 ? 2 2#5 2027)"];
    for expression in never {
        let schedule = Schedule::parse(expression).unwrap();
        assert_eq!(schedule.next(at("2026-01-01 00:00"), at("2026-01-01 00:00")), None);
    }
}

#[test]
fn rates() {
    check("rate(5 minutes)", "2026-01-01 00:03", &["2026-01-01 00:08", "2026-01-01 00:13"]);
    check("rate(1 day)", "2026-03-28 12:00", &["2026-03-29 12:00"]);
    let late = Schedule::parse("rate(1 hour)").unwrap();
    let next = late.next(at("2026-01-01 05:30"), at("2026-01-01 00:10"));
    assert_eq!(next, Some(at("2026-01-01 06:10")));
}

#[test]
fn others_are_refused() {
    let wrong = [
        "rate(10 seconds)",
        "rate(1 minutes)",
        "rate(10 minute)",
        "rate(0 minutes)",
        "rate(10 MINUTES)",
        "rate( 10 minutes )",
        " rate(10 minutes)",
        "rate(+5 minutes)",
        "cron(* * * * *)",
        "cron(0 10 * * * *)",
        "cron(0 10 ? * ? *)",
        "cron(60 10 * * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 0 0 * ? *)",
        "cron(0 0 ? * 0 *)",
        "cron(0 0 ? * 8 *)",
        "cron(0 0 ? * 2#6 *)",
        "cron(0 0 1 13 ? *)",
        "cron(0 0 1 1 ? 1969)",
        "cron(0 0 1 1 ? 2200)",
        "cron(0/0 0 1 1 ? *)",
        "cron(0,, 0 1 1 ? *)",
        "cron()",
        "at(2026-01-01T00:00:00)",
        "",
    ];
    for text in wrong {
        assert_eq!(Schedule::parse(text), Err(ScheduleError), "{text}");
    }
}

proptest! {
    /// The next minute is one that the fields mean, and none between is.
    #[test]
    fn the_next_minute_is_the_first(
        minute in 0_u32..60, step in 1_u32..20, hour in 0_u32..24,
        day in prop_oneof!["([1-9]|1[0-9]|2[0-8]) \\* \\?", "\\? \\* [1-7]", "\\? \\* [1-7]L",
            "\\? \\* [1-7]#[1-4]", "L \\* \\?", "([1-9]|1[0-9]|2[0-8])W \\* \\?"],
        start in 29_000_000_i64..31_000_000,
    ) {
        let text = format!("cron({minute}/{step} {hour} {day} *)");
        let Some(cron) = Cron::parse(&text[5..text.len() - 1]) else { panic!("{text}") };
        let found = cron.at_or_after(start).unwrap();
        prop_assert!(found >= start);
        prop_assert!(found - start <= 62 * 1440);
        prop_assert_eq!(cron.at_or_after(found), Some(found));
        // Nothing between: from any minute before it, the same one is found.
        for before in [start + (found - start) / 3, start + (found - start) / 2, (found - 1).max(start)] {
            prop_assert_eq!(cron.at_or_after(before), Some(found));
        }
        if let Some(after) = cron.at_or_after(found + 1) {
            prop_assert!(after > found);
        }
    }

    /// Any text is read or refused, never more.
    #[test]
    fn any_text_is_survived(text in ".{0,60}", fields in "[0-9LW#?*,/A-Z -]{0,40}") {
        let _ = Schedule::parse(&text);
        if let Ok(schedule) = Schedule::parse(&format!("cron({fields})")) {
            let now = Timestamp::from_millis(1_767_323_045_678);
            if let Some(next) = schedule.next(now, now) {
                prop_assert!(next > now);
            }
        }
    }
}
