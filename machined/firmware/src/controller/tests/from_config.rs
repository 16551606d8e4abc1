//! What the machine config has the node write unasked.

use super::*;

#[tokio::test]
async fn lines_of_the_machine_config_are_written_and_taken_away_again() {
    let lab = Lab::new();
    let own = FIRST[2].1;
    let with_lines = format!(
        "{}# machine.firmware of the machine config:\n[all]\ndtparam=spi=on\narm_freq=1800\n",
        String::from_utf8_lossy(own)
    );
    let lines = "{config: [dtparam=spi=on, arm_freq=1800]}";
    // On trial nothing is written.
    let started = lab
        .start_with("1.0.0", lines, TrialStatus::Holding { until_ms: 1 })
        .await;
    assert_eq!(started.differences(), named(&[("config.txt", Is::OtherRelease)]));
    assert!(started.status().problems().is_empty());
    // The first start of a fresh image with this config, and the second one.
    for _ in 0..2 {
        let started = lab.start_with("1.0.0", lines, TrialStatus::None).await;
        assert_eq!(started.differences(), []);
        assert_eq!(lab.read("config.txt"), with_lines);
    }
    // What somebody wrote there is not overwritten unseen.
    lab.change(&[Change::Put {
        path: "config.txt",
        data: b"kernel=evil.bin\n",
    }]);
    let started = lab
        .start_with("1.0.0", "{config: [dtparam=spi=on]}", TrialStatus::None)
        .await;
    assert_eq!(started.differences(), named(&[("config.txt", Is::Changed)]));
    started.repair(false, false).await;
    assert!(lab.read("config.txt").ends_with("[all]\ndtparam=spi=on\n"));
    // A line that would leave the release, or contradicts it, changes nothing.
    let before = lab.read("config.txt");
    let started = lab
        .start_with("1.0.0", "{config: [kernel=mine.bin]}", TrialStatus::None)
        .await;
    let problems = started.status().problems();
    assert!(
        problems[0].starts_with("machine.firmware: \"kernel=mine.bin\" sets kernel"),
        "{problems:?}"
    );
    assert_eq!(lab.read("config.txt"), before);
    lab.start("1.0.0").await;
    assert_eq!(lab.read("config.txt").as_bytes(), own);
    fsck(&lab.places.esp);
}

#[tokio::test]
async fn a_committed_release_renews_its_firmware_where_the_config_says_so() {
    let lab = Lab::new();
    let automatic = "{upgrade: automatic, config: [dtparam=spi=on]}";
    lab.start_with("1.0.0", automatic, TrialStatus::None).await;
    lab.release(&SECOND);
    for (firmware, trial) in [
        ("{config: [dtparam=spi=on]}", TrialStatus::Committed),
        (automatic, TrialStatus::Waiting { deadline_ms: 1 }),
    ] {
        lab.start_with("2.0.0", firmware, trial).await;
        assert_eq!(lab.read("start4.elf"), "firmware 1");
    }
    // The commit itself has it renewed.
    let mut started = lab
        .start_with("2.0.0", automatic, TrialStatus::Waiting { deadline_ms: 1 })
        .await;
    started
        .node
        .store
        .put("slots", NODE, TrialStatus::Committed)
        .unwrap();
    settle_one(&started.node.store, &mut started.watch).await.unwrap();
    assert_eq!(started.differences(), []);
    assert_eq!(
        (lab.read("start4.elf").as_str(), lab.read(LOADER).as_str()),
        ("firmware 2", "loader 2")
    );
    assert!(
        lab.read("config.txt").ends_with("dtparam=spi=on\n"),
        "lines survive"
    );
    assert_eq!(started.status().installed, "2.0.0");
    // Somebody's change is not overwritten by an upgrade.
    lab.change(&[Change::Put {
        path: "start4.elf",
        data: b"mine",
    }]);
    lab.release(&FIRST);
    let started = lab.start_with("3.0.0", automatic, TrialStatus::Committed).await;
    assert_eq!(lab.read("start4.elf"), "mine");
    assert!(started.status().problems()[0].contains("start4.elf"));
    fsck(&lab.places.esp);
}
