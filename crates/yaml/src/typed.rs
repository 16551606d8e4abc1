//! From a tree to a value of a type, with serde.

use std::fmt::{self, Display};

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer as _, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::{Fault, Key, Node, Scalar, Value, did_you_mean, join, read};

/// Reads the one document in a text as a value of a type.
///
/// # Errors
///
/// The first fault: what [`read`] refuses, and what is not of the type. Where a character only looks like a blank, that is told
/// instead: what else is wrong follows from it.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    explain(text, || typed(&read(text)?))
}

/// Reads, and blames a blank that is none where there is one.
pub(crate) fn explain<T>(text: &str, reader: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    reader().map_err(|fault| match text::odd_blanks(text).next() {
        Some(odd) => Fault::at(odd.line, odd.message()),
        None => fault,
    })
}

/// Reads a part of a tree as a value of a type. The path of a fault begins there.
///
/// # Errors
///
/// The first fault: what is not of the type.
pub fn from_node<T: DeserializeOwned>(node: &Node) -> Result<T, Fault> {
    typed(node)
}

/// Reads a tree as a value of a type.
pub(crate) fn typed<T: DeserializeOwned>(root: &Node) -> Result<T, Fault> {
    T::deserialize(Reader(root)).map_err(|wrong| Fault {
        line: wrong.line.unwrap_or(root.line),
        path: wrong.path(),
        message: wrong.message,
    })
}

/// What is wrong, as it is passed from the inside out.
#[derive(Debug)]
struct Wrong {
    message: String,
    /// The line, once somebody knew it.
    line: Option<usize>,
    /// The steps to it, the innermost first.
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Name(String),
    Index(usize),
}

impl Wrong {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            line: None,
            steps: Vec::new(),
        }
    }

    /// Adds a step further out, and its line where no step further in had one.
    fn within(mut self, step: Step, line: usize) -> Self {
        self.line.get_or_insert(line);
        self.steps.push(step);
        self
    }

    fn path(&self) -> String {
        self.steps
            .iter()
            .rev()
            .fold(String::new(), |path, step| match step {
                Step::Name(name) => join(&path, name),
                Step::Index(index) => format!("{path}[{index}]"),
            })
    }
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("expected {expected}, found {found}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        let hint = did_you_mean(found, known.iter().copied());
        Self::new(format!("{found:?} is not one of {}{hint}", known.join(", ")))
    }

    fn unknown_field(found: &str, known: &'static [&'static str]) -> Self {
        let hint = did_you_mean(found, known.iter().copied());
        Self::new(format!("unknown field{hint}; known here: {}", known.join(", ")))
    }

    fn missing_field(name: &'static str) -> Self {
        let mut wrong = Self::new("is missing");
        wrong.steps.push(Step::Name(name.to_owned()));
        wrong
    }
}

/// A value that is to be read.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a Node);

/// Reads whole numbers with the limits of their type.
macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            visitor.$visit(self.0.number($type::MIN, $type::MAX)?)
        })*
    };
}

impl<'de> de::Deserializer<'de> for Reader<'_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let Value::Scalar(Scalar { text, .. }) = &self.0.value else {
            return match &self.0.value {
                Value::List(_) => self.deserialize_seq(visitor),
                _ => self.deserialize_map(visitor),
            };
        };
        match self.0.kind() {
            "nothing" => visitor.visit_unit(),
            "true or false" => visitor.visit_bool(**text == "true"),
            "a number" => match (text.parse::<u64>(), text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(number), _, _) => visitor.visit_u64(number),
                (_, Ok(number), _) => visitor.visit_i64(number),
                (_, _, Ok(number)) => visitor.visit_f64(number),
                _ => Err(self.0.expected("a number").into()),
            },
            _ => visitor.visit_str(text),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_bool(self.0.boolean()?)
    }

    whole_numbers! {
        deserialize_i8 visit_i8 i8
        deserialize_i16 visit_i16 i16
        deserialize_i32 visit_i32 i32
        deserialize_i64 visit_i64 i64
        deserialize_u8 visit_u8 u8
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
        deserialize_u64 visit_u64 u64
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_str(self.0.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0.is_null() {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0.is_null() {
            true => visitor.visit_unit(),
            false => Err(self.0.expected("nothing").into()),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_seq(Items(self.0.items()?.iter().enumerate()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.fields(&[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.fields(known, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match &self.0.value {
            Value::Map(entries) => match entries.as_slice() {
                [(key, node)] => visitor.visit_enum(Variant(key, node)),
                _ => Err(self.0.expected("a map with one name").into()),
            },
            _ => visitor.visit_enum(StrDeserializer::new(self.0.text()?)),
        }
    }

    forward_to_deserialize_any! { f32 f64 bytes byte_buf unit_struct identifier ignored_any }
}

impl Reader<'_> {
    /// Reads a map. What is nothing is absent, where the name is among the known ones: as if the line were not there.
    fn fields<'de, V: Visitor<'de>>(
        self,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let entries = self.0.entries()?;
        let present = |(key, node): &&(Key, Node)| !(node.is_null() && known.contains(&key.name.as_str()));
        visitor.visit_map(Entries {
            entries: entries.iter().filter(present),
            value: None,
        })
    }
}

/// The values of a list.
struct Items<'a>(std::iter::Enumerate<std::slice::Iter<'a, Node>>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        let Some((index, node)) = self.0.next() else {
            return Ok(None);
        };
        let read = seed.deserialize(Reader(node));
        read.map(Some)
            .map_err(|wrong| wrong.within(Step::Index(index), node.line))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint().1
    }
}

/// The entries of a map.
struct Entries<'a, I> {
    entries: I,
    value: Option<&'a (Key, Node)>,
}

impl<'de, 'a, I: Iterator<Item = &'a (Key, Node)>> MapAccess<'de> for Entries<'a, I> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        self.value = self.entries.next();
        let Some((key, _)) = self.value else {
            return Ok(None);
        };
        let name: StrDeserializer<'_, Wrong> = key.name.as_str().into_deserializer();
        seed.deserialize(name)
            .map(Some)
            .map_err(|wrong| wrong.within(Step::Name(key.name.clone()), key.line))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Wrong> {
        let (key, node) = self
            .value
            .ok_or_else(|| Wrong::new("a value is read behind its key"))?;
        seed.deserialize(Reader(node)).map_err(|wrong| {
            // What is missing in a map is missed where the map begins.
            wrong.within(Step::Name(key.name.clone()), key.line)
        })
    }
}

/// A choice with a value: a map with one name.
struct Variant<'a>(&'a Key, &'a Node);

impl<'a, 'de> EnumAccess<'de> for Variant<'a> {
    type Error = Wrong;
    type Variant = Content<'a>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Content<'a>), Wrong> {
        let name: StrDeserializer<'_, Wrong> = self.0.name.as_str().into_deserializer();
        let value = seed
            .deserialize(name)
            .map_err(|wrong| wrong.within(Step::Name(self.0.name.clone()), self.0.line))?;
        Ok((value, Content(self.0, self.1)))
    }
}

/// What a choice holds.
struct Content<'a>(&'a Key, &'a Node);

impl Content<'_> {
    fn located<T>(&self, read: Result<T, Wrong>) -> Result<T, Wrong> {
        read.map_err(|wrong| wrong.within(Step::Name(self.0.name.clone()), self.0.line))
    }
}

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Wrong;

    fn unit_variant(self) -> Result<(), Wrong> {
        self.located(de::Deserialize::deserialize(Reader(self.1)))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Wrong> {
        self.located(seed.deserialize(Reader(self.1)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.located(de::Deserializer::deserialize_seq(Reader(self.1), visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.located(Reader(self.1).fields(known, visitor))
    }
}

#[cfg(test)]
mod tests;
