//! Finds the packages with a kernel in them behind the package that a board names.

/// Packages that a kernel is split into, by the start of their names; a version follows.
const PARTS: [&str; 3] = ["linux-base-", "linux-binary-", "linux-modules-"];

/// Finds the packages with the kernel in them; `depends` returns what a package depends on, as its entry writes it.
///
/// A board names either the kernel's own package, or one that only depends on the newest kernel. The kernel's own package has the
/// files, or depends on the packages that have them. Returns an empty list when the package leads to no kernel.
pub fn parts<E>(package: &str, mut depends: impl FnMut(&str) -> Result<String, E>) -> Result<Vec<String>, E> {
    let mut own = package.to_owned();
    let mut needs = depends(package)?;
    if !has_version(package, "linux-image-") {
        let Some(image) = named(&needs, "linux-image-").next().map(str::to_owned) else {
            return Ok(Vec::new());
        };
        needs = depends(&image)?;
        own = image;
    }
    let parts: Vec<String> = PARTS
        .into_iter()
        .flat_map(|start| named(&needs, start))
        .map(str::to_owned)
        .collect();
    Ok(if parts.is_empty() { vec![own] } else { parts })
}

/// Lists dependencies whose name is a start with a version behind it.
fn named<'a>(depends: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    let names = depends
        .split(',')
        .filter_map(|part| part.split_whitespace().next());
    names.filter(move |name| has_version(name, start))
}

fn has_version(name: &str, start: &str) -> bool {
    let version = name.strip_prefix(start).unwrap_or_default();
    version.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_found_behind_its_package() {
        let archive = [
            ("linux-image-arm64", "linux-image-6.12.1-arm64 (= 6.12.1-1)"),
            ("linux-image-6.12.1-arm64", "kmod, initramfs-tools | x"),
            (
                "new",
                "linux-base-arm64 (= 7.3-1), linux-image-7.3-arm64 (= 7.3-1), linux-modules-arm64",
            ),
            (
                "linux-image-7.3-arm64",
                "dracut | x (>= 1), linux-binary-7.3-arm64 (= 7.3-1), linux-base-7.3-arm64, linux-modules-7.3-arm64",
            ),
            ("linux-doc", "libc6"),
        ];
        let depends = |name: &str| {
            let found = archive.iter().find(|(known, _)| *known == name);
            found
                .map(|(_, depends)| (*depends).to_owned())
                .ok_or(name.to_owned())
        };
        let split = [
            "linux-base-7.3-arm64",
            "linux-binary-7.3-arm64",
            "linux-modules-7.3-arm64",
        ];
        for (package, expected) in [
            ("linux-image-arm64", vec!["linux-image-6.12.1-arm64"]),
            ("linux-image-6.12.1-arm64", vec!["linux-image-6.12.1-arm64"]),
            ("new", split.to_vec()),
            ("linux-image-7.3-arm64", split.to_vec()),
            ("linux-doc", vec![]),
        ] {
            assert_eq!(parts(package, depends).unwrap(), expected, "{package}");
        }
        assert_eq!(parts("absent", depends), Err("absent".to_owned()));
    }
}
