//! Keeps a corpus small: of all inputs, the few that reach most.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{corpus, driver, folder, list};

/// Most inputs that are kept for a target.
const INPUTS: usize = 100;
/// Longer inputs are kept only under a name of their own.
const LONGEST: u64 = 4096;

/// Chooses again which inputs are kept in the tree. Those with a name of their own stay.
pub fn keep(program: &Path, target: &str) -> Result<()> {
    let kept = corpus().join(target);
    let measured = measure(program, target)?;
    let chosen: Vec<&Path> = choose(&measured, INPUTS)
        .into_iter()
        .map(|number| &*measured[number].path)
        .collect();
    // By name: an input may have been found again.
    let names: BTreeSet<_> = chosen.iter().map(|path| path.file_name()).collect();
    for path in list(&kept)? {
        if is_found(&path) && !names.contains(&path.file_name()) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    for path in &chosen {
        let to = kept.join(path.file_name().unwrap_or_default());
        if !to.exists() {
            fs::copy(path, &to)
                .with_context(|| format!("cannot copy {} to {}", path.display(), to.display()))?;
        }
    }
    stdio::line(format_args!(
        "{target}: {} inputs kept of {}",
        chosen.len(),
        measured.len()
    ))?;
    // What libFuzzer picked reaches the same as all that was found: more would only cost time at every start.
    let grown = folder().join("corpus").join(target);
    fs::remove_dir_all(&grown).with_context(|| format!("cannot remove {}", grown.display()))?;
    fs::rename(folder().join("merged").join(target), &grown)
        .with_context(|| format!("cannot put {} in order", grown.display()))
}

/// An input, and the branches that it reaches.
#[derive(Debug)]
struct Measured {
    path: PathBuf,
    size: u64,
    reaches: Vec<u32>,
}

/// Lets libFuzzer run every input, and note what each one reaches.
fn measure(program: &Path, target: &str) -> Result<Vec<Measured>> {
    let (merged, notes) = (
        folder().join("merged").join(target),
        folder().join(format!("merged/{target}.notes")),
    );
    fs::remove_dir_all(&merged).ok();
    fs::remove_file(&notes).ok();
    fs::create_dir_all(&merged).with_context(|| format!("cannot create {}", merged.display()))?;
    driver(program, target)
        .args(["-set_cover_merge=1", "-use_counters=0"])
        .arg(format!("-merge_control_file={}", notes.display()))
        .args([
            &merged,
            &corpus().join(target),
            &folder().join("corpus").join(target),
        ])
        .within(Duration::from_secs(3600))
        .log(folder().join("logs").join(format!("{target}-merge.log")))
        .run()?;
    let text = fs::read_to_string(&notes).with_context(|| format!("cannot read {}", notes.display()))?;
    let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    Ok(read_notes(&text)
        .into_iter()
        .map(|(path, reaches)| Measured {
            size: size(&path),
            path,
            reaches,
        })
        .collect())
}

/// Reads libFuzzer's notes: two numbers, the files, and for each file a line `FT NUMBER BRANCH…`.
fn read_notes(text: &str) -> Vec<(PathBuf, Vec<u32>)> {
    let mut lines = text.lines();
    let count = lines.next().and_then(|count| count.parse().ok()).unwrap_or(0);
    let mut files: Vec<(PathBuf, Vec<u32>)> = lines
        .by_ref()
        .skip(1)
        .take(count)
        .map(|path| (PathBuf::from(path), Vec::new()))
        .collect();
    for line in lines {
        let mut numbers = line.split(' ');
        let file = numbers
            .next()
            .filter(|word| *word == "FT")
            .and_then(|_| numbers.next()?.parse::<usize>().ok());
        if let Some((_, reaches)) = file.and_then(|file| files.get_mut(file)) {
            *reaches = numbers.filter_map(|number| number.parse().ok()).collect();
        }
    }
    files
}

/// Chooses inputs, in turn the one that reaches most that none before it does. Those with a name come first, all of them.
fn choose(inputs: &[Measured], most: usize) -> Vec<usize> {
    let mut reached = BTreeSet::new();
    let mut chosen: Vec<usize> = (0..inputs.len())
        .filter(|number| !is_found(&inputs[*number].path))
        .collect();
    for number in &chosen {
        reached.extend(inputs[*number].reaches.iter().copied());
    }
    let gain = |reached: &BTreeSet<u32>, number: usize| {
        inputs[number]
            .reaches
            .iter()
            .filter(|branch| !reached.contains(branch))
            .count()
    };
    let candidates =
        (0..inputs.len()).filter(|number| is_found(&inputs[*number].path) && inputs[*number].size <= LONGEST);
    let mut queue: BinaryHeap<_> = candidates
        .map(|number| (gain(&reached, number), Reverse((inputs[number].size, number))))
        .collect();
    while let Some((promised, Reverse((size, number)))) = queue.pop() {
        let gained = gain(&reached, number);
        if gained == 0 || chosen.len() >= most {
            continue;
        }
        // What was promised may have been reached by another since.
        if gained < promised {
            queue.push((gained, Reverse((size, number))));
            continue;
        }
        reached.extend(inputs[number].reaches.iter().copied());
        chosen.push(number);
    }
    chosen
}

/// Returns whether an input is named as libFuzzer names what it finds: by its SHA-1.
fn is_found(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(letter: &str, size: u64, reaches: &[u32]) -> Measured {
        Measured {
            path: Path::new("corpus/x").join(letter.repeat(40)),
            size,
            reaches: reaches.to_vec(),
        }
    }

    #[test]
    fn what_libfuzzer_found_is_told_from_what_was_named() {
        assert!(is_found(Path::new(
            "corpus/x/da39a3ee5e6b4b0d3255bfef95601890afd80709"
        )));
        assert!(!is_found(Path::new("corpus/x/golden.json")));
        assert!(!is_found(Path::new(
            "corpus/x/a-name-that-has-forty-letters-in-it-just"
        )));
    }

    #[test]
    fn the_fewest_inputs_that_reach_most_are_chosen() {
        let mut inputs = vec![
            input("a", 9, &[1, 2]),
            input("b", 5, &[3, 4, 5]),
            input("c", 4, &[3, 4, 5]),
            input("d", 1, &[5]),
            input("e", LONGEST + 1, &[9]),
        ];
        assert_eq!(choose(&inputs, 10), [2, 0]);
        assert_eq!(choose(&inputs, 1), [2]);
        inputs[3].path = "corpus/x/by-hand".into();
        inputs[3].reaches = vec![3, 4, 5];
        assert_eq!(choose(&inputs, 10), [3, 0], "what has a name stays, and counts");
    }

    #[test]
    fn notes_of_libfuzzer_are_read() {
        let notes = "2\n1\ndir/a\ndir/b\nSTARTED 0 3\nFT 0 7 8\nCOV 0 1\nSTARTED 1 4\nFT 1\n";
        let expected = [("dir/a".into(), vec![7, 8]), ("dir/b".into(), vec![])];
        assert_eq!(read_notes(notes), expected);
        assert_eq!(read_notes(""), []);
    }
}
