//! What the page shows: the last answers of the nodes, and what is selected. Pure.

use api::v1alpha1::{CpuResponse, CpuTimes, MemoryResponse, ServiceInfo, StatusResponse};

/// The log of the agent itself, which every node has.
const AGENT: &str = "machined";
/// The number of past loads that are kept.
const HISTORY: usize = 120;

/// What a node answered at one moment.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    pub status: StatusResponse,
    pub cpu: CpuResponse,
    pub memory: MemoryResponse,
    pub services: Vec<ServiceInfo>,
    /// The end of a log with its name, if one was wanted of this node.
    pub lines: Option<(String, Vec<String>)>,
}

/// What a node answered, or the reason why it did not.
pub type Answer = Result<Box<Reading>, String>;

/// What a key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Leave,
    NextNode,
    PreviousNode,
    NextService,
    PreviousService,
    Older,
    Newer,
    /// Nothing but that the page is drawn again.
    Other,
}

/// What follows from a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Stay,
    Leave,
}

/// The log that is wanted, and of which node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    node: usize,
    log: String,
}

impl Wanted {
    /// Returns the log that is wanted of a node, if one is.
    pub fn log_of(&self, node: usize) -> Option<String> {
        (self.node == node).then(|| self.log.clone())
    }
}

/// A node of the page.
#[derive(Debug, Default)]
pub struct NodeState {
    /// Its address.
    pub name: String,
    /// Its last answer, also if it is away now.
    pub reading: Option<Reading>,
    /// Why it did not answer the last time.
    pub problem: Option<String>,
    /// How busy its processors were between answers, in percent, the latest last.
    pub busy: Vec<u64>,
    /// The log that was read last.
    lines: Option<(String, Vec<String>)>,
}

/// The page.
#[derive(Debug)]
pub struct Dashboard {
    pub nodes: Vec<NodeState>,
    /// The node whose services and log are shown.
    pub node: usize,
    /// The source whose log is shown: the agent, or a service.
    source: String,
    /// Lines by which the log is scrolled up.
    pub scrolled: usize,
}

impl Dashboard {
    /// Begins with nodes of which nothing is known.
    pub fn new(names: Vec<String>) -> Self {
        let node = |name| NodeState {
            name,
            ..NodeState::default()
        };
        Self {
            nodes: names.into_iter().map(node).collect(),
            node: 0,
            source: AGENT.to_owned(),
            scrolled: 0,
        }
    }

    /// Returns the log to be asked for.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            node: self.node,
            log: self.source.clone(),
        }
    }

    /// Returns the selected node, if there is any.
    pub fn selected(&self) -> Option<&NodeState> {
        self.nodes.get(self.node)
    }

    /// Returns the name of the log that is shown, and its lines, if they were read already.
    pub fn log(&self) -> (&str, &[String]) {
        let read = self.selected().and_then(|node| node.lines.as_ref());
        match read {
            Some((source, lines)) if *source == self.source => (&self.source, lines),
            _ => (&self.source, &[]),
        }
    }

    /// Returns the place of the selected service among those of the selected node.
    pub fn service(&self) -> Option<usize> {
        let names = self.sources();
        let place = names.iter().position(|name| *name == self.source)?;
        place.checked_sub(1)
    }

    /// Takes the answer of a node.
    pub fn answer(&mut self, index: usize, answer: Answer) {
        let Some(node) = self.nodes.get_mut(index) else {
            return;
        };
        match answer {
            Err(problem) => node.problem = Some(problem),
            Ok(mut reading) => {
                let before = node.reading.as_ref().and_then(|before| before.cpu.total);
                if let (Some(before), Some(now)) = (before, reading.cpu.total)
                    && let Some(busy) = busy_percent(&before, &now)
                {
                    node.busy.push(busy);
                    let surplus = node.busy.len().saturating_sub(HISTORY);
                    node.busy.drain(..surplus);
                }
                if let Some(lines) = reading.lines.take() {
                    node.lines = Some(lines);
                }
                node.problem = None;
                node.reading = Some(*reading);
            }
        }
    }

    /// Does what a key means.
    pub fn key(&mut self, key: Key) -> Action {
        match key {
            Key::Leave => return Action::Leave,
            Key::NextNode => self.select_node(1),
            Key::PreviousNode => self.select_node(self.nodes.len().saturating_sub(1)),
            Key::NextService => self.select_service(1),
            Key::PreviousService => self.select_service(self.sources().len() - 1),
            Key::Older => self.scrolled = (self.scrolled + 10).min(self.log().1.len().saturating_sub(1)),
            Key::Newer => self.scrolled = self.scrolled.saturating_sub(10),
            Key::Other => {}
        }
        Action::Stay
    }

    fn select_node(&mut self, steps: usize) {
        self.node = (self.node + steps) % self.nodes.len().max(1);
        self.scrolled = 0;
        // Another node may not have the service.
        if !self.sources().contains(&self.source) {
            self.source = AGENT.to_owned();
        }
    }

    fn select_service(&mut self, steps: usize) {
        let sources = self.sources();
        let place = sources.iter().position(|name| *name == self.source).unwrap_or(0);
        self.source.clone_from(&sources[(place + steps) % sources.len()]);
        self.scrolled = 0;
    }

    /// Returns the sources of logs of the selected node: the agent first. Never empty.
    fn sources(&self) -> Vec<String> {
        let reading = self.selected().and_then(|node| node.reading.as_ref());
        let services = reading.into_iter().flat_map(|reading| &reading.services);
        std::iter::once(AGENT.to_owned())
            .chain(services.map(|service| service.name.clone()))
            .collect()
    }
}

/// Returns how busy processors were between two moments; none if no time has passed, or the node has restarted.
fn busy_percent(before: &CpuTimes, now: &CpuTimes) -> Option<u64> {
    let idle = |times: &CpuTimes| times.idle_ms.saturating_add(times.iowait_ms);
    let all = |times: &CpuTimes| {
        [times.user_ms, times.system_ms, times.steal_ms]
            .iter()
            .fold(idle(times), |sum, part| sum.saturating_add(*part))
    };
    let passed = all(now).checked_sub(all(before)).filter(|passed| *passed > 0)?;
    let idle = idle(now).checked_sub(idle(before))?;
    Some(passed.saturating_sub(idle).saturating_mul(100) / passed)
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Makes an answer of a node with these services, whose processors worked for so long.
    pub fn reading(services: &[&str], user_ms: u64, idle_ms: u64) -> Reading {
        let service = |name: &&str| ServiceInfo {
            name: (*name).to_owned(),
            state: 3,
            health: 1,
            memory_bytes: 20 << 20,
            ..ServiceInfo::default()
        };
        Reading {
            status: StatusResponse {
                hostname: "board".to_owned(),
                phase: 3,
                version: "1.2.3".to_owned(),
                ..StatusResponse::default()
            },
            cpu: CpuResponse {
                load_1m: 0.5,
                total: Some(CpuTimes {
                    user_ms,
                    idle_ms,
                    ..CpuTimes::default()
                }),
                ..CpuResponse::default()
            },
            memory: MemoryResponse {
                total_bytes: 1 << 30,
                available_bytes: 1 << 29,
                ..MemoryResponse::default()
            },
            services: services.iter().map(service).collect(),
            lines: None,
        }
    }

    #[test]
    fn processors_are_as_busy_as_between_two_answers() {
        let mut page = Dashboard::new(vec!["a".to_owned()]);
        for (user, idle) in [(1000, 9000), (1250, 9750), (1250, 9750), (10, 0), (20, 30)] {
            page.answer(0, Ok(Box::new(reading(&[], user, idle))));
        }
        assert_eq!(page.nodes[0].busy, [25, 25]);
    }

    #[test]
    fn a_node_that_is_away_keeps_what_it_said_last() {
        let mut page = Dashboard::new(vec!["a".to_owned()]);
        page.answer(0, Ok(Box::new(reading(&["etcd"], 1, 1))));
        page.answer(0, Err("nothing listens".to_owned()));
        assert_eq!(page.nodes[0].problem.as_deref(), Some("nothing listens"));
        assert_eq!(
            page.nodes[0].reading.as_ref().map(|last| last.services.len()),
            Some(1)
        );
        page.answer(7, Err("nobody".to_owned()));
    }

    #[test]
    fn the_log_of_what_is_selected_is_wanted_and_shown() {
        let mut page = Dashboard::new(vec!["a".to_owned(), "b".to_owned()]);
        page.answer(0, Ok(Box::new(reading(&["containerd", "etcd"], 1, 1))));
        assert_eq!(page.wanted().log_of(0).as_deref(), Some("machined"));
        assert_eq!((page.wanted().log_of(1), page.service()), (None, None));
        page.key(Key::PreviousService);
        assert_eq!(
            (page.wanted().log_of(0).as_deref(), page.service()),
            (Some("etcd"), Some(1))
        );
        let mut with_lines = reading(&["containerd", "etcd"], 1, 1);
        with_lines.lines = Some(("etcd".to_owned(), vec!["elected".to_owned()]));
        page.answer(0, Ok(Box::new(with_lines)));
        assert_eq!(page.log(), ("etcd", &["elected".to_owned()][..]));
        page.key(Key::NextService);
        assert_eq!(
            page.log(),
            ("machined", &[][..]),
            "the lines of another log are not shown"
        );
        page.key(Key::NextService);
        page.key(Key::NextNode);
        assert_eq!(
            page.wanted().log_of(1).as_deref(),
            Some("machined"),
            "b has no containerd"
        );
        page.key(Key::PreviousNode);
        page.key(Key::PreviousNode);
        assert_eq!(page.node, 1);
        assert_eq!(page.key(Key::Leave), Action::Leave);
    }

    proptest! {
        #[test]
        fn no_key_leads_out_of_what_is_there(
            keys in prop::collection::vec(prop::sample::select(vec![
                Key::NextNode, Key::PreviousNode, Key::NextService, Key::PreviousService, Key::Older, Key::Newer,
            ]), 0..40),
            nodes in 0_usize..3,
            before: [u64; 5],
            now: [u64; 5],
        ) {
            let mut page = Dashboard::new((0..nodes).map(|node| node.to_string()).collect());
            for (index, key) in keys.into_iter().enumerate() {
                page.answer(index % 3, Ok(Box::new(reading(&["x", "y"][..index % 3], 1, 1))));
                prop_assert_eq!(page.key(key), Action::Stay);
                prop_assert!(page.node < nodes.max(1));
                let _ = (page.log(), page.service(), page.selected());
            }
            let times = |[user_ms, system_ms, idle_ms, iowait_ms, steal_ms]: [u64; 5]| CpuTimes {
                user_ms, system_ms, idle_ms, iowait_ms, steal_ms,
            };
            prop_assert!(busy_percent(&times(before), &times(now)).is_none_or(|busy| busy <= 100));
        }
    }
}
