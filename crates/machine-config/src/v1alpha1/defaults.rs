//! Helpers of serde and schemars for defaults: a field with its default is not written.

#[cfg(any(test, feature = "schema"))]
pub(super) fn yes() -> bool {
    true
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

pub(super) fn is_true(value: &bool) -> bool {
    *value
}
