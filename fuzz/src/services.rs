//! Service definitions, as images contain them and as they are run.

use std::collections::BTreeSet;

use service_definition::Service;

/// A list of services is refused as a whole, or can be started in its order.
pub fn services(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(services) = yaml::from_str::<Vec<Service>>(text) else {
        return;
    };
    let written = yaml::to_string(&services).expect("what was read can be written");
    assert_eq!(
        yaml::from_str::<Vec<Service>>(&written).ok().as_ref(),
        Some(&services)
    );
    check(services);
}

/// Checks services that were parsed.
pub fn check(services: Vec<Service>) {
    let count = services.len();
    match service_definition::check(services) {
        Err(faults) => assert!(!faults.to_string().is_empty()),
        Ok(definitions) => {
            let all: BTreeSet<&str> = definitions.iter().map(|one| one.name.as_str()).collect();
            assert_eq!(all.len(), count, "every service is there once");
            let mut started = BTreeSet::new();
            for one in definitions.iter() {
                let name = one.name.as_str();
                assert!(
                    !name.is_empty() && !name.contains(['/', '.']),
                    "a name has no path separators"
                );
                assert!(one.run.program.starts_with('/'));
                for other in &one.depends_on {
                    assert!(
                        started.contains(other.as_str()),
                        "{name} starts before {other}, which it needs"
                    );
                }
                for other in one.after.iter().filter(|other| all.contains(other.as_str())) {
                    assert!(
                        started.contains(other.as_str()),
                        "{name} starts before {other}, which goes first"
                    );
                }
                if let Some(user) = &one.run.user {
                    assert!(
                        user.id > 0 && !user.name.contains([':', '\n', ' ']),
                        "a line of /etc/passwd"
                    );
                }
                for path in &one.run.rights.read_only_paths {
                    assert!(path.is_absolute());
                }
                for folder in &one.directories {
                    assert!(folder.path.is_absolute() && folder.mode <= 0o7777);
                }
                started.insert(name);
            }
        }
    }
}
