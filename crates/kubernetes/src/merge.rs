//! Merging what people give into a config of a component.

use machine_config::value::Document;
use serde_json::Value;

use crate::{Error, Kind};

/// Merges fields that people give into a document. Maps are merged, everything else is replaced.
///
/// # Errors
///
/// A field that is among `own` ones, which nobody may give: each is the path of a field, with dots between its steps.
pub(crate) fn merge(
    component: Kind,
    document: &mut Value,
    given: &Document,
    own: &[&str],
) -> Result<(), Error> {
    for (field, value) in &given.0 {
        field_of(component, document, field, value, field, own)?;
    }
    Ok(())
}

fn field_of(
    component: Kind,
    document: &mut Value,
    field: &str,
    value: &Value,
    path: &str,
    own: &[&str],
) -> Result<(), Error> {
    let refused = |name: &&str| *name == path;
    if own.iter().any(refused) {
        return Err(Error::OwnField {
            component,
            field: path.to_owned(),
        });
    }
    // A map that replaces everything under it must not reach a field of ours, either.
    match value {
        Value::Object(map) => {
            if !document[field].is_object() {
                document[field] = Value::Object(serde_json::Map::new());
            }
            let inner = &mut document[field];
            for (name, value) in map {
                field_of(component, inner, name, value, &format!("{path}.{name}"), own)?;
            }
        }
        _ if own.iter().any(|name| name.starts_with(&format!("{path}."))) => {
            return Err(Error::OwnField {
                component,
                field: path.to_owned(),
            });
        }
        _ => document[field] = value.clone(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(given: Value) -> Result<Value, Error> {
        let mut document = json!({ "a": { "b": 1, "c": 2 }, "d": [1] });
        let Value::Object(given) = given else { panic!() };
        merge(Kind::Kubelet, &mut document, &Document(given), &["a.b", "e"])?;
        Ok(document)
    }

    #[test]
    fn maps_are_merged_and_the_rest_is_replaced() {
        let expected = json!({ "a": { "b": 1, "c": 3, "x": { "y": 1 } }, "d": [2, 3] });
        assert_eq!(
            merged(json!({ "a": { "c": 3, "x": { "y": 1 } }, "d": [2, 3] })),
            Ok(expected)
        );
        let replaced = merged(json!({ "d": { "z": 1 } })).unwrap();
        assert_eq!(replaced["d"], json!({ "z": 1 }));
    }

    #[test]
    fn a_field_of_ours_is_reached_by_no_way() {
        for (given, field) in [
            (json!({ "a": { "b": 2 } }), "a.b"),
            (json!({ "a": { "b": { "x": 2 } } }), "a.b"),
            (json!({ "a": null }), "a"),
            (json!({ "a": [] }), "a"),
            (json!({ "e": 1 }), "e"),
            (json!({ "e": {} }), "e"),
        ] {
            let Err(Error::OwnField { field: found, .. }) = merged(given) else {
                panic!("{field} was taken")
            };
            assert_eq!(found, field);
        }
    }
}
