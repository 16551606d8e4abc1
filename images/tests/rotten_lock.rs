//! A mirror that drops and changes what was locked, with the real apt on archives laid out and signed like Debian's.

#![expect(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use images::packages::fetch::FetchError;
use images::packages::timestamp::Timestamp;
use support::{Archives, CREATED, MOMENT, good, said};

#[test]
fn what_the_mirror_has_dropped_comes_from_a_snapshot_or_a_folder() {
    let Some(archives) = Archives::new() else { return };
    assert_eq!(Timestamp::at(CREATED).to_string(), MOMENT);
    archives.lay_out(
        "now",
        &[("gone", "2", "newer"), ("same", "1", "as it was locked")],
    );

    let refused = archives.keep("nothing", "now", &[]);
    assert!(!refused.status.success());
    for word in [
        "gone arm64 1 is no longer on the mirror",
        "--snapshot URL",
        "--packages DIR",
    ] {
        assert!(said(&refused).contains(word), "{word}: {}", said(&refused));
    }
    let snapshot = archives.url("{moment}");
    good(&archives.keep("kept", "now", &["--snapshot", &snapshot]));
    archives.assert_kept("kept");
    // In a year there may be no mirror at all.
    good(&archives.keep("later", "no-mirror", &["--snapshot", &snapshot]));
    archives.assert_kept("later");
    let kept = archives.path("kept").display().to_string();
    good(&archives.keep("again", "no-mirror", &["--packages", &kept]));
    archives.assert_kept("again");
}

#[test]
fn a_snapshot_that_has_another_file_is_of_no_use() {
    let Some(archives) = Archives::new() else { return };
    archives.lay_out(
        "now",
        &[("gone", "2", "newer"), ("same", "1", "as it was locked")],
    );
    archives.lay_out(MOMENT, &[("gone", "1", "not what was locked")]);
    let refused = archives.keep("kept", "now", &["--snapshot", &archives.url("{moment}")]);
    assert!(
        !refused.status.success() && said(&refused).contains("gone arm64 1"),
        "{}",
        said(&refused)
    );
}

#[test]
fn a_changed_file_of_a_locked_version_is_fatal_unless_it_is_allowed_by_name() {
    let Some(archives) = Archives::new() else { return };
    archives.lay_out(
        "now",
        &[("gone", "1", "as it was locked"), ("same", "1", "somebody's own")],
    );
    for allowed in [&[][..], &["gone"]] {
        let (fetched, _) = archives.fetch(allowed);
        let error = fetched.unwrap_err();
        assert!(matches!(error, FetchError::Changed { .. }), "{error}");
        assert!(error.to_string().contains("--allow-changed same"), "{error}");
    }
    let (fetched, notes) = archives.fetch(&["same"]);
    let fetched = fetched.unwrap();
    assert_eq!(fetched[0].sha256, archives.lock.packages[0].sha256);
    assert_ne!(fetched[1].sha256, archives.lock.packages[1].sha256);
    assert_eq!(notes, ["same arm64 1 has another hash on the mirror; using 1"]);
    // Who has the locked file needs no permission.
    let snapshot = archives.url("{moment}");
    good(&archives.keep("kept", "now", &["--snapshot", &snapshot]));
    archives.assert_kept("kept");
}
