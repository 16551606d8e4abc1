//! What serde and schemars ask about defaults: a field that has its default is not written.

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
