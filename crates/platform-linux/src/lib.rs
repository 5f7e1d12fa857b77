//! platform-linux
