//! `bedplate dashboard`.
//!
//! [`poll`] asks the nodes, [`state`] keeps what they answered and what is selected, and [`draw`] makes the page of it.

mod draw;
mod poll;
mod state;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use futures::future::join_all;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::{mpsc, watch};

use crate::session::Session;

use state::{Action, Dashboard, Key};

/// Shows a page that redraws.
#[derive(Debug, Args)]
pub struct DashboardArgs {
    /// Time between two questions to a node.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = interval)]
    interval: Duration,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = quantity::time(text).map_err(|error| error.to_string())?;
    match interval >= Duration::from_millis(500) && interval <= Duration::from_secs(3600) {
        true => Ok(interval),
        false => Err("expected a time between 500ms and 1h".to_owned()),
    }
}

/// How long the thread that reads keys waits before it looks whether it is still needed.
const LOOK: Duration = Duration::from_millis(100);

impl DashboardArgs {
    /// Shows the page until the user leaves it.
    pub async fn run(self, session: Session) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(
            io::stdout().is_terminal() && io::stdin().is_terminal(),
            "the dashboard needs a terminal; use `bedplate status`, `services` or `logs` for text"
        );
        let mut terminal = ratatui::try_init().context("cannot use the terminal")?;
        let shown = self.show(&session, &mut terminal).await;
        let restored = ratatui::try_restore().context("cannot restore the terminal");
        shown.and(restored)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn show(&self, session: &Session, terminal: &mut DefaultTerminal) -> anyhow::Result<()> {
        let addresses = session.addresses();
        let mut page = Dashboard::new(addresses.iter().map(ToString::to_string).collect());
        let (requests, wanted) = watch::channel(page.wanted());
        let (sender, mut answers) = mpsc::channel(addresses.len().max(1) * 2);
        let polls = addresses.iter().enumerate().map(|(index, address)| {
            let (wanted, sender) = (wanted.clone(), sender.clone());
            poll::forever(session, index, address, self.interval, wanted, sender)
        });
        let mut polls = std::pin::pin!(join_all(polls));
        let mut keys = keys();
        loop {
            terminal
                .draw(|frame| draw::draw(frame, &page))
                .context("cannot draw on the terminal")?;
            // Each arm but the first is cancel safe; the first keeps its place outside of the loop.
            tokio::select! {
                _ = &mut polls => return Ok(()),
                Some((index, answer)) = answers.recv() => page.answer(index, answer),
                key = keys.recv() => match key.map(|key| page.key(key)) {
                    Some(Action::Leave) | None => return Ok(()),
                    Some(Action::Stay) => {
                        requests.send_if_modified(|request| {
                            let new = page.wanted();
                            let changed = *request != new;
                            *request = new;
                            changed
                        });
                    }
                },
            }
        }
    }
}

/// Reads keys on a thread of its own, which ends after the receiver is gone.
fn keys() -> mpsc::Receiver<Key> {
    let (sender, keys) = mpsc::channel(16);
    std::thread::spawn(move || {
        while !sender.is_closed() {
            let read = match event::poll(LOOK) {
                Ok(true) => event::read(),
                Ok(false) => continue,
                Err(error) => Err(error),
            };
            let key = match read {
                Ok(Event::Key(key)) => meaning(key),
                // The page is drawn again.
                Ok(Event::Resize(..)) => Some(Key::Other),
                Ok(_) => None,
                Err(_) => Some(Key::Leave),
            };
            if let Some(key) = key
                && sender.blocking_send(key).is_err()
            {
                return;
            }
        }
    });
    keys
}

/// Returns what a key means, if anything.
fn meaning(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c' | 'd') if control => Some(Key::Leave),
        KeyCode::Char('q') | KeyCode::Esc => Some(Key::Leave),
        KeyCode::Right | KeyCode::Tab | KeyCode::Char('l') => Some(Key::NextNode),
        KeyCode::Left | KeyCode::BackTab | KeyCode::Char('h') => Some(Key::PreviousNode),
        KeyCode::Down | KeyCode::Char('j') => Some(Key::NextService),
        KeyCode::Up | KeyCode::Char('k') => Some(Key::PreviousService),
        KeyCode::PageUp => Some(Key::Older),
        KeyCode::PageDown => Some(Key::Newer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_and_control_c_leave_and_other_letters_do_nothing() {
        let key = |code, modifiers| meaning(KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Some(Key::Leave));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Leave));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(key(KeyCode::Tab, KeyModifiers::NONE), Some(Key::NextNode));
    }

    #[test]
    fn an_interval_that_would_keep_nodes_busy_is_refused() {
        assert!(interval("1ms").is_err() && interval("2h").is_err() && interval("x").is_err());
        assert_eq!(interval("5s"), Ok(Duration::from_secs(5)));
    }
}
