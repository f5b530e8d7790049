//! Objects of a `config.json`, whose members are taken one by one. Invariant: what nobody took is an error, never ignored.

use crate::bundle::native::Refusal;
use serde_json::{Map, Value};

/// An object and where it is.
pub(super) struct Fields {
    path: String,
    members: Map<String, Value>,
}

impl Fields {
    /// A whole configuration.
    pub fn of_text(json: &[u8]) -> Result<Fields, Refusal> {
        let value = serde_json::from_slice(json).map_err(Refusal::Syntax)?;
        Fields::of(String::new(), value)
    }

    fn of(path: String, value: Value) -> Result<Fields, Refusal> {
        match value {
            Value::Object(members) => Ok(Fields { path, members }),
            other => Err(Refusal::value(path, &other)),
        }
    }

    /// The full name of a member.
    fn name(&self, member: &str) -> String {
        match self.path.as_str() {
            "" => member.to_owned(),
            path => format!("{path}.{member}"),
        }
    }

    /// A member; `null` is as good as none.
    fn take(&mut self, member: &str) -> Option<Value> {
        self.members.remove(member).filter(|value| !value.is_null())
    }

    fn taken<T>(
        &mut self,
        member: &str,
        as_kind: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.take(member) else {
            return Ok(None);
        };
        match as_kind(&value) {
            Some(taken) => Ok(Some(taken)),
            None => Err(self.refuse(member, &value)),
        }
    }

    /// This member cannot be what it is.
    pub fn refuse(&self, member: &str, value: &Value) -> Refusal {
        Refusal::value(self.name(member), value)
    }

    /// A member that must be there.
    pub fn needed<T>(&self, member: &str, taken: Option<T>) -> Result<T, Refusal> {
        taken.ok_or_else(|| Refusal::Absent(self.name(member)))
    }

    /// Text without a NUL, which no system call could take.
    pub fn text(&mut self, member: &str) -> Result<Option<String>, Refusal> {
        self.taken(member, text)
    }

    pub fn flag(&mut self, member: &str) -> Result<bool, Refusal> {
        Ok(self.taken(member, Value::as_bool)?.unwrap_or(false))
    }

    pub fn natural(&mut self, member: &str) -> Result<Option<u64>, Refusal> {
        self.taken(member, Value::as_u64)
    }

    pub fn integer(&mut self, member: &str) -> Result<Option<i64>, Refusal> {
        self.taken(member, Value::as_i64)
    }

    /// A user, group or mode.
    pub fn id(&mut self, member: &str) -> Result<Option<u32>, Refusal> {
        self.taken(member, id)
    }

    pub fn ids(&mut self, member: &str) -> Result<Vec<u32>, Refusal> {
        self.list(member, id)
    }

    pub fn texts(&mut self, member: &str) -> Result<Vec<String>, Refusal> {
        self.list(member, text)
    }

    fn list<T>(
        &mut self,
        member: &str,
        of: impl Fn(&Value) -> Option<T>,
    ) -> Result<Vec<T>, Refusal> {
        let all = |value: &Value| value.as_array()?.iter().map(&of).collect();
        Ok(self.taken(member, all)?.unwrap_or_default())
    }

    /// Names with a text each, in the order of the names.
    pub fn pairs(&mut self, member: &str) -> Result<Vec<(String, String)>, Refusal> {
        let pair = |(name, value): (&String, &Value)| Some((name.clone(), text(value)?));
        let all = |value: &Value| value.as_object()?.iter().map(pair).collect();
        let mut pairs: Vec<_> = self.taken(member, all)?.unwrap_or_default();
        pairs.sort();
        Ok(pairs)
    }

    pub fn object(&mut self, member: &str) -> Result<Option<Fields>, Refusal> {
        let name = self.name(member);
        self.take(member)
            .map(|value| Fields::of(name, value))
            .transpose()
    }

    pub fn objects(&mut self, member: &str) -> Result<Vec<Fields>, Refusal> {
        let name = self.name(member);
        match self.take(member) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => {
                let numbered = list.into_iter().enumerate();
                numbered
                    .map(|(index, value)| Fields::of(format!("{name}[{index}]"), value))
                    .collect()
            }
            Some(other) => Err(Refusal::value(name, &other)),
        }
    }

    /// Everything has been taken.
    pub fn end(self) -> Result<(), Refusal> {
        let mut left = self.members.iter().filter(|(_, value)| !value.is_null());
        match left.next() {
            None => Ok(()),
            Some((member, _)) => Err(Refusal::Unknown(self.name(member))),
        }
    }
}

fn text(value: &Value) -> Option<String> {
    let text = value.as_str().filter(|text| !text.contains('\0'))?;
    Some(text.to_owned())
}

fn id(value: &Value) -> Option<u32> {
    // The last one means "leave it as it is" to system calls.
    let id = u32::try_from(value.as_u64()?).ok()?;
    (id != u32::MAX).then_some(id)
}
