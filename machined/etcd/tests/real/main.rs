//! Control planes whose etcd is the real one: each has its own controller, folders and loopback address, and is started
//! with the arguments that a node starts it with.
//!
//! `ETCD` names the program, or it is in the PATH; without it the tests are skipped, and say so. Those of recovery need
//! `etcdutl` beside it, too. They need no root.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod commands;
mod lab;
mod members;
mod program;
mod recovery;
mod schedule;
mod services;
mod writer;
