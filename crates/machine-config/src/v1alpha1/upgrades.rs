//! When and how a node is upgraded. The doc comments here are the reference page: write them for users.

use serde::Serialize;

use super::defaults::is_default;
use crate::value::{ByteRate, Certificate, Period, ProxyAddress, TimeOfDay, WebAddress};

/// When and how the node is upgraded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
#[serde(rename_all = "camelCase")]
pub struct Upgrades {
    /// When the node may restart into an upgrade that waits for the window. Without a window, such an upgrade is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The HTTP proxy for fetching bundles. It must allow CONNECT, and require no password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyAddress>,
    /// Authorities that are trusted in addition to the public ones when a bundle is fetched by https.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<Certificate>,
    /// The most bytes to fetch per second. If an upgrade is requested with its own limit, the lower one applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<ByteRate>,
    /// The rollout that the node follows by itself. Without one it is upgraded only on request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutFeed>,
}

/// Where a rollout is published, and how often the node polls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
pub struct RolloutFeed {
    /// The URL of the document. Its signatures are next to it, with `.minisig` appended to the name. It is fetched like
    /// bundles: through the same `proxy`, trusting the same `ca`.
    pub url: WebAddress,
    /// How often the node polls the document: from 1m to 24h. 1 h if not given.
    #[serde(skip_serializing_if = "is_interval")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default = "interval"))]
    pub interval: Period,
}

pub(super) fn interval() -> Period {
    Period::seconds(3600)
}

fn is_interval(value: &Period) -> bool {
    *value == interval()
}

/// A recurring period in which a node may restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    any(test, feature = "schema"),
    derive(schemars::JsonSchema),
    schemars(deny_unknown_fields)
)]
pub struct Window {
    /// The days on which it opens. Every day if not given.
    #[serde(skip_serializing_if = "is_default")]
    #[cfg_attr(any(test, feature = "schema"), schemars(default))]
    pub days: Vec<Day>,
    /// When it opens, in UTC.
    pub start: TimeOfDay,
    /// How long it stays open: from 1m to 24h.
    pub duration: Period,
}

/// A day of the week, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// Every day with its name, Monday first.
    pub const ALL: [(&'static str, Self); 7] = [
        ("mon", Self::Mon),
        ("tue", Self::Tue),
        ("wed", Self::Wed),
        ("thu", Self::Thu),
        ("fri", Self::Fri),
        ("sat", Self::Sat),
        ("sun", Self::Sun),
    ];
}
