//! Bad input one by one.
