//! minisign's texts: keys and signatures. Only what was signed is accepted.

use arbitrary::{Arbitrary, Unstructured};
use manifest::{MAX_SIGNATURES, TrustedKey, VerifyError, verify};

use crate::sample::{MANIFEST, PUBLIC_KEY, SIGNATURE, Signer};

/// A key has one form; a signature is valid for exactly one message.
pub fn signatures(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        key(text);
    }
    forged(data);
    if let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(data)) {
        made(&case);
    }
}

fn key(text: &str) {
    if let Ok(key) = TrustedKey::parse(text) {
        let line = key.to_line();
        assert!(text.contains(&line), "the key's line stands in the text");
        assert_eq!(TrustedKey::parse(&line), Ok(key));
    }
}

/// The golden manifest was signed once, so a text that is accepted for it contains that signature.
fn forged(text: &[u8]) {
    let key = TrustedKey::parse(PUBLIC_KEY).expect("the golden key is sound");
    if verify(MANIFEST, text, &[key]).is_ok() {
        let text = String::from_utf8_lossy(text);
        for line in SIGNATURE.lines().skip(1) {
            assert!(text.contains(line), "a forged signature is accepted");
        }
    }
}

/// A message, signatures of it, and one change.
#[derive(Debug, Arbitrary)]
struct Case<'a> {
    message: &'a [u8],
    untrusted: &'a str,
    trusted: &'a str,
    /// The number of other signatures before it, by unknown keys.
    strangers: u8,
    carriage_returns: bool,
    change: Option<Change>,
}

#[derive(Debug, Arbitrary)]
struct Change {
    /// 0: the message. 1 to 3: the signature, the trusted comment, the signature of both.
    what: u8,
    at: u16,
    xor: u8,
}

fn made(case: &Case<'_>) {
    let (untrusted, trusted) = (one_line(case.untrusted), one_line(case.trusted));
    let signer = Signer::number(1);
    let strangers = usize::from(case.strangers) % (MAX_SIGNATURES + 2);
    // The same ID, another key: an ID proves nothing.
    let stranger = Signer::number(2)
        .lines(case.message, &untrusted, &trusted)
        .map(Vec::from);
    let mut blocks = vec![stranger; strangers].concat();
    let mut message = case.message.to_vec();
    let mut own = signer.lines(case.message, &untrusted, &trusted).map(Vec::from);
    let mut changed = false;
    if let Some(change) = &case.change {
        let place = match change.what % 4 {
            0 => &mut message,
            line => &mut own[usize::from(line)],
        };
        if !place.is_empty() && change.xor != 0 {
            let at = usize::from(change.at) % place.len();
            place[at] ^= change.xor;
            changed = true;
        }
    }
    blocks.extend(own);
    let end: &[u8] = if case.carriage_returns { b"\r\n" } else { b"\n" };
    let text = blocks
        .into_iter()
        .flat_map(|line| [&line[..], end].concat())
        .collect::<Vec<_>>();

    let result = verify(&message, &text, &[signer.key()]);
    // What follows a valid signature concerns the manifest.
    let holds = !matches!(result, Err(VerifyError::Signature(_)));
    assert_eq!(holds, !changed && strangers < MAX_SIGNATURES, "{result:?}");
    assert!(result.map_or(true, |manifest| manifest.signer() == signer.key()));
    let nobody = verify(&message, &text, &[]);
    assert!(
        matches!(nobody, Err(VerifyError::Signature(_))),
        "without keys nothing is trusted"
    );
}

/// A comment is one line.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
