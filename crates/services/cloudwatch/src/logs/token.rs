//! Tokens of GetLogEvents and FilterLogEvents: a position, so that they survive restarts.

use super::store::Position;

/// Which way a page goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// To newer events.
    Forward,
    /// To older ones.
    Backward,
}

/// 56 digits for a position, as CloudWatch's tokens and event ids have.
pub(super) fn digits(position: Position, tail: u64) -> String {
    format!("{:019}{:020}{:017}", position.at, position.sequence, tail % 100_000_000_000_000_000)
}

/// The position of 56 digits.
pub(super) fn position(digits: &str) -> Option<Position> {
    if digits.len() != 56 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Position { at: digits[..19].parse().ok()?, sequence: digits[19..39].parse().ok()? })
}

/// `f/<digits>/s`, `b/<digits>/s`.
pub(super) fn write(direction: Direction, position: Position) -> String {
    let letter = if direction == Direction::Forward { 'f' } else { 'b' };
    format!("{letter}/{}/s", digits(position, 0))
}

/// A token taken apart; older clients know tokens without `/s`.
pub(super) fn read(token: &str) -> Option<(Direction, Position)> {
    let (letter, rest) = token.split_once('/')?;
    let direction = match letter {
        "f" => Direction::Forward,
        "b" => Direction::Backward,
        _ => return None,
    };
    Some((direction, position(rest.strip_suffix("/s").unwrap_or(rest))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back() {
        let position = Position { at: 1_767_323_045_678, sequence: u64::MAX };
        let token = write(Direction::Backward, position);
        assert_eq!(token.len(), 60);
        assert_eq!(read(&token), Some((Direction::Backward, position)));
        assert_eq!(read(token.trim_end_matches("/s")), Some((Direction::Backward, position)));
        for wrong in ["", "f/1/s", "x/0/s", "f", "Bad", &"9".repeat(56)] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
