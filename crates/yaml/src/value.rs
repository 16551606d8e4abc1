//! What a value is taken for, and what is said when it is something else.

use std::fmt::Display;
use std::str::FromStr;

use crate::{Key, Node, Value};

/// Each of these returns the sentence that says what is expected and what was found.
impl Node {
    /// Returns the values of a list.
    ///
    /// # Errors
    ///
    /// Another kind of value.
    pub fn items(&self) -> Result<&[Node], String> {
        match &self.value {
            Value::List(items) => Ok(items),
            _ => Err(self.expected("a list")),
        }
    }

    /// Returns the entries of a map.
    ///
    /// # Errors
    ///
    /// Another kind of value.
    pub fn entries(&self) -> Result<&[(Key, Node)], String> {
        match &self.value {
            Value::Map(entries) => Ok(entries),
            _ => Err(self.expected("a map")),
        }
    }

    /// Returns `true` or `false`.
    ///
    /// # Errors
    ///
    /// Another kind of value.
    pub fn boolean(&self) -> Result<bool, String> {
        match &self.value {
            Value::Scalar(s) if s.plain && *s.text == "true" => Ok(true),
            Value::Scalar(s) if s.plain && *s.text == "false" => Ok(false),
            _ => Err(self.expected("true or false")),
        }
    }

    /// Returns a whole number from `least` to `most`.
    ///
    /// # Errors
    ///
    /// Another kind of value, and a number outside.
    pub fn number<T: FromStr + PartialOrd + Display>(&self, least: T, most: T) -> Result<T, String> {
        let number: Option<T> = match &self.value {
            Value::Scalar(s) if s.plain => s.text.parse().ok(),
            _ => None,
        };
        let inside = number.filter(|number| (&least..=&most).contains(&number));
        inside.ok_or_else(|| {
            let expected = format!("a whole number from {least} to {most}");
            match &self.value {
                Value::Scalar(s) if !self.is_null() => format!("expected {expected}, found {:?}", *s.text),
                _ => self.expected(&expected),
            }
        })
    }

    /// Returns a text. A bare number or truth value is not one: whether quotes were forgotten, or the wrong field was filled,
    /// only the writer knows.
    ///
    /// # Errors
    ///
    /// Another kind of value.
    pub fn text(&self) -> Result<&str, String> {
        match &self.value {
            Value::Scalar(s) if self.kind() == "a text" => Ok(&s.text),
            Value::Scalar(s) if !self.is_null() => Err(format!(
                "{}; put it in quotes: \"{}\"",
                self.expected("a text"),
                *s.text
            )),
            _ => Err(self.expected("a text")),
        }
    }

    /// Says that another kind of value is expected.
    pub fn expected(&self, what: &str) -> String {
        format!("expected {what}, found {}", self.kind())
    }
}
