//! Runs the real program and signals it.

use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running pause; a failed test leaves none behind.
struct Pause(Child);

impl Pause {
    fn start() -> Self {
        let pause = Pause(
            Command::new(env!("CARGO_BIN_EXE_pause"))
                .spawn()
                .expect("pause starts"),
        );
        let deadline = Instant::now() + Duration::from_secs(10);
        // It sleeps nowhere but in its wait for signals.
        while !pause.is_asleep() {
            assert!(Instant::now() < deadline, "pause never waited for a signal");
            sleep(Duration::from_millis(5));
        }
        pause
    }

    fn is_asleep(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("it is alive");
        status.contains("Name:\tpause\n") && status.contains("State:\tS")
    }

    fn signal(&self, signal: Signal) {
        let pid = self.0.id().try_into().expect("a pid is positive");
        kill(Pid::from_raw(pid), signal).expect("it is alive");
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        // Both fail only for a process that has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn leaves_with_success_when_told() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut pause = Pause::start();
        pause.signal(signal);
        assert!(pause.0.wait().unwrap().success(), "{signal}");
    }
}

#[test]
fn stays_when_a_child_ends() {
    let mut pause = Pause::start();
    pause.signal(Signal::SIGCHLD);
    sleep(Duration::from_millis(50));
    assert!(
        pause.0.try_wait().unwrap().is_none(),
        "a lost child ended the pod"
    );
}
