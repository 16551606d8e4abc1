use std::io::Cursor;
use std::sync::mpsc::channel;
use std::thread;

use samples::{Recipe, Signer, noise};

use super::*;

fn unpacker(patience: Duration) -> Unpacker<Cursor<Vec<u8>>> {
    let signer = Signer::default();
    let release = Recipe::new("1.0.0", noise(3 << 20, 7)).build(&signer);
    let reader = Reader::open(Cursor::new(release.bundle), &[signer.key()]).unwrap();
    let order = reader.index().frames().to_vec();
    assert!(order.len() > 3 * WINDOW, "{} frames", order.len());
    Unpacker {
        patience,
        ..Unpacker::new(reader, order)
    }
}

/// Takes these frames, and checks each.
fn take(share: &mut Share<'_, Cursor<Vec<u8>>>, frames: &[Frame]) {
    for frame in frames {
        let bytes = share.unpacked(frame).unwrap();
        assert_eq!(manifest::Digest::of(&bytes), frame.sha256);
    }
}

#[test]
fn cards_side_by_side_unpack_the_bundle_once() {
    let unpacker = unpacker(Duration::from_secs(600));
    let shares: Vec<_> = (0..5).map(|_| unpacker.join(&unpacker.order)).collect();
    thread::scope(|scope| {
        for (number, mut share) in shares.into_iter().enumerate() {
            let order = &unpacker.order;
            scope.spawn(move || match number {
                // One that fails early, one that needs a part, and one that never begins.
                0 => take(&mut share, &order[..5]),
                1 => take(&mut share, &order[order.len() / 2..]),
                2 => drop(share),
                _ => take(&mut share, order),
            });
        }
    });
    assert_eq!(unpacker.unpacked(), unpacker.frames());
}

#[test]
fn nobody_gets_further_ahead_than_the_window() {
    let unpacker = unpacker(Duration::from_secs(600));
    let (mut fast, mut slow) = (unpacker.join(&unpacker.order), unpacker.join(&unpacker.order));
    let (tell, taken) = channel();
    thread::scope(|scope| {
        let order = &unpacker.order;
        scope.spawn(move || {
            for frame in order {
                take(&mut fast, std::slice::from_ref(frame));
                tell.send(()).unwrap();
            }
        });
        for (number, frame) in order.iter().enumerate() {
            let ahead = WINDOW.min(order.len() - number);
            for _ in 0..if number == 0 {
                ahead
            } else {
                usize::from(ahead == WINDOW)
            } {
                taken.recv().unwrap();
            }
            thread::sleep(Duration::from_millis(2));
            assert!(
                taken.try_recv().is_err(),
                "more than the window at frame {number}"
            );
            take(&mut slow, std::slice::from_ref(frame));
        }
    });
    assert_eq!(unpacker.unpacked(), unpacker.frames());
}

#[test]
fn a_card_that_stalls_is_not_waited_for_and_is_completed_all_the_same() {
    let unpacker = unpacker(Duration::from_millis(50));
    let (mut good, mut stalled) = (unpacker.join(&unpacker.order), unpacker.join(&unpacker.order));
    take(&mut stalled, &unpacker.order[..1]);
    take(&mut good, &unpacker.order);
    drop(good);
    take(&mut stalled, &unpacker.order[1..]);
    let frames = unpacker.frames();
    // All but the first were unpacked for it again.
    assert_eq!(unpacker.unpacked(), 2 * frames - 1);
}

#[test]
fn a_card_that_needs_no_more_holds_nobody_up() {
    let unpacker = unpacker(Duration::from_secs(600));
    let part = &unpacker.order[..3];
    let (mut short, mut whole) = (unpacker.join(part), unpacker.join(&unpacker.order));
    take(&mut short, part);
    take(&mut whole, &unpacker.order);
    assert_eq!(unpacker.unpacked(), unpacker.frames());
}

#[test]
fn a_late_card_shares_the_next_pass() {
    let unpacker = unpacker(Duration::from_secs(600));
    let mut first = unpacker.join(&unpacker.order);
    take(&mut first, &unpacker.order[..2]);
    let mut late = [unpacker.join(&unpacker.order), unpacker.join(&unpacker.order)];
    thread::scope(|scope| {
        for share in &mut late {
            let order = &unpacker.order;
            scope.spawn(move || take(share, order));
        }
    });
    take(&mut first, &unpacker.order[2..]);
    assert_eq!(unpacker.unpacked(), 2 * unpacker.frames());
}

#[test]
fn a_damaged_frame_fails_for_every_card() {
    let signer = Signer::default();
    let release = Recipe::new("1.0.0", noise(3 << 20, 7)).build(&signer);
    let mut bytes = release.bundle;
    let reader = Reader::open(Cursor::new(bytes.clone()), &[signer.key()]).unwrap();
    let order = reader.index().frames().to_vec();
    let damaged = order[order.len() / 2];
    bytes[damaged.file_offset as usize + 20] ^= 1;
    let reader = Reader::open(Cursor::new(bytes), &[signer.key()]).unwrap();
    let unpacker = Unpacker::new(reader, order.clone());
    let shares = [unpacker.join(&order), unpacker.join(&order)];
    thread::scope(|scope| {
        for mut share in shares {
            let order = &order;
            scope.spawn(move || {
                let (good, bad) = order.split_at(order.len() / 2);
                take(&mut share, good);
                assert!(share.unpacked(&bad[0]).is_err());
            });
        }
    });
}
