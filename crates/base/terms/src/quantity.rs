//! Amounts that carry their unit.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $unit:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u32);

        impl $name {
            /// None of it.
            pub const ZERO: Self = Self(0);

            #[doc = concat!("This many ", $unit, ".")]
            pub const fn new(value: u32) -> Self {
                Self(value)
            }

            #[doc = concat!("The number of ", $unit, ".")]
            pub const fn get(self) -> u32 {
                self.0
            }

            /// The sum, or the largest amount if it would not fit.
            pub const fn saturating_add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }

            /// What is left, or zero.
            pub const fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

quantity! {
    /// CPU: 1,024 units are one vCPU.
    CpuUnits, "CPU units"
}
quantity! {
    /// Memory in MiB (1,048,576 bytes).
    MemoryMib, "MiB"
}

impl MemoryMib {
    /// The same amount in bytes.
    pub const fn bytes(self) -> u64 {
        self.0 as u64 * 1024 * 1024
    }
}
