//! Rules over whole pods.
