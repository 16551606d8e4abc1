//! The machine config, and the partition that contains it.

use machine_config::secret::REDACTED;
use machine_config::{LIMIT, MachineConfig, Secret, changes, medium, parse, parse_over};

/// An accepted config can be written and read back unchanged; its secrets are shown only where they must be; and every
/// fault has a place.
pub fn document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match parse(text) {
        Ok(config) => taken(&config),
        Err(faults) => {
            assert!(!faults.list().is_empty());
            let lines = lines(text);
            for fault in faults.list() {
                assert!(fault.line <= lines, "line {} of {lines}", fault.line);
                assert!(!fault.message.is_empty());
            }
            let shown = faults.in_file("config.yaml");
            assert!(shown.lines().count() >= faults.list().len());
        }
    }
}

/// Counts lines as YAML does, which knows more line ends than an editor.
pub fn lines(text: &str) -> usize {
    let lines = text.split_terminator(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']);
    lines.count().max(1)
}

fn taken(config: &MachineConfig) {
    let stored = config.to_yaml_with_secrets();
    assert_eq!(
        parse(&stored).as_ref(),
        Ok(config),
        "what is stored can be read back"
    );
    assert_eq!(config.check(), Ok(()));

    let shown = config.to_yaml();
    assert_eq!(
        parse_over(&shown, config).as_ref(),
        Ok(config),
        "what is shown can be applied over it"
    );
    let mut other = config.clone();
    let secrets = [&mut other.machine.token, &mut other.machine.ca.key];
    for secret in secrets.into_iter().flatten() {
        *secret = Secret::new("another");
        assert!(
            shown.contains(REDACTED) && parse(&shown).is_err(),
            "a config without its secrets is invalid"
        );
    }
    assert!(
        other.to_yaml() == shown && format!("{other:?}") == format!("{config:?}"),
        "secrets are not shown"
    );

    assert_eq!(changes(Some(config), config), [""; 0]);
    assert!(!changes(None, config).is_empty());
}

/// A frame returns its document, and a torn frame returns none.
pub fn partition(data: &[u8]) {
    check(data);
    if let Some((header, document)) = data.split_first_chunk::<16>() {
        // Hash and magic would reject nearly every input.
        let mut frame = header.to_vec();
        frame[..8].copy_from_slice(b"BPCONFIG");
        frame[8..12].copy_from_slice(&1_u32.to_le_bytes());
        let len = (u32::from_le_bytes([header[12], header[13], header[14], header[15]]) as usize)
            .min(document.len());
        frame[12..16].copy_from_slice(&(len as u32).to_le_bytes());
        frame.extend(<sha2::Sha256 as sha2::Digest>::digest(&document[..len]));
        frame.extend(document);
        let is_text = std::str::from_utf8(&document[..len]).is_ok();
        assert_eq!(medium::decode(&frame).is_ok(), is_text);
        check(&frame);
        if len > 0 {
            frame[48 + len / 2] ^= 1;
            assert_eq!(medium::decode(&frame), Err(medium::MediumError::Damaged));
        }
    }
}

fn check(bytes: &[u8]) {
    match medium::decode(bytes) {
        Ok(Some(text)) => {
            assert!(text.len() <= LIMIT);
            let frame = medium::encode(&text).expect("what was read can be written");
            assert!(
                frame.len() <= medium::MAX && bytes.starts_with(&frame),
                "one document, one frame"
            );
        }
        Ok(None) => assert!(
            bytes[..48].iter().all(|byte| *byte == 0),
            "only zeros mean that there is no config"
        ),
        Err(_) => {}
    }
}
