//! ip-packet
