//! Does the same with many things, some at a time.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;

/// Works on every item, on so many at a time, in their order; hands on what became of each as soon as it is done.
pub fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    at_a_time: usize,
    work: impl Fn(&T) -> R + Sync,
    mut done: impl FnMut(&T, R),
) {
    let waiting = Mutex::new(items.iter());
    let next = || waiting.lock().expect("no worker panics").next();
    let (report, reports) = channel();
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            let (next, work, report) = (&next, &work, report.clone());
            scope.spawn(move || {
                while let Some(item) = next() {
                    // The receiver outlives every worker.
                    report.send((item, work(item))).ok();
                }
            });
        }
        drop(report);
        for (item, end) in reports {
            done(item, end);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_item_is_worked_on_once_and_never_too_many_at_a_time() {
        let items: Vec<usize> = (0..20).collect();
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut ends = Vec::new();
        let work = |item: &usize| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            item * 2
        };
        side_by_side(&items, 3, work, |item, end| ends.push((*item, end)));
        ends.sort_unstable();
        assert_eq!(
            ends,
            items.iter().map(|item| (*item, item * 2)).collect::<Vec<_>>()
        );
        assert!(most.into_inner() <= 3);
    }
}
