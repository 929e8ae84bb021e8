//! Pure placement: which task goes on which instance, and why.
