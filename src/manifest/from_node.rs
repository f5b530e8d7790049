//! The one `Deserializer` of this program's Kubernetes types. Each further one would add half a megabyte.

use crate::manifest::decode::{Failure, State};
use crate::manifest::node::{Entry, Node, Value};
use serde::de::{
    self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use std::cell::RefCell;
use std::fmt;

/// One value on its way into a type.
#[derive(Clone, Copy)]
pub struct FromNode<'a> {
    node: &'a Node,
    /// The value of the node, or null in place of a refused one.
    value: &'a Value,
    state: &'a RefCell<State>,
}

impl<'a> FromNode<'a> {
    /// The value of this node, or null when it is refused.
    pub fn new(node: &'a Node, state: &'a RefCell<State>) -> FromNode<'a> {
        static NULL: Value = Value::Null;
        let refused = state.borrow().refuses(node);
        let value = if refused { &NULL } else { &node.value };
        FromNode { node, value, state }
    }

    /// Tells that the type is wrong; the caller goes on with the empty value. Null is the empty value of every type.
    fn mismatch(self, wanted: &str) {
        let advice = match (self.value, wanted) {
            (Value::Null, _) => return,
            (Value::Bool(_) | Value::Int(_) | Value::Float(_), "a string") => " (quote it)",
            (Value::String(text), "an integer") if text.parse::<i64>().is_ok() => {
                " (remove the quotes)"
            }
            _ => "",
        };
        let detail = format!("must be {wanted}, got {}{advice}", self.node.kind());
        let mut state = self.state.borrow_mut();
        state.refuse(self.node, Failure::Wrong(detail));
    }

    /// An integer of this type, or 0 after a finding.
    fn integer<I: TryFrom<i64> + Default + fmt::Display>(self, min: I, max: I) -> I {
        let &Value::Int(value) = self.value else {
            self.mismatch("an integer");
            return I::default();
        };
        I::try_from(value).unwrap_or_else(|_| {
            let detail = format!("must be between {min} and {max}, inclusive");
            let mut state = self.state.borrow_mut();
            state.refuse(self.node, Failure::Wrong(detail));
            I::default()
        })
    }

    fn text(self) -> &'a str {
        match self.value {
            Value::String(text) => text,
            _ => {
                self.mismatch("a string");
                ""
            }
        }
    }

    /// Makes a part of this value. A failure is told here, where the path is known, and goes up as told.
    fn part<'de, S: DeserializeSeed<'de>>(
        self,
        segment: fmt::Arguments<'_>,
        seed: S,
    ) -> Result<S::Value, Failure> {
        let outer = self.state.borrow_mut().enter(segment);
        let result = seed.deserialize(self).map_err(|failure| {
            self.state.borrow_mut().refuse(self.node, failure);
            Failure::Told
        });
        self.state.borrow_mut().path.truncate(outer);
        result
    }

    fn map<'de, V: Visitor<'de>>(
        self,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let entries: &[Entry] = match self.value {
            Value::Map(entries) => entries,
            _ => {
                self.mismatch("a mapping");
                &[]
            }
        };
        visitor.visit_map(Entries {
            entries: entries.iter(),
            fields,
            value: None,
            state: self.state,
        })
    }

    fn list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let items: &[Node] = match self.value {
            Value::List(items) => items,
            _ => {
                self.mismatch("a list");
                &[]
            }
        };
        visitor.visit_seq(Items {
            items: items.iter().enumerate(),
            state: self.state,
        })
    }
}

/// The entries of a mapping that are not refused; of a struct, those that it knows.
struct Entries<'a> {
    entries: std::slice::Iter<'a, Entry>,
    /// The fields of a struct; `None` for a mapping with free keys.
    fields: Option<&'static [&'static str]>,
    value: Option<&'a Entry>,
    state: &'a RefCell<State>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Failure;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Failure> {
        for entry in self.entries.by_ref() {
            if let Some(fields) = self.fields
                && !fields.contains(&&*entry.key)
            {
                self.state.borrow_mut().unknown(entry, fields);
            } else if !self.state.borrow().refuses(&entry.node) {
                self.value = Some(entry);
                let key = IntoDeserializer::<Failure>::into_deserializer(entry.key.as_str());
                return seed.deserialize(key).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Failure> {
        let Some(entry) = self.value.take() else {
            return Err(de::Error::custom("must have a key before its value"));
        };
        let value = FromNode::new(&entry.node, self.state);
        let key = &entry.key;
        match self.fields {
            Some(_) => value.part(format_args!(".{key}"), seed),
            None => value.part(format_args!("[{key}]"), seed),
        }
    }
}

/// The items of a list; a refused one keeps its index, as an empty value.
struct Items<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    state: &'a RefCell<State>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Failure> {
        let Some((index, node)) = self.items.next() else {
            return Ok(None);
        };
        let item = FromNode::new(node, self.state);
        item.part(format_args!("[{index}]"), seed).map(Some)
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            visitor.$visit(self.integer($type::MIN, $type::MAX))
        }
    )*};
}

impl<'de> Deserializer<'de> for FromNode<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::String(value) => visitor.visit_str(value),
            Value::List(_) => self.list(visitor),
            Value::Map(_) => self.map(None, visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            _ => {
                self.mismatch("a boolean");
                visitor.visit_bool(false)
            }
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8
        deserialize_i16 visit_i16 i16
        deserialize_i32 visit_i32 i32
        deserialize_i64 visit_i64 i64
        deserialize_u8 visit_u8 u8
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_i64(self.integer(0_i64, i64::MAX))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value {
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            _ => {
                self.mismatch("a number");
                visitor.visit_f64(0.0)
            }
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_str(self.text())
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_str(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_str(self.text())
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_str(self.text())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.value {
            // A null amount is zero to Go; `visit_unit` would be refused.
            Value::Null if name == "Quantity" => visitor.visit_str("0"),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.map(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.map(Some(fields), visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i128 u128 bytes byte_buf unit unit_struct tuple tuple_struct enum
    }
}
