//! The platform contract on Windows.

#![cfg(target_os = "windows")]
