//! Requests for certificates, which anybody may send to a control plane.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use ed25519_dalek::{Signer as _, SigningKey};
use pki::request::{MAX_BYTES, MAX_NAMES};
use pki::{Authority, Purposes, SigningRequest, Subject, Validity};

/// Any bytes are a request of which a certificate's reader sees the same, or an error; and none of them asks for anything but
/// names. The bytes are tried as they are, and as what is signed in a request.
pub fn request(data: &[u8]) {
    check(data);
    check(&signed(data));
}

/// Makes a request of what is signed in one. The key of the corpus is known here: a fuzzer cannot sign.
fn signed(info: &[u8]) -> Vec<u8> {
    const ED25519: [u8; 7] = [0x30, 5, 6, 3, 0x2b, 0x65, 0x70];
    let signature = SigningKey::from_bytes(&[7; 32]).sign(info).to_bytes();
    let bits = [&[0], signature.as_slice()].concat();
    let body = [info, &ED25519, &tlv(3, &bits)].concat();
    tlv(0x30, &body)
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match u8::try_from(content.len()) {
        Ok(short @ 0..0x80) => vec![short],
        _ => [&[0x84], (content.len() as u32).to_be_bytes().as_slice()].concat(),
    };
    // The shortest form, as DER demands it.
    let length = match length.as_slice() {
        [0x84, 0, 0, 0, low] => vec![0x81, *low],
        [0x84, 0, 0, rest @ ..] => [&[0x82], rest].concat(),
        [0x84, 0, rest @ ..] => [&[0x83], rest].concat(),
        _ => length,
    };
    [&[tag], length.as_slice(), content].concat()
}

fn check(der: &[u8]) {
    let Ok(request) = SigningRequest::from_der(der) else {
        return;
    };
    let names = &request.alternative_names;
    assert!(der.len() <= MAX_BYTES && names.len() <= MAX_NAMES);
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), names.len(), "each name once");
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let authority = AUTHORITY.get_or_init(|| Authority::generate("fuzz", now).expect("an authority"));
    let subject = Subject {
        name: &request.name,
        organization: request.organization.as_deref(),
        alternative_names: names,
        purposes: Purposes::default(),
    };
    let validity = Validity::starting(now, Duration::from_secs(60));
    // Names that no certificate can hold are refused here.
    let Ok((made, _)) = authority.sign(&request, &subject, validity) else {
        return;
    };
    let details = made.details();
    assert_eq!(details.name, request.name);
    assert_eq!(
        details.organizations,
        request.organization.into_iter().collect::<Vec<_>>()
    );
    assert_eq!(&details.alternative_names, names);
    assert!(!details.is_authority && details.purposes == Purposes::default());
    for name in names {
        if let Ok(address) = name.parse::<IpAddr>() {
            assert_eq!(address.to_string(), *name, "one form for each address");
        }
    }
}
