//! Rules that several fields of a service share.

use crate::faults::Collector;

/// The longest timeout or interval of a service, in seconds.
pub(crate) const HOUR: u32 = 3600;

/// Checks a command line: the program's absolute path, then its arguments.
pub(crate) fn command(field: &str, words: Vec<String>, faults: &mut Collector<'_>) -> Vec<String> {
    match words.first() {
        None => faults.fault(field, "is empty; write [/usr/bin/PROGRAM, ARGUMENT, …]"),
        Some(program) if !is_plain_path(program) => faults.fault(
            field,
            format!("{program:?} is not a program; write its absolute path, such as /usr/bin/containerd"),
        ),
        Some(_) => {}
    }
    if words.iter().any(|word| word.contains('\0')) {
        faults.fault(field, "holds a NUL character, which no argument may contain");
    }
    words
}

/// Returns true if a path is absolute, names something below `/`, and has no `.` or `..` in it.
pub(crate) fn is_plain_path(path: &str) -> bool {
    path.len() > 1
        && path.starts_with('/')
        && !path.contains('\0')
        && !path.split('/').any(|part| matches!(part, "." | ".."))
}
