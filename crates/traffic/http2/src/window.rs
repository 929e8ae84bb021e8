//! How many bytes of data may be sent (RFC 9113, 6.9).

/// The largest window, in bytes.
pub const WINDOW_MAX: u32 = (1 << 31) - 1;

/// A window was to be larger than [`WINDOW_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// How many bytes may be sent. It is below zero if settings made it smaller after they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(i64);

impl Window {
    /// One of so many bytes, [`WINDOW_MAX`] at most.
    pub fn new(bytes: u32) -> Self {
        Self(i64::from(bytes.min(WINDOW_MAX)))
    }

    /// How many bytes may be sent now.
    pub fn room(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// So many bytes are sent. Whether they might be.
    #[must_use]
    pub fn take(&mut self, bytes: usize) -> bool {
        let is_room = bytes <= self.room();
        self.0 = self.0.saturating_sub_unsigned(bytes as u64);
        is_room
    }

    /// So many more may be sent.
    ///
    /// # Errors
    /// [`Overflow`]; then the window stays as it is.
    pub fn grow(&mut self, bytes: u32) -> Result<(), Overflow> {
        self.shift(i64::from(bytes))
    }

    /// The size that windows have at first was one, and is another now (6.9.2).
    ///
    /// # Errors
    /// [`Overflow`]; then the window stays as it is.
    pub fn resize(&mut self, before: u32, now: u32) -> Result<(), Overflow> {
        self.shift(i64::from(now) - i64::from(before))
    }

    fn shift(&mut self, by: i64) -> Result<(), Overflow> {
        let next = self.0.saturating_add(by);
        if next > i64::from(WINDOW_MAX) {
            return Err(Overflow);
        }
        self.0 = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_shrink_below_zero_and_never_grow_too_large() {
        let mut window = Window::new(10);
        assert!(window.take(10));
        assert!(!window.take(1), "nothing is left");
        let mut window = Window::new(10);
        assert!(window.take(8));
        window.resize(10, 0).expect("smaller is no overflow");
        assert_eq!(window.room(), 0);
        window.grow(8).expect("it is small");
        assert_eq!(window.room(), 0, "it stood at -8");
        window.grow(1).expect("it is small");
        assert_eq!(window.room(), 1);
        assert_eq!(window.grow(WINDOW_MAX), Err(Overflow));
        assert_eq!(window.room(), 1);
        window.grow(WINDOW_MAX - 1).expect("just so");
        assert_eq!(window.resize(0, 1), Err(Overflow));
        assert_eq!(Window::new(u32::MAX).room(), WINDOW_MAX as usize);
    }
}
