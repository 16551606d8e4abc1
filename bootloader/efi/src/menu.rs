//! The menu, for users with a screen or a serial line.
//!
//! It opens only for `m` or Escape within a short time, and never waits forever: characters from a floating serial line
//! must not keep a node from booting.

use core::task::Poll;
use core::time::Duration;

use embassy_futures::select::{Either, select};
use embassy_time::Timer;
use slots::Slot;
use uefi::proto::console::text::{Key, ScanCode};
use uefi::{boot, system};

use crate::console::say;

/// How long the loader waits for the menu key. Every boot pays for it; a key that was pressed while the firmware was still
/// busy waits in its buffer.
const MOMENT: embassy_time::Duration = embassy_time::Duration::from_millis(250);

/// How long an open menu waits.
const PATIENCE: embassy_time::Duration = embassy_time::Duration::from_secs(30);

/// The user's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Continue as decided.
    GoOn,
    /// Start this slot.
    Start(Slot),
    /// Reset the machine.
    Restart,
}

/// Waits briefly for the menu key; then `list` prints the slots, and the choice is read.
pub fn offer(list: impl FnOnce()) -> Choice {
    embassy_futures::block_on(async {
        if within(MOMENT, asked).await.is_none() {
            return Choice::GoOn;
        }
        list();
        say!(
            "a or b starts that slot, r restarts, enter goes on; going on by itself in {} s",
            PATIENCE.as_secs()
        );
        within(PATIENCE, choice).await.unwrap_or(Choice::GoOn)
    })
}

/// Waits for the first key with a meaning.
async fn within<T>(limit: embassy_time::Duration, meaning: impl Fn(Key) -> Option<T>) -> Option<T> {
    let key = core::future::poll_fn(|context| match pressed().and_then(&meaning) {
        Some(found) => Poll::Ready(found),
        None => {
            // Consoles are polled. A pause between polls gives the firmware time for its own timers.
            boot::stall(Duration::from_millis(1));
            context.waker().wake_by_ref();
            Poll::Pending
        }
    });
    match select(key, Timer::after(limit)).await {
        Either::First(found) => Some(found),
        Either::Second(()) => None,
    }
}

fn pressed() -> Option<Key> {
    system::with_stdin(|input| input.read_key().ok().flatten())
}

fn asked(key: Key) -> Option<()> {
    matches!(letter(key), Some('m' | 'M' | '\u{1b}')).then_some(())
}

fn choice(key: Key) -> Option<Choice> {
    match letter(key)? {
        'a' | 'A' => Some(Choice::Start(Slot::A)),
        'b' | 'B' => Some(Choice::Start(Slot::B)),
        'r' | 'R' => Some(Choice::Restart),
        '\r' | '\n' | '\u{1b}' => Some(Choice::GoOn),
        _ => None,
    }
}

fn letter(key: Key) -> Option<char> {
    match key {
        Key::Printable(letter) => Some(letter.into()),
        Key::Special(ScanCode::ESCAPE) => Some('\u{1b}'),
        Key::Special(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uefi::Char16;

    fn key(letter: char) -> Key {
        Key::Printable(Char16::try_from(letter).unwrap())
    }

    #[test]
    fn noise_does_not_open_the_menu() {
        for letter in ['\0', ' ', '\r', '~', 'a', 'x', '\u{7f}'] {
            assert_eq!(asked(key(letter)), None);
        }
        assert_eq!(asked(key('m')), Some(()));
        assert_eq!(asked(Key::Special(ScanCode::ESCAPE)), Some(()));
        assert_eq!(asked(Key::Special(ScanCode::UP)), None);
    }

    #[test]
    fn keys_do_what_the_message_says() {
        assert_eq!(choice(key('b')), Some(Choice::Start(Slot::B)));
        assert_eq!(choice(key('\r')), Some(Choice::GoOn));
        assert_eq!(choice(key('R')), Some(Choice::Restart));
        assert_eq!(choice(key('q')), None);
    }
}
