//! The agent of a node: what runs in the initramfs, then as PID 1, and everything a node does after that.
//!
//! State lives in a typed [`resource`] store. [`controller`]s read some kinds and own others; each one only makes
//! true what should be true, and can run at any moment. Nothing here starts a shell, and nothing here calls Linux
//! except through the crate `sys`.

pub mod controller;
pub mod resource;
pub mod testkit;

pub mod boot;
pub mod children;
pub mod containerd;
pub mod events;
pub mod health;
pub mod initramfs;
pub mod limits;
pub mod logs;
pub mod modules;
pub mod node;
pub mod power;
pub mod run;
pub mod services;
pub mod storage;
mod tasks;
pub mod trial;
pub mod upgrade;

pub mod api;
pub mod config;
pub mod network;
pub mod pki;
pub mod time;
