//! Errors with what is behind them.

use std::error::Error;

/// An error and its causes on one line, as in `the file is not read: no such file`: our errors do not
/// print what caused them.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::fmt::Error);

    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("it is not shown")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn every_cause_is_told_once() {
        let inner = std::fmt::Error;
        assert_eq!(with_causes(&inner), inner.to_string());
        assert_eq!(with_causes(&Outer(inner)), format!("it is not shown: {inner}"));
    }
}
