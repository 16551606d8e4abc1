//! Reads when and how a node is upgraded.

use crate::decode::Cursor;
use crate::v1alpha1::upgrades::interval;
use crate::v1alpha1::{Day, RolloutFeed, Upgrades, Window};
use crate::value::{Period, ProxyAddress};

const SHORTEST: Period = Period::seconds(60);
const LONGEST: Period = Period::seconds(24 * 3600);

pub(super) fn upgrades(cursor: Cursor<'_>) -> Option<Upgrades> {
    let mut o = cursor.object()?;
    let window = o.field("window").and_then(window);
    let proxy = o.field("proxy").and_then(|c| c.parsed_unquoted::<ProxyAddress>());
    let ca = o.field("ca").and_then(|c| c.parsed_unquoted());
    let rate_limit = o.field("rateLimit").and_then(|c| c.parsed());
    let rollout = o.field("rollout").and_then(rollout);
    o.finish();
    Some(Upgrades {
        window,
        proxy,
        ca,
        rate_limit,
        rollout,
    })
}

fn rollout(cursor: Cursor<'_>) -> Option<RolloutFeed> {
    let mut o = cursor.object()?;
    let url = o
        .required(
            "url",
            "set it to where the rollout is published, such as https://HOST/rollout.json",
        )
        .and_then(|c| c.parsed_unquoted());
    let interval = match o.field("interval") {
        Some(c) => span(&c),
        None => Some(interval()),
    };
    o.finish();
    Some(RolloutFeed {
        url: url?,
        interval: interval?,
    })
}

fn span(cursor: &Cursor<'_>) -> Option<Period> {
    let span = cursor.period()?;
    if !(SHORTEST..=LONGEST).contains(&span) {
        cursor.fault(format!("must be from {SHORTEST} to {LONGEST}"));
    }
    Some(span)
}

fn window(cursor: Cursor<'_>) -> Option<Window> {
    let mut o = cursor.object()?;
    let days = o.field("days").map(days).unwrap_or_default();
    let start = o
        .required("start", "set it to when it opens, such as \"02:30\"")
        .and_then(|c| c.parsed());
    let duration = o
        .required("duration", "set it to how long it stays open, such as 2h")
        .and_then(|c| span(&c));
    o.finish();
    Some(Window {
        days,
        start: start?,
        duration: duration?,
    })
}

fn days(cursor: Cursor<'_>) -> Vec<Day> {
    let mut days = Vec::new();
    let items = cursor.clone().items();
    if items.is_empty() {
        cursor.fault("lists no day; leave it out for every day");
    }
    for item in items {
        match item.choice(&Day::ALL) {
            Some(day) if days.contains(&day) => item.fault("is listed twice"),
            Some(day) => days.push(day),
            None => {}
        }
    }
    days
}
