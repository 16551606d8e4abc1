//! The page, drawn for a terminal of any size.

use std::time::Duration;

use api::names::word;
use api::v1alpha1::{HealthState, Phase, ServiceHealth, ServiceInfo, ServiceState};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Sparkline, Table, TableState};

use crate::ui::{bytes, clean, duration};

use super::state::{Dashboard, NodeState, Reading};

/// From this width on, services and load are side by side, and tables have all columns.
const WIDE: u16 = 90;
/// Below this size nothing but the state of nodes is shown.
const SMALL: (u16, u16) = (30, 12);
const HELP: &str = "q quit  ←→ node  ↑↓ log  PgUp PgDn scroll";

/// Draws the page.
pub fn draw(frame: &mut Frame, page: &Dashboard) {
    let area = frame.area();
    if area.width < SMALL.0 || area.height < SMALL.1 {
        return frame.render_widget(Paragraph::new(short(page)), area);
    }
    let nodes = u16::try_from(page.nodes.len())
        .unwrap_or(u16::MAX)
        .saturating_add(3);
    let services = page
        .selected()
        .and_then(|node| node.reading.as_ref())
        .map_or(0, |reading| reading.services.len());
    let services = u16::try_from(services)
        .unwrap_or(u16::MAX)
        .saturating_add(3)
        .max(6);
    let third = (area.height - 1) / 3;
    let [top, middle, bottom, last] = Layout::vertical([
        Constraint::Length(nodes.min(third)),
        Constraint::Length(services.min(third)),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_nodes(frame, top, page);
    match area.width >= WIDE {
        true => {
            let [left, right] = Layout::horizontal([Constraint::Fill(2), Constraint::Fill(1)]).areas(middle);
            draw_services(frame, left, page);
            draw_load(frame, right, page);
        }
        false => draw_services(frame, middle, page),
    }
    draw_log(frame, bottom, page);
    frame.render_widget(Paragraph::new(HELP).style(faint()), last);
}

/// One line for each node: for a terminal with no room for more.
fn short(page: &Dashboard) -> Vec<Line<'static>> {
    let line = |node: &NodeState| {
        let (text, style) = health(node);
        Line::from(vec![
            Span::styled(text, style),
            Span::raw(format!(" {}", node.name)),
        ])
    };
    page.nodes.iter().map(line).collect()
}

fn draw_nodes(frame: &mut Frame, area: Rect, page: &Dashboard) {
    let wide = area.width >= WIDE;
    let rows = page.nodes.iter().map(|node| node_row(node, wide));
    let mut headings = vec!["NODE", "HEALTH", "BUSY", "MEMORY"];
    let mut widths = vec![
        Constraint::Fill(2),
        Constraint::Length(12),
        Constraint::Length(5),
        Constraint::Length(7),
    ];
    if wide {
        headings.extend(["LOAD", "UPTIME", "HOSTNAME", "ROLE", "VERSION"]);
        widths.extend([
            Constraint::Length(6),
            Constraint::Length(10),
            Constraint::Fill(2),
            Constraint::Length(12),
            Constraint::Fill(1),
        ]);
    }
    draw_table(
        frame,
        area,
        "nodes",
        headings,
        widths,
        rows.collect(),
        Some(page.node),
    );
}

fn node_row(node: &NodeState, wide: bool) -> Row<'static> {
    let (text, style) = health(node);
    let mut cells = vec![Cell::from(node.name.clone()), Cell::from(text).style(style)];
    match (&node.problem, &node.reading) {
        (None, Some(reading)) => {
            cells.push(Cell::from(
                node.busy
                    .last()
                    .map_or("-".to_owned(), |busy| format!("{busy} %")),
            ));
            cells.push(Cell::from(
                memory_percent(reading).map_or("-".to_owned(), |used| format!("{used} %")),
            ));
            if wide {
                let status = &reading.status;
                cells.push(Cell::from(format!("{:.2}", reading.cpu.load_1m)));
                cells.push(Cell::from(duration(Duration::from_millis(status.uptime_ms))));
                for text in [&status.hostname, &status.role, &status.version] {
                    cells.push(Cell::from(clean(text)));
                }
            }
        }
        // Numbers of the past would look like those of now.
        _ => cells.resize(if wide { 9 } else { 4 }, Cell::from("-")),
    }
    Row::new(cells)
}

/// Says in a word how a node is.
fn health(node: &NodeState) -> (String, Style) {
    let reading = match (&node.problem, &node.reading) {
        (Some(_), _) => return ("no answer".to_owned(), bad()),
        (None, None) => return ("connecting".to_owned(), faint()),
        (None, Some(reading)) => reading,
    };
    if reading.status.phase != Phase::Running as i32 {
        return (
            word::<Phase>(reading.status.phase),
            Style::new().fg(Color::Yellow),
        );
    }
    let state = reading.status.health.as_ref().map_or(0, |health| health.state);
    let style = match HealthState::try_from(state) {
        Ok(HealthState::Healthy) => Style::new().fg(Color::Green),
        Ok(HealthState::Degraded) => Style::new().fg(Color::Yellow),
        _ => bad(),
    };
    match word::<HealthState>(state) {
        unknown if unknown.is_empty() => ("unknown".to_owned(), faint()),
        known => (known, style),
    }
}

fn memory_percent(reading: &Reading) -> Option<u64> {
    let memory = &reading.memory;
    let used = memory.total_bytes.saturating_sub(memory.available_bytes);
    used.saturating_mul(100).checked_div(memory.total_bytes)
}

fn draw_services(frame: &mut Frame, area: Rect, page: &Dashboard) {
    let reading = page.selected().and_then(|node| node.reading.as_ref());
    let wide = area.width >= WIDE / 2;
    let services = reading
        .map(|reading| reading.services.as_slice())
        .unwrap_or_default();
    let rows = services.iter().map(|service| service_row(service, wide));
    let mut headings = vec!["SERVICE", "STATE", "HEALTH"];
    let names = services.iter().map(|service| service.name.chars().count());
    let longest = u16::try_from(names.max().unwrap_or(0)).unwrap_or(u16::MAX);
    let mut widths = vec![
        Constraint::Length(longest.clamp(8, area.width / 3)),
        Constraint::Length(9),
        Constraint::Length(10),
    ];
    if wide {
        headings.extend(["MEMORY", "MESSAGE"]);
        widths.extend([Constraint::Length(10), Constraint::Fill(1)]);
    }
    draw_table(
        frame,
        area,
        "services",
        headings,
        widths,
        rows.collect(),
        page.service(),
    );
}

fn service_row(service: &ServiceInfo, wide: bool) -> Row<'static> {
    let style = match ServiceState::try_from(service.state) {
        _ if service.health == ServiceHealth::Unhealthy as i32 => bad(),
        Ok(ServiceState::Failed) => bad(),
        Ok(ServiceState::Running) => Style::new(),
        _ => faint(),
    };
    let mut cells = vec![
        clean(&service.name),
        word::<ServiceState>(service.state),
        word::<ServiceHealth>(service.health),
    ];
    if wide {
        cells.push(match service.memory_bytes {
            0 => String::new(),
            memory => bytes(memory),
        });
        cells.push(clean(&service.message));
    }
    Row::new(cells).style(style)
}

fn draw_load(frame: &mut Frame, area: Rect, page: &Dashboard) {
    let block = Block::new()
        .borders(Borders::ALL)
        .title(" processors and memory ");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let Some(node) = page.selected() else { return };
    let Some(reading) = &node.reading else { return };
    let [figures, curve] = Layout::vertical([Constraint::Length(2), Constraint::Fill(1)]).areas(inner);
    let memory = &reading.memory;
    let load = &reading.cpu;
    let lines = [
        format!(
            "load {:.2} {:.2} {:.2}",
            load.load_1m, load.load_5m, load.load_15m
        ),
        format!(
            "memory {} of {} available",
            bytes(memory.available_bytes),
            bytes(memory.total_bytes)
        ),
    ];
    frame.render_widget(Paragraph::new(lines.map(Line::from).to_vec()), figures);
    let shown = node.busy.len().saturating_sub(curve.width.into());
    let curve_of_load = Sparkline::default()
        .data(&node.busy[shown..])
        .max(100)
        .style(Style::new().fg(Color::Cyan));
    frame.render_widget(curve_of_load, curve);
}

fn draw_log(frame: &mut Frame, area: Rect, page: &Dashboard) {
    let (source, lines) = page.log();
    let node = page.selected();
    let problem = node.and_then(|node| node.problem.as_deref());
    let title = match node {
        Some(node) => format!(" {source} on {} ", node.name),
        None => format!(" {source} "),
    };
    let block = Block::new().borders(Borders::ALL).title(title);
    let room = usize::from(block.inner(area).height);
    let text: Vec<Line> = match problem {
        Some(problem) => vec![Line::styled(problem.to_owned(), bad())],
        None => {
            let end = lines.len().saturating_sub(page.scrolled);
            let start = end.saturating_sub(room);
            lines[start..end]
                .iter()
                .map(|line| Line::raw(line.as_str()))
                .collect()
        }
    };
    frame.render_widget(Paragraph::new(text).block(block), area);
}

fn draw_table(
    frame: &mut Frame,
    area: Rect,
    title: &str,
    headings: Vec<&'static str>,
    widths: Vec<Constraint>,
    rows: Vec<Row<'static>>,
    selected: Option<usize>,
) {
    let table = Table::new(rows, widths)
        .header(Row::new(headings).style(faint()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(Block::new().borders(Borders::ALL).title(format!(" {title} ")));
    let mut state = TableState::default().with_selected(selected);
    frame.render_stateful_widget(table, area, &mut state);
}

fn faint() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn bad() -> Style {
    Style::new().fg(Color::Red)
}

#[cfg(test)]
mod tests {
    use api::v1alpha1::Health;
    use proptest::prelude::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::state::Key;
    use super::super::state::tests::reading;
    use super::*;

    fn shown(page: &Dashboard, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("in memory");
        terminal.draw(|frame| draw(frame, page)).expect("in memory");
        terminal.backend().to_string()
    }

    fn page() -> Dashboard {
        let mut page = Dashboard::new(vec!["10.0.0.1:50000".to_owned(), "10.0.0.2:50000".to_owned()]);
        for busy in [100, 130] {
            let mut reading = reading(&["containerd", "etcd"], busy, 1000 + busy);
            reading.status.health = Some(Health {
                state: HealthState::Healthy.into(),
                ..Health::default()
            });
            reading.lines = Some((
                "machined".to_owned(),
                (0..60).map(|line| format!("line {line} \u{1b}[31m")).collect(),
            ));
            page.answer(0, Ok(Box::new(reading)));
        }
        page.answer(1, Err("nothing listens on 10.0.0.2:50000".to_owned()));
        page
    }

    #[test]
    fn a_wide_terminal_shows_everything() {
        let text = shown(&page(), 120, 40);
        for expected in [
            "10.0.0.1:50000",
            "healthy",
            "50 %",
            "no answer",
            "containerd",
            "running",
            "load 0.50",
            "machined on 10.0.0.1:50000",
            "line 59",
            "q quit",
            "board",
            "1.2.3",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(!text.contains('\u{1b}'), "a node does not write to the terminal");
    }

    #[test]
    fn a_narrow_terminal_shows_less_and_a_tiny_one_the_state_of_nodes() {
        let text = shown(&page(), 50, 24);
        assert!(
            text.contains("healthy") && text.contains("etcd") && text.contains("line 59"),
            "{text}"
        );
        assert!(!text.contains("load 0.50") && !text.contains("VERSION"), "{text}");
        let text = shown(&page(), 24, 5);
        assert!(
            text.contains("healthy 10.0.0.1") && text.contains("no answer 10.0.0.2"),
            "{text}"
        );
    }

    #[test]
    fn the_log_can_be_scrolled_and_a_node_that_is_away_says_why() {
        let mut page = page();
        for _ in 0..9 {
            page.key(Key::Older);
        }
        let text = shown(&page, 120, 40);
        assert!(text.contains("line 0 ") && !text.contains("line 59"), "{text}");
        page.key(Key::NextNode);
        assert!(shown(&page, 120, 40).contains("nothing listens on"), "{page:?}");
    }

    proptest! {
        #[test]
        fn every_size_can_be_drawn(width in 1_u16..200, height in 1_u16..60) {
            shown(&page(), width, height);
        }
    }
}
