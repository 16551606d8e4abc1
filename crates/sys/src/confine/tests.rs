//! Confined programs, as they see themselves. Only root can grant and remove privileges.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use super::*;

const CHOWN: u64 = 1;
const NET_ADMIN: u64 = 1 << 12;
const SETPCAP: u64 = 1 << 8;
const USER: u32 = 321;

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("not root here: not tried");
    }
    root
}

fn run(how: &Confinement, words: &[&str]) -> Output {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir("/");
    confine(&mut command, how).unwrap();
    command.output().unwrap()
}

/// What `/proc/self/status` says, once the program runs.
struct Status(String);

impl Status {
    fn of(how: &Confinement) -> Self {
        let output = run(how, &["/bin/cat", "/proc/self/status"]);
        assert!(output.status.success(), "{output:?}");
        Status(String::from_utf8(output.stdout).unwrap())
    }

    fn field(&self, name: &str) -> &str {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim_start_matches(':').trim()
    }

    fn capabilities(&self, set: &str) -> u64 {
        u64::from_str_radix(self.field(set), 16).unwrap()
    }
}

#[test]
fn root_has_exactly_what_it_is_given() {
    if !is_root() {
        return;
    }
    for wanted in [0, CHOWN | NET_ADMIN] {
        let status = Status::of(&Confinement {
            capabilities: wanted,
            ..Confinement::default()
        });
        for set in ["CapBnd", "CapPrm", "CapEff"] {
            assert_eq!(status.capabilities(set), wanted, "{set}");
        }
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(status.capabilities(set), 0, "{set}");
        }
        assert_eq!(
            (status.field("NoNewPrivs"), status.field("Uid")),
            ("0", "0\t0\t0\t0")
        );
    }
}

#[test]
fn a_user_has_exactly_what_it_is_given_and_no_other_group() {
    if !is_root() {
        return;
    }
    for wanted in [0, NET_ADMIN] {
        let status = Status::of(&Confinement {
            user: Some(USER),
            capabilities: wanted,
            no_new_privileges: true,
            ..Confinement::default()
        });
        for set in ["CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb"] {
            assert_eq!(status.capabilities(set), wanted, "{set}");
        }
        for field in ["Uid", "Gid"] {
            assert_eq!(status.field(field), "321\t321\t321\t321");
        }
        assert_eq!((status.field("Groups"), status.field("NoNewPrivs")), ("", "1"));
    }
}

/// A copy of a program with root's set-user-id bit, as a container might contain it.
#[test]
fn no_child_regains_what_was_removed() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("cat");
    fs::copy("/bin/cat", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let words = [program.to_str().unwrap(), "/proc/self/status"];
    for (no_new_privileges, effective_user) in [(false, "0"), (true, "321")] {
        let how = Confinement {
            user: Some(USER),
            capabilities: SETPCAP,
            no_new_privileges,
            ..Confinement::default()
        };
        let output = run(&how, &words);
        let status = Status(String::from_utf8(output.stdout).unwrap());
        let users: Vec<&str> = status.field("Uid").split('\t').collect();
        assert_eq!(
            users[1], effective_user,
            "the file system may be mounted without set-user-id"
        );
        assert_eq!(status.capabilities("CapBnd"), SETPCAP);
        assert_eq!(
            status.capabilities("CapEff") & !SETPCAP,
            0,
            "root has no more than the bounds"
        );
    }
}

#[test]
fn read_only_paths_apply_to_the_program_alone() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("below");
    fs::create_dir(&below).unwrap();
    let file = below.join("file").display().to_string();
    let how = Confinement {
        read_only: vec![folder.path().to_owned()],
        ..Confinement::default()
    };
    let output = run(&how, &["/usr/bin/touch", &file]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("Read-only file system"), "{said}");
    let free = run(&Confinement::default(), &["/usr/bin/touch", &file]);
    assert!(free.status.success(), "{free:?}");
    assert!(Path::new(&file).exists());
}

#[test]
fn a_private_tmp_is_empty_and_invisible_to_others() {
    if !is_root() {
        return;
    }
    let others = tempfile::tempdir_in("/tmp").unwrap();
    let how = Confinement {
        private_tmp: true,
        ..Confinement::default()
    };
    let output = run(&how, &["/bin/ls", "-A", "/tmp", "/var/tmp"]);
    let seen = String::from_utf8(output.stdout).unwrap();
    assert_eq!(seen, "/tmp:\n\n/var/tmp:\n");
    let own = others.path().join("own");
    let made = run(&how, &["/bin/mkdir", "-p", own.to_str().unwrap()]);
    assert!(made.status.success() && !own.exists(), "{made:?}");
}

#[test]
fn a_missing_path_is_reported_before_anything_starts() {
    let how = Confinement {
        read_only: vec!["/no/such/folder".into()],
        ..Confinement::default()
    };
    let error = confine(&mut Command::new("/bin/true"), &how).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot make /no/such/folder read-only for a service"
    );
}
