//! The filter of system calls in the machine's own containerd and runc.

mod containers;
mod shell;

use containerd::testing::RealContainerd;
use containers::{imported, never, places, settings};
use shell::image_with_perl;
use workloads::runner::run;
use workloads::settings::Settings;

/// Numbers of system calls, and flags.
const KEYCTL: u32 = 250;
const MOUNT: u32 = 165;
const UNSHARE: u32 = 272;
const CLONE: u32 = 56;
const CLONE3: u32 = 435;
const NEW_USER: u64 = 0x1000_0000;
const SIGCHLD: u64 = 17;

#[tokio::test(flavor = "multi_thread")]
async fn what_no_workload_needs_fails_as_if_it_were_forbidden_and_the_rest_works() {
    let (Some(mut real), Some(image)) = (RealContainerd::new(), image_with_perl()) else {
        return;
    };
    real.start();
    real.ready().await.unwrap();
    let name = imported(&real, &image).await;
    let places = places(&real);
    // Ends with the number of the error, or with 0 where there is none.
    let calls = |call: u32, rest: &str| format!("$r=syscall({call},{rest});exit($r<0?$!+0:0)");
    let ended = async |script: String, unconfined: bool, capabilities: &[&str]| {
        let settings = Settings {
            command: ["/usr/bin/perl".into(), "-e".into(), script].into(),
            args: Vec::new(),
            unconfined,
            capabilities: capabilities.iter().map(|name| (*name).to_owned()).collect(),
            ..settings("filtered", &name, "")
        };
        run(&settings, &places, never()).await.unwrap().code
    };
    let (eperm, enosys, efault, einval) = (1, 38, 14, 22);
    let none = "0,0,0,0,0";
    for (call, rest) in [
        (KEYCTL, none.to_owned()),
        (UNSHARE, format!("{NEW_USER}")),
        (CLONE, format!("{},0,0,0,0", NEW_USER | SIGCHLD)),
        (MOUNT, none.to_owned()),
    ] {
        assert_eq!(ended(calls(call, &rest), false, &[]).await, eperm, "{call}");
    }
    assert_eq!(ended(calls(CLONE3, "0,0"), false, &[]).await, enosys);
    // The kernel itself has other things to say about them.
    assert_eq!(ended(calls(UNSHARE, &format!("{NEW_USER}")), true, &[]).await, 0);
    assert_eq!(ended(calls(CLONE3, "0,0"), true, &[]).await, einval);
    assert_eq!(ended(calls(MOUNT, none), false, &["SYS_ADMIN"]).await, efault);
    // What ordinary programs do: processes, pipes, files, sockets, time, signals.
    let ordinary = r#"
        pipe(R,W) or exit 2; my $p=fork; defined $p or exit 3;
        if(!$p){print W "x" or exit 1; close W; exit 0} close W; <R> eq "x" or exit 4; waitpid($p,0)==$p&&$?==0 or exit 5;
        open(F,">","/dev/shm/f") or exit 6; print F "y"; close F; rename("/dev/shm/f","/dev/shm/g") or exit 7; -s "/dev/shm/g"==1 or exit 8;
        socket(S,2,1,6) or exit 9; socket(U,1,1,0) or exit 10; socket(N,10,2,17) or exit 11;
        $SIG{ALRM}=sub{exit 0}; alarm 1; select(undef,undef,undef,9); exit 12"#;
    assert_eq!(ended(ordinary.to_owned(), false, &[]).await, 0);
}
