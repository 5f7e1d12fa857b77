//! A channel against a portal that lives in the test, in virtual time.

#![expect(clippy::unwrap_used, reason = "what cannot go on fails the test")]

mod connecting;
mod fake_portal;
mod joining;
mod talking;
mod tls;
