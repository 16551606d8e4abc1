//! On a board whose firmware can try files.

use std::time::Duration;

use firmware_trial::{Mark, Scope, Stage};
use medium::FileMedium;
use node::power::Stop;
use state::kinds::health::HealthState;
use state::kinds::{FirmwareTrial, HealthStatus};

use super::*;
use crate::mark_file;

const LINE: &str = "{config: [dtparam=spi=on]}";

impl Lab {
    fn on_trial() -> Lab {
        let mut lab = Lab::new();
        lab.started = Some(FirmwareStarted::Usual);
        lab
    }

    fn medium(&self) -> FileMedium {
        open(&self.places.bootstate, true).unwrap()
    }

    fn mark(&self) -> Option<Mark> {
        mark_file::read(&mut self.medium()).unwrap()
    }

    /// The loader has counted, and reset the machine: the firmware comes up with the files on trial.
    fn counted(&mut self, stage: Stage, started: FirmwareStarted) {
        let mark = self.mark().unwrap().at(stage);
        mark_file::write(&mut self.medium(), Some(&mark)).unwrap();
        self.started = Some(started);
    }

    /// Returns what of a trial is on the partition.
    fn tried(&self) -> Vec<String> {
        let mut medium = open(&self.places.esp, false).unwrap();
        let files = Fat::open(&mut medium).unwrap().files().unwrap();
        let paths = files.into_iter().map(|file| file.path);
        paths.filter(|path| path.starts_with("tr")).collect()
    }
}

impl Started {
    async fn after(&mut self, seconds: u64, healthy_since: Option<u64>) {
        let health = HealthStatus {
            state: match healthy_since {
                Some(_) => HealthState::Healthy,
                None => HealthState::Unhealthy,
            },
            well_since_ms: healthy_since.map(|since| since * 1000),
            ..HealthStatus::default()
        };
        self.node.store.put("health", NODE, health).unwrap();
        self.clock.advance(Duration::from_secs(seconds));
        settle_one(&self.node.store, &mut self.watch).await.unwrap();
    }
}

#[tokio::test]
async fn a_line_is_tried_at_the_next_start_and_kept_when_the_node_is_healthy() {
    let mut lab = Lab::on_trial();
    let own = lab.read("config.txt");
    for _ in 0..2 {
        let started = lab.start_with("1.0.0", LINE, TrialStatus::None).await;
        assert_eq!(started.status().trial, Some(FirmwareTrial::NextStart));
        assert!(started.status().problems().is_empty());
    }
    assert_eq!(lab.read("config.txt"), own, "the usual file is as it was");
    assert!(lab.read("tryboot.txt").ends_with("[all]\ndtparam=spi=on\n"));
    let mark = lab.mark().unwrap();
    assert_eq!((mark.stage, mark.scope), (Stage::Requested, Scope::Config));
    assert_eq!(mark.mailbox.as_str(), "vendor,mbox");

    lab.counted(Stage::Counted, FirmwareStarted::Trial);
    let mut started = lab.start_with("1.0.0", LINE, TrialStatus::None).await;
    assert_eq!(started.status().trial, Some(FirmwareTrial::Running));
    started.after(20, Some(10)).await;
    assert_eq!(
        lab.read("config.txt"),
        own,
        "it has not been healthy for long enough"
    );
    started.after(30, Some(10)).await;
    assert!(lab.read("config.txt").ends_with("[all]\ndtparam=spi=on\n"));
    assert_eq!((started.status().trial, started.differences()), (None, vec![]));
    assert_eq!((lab.mark(), lab.tried()), (None, vec![]));
    assert_eq!(started.node.power.requested(), None);
    fsck(&lab.places.esp);
}

#[tokio::test]
async fn a_line_that_stops_the_board_is_taken_back_and_not_tried_again_unasked() {
    let mut lab = Lab::on_trial();
    lab.start_with("1.0.0", LINE, TrialStatus::None).await;
    let own = lab.read("config.txt");
    // It hung, and somebody has cut the power.
    lab.counted(Stage::Counted, FirmwareStarted::Usual);
    for _ in 0..2 {
        let started = lab.start_with("1.0.0", LINE, TrialStatus::None).await;
        assert_eq!(started.status().trial, Some(FirmwareTrial::TakenBack));
        let problems = started.status().problems();
        assert!(problems[0].contains("the former ones are back"), "{problems:?}");
        assert_eq!(lab.mark().unwrap().stage, Stage::Counted);
    }
    // Another line is another trial; so is the same one, when somebody asks for it.
    let started = lab.start_with("1.0.0", LINE, TrialStatus::None).await;
    started.repair(false, false).await;
    assert_eq!(lab.mark().unwrap().stage, Stage::Requested);
    lab.counted(Stage::Counted, FirmwareStarted::Usual);
    let started = lab
        .start_with("1.0.0", "{config: [dtparam=i2c=on]}", TrialStatus::None)
        .await;
    assert_eq!(started.status().trial, Some(FirmwareTrial::NextStart));
    // Without a line, nothing is left of all that.
    let started = lab.start("1.0.0").await;
    assert_eq!(
        (started.status().trial, lab.mark(), lab.tried()),
        (None, None, vec![])
    );
    assert_eq!(lab.read("config.txt"), own);
    fsck(&lab.places.esp);
}

#[tokio::test]
async fn a_node_that_is_not_healthy_in_time_starts_again() {
    let mut lab = Lab::on_trial();
    lab.start_with("1.0.0", LINE, TrialStatus::None).await;
    lab.counted(Stage::Counted, FirmwareStarted::Trial);
    // A system on trial is judged first.
    let mut started = lab
        .start_with("1.0.0", LINE, TrialStatus::Waiting { deadline_ms: 1 })
        .await;
    started.after(700, None).await;
    assert_eq!(started.node.power.requested(), None);

    let mut started = lab.start_with("1.0.0", LINE, TrialStatus::None).await;
    started.after(599, None).await;
    assert_eq!(started.node.power.requested(), None);
    started.after(1, None).await;
    assert_eq!(started.node.power.requested(), Some(Stop::Reboot));
    assert!(!lab.read("config.txt").contains("spi"));
}

#[tokio::test]
async fn a_renewed_release_is_tried_whole_and_its_loader_written_at_the_commit() {
    let mut lab = Lab::on_trial();
    lab.start("1.0.0").await;
    lab.release(&SECOND);
    let started = lab.start("2.0.0").await;
    assert_eq!(
        started.status().trial,
        None,
        "upgrades renew nothing by themselves"
    );
    let planned = started.repair(true, false).await;
    assert_eq!(
        planned.status.unwrap().trial(),
        api::v1alpha1::FirmwareTrial::NextStart
    );
    assert_eq!(lab.tried(), [""; 0], "a dry run writes nothing");
    let done = started.repair(false, false).await;
    assert_eq!(done.written, planned.written);
    let text = "kernel=u-boot.bin\n[all]\nos_prefix=trial-\nstart_file=trial-start4.elf\n";
    assert_eq!(lab.read("tryboot.txt"), text);
    assert_eq!(lab.read("trial-start4.elf"), "firmware 2");
    assert_eq!(
        (lab.read("start4.elf").as_str(), lab.read(LOADER).as_str()),
        ("firmware 1", "loader 1")
    );
    assert_eq!(lab.mark().unwrap().scope, Scope::Release);

    lab.counted(Stage::Counted, FirmwareStarted::Trial);
    let mut started = lab.start("2.0.0").await;
    assert_eq!(started.status().trial, Some(FirmwareTrial::Running));
    started.after(100, Some(1)).await;
    assert_eq!(
        (lab.read("start4.elf").as_str(), lab.read(LOADER).as_str()),
        ("firmware 2", "loader 2")
    );
    assert_eq!(
        (started.differences(), lab.mark(), lab.tried()),
        (vec![], None, vec![])
    );
    assert_eq!(started.status().installed, "2.0.0");
    fsck(&lab.places.esp);
}

#[tokio::test]
async fn what_cannot_or_need_not_be_tried_is_written_at_once() {
    // What somebody changed is put back to what the board was started with.
    let mut lab = Lab::on_trial();
    lab.start("1.0.0").await;
    lab.change(&[Change::Put {
        path: "start4.elf",
        data: b"evil",
    }]);
    let started = lab.start("1.0.0").await;
    started.repair(false, false).await;
    assert_eq!((started.differences(), lab.mark()), (vec![], None));
    // The firmware did not take it: then somebody may go without.
    let started = lab.start_with("1.0.0", LINE, TrialStatus::None).await;
    assert_eq!(started.status().trial, Some(FirmwareTrial::NextStart));
    lab.counted(Stage::Unanswered, FirmwareStarted::Usual);
    let started = lab.start_with("1.0.0", LINE, TrialStatus::None).await;
    assert_eq!(started.status().trial, Some(FirmwareTrial::Unanswered));
    let request = RepairFirmwareRequest {
        without_trial: true,
        ..RepairFirmwareRequest::default()
    };
    started.handle.repair(request).await.unwrap();
    assert!(lab.read("config.txt").contains("spi"));
    assert_eq!(
        (started.status().trial, lab.mark(), lab.tried()),
        (None, None, vec![])
    );
    // A loader that says nothing cannot be asked.
    lab.started = None;
    lab.start("1.0.0").await;
    assert!(!lab.read("config.txt").contains("spi"));
    // Nor can one whose BOOTSTATE cannot be read.
    lab.started = Some(FirmwareStarted::Usual);
    fs::remove_file(&lab.places.bootstate).unwrap();
    lab.start_with("1.0.0", LINE, TrialStatus::None).await;
    assert!(lab.read("config.txt").contains("spi"));
    fsck(&lab.places.esp);
}
