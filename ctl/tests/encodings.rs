//! Files as editors and shells save them, in every place where one is read.

mod program;

use std::fs;

use program::Home;

fn utf16(text: &str) -> Vec<u8> {
    let units = [0xfeff].into_iter().chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

fn latin(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"# gr\xfc\xdfe\n"].concat()
}

/// Commands that read a file, with a `FILE` that is right.
fn readers(home: &Home) -> Vec<(&'static str, Vec<&'static str>)> {
    home.run(&["gen", "config", "lab", "10.0.0.2", "--folder", "made"])
        .success();
    vec![
        ("made/worker.yaml", vec!["config", "validate", "FILE"]),
        ("made/client.yaml", vec!["context", "list", "--config", "FILE"]),
        ("made/client.yaml", vec!["context", "merge", "--force", "FILE"]),
        (
            "made/secrets.yaml",
            vec![
                "gen",
                "client",
                "lab",
                "--at",
                "n",
                "--force",
                "--secrets",
                "FILE",
            ],
        ),
        (
            "made/secrets.yaml",
            vec![
                "gen",
                "config",
                "lab",
                "n",
                "--force",
                "--folder",
                "b",
                "--with-secrets",
                "FILE",
            ],
        ),
    ]
}

#[test]
fn every_reader_takes_a_mark_and_other_line_ends() {
    let home = Home::new();
    for (file, arguments) in readers(&home) {
        let text = home.read(file).replace('\n', "\r\n");
        home.write("FILE", &format!("\u{feff}{text}"));
        home.run(&arguments).success();
    }
}

#[test]
fn every_reader_names_what_it_cannot_read() {
    let home = Home::new();
    for (file, arguments) in readers(&home) {
        let text = home.read(file);
        let lines = text.lines().count();
        let odd = text.replacen("apiVersion: ", "apiVersion:\u{a0}", 1);
        let cases: [(Vec<u8>, Vec<String>); 5] = [
            (utf16(&text), vec!["UTF-16".into(), "save it as UTF-8".into()]),
            (latin(&text), vec!["0xFC is 'ü'".into(), format!("{}", lines + 1)]),
            (odd.into_bytes(), vec!["no-break space (U+00A0)".into()]),
            (b"  \n".to_vec(), vec!["is empty".into()]),
            (vec![b'#'; 5_000_000], vec!["too long".into()]),
        ];
        for (bytes, expected) in cases {
            fs::write(home.path("FILE"), bytes).expect("a file of ours");
            let ran = home.run(&arguments).failure();
            let said = ran.out.clone() + &ran.err;
            assert!(said.contains("FILE"), "{arguments:?}: {said}");
            for words in expected {
                assert!(said.contains(&words), "{arguments:?}: {words} is not in {said}");
            }
        }
    }
}

#[test]
fn a_rollout_with_a_mark_is_signed_and_read_as_it_stands() {
    let home = Home::new();
    let (key, public) = signing::create(&home.path(""), "release", signing::Protection::None).expect("keys");
    let (key, public) = (key.to_str().expect("a path"), public.to_str().expect("a path"));
    let text = r#"{"apiVersion": "bedplate.dev/v1alpha1", "kind": "Rollout", "id": "r", "serial": 1, "bundle":
        {"url": "https://a/b", "manifest": "MANIFEST", "version": "0.2.0", "board": "rpi4"}, "seed": "s",
        "maxFailurePercent": 0, "pauseSeconds": 0}"#;
    let text = text.replace("MANIFEST", &"0".repeat(64));
    home.write("rollout.json", &format!("\u{feff}{text}").replace('\n', "\r\n"));
    home.run(&["rollout", "sign", "rollout.json", "--key", key])
        .success();
    home.run(&["rollout", "verify", "rollout.json", "--key", public])
        .success();

    fs::write(home.path("wide.json"), utf16(&text)).expect("a file of ours");
    let said = home
        .run(&["rollout", "sign", "wide.json", "--key", key])
        .failure()
        .err;
    assert!(said.contains("UTF-16"), "{said}");
    fs::write(home.path("wide.pub"), utf16(&home.read("release.pub"))).expect("a file of ours");
    let said = home
        .run(&["rollout", "verify", "rollout.json", "--key", "wide.pub"])
        .failure()
        .err;
    assert!(said.contains("UTF-16"), "{said}");
}
