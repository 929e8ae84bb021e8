//! The log option `awslogs-datetime-format`: what a date in such a format looks like.

/// What each letter of `strftime` looks like, as Docker's driver has it; others vanish.
const STRFTIME: [(char, &str); 19] = [
    ('a', "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"),
    ('A', "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"),
    ('w', "[0-6]"),
    ('d', "(?:0[1-9]|[1,2][0-9]|3[0,1])"),
    ('b', "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"),
    (
        'B',
        "(?:January|February|March|April|May|June|July|August|September|October|November|December)",
    ),
    ('m', "(?:0[1-9]|1[0-2])"),
    ('Y', r"\d{4}"),
    ('y', r"\d{2}"),
    ('H', "(?:[0,1][0-9]|2[0-3])"),
    ('I', "(?:0[0-9]|1[0-2])"),
    ('p', "[A,P]M"),
    ('M', "[0-5][0-9]"),
    ('S', "[0-5][0-9]"),
    ('f', r"\d{6}"),
    ('z', r"[+-]\d{4}"),
    ('Z', "[A-Z]{1,4}T"),
    ('j', "(?:0[0-9][1-9]|[1,2][0-9][0-9]|3[0-5][0-9]|36[0-6])"),
    ('L', r"\.\d{3}"),
];

/// The pattern of a `strftime` format, for a regular expression; what is no letter of it stays a pattern.
pub fn of_datetime(format: &str) -> String {
    let mut pattern = String::new();
    let mut rest = format.chars();
    while let Some(one) = rest.next() {
        if one != '%' {
            pattern.push(one);
            continue;
        }
        let Some(letter) = rest.next() else {
            pattern.push('%');
            break;
        };
        let known = STRFTIME.iter().find(|(known, _)| *known == letter);
        pattern.push_str(known.map_or("", |(_, pattern)| pattern));
    }
    pattern
}
