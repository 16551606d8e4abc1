//! Keeps the generated reference current: the JSON Schema, and the page made from it.
//!
//! `UPDATE_EXPECT=1 cargo test -p machine-config` regenerates both.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use crate::MachineConfig;
use crate::tests::GOLDEN;

fn schema() -> Value {
    let mut schema = schemars::schema_for!(MachineConfig);
    schema.insert(
        "title".into(),
        "Bedplate machine config, bedplate.dev/v1alpha1".into(),
    );
    schema.into()
}

#[test]
fn the_schema_is_current() {
    golden::check(
        "machine-config",
        "docs/reference/machine-config.schema.json",
        &(serde_json::to_string_pretty(&schema()).unwrap() + "\n"),
    );
}

#[test]
fn the_page_is_current() {
    let schema = schema();
    let mut page = String::from(
        "<!-- Generated from the types: `UPDATE_EXPECT=1 cargo test -p machine-config`. Do not edit. -->\n\
         # Machine config reference\n\n\
         `apiVersion: bedplate.dev/v1alpha1`, `kind: MachineConfig`. The guide is [machine-config.md](../machine-config.md); \
         editors can use [machine-config.schema.json](machine-config.schema.json).\n",
    );
    section(&mut page, &schema, "", &schema);
    texts(&mut page, &schema);
    write!(
        page,
        "\n## Every field in one document\n\n```yaml\n{}```\n",
        without_comment(GOLDEN)
    )
    .unwrap();
    golden::check("machine-config", "docs/reference/machine-config.md", &page);
}

/// Drops the first line, which is for people who change the file.
fn without_comment(text: &str) -> &str {
    text.split_once('\n').map_or(text, |(_, rest)| rest)
}

/// Writes the table of one map, then those of the maps in it.
fn section(page: &mut String, root: &Value, path: &str, object: &Value) {
    let Some(properties) = object["properties"].as_object() else {
        return;
    };
    let title = if path.is_empty() {
        "The document".to_owned()
    } else {
        format!("`{path}`")
    };
    write!(
        page,
        "\n## {title}\n\n{}\n\n| field | type | meaning |\n|---|---|---|\n",
        text(object)
    )
    .unwrap();
    let required: BTreeSet<_> = object["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut inner = Vec::new();
    for (name, property) in properties {
        let target = resolve(root, property);
        let must = if required.contains(name.as_str()) {
            " **required**"
        } else {
            ""
        };
        let row = if text(property).is_empty() {
            text(target)
        } else {
            text(property)
        };
        writeln!(page, "| `{name}` | {}{must} | {row} |", kind(root, property)).unwrap();
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let item = resolve(root, &target["items"]);
        let entry = resolve(root, entry_of(target));
        inner.extend([
            (path.clone(), target),
            (format!("{path}[]"), item),
            (format!("{path}.NAME"), entry),
        ]);
    }
    for (path, object) in inner {
        section(page, root, &path, object);
    }
}

fn text(value: &Value) -> String {
    value["description"]
        .as_str()
        .unwrap_or_default()
        .replace('\n', " ")
}

/// Returns the schema of a map's values when its names are the user's.
fn entry_of(target: &Value) -> &Value {
    let by_pattern = target["patternProperties"]
        .as_object()
        .and_then(|map| map.values().next());
    by_pattern.unwrap_or(&target["additionalProperties"])
}

/// Writes the table of the texts with a format.
fn texts(page: &mut String, root: &Value) {
    page.push_str("\n## Texts\n\n| type | form |\n|---|---|\n");
    for (name, schema) in root["$defs"].as_object().into_iter().flatten() {
        if schema["type"] == "string" && words(schema).is_none() {
            writeln!(page, "| {name} | {} |", text(schema)).unwrap();
        }
    }
}

/// Follows a reference; `anyOf` here is always "this or null".
fn resolve<'a>(root: &'a Value, value: &'a Value) -> &'a Value {
    if let Some(path) = value["$ref"].as_str() {
        return root
            .pointer(&path[1..])
            .expect("a schema's references are its own");
    }
    value["anyOf"]
        .as_array()
        .map_or(value, |any| resolve(root, &any[0]))
}

fn kind(root: &Value, property: &Value) -> String {
    let target = resolve(root, property);
    if let Some(words) = words(target) {
        return words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    let simple = |name: &str| match name {
        "array" => format!("list of {}", kind(root, &target["items"])),
        "object" if target["properties"].is_object() => "map".to_owned(),
        "object" if entry_of(target).is_null() => "map of anything".to_owned(),
        "object" => format!("map of names to {}", kind(root, entry_of(target))),
        "string" => property["$ref"]
            .as_str()
            .or(property.pointer("/anyOf/0/$ref").and_then(Value::as_str))
            .map_or("text".to_owned(), |path| {
                path.rsplit('/').next().unwrap_or("text").to_owned()
            }),
        other => other.to_owned(),
    };
    match &target["type"] {
        Value::String(name) => simple(name),
        Value::Array(names) => {
            let names = names
                .iter()
                .filter_map(Value::as_str)
                .filter(|name| *name != "null");
            names.map(simple).collect::<Vec<_>>().join(" or ")
        }
        _ => "text".to_owned(),
    }
}

/// The words of an enum.
fn words(target: &Value) -> Option<Vec<String>> {
    let word = |value: &Value| value["const"].as_str().map(str::to_owned);
    if let Some(one) = word(target) {
        return Some(vec![one]);
    }
    target["oneOf"]
        .as_array()
        .and_then(|all| all.iter().map(word).collect())
}

/// The names of each map of the schema, by path, as `section` walks them.
fn maps(root: &Value, path: &str, object: &Value, found: &mut Vec<(String, BTreeSet<String>)>) {
    let Some(properties) = object["properties"].as_object() else {
        return;
    };
    found.push((path.to_owned(), properties.keys().cloned().collect()));
    for (name, property) in properties {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let target = resolve(root, property);
        maps(root, &path, target, found);
        maps(
            root,
            &format!("{path}[0]"),
            resolve(root, &target["items"]),
            found,
        );
        maps(
            root,
            &format!("{path}.containerd"),
            resolve(root, entry_of(target)),
            found,
        );
    }
}

#[test]
fn the_reader_knows_exactly_the_names_of_the_schema() {
    let root = schema();
    let mut all = Vec::new();
    maps(&root, "", &root, &mut all);
    assert!(all.len() > 8, "{all:?}");
    let golden: serde_yaml::Value = yaml::from_str(GOLDEN).unwrap();
    for (path, names) in all {
        let mut document = golden.clone();
        let map =
            path.split(['.', '[', ']'])
                .filter(|step| !step.is_empty())
                .fold(&mut document, |at, step| match step.parse::<usize>() {
                    Ok(index) => &mut at[index],
                    Err(_) => &mut at[step],
                });
        map["zzz"] = 1.into();
        let faults = crate::parse(&yaml::to_string(&document).unwrap()).unwrap_err();
        let message = &faults.list()[0].message;
        let known = message
            .split_once("known here: ")
            .unwrap_or_else(|| panic!("{path}: {message}"))
            .1;
        assert_eq!(
            known.split(", ").map(str::to_owned).collect::<BTreeSet<_>>(),
            names,
            "{path}"
        );
    }
}

#[test]
fn the_golden_file_uses_every_name_of_the_schema() {
    let text = serde_json::to_string(&schema()).unwrap();
    let names = text.match_indices("\"properties\":").count();
    assert!(names > 8, "the schema has its maps");
    let root = schema();
    let mut all = Vec::new();
    maps(&root, "", &root, &mut all);
    for (path, names) in all {
        for name in names {
            assert!(
                GOLDEN.contains(&format!("{name}:")),
                "testdata/v1alpha1.yaml lacks {path}.{name}"
            );
        }
    }
}
