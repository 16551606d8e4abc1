//! Images that this version has no name for.

mod support;

use flash_tool::plan::PlanError;
use flash_tool::watch::Silent;
use flash_tool::{apply, plan};
use support::{MIB, Memory, Recipe, noise, options, sample};

const MEDIUM: u64 = 300 * MIB;

#[test]
fn an_image_of_any_name_is_placed_by_its_manifest() {
    let second = (100 << 10, noise(5000, 5));
    let odd = sample(&Recipe {
        other: Some(("spl-2", Some(second.0), second.1.clone())),
        ..Recipe::default()
    });
    let whole = plan(&odd.facts(), MEDIUM, options(None)).unwrap();
    let mut medium = Memory {
        fill: 0xee,
        ..Memory::new(MEDIUM)
    };
    apply(&whole, &mut odd.reader(), &mut medium, &mut Silent).unwrap();
    assert_eq!(medium.read(second.0, second.1.len() as u64), second.1);
    let (at, code) = Recipe::default().bootcode.unwrap();
    assert_eq!(medium.read(at, code.len() as u64), code);
    for free in [at - 512, at + code.len().next_multiple_of(4096) as u64, 200 << 10] {
        assert_eq!(medium.read(free, 512), [0; 512], "something is left at {free}");
    }

    let unknown = sample(&Recipe {
        other: Some(("esp-b", None, noise(5000, 5))),
        ..Recipe::default()
    });
    let error = plan(&unknown.facts(), MEDIUM, options(None)).unwrap_err();
    assert!(matches!(error, PlanError::UnknownImage { .. }), "{error}");
    assert!(error.to_string().contains("esp-b"), "{error}");
}
