//! Certificate authorities, short-lived certificates and the TLS settings of both ends.
