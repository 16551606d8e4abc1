//! Bundles of authorities, as in `machine.upgrades.ca`.

use super::*;

#[test]
fn authorities_for_bundles_must_be_authorities() {
    let home = authority(now());
    let (cert, key) = (home.certificate_pem(), home.key_pem());
    let old = authority(now() - AUTHORITY_LIFE - DAY);
    let (ec, _) = foreign(|_| {});
    let (own, _) = foreign(|params| params.is_ca = IsCa::NoCa);
    let bundle = format!(
        "# made by update-ca-trust\n\nHome\n=====\n{cert}\nRSA\n{}{ec}",
        RSA.0
    );
    let mixed = format!("{}{cert}", old.certificate_pem());
    let (half, leaf) = (cut(RSA.0), leaf(&home).0);
    let table: Vec<(&str, &str, &str)> = vec![
        ("one of RSA", RSA.0, ""),
        ("a bundle with comments", &bundle, ""),
        ("an expired one among others", &mixed, ""),
        ("a server's own", &own, ""),
        ("an expired one", old.certificate_pem(), "expired on 20"),
        ("cut in half", &half, "holds a certificate that is cut short"),
        ("a leaf", &leaf, "is not one of a certificate authority"),
        ("no PEM", "home", "is not a certificate; expected PEM"),
    ];
    let table = table.into_iter().map(|(what, bundle, expected)| {
        let text = config(Role::Standalone, cert, Some(&key), Some(bundle));
        (what, text, expected)
    });
    for (what, text, expected) in table {
        let found = faults(&text, Moment::of_host(now()));
        match expected {
            "" => assert_eq!(found, [""; 0], "{what}"),
            _ => {
                assert!(
                    found.len() == 1 && found[0].starts_with(&format!("machine.upgrades.ca: {expected}")),
                    "{what}: {found:?}"
                );
            }
        }
    }
}

#[test]
fn a_bundle_of_all_public_authorities_with_comments_passes() {
    use base64ct::{Base64, Encoding as _};
    let block = |(number, der): (usize, &rustls::pki_types::CertificateDer<'_>)| {
        let text = Base64::encode_string(der);
        let lines: Vec<&str> = (0..text.len())
            .step_by(64)
            .map(|at| &text[at..text.len().min(at + 64)])
            .collect();
        let body = lines.join("\n");
        format!(
            "Authority {number}\n=========\n-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n\n"
        )
    };
    let bundle: String = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .enumerate()
        .map(block)
        .collect();
    let home = authority(now());
    let text = config(
        Role::Standalone,
        home.certificate_pem(),
        Some(&home.key_pem()),
        Some(&bundle),
    );
    assert_eq!(faults(&text, Moment::of_host(now())), [""; 0]);
}
