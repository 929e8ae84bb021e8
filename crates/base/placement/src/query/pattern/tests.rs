use super::*;

#[test]
fn patterns_match_whole_texts_as_javas_do() {
    let check = |pattern: &str, text: &str, expected: bool| {
        let compiled = compile(pattern).unwrap_or_else(|wrong| panic!("{pattern}: {wrong}"));
        assert_eq!(compiled.is_match(text), expected, "{pattern} on {text}");
    };
    check("g2.*", "g2.xlarge", true);
    check("g2", "g2.xlarge", false);
    check("a|ab", "ab", true);
    check("(?i)T2.*", "t2.micro", true);
    check("(?i:t)2", "T2", true);
    check("(?u)a", "a", true);
    check("(?i-s:A)b", "aB", false);
    check("(?<size>micro|small)", "small", true);
    check(r"\d+", "12", true);
    check(r"\d+", "١٢", false);
    check(r"\D\W\S", "x-y", true);
    check(r"[\w-.]+", "us-east.1_a", true);
    check(r"\Qa.b*\E+", "a.b***", true);
    check(r"\Qa.b", "a.b", true);
    check(r"[\Q]-[\E]+", "[]-", true);
    check(r"\<a\>", "<a>", true);
    check(r"t2\.micro", "t2.micro", true);
    check(r"t2\.micro", "t2xmicro", false);
    check(r"\p{Lower}\p{Upper}\P{Alpha}", "aB1", true);
    check(r"[\p{Lu}\p{Digit}]+\pL\p{IsLl}", "É4xy", true);
    check(r"\x41\x{42}\u0043\0104\0105\cA", "ABCDE\u{1}", true);
    check(r"\e\a\t", "\u{1b}\u{7}\t", true);
    check(r"\h\v\H\V", " \nab", true);
    check(r"a\Rb\R", "a\r\nb\n", true);
    check(r"\Aab\Z", "ab", true);
    check(r"\Aab\z", "ab", true);
    check("[a-z&&[^bc]]+", "adz", true);
    check("[a-z&&[^bc]]+", "abz", false);
    check("[a[bc]]+", "abc", true);
    check("[]a]+", "a]", true);
    check("[^]a]", "b", true);
    check("[[:alpha:]]+", "alph:", true);
    check("[[:alpha:]]+", "z", false);
    check("[+--]+", "+,-", true);
    check("[a~~b&]+", "~a&b", true);
    check("[a-]", "-", true);
    check("[(){}*+?]+", "(*)", true);
    check("a{2}b{1,}c{0,1}?", "aabb", true);
    check("a+?b*?c??", "aab", true);
    check("]}", "]}", true);
    check("", "", true);
    check("", "a", false);
    check("ä.", "äö", true);
}

#[test]
fn what_java_can_and_we_cannot_is_refused_by_name() {
    let check = |pattern: &str, at: usize, word: &str| {
        let Err(wrong) = compile(pattern) else { panic!("{pattern} is accepted") };
        assert!(wrong.what.contains(word), "{pattern}: {wrong}");
        assert_eq!(wrong.at, at, "{pattern}: {wrong}");
    };
    check("a(?=b)", 1, "look-ahead");
    check("(?!b)", 0, "negative look-ahead");
    check("(?<=b)", 0, "look-behind");
    check("(?<!b)", 0, "negative look-behind");
    check("a(?>b)", 1, "atomic group");
    check(r"(a)\1", 3, "back-reference");
    check(r"(?<x>a)\k<x>", 7, "named back-reference");
    check("a*+", 1, "possessive");
    check("a++", 1, "possessive");
    check("a?+", 1, "possessive");
    check("a{1,2}+", 1, "possessive");
    check("a**", 2, "quantifier follows");
    check("a{1}{2}", 4, "quantifier follows");
    check("a{,2}", 1, "repetition");
    check("a{", 1, "repetition");
    check("a{2,1}", 0, "regular expression is wrong");
    check("*a", 0, "regular expression is wrong");
    check("(?x)a", 2, "COMMENTS");
    check("(?d)a", 2, "UNIX_LINES");
    check("(?iU)a", 3, "UNICODE_CHARACTER_CLASS");
    check("(?P<x>a)", 2, "this kind of group");
    check("(?i--s)a", 4, "this kind of group");
    check("(?", 2, "this kind of group");
    check(r"a\Gb", 1, "\\G");
    check(r"\X", 0, "\\X");
    check(r"\b{g}", 0, "\\b{g}");
    check(r"\p{IsGreek}", 0, "\\p{IsGreek}");
    check(r"\P{InGreek}", 0, "\\P{InGreek}");
    check(r"\p{Lu", 0, "no '}'");
    check(r"\N{DIGIT ONE}", 0, "\\N");
    check(r"[\1]", 1, "\\1");
    check(r"\y", 0, "\\y");
    check("\\", 0, "backslash");
    check(r"\08", 0, "octal");
    check(r"\xG1", 0, "character");
    check(r"\uD83D", 0, "character");
    check(r"\x{110000}", 0, "character");
    check(r"\c", 0, "letter");
    check("(a", 0, "without ')'");
    check("a)", 1, "without '('");
    check("a[b", 1, "without ']'");
    check("[z-a]", 0, "regular expression is wrong");
    check(&"(".repeat(60), 51, "nested");
    check(&"[".repeat(60), 50, "nested");
    check(&format!("{}a{}", "(".repeat(40), "){99}".repeat(40)), 0, "bytes of memory");
    check(r"\p{L}{1000}", 0, "bytes of memory");
}
