//! Brings links, addresses, routes and names to what the machine config asks.
