//! Runs containers of a small image in the machine's own containerd.

mod containers;
mod shell;

use std::fs;

use backend::PullCount;
use containerd::testing::RealContainerd;
use containerd::{Containerd, ImageStore as _, WORKLOADS};
use containers::{imported, never, places, settings, until_up};
use oci_image::digest;
use shell::{image, registry};
use workloads::pull::pull;
use workloads::runner::{Ended, check, run};
use workloads::settings::{SecretFile, Settings, Volume};

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_runs_is_checked_stopped_and_confined() {
    let (Some(mut real), Some(image)) = (RealContainerd::new(), image()) else {
        return;
    };
    real.start();
    real.ready().await.unwrap();
    let places = places(&real);
    let name = imported(&real, &image).await;

    // What it has, and what it has not.
    let script = r#"
        read -r secret < /run/secrets/key && [ "$secret" = hidden ] || exit 10
        [ "$FROM" = image ] || exit 11
        echo kept > /data/file || exit 12
        (echo x > /file) 2> /dev/null && exit 13
        while read -r word value; do
            [ "$word" = CapEff: ] && [ "$value" != 0000000000000000 ] && exit 14
            [ "$word" = NoNewPrivs: ] && [ "$value" != 1 ] && exit 15
        done < /proc/self/status
        exit 3
    "#;
    let confined = Settings {
        secrets: vec![SecretFile {
            name: "key".into(),
            value: "hidden\n".into(),
            variable: None,
        }],
        mounts: vec![Volume {
            volume: "one/two".into(),
            target: "/data".into(),
            read_only: false,
        }],
        ..settings("confined", &name, script)
    };
    let ended = run(&confined, &places, never()).await.unwrap();
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(
        fs::read_to_string(places.volumes.join("one/two/file")).unwrap(),
        "kept\n"
    );

    // Its check is asked inside of it, and it ends by the signal.
    let looping = Settings {
        check: ["/bin/sh", "-c", "[ -e /dev/null ]"].map(Into::into).to_vec(),
        ..settings("looping", &name, "trap 'exit 7' TERM; while :; do :; done")
    };
    let (stop, asked) = tokio::sync::oneshot::channel::<()>();
    let (one, other) = (looping.clone(), places.clone());
    let running = tokio::spawn(async move {
        run(&one, &other, async {
            let _ = asked.await;
        })
        .await
    });
    until_up(&places, "looping").await;
    check(&looping, &places).await.unwrap();
    let failing = Settings {
        check: ["/bin/sh", "-c", "echo the disk is full; exit 4"]
            .map(Into::into)
            .to_vec(),
        ..looping.clone()
    };
    let failed = check(&failing, &places).await.unwrap_err().to_string();
    assert_eq!(failed, "the check ended with 4: the disk is full");
    stop.send(()).unwrap();
    let ended = running.await.unwrap().unwrap();
    let expected = Ended {
        code: 7,
        out_of_memory: false,
        asked: true,
    };
    assert_eq!(ended, expected);
    let containerd = Containerd::connect(&places.socket, WORKLOADS).await.unwrap();
    assert_eq!(containerd.containers().await.unwrap(), [""; 0], "nothing is left");

    // What is missing is named.
    let absent = run(&settings("absent", "nowhere/no:1", "exit 0"), &places, never()).await;
    assert_eq!(
        absent.unwrap_err().to_string(),
        "the image nowhere/no:1 is not there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_from_a_mirror_with_a_token_and_wrong_bytes_are_refused() {
    let (Some(mut real), Some(image)) = (RealContainerd::new(), image()) else {
        return;
    };
    real.start();
    real.ready().await.unwrap();
    let containerd = Containerd::connect(&real.socket(), WORKLOADS).await.unwrap();
    let pulled = async |lies: bool, reference: &str| {
        let mirror = format!("http://127.0.0.1:{}", registry(&image, lies));
        let registries = [machine_config::v1alpha1::Registry {
            host: "registry.invalid".parse().unwrap(),
            mirrors: vec![mirror.parse().unwrap()],
            ca: None,
            username: None,
            password: None,
        }];
        let reference = reference.parse().unwrap();
        pull(
            &containerd,
            &reference,
            "pulled",
            &registries,
            &PullCount::default(),
        )
        .await
    };
    let lied = pulled(true, "registry.invalid/a/shell:1")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        lied.starts_with("cannot pull registry.invalid/a/shell:1: http://127.0.0.1:"),
        "{lied}"
    );
    assert_eq!(containerd.digest("pulled").await.unwrap(), None);
    let missing = pulled(false, "registry.invalid/a/shell:2")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        missing.contains("/v2/a/shell/manifests/2 is not there"),
        "{missing}"
    );
    let good = pulled(false, "registry.invalid/a/shell:1").await.unwrap();
    assert_eq!(good, digest(&image.manifest));
    let ended = run(&settings("pulled", "pulled", "exit 5"), &places(&real), never())
        .await
        .unwrap();
    assert_eq!(ended.code, 5);
}
