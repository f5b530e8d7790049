//! The messages, as they stand on the wire. Source: varlink.org, protocol and service interface.

use crate::base::to_json;
use crate::pod::{PodView, Refusal, Request};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::PathBuf;

/// What `org.varlink.service.GetInterfaceDescription` answers.
pub const INTERFACE: &str = include_str!("io.podshim.Pod.varlink");

/// Names of what a client is attached with.
pub const STDOUT: &str = "stdout";
/// Its other output.
pub const STDERR: &str = "stderr";
/// The end that writes its standard input.
pub const STDIN: &str = "stdin";
/// The controlling side of its terminal.
pub const TERMINAL: &str = "terminal";

/// Longest request in bytes: a method name and a handful of small parameters.
pub const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// Longest reply in bytes that a client reads: the view of a pod with hundreds of containers.
pub const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;

/// A request as received.
#[derive(Debug, Deserialize)]
struct RawCall {
    method: String,
    #[serde(default)]
    parameters: Value,
    #[serde(default)]
    more: bool,
}

/// What can be asked of a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Something for the machine.
    Request(Request),
    /// The view, and again at each change if `more`.
    Watch {
        /// Keep sending.
        more: bool,
    },
    /// Descriptors of a container's streams.
    Attach {
        /// Its name.
        container: String,
        /// Also the one that writes its input.
        input: bool,
    },
    /// Let a supervisor of another program go on with the pod.
    Replace {
        /// Path of the program.
        program: PathBuf,
    },
    /// `org.varlink.service.GetInfo`.
    Info,
    /// `org.varlink.service.GetInterfaceDescription`.
    Describe,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The error's full name, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its values.
    #[serde(default)]
    pub parameters: Value,
    /// Another reply follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
}

impl Call {
    /// Reads a request; the reply that says what is wrong with it otherwise.
    pub fn parse(bytes: &[u8]) -> Result<Call, Reply> {
        let raw: RawCall = serde_json::from_slice(bytes).map_err(|_| Reply::invalid("method"))?;
        match raw.method.as_str() {
            "io.podshim.Pod.Request" => {
                let request = raw.parameters.get("request").cloned().unwrap_or_default();
                serde_json::from_value(request)
                    .map(Call::Request)
                    .map_err(|_| Reply::invalid("request"))
            }
            "io.podshim.Pod.Watch" => Ok(Call::Watch { more: raw.more }),
            "io.podshim.Pod.Attach" => {
                match raw.parameters.get("container").and_then(Value::as_str) {
                    Some(container) => Ok(Call::Attach {
                        container: container.to_owned(),
                        input: raw.parameters.get("input") == Some(&Value::Bool(true)),
                    }),
                    None => Err(Reply::invalid("container")),
                }
            }
            "io.podshim.Pod.Replace" => match raw.parameters.get("program").and_then(Value::as_str)
            {
                Some(program) => Ok(Call::Replace {
                    program: program.into(),
                }),
                None => Err(Reply::invalid("program")),
            },
            "org.varlink.service.GetInfo" => Ok(Call::Info),
            "org.varlink.service.GetInterfaceDescription" => Ok(Call::Describe),
            other => Err(Reply {
                error: Some("org.varlink.service.MethodNotFound".into()),
                parameters: json!({ "method": other }),
                continues: false,
            }),
        }
    }

    /// Writes a request, with its final NUL.
    pub fn to_bytes(&self) -> Vec<u8> {
        let value = match self {
            Call::Request(request) => {
                json!({ "method": "io.podshim.Pod.Request", "parameters": { "request": request } })
            }
            Call::Watch { more } => json!({ "method": "io.podshim.Pod.Watch", "more": more }),
            Call::Attach { container, input } => {
                let parameters = json!({ "container": container, "input": input });
                json!({ "method": "io.podshim.Pod.Attach", "parameters": parameters })
            }
            Call::Replace { program } => {
                json!({ "method": "io.podshim.Pod.Replace", "parameters": { "program": program } })
            }
            Call::Info => json!({ "method": "org.varlink.service.GetInfo" }),
            Call::Describe => {
                let parameters = json!({ "interface": "io.podshim.Pod" });
                json!({ "method": "org.varlink.service.GetInterfaceDescription", "parameters": parameters })
            }
        };
        terminated(to_json(&value).unwrap_or_default())
    }
}

impl Reply {
    /// Done, with these values.
    pub fn ok(parameters: Value) -> Reply {
        Reply {
            error: None,
            parameters,
            continues: false,
        }
    }

    /// The view of the pod.
    pub fn view(view: &PodView, continues: bool) -> Reply {
        Reply {
            error: None,
            parameters: json!({ "view": view }),
            continues,
        }
    }

    /// The machine said no.
    pub fn refused(refusal: &Refusal) -> Reply {
        Reply {
            error: Some("io.podshim.Pod.Refused".into()),
            parameters: json!({ "refusal": refusal }),
            continues: false,
        }
    }

    /// There is no keeper that could start another supervisor.
    pub fn irreplaceable() -> Reply {
        Reply {
            error: Some("io.podshim.Pod.Irreplaceable".into()),
            parameters: json!({}),
            continues: false,
        }
    }

    /// A part of the request is wrong.
    pub fn invalid(parameter: &str) -> Reply {
        Reply {
            error: Some("org.varlink.service.InvalidParameter".into()),
            parameters: json!({ "parameter": parameter }),
            continues: false,
        }
    }

    /// As written, with its final NUL.
    pub fn to_bytes(&self) -> Vec<u8> {
        terminated(to_json(self).unwrap_or_default())
    }
}

fn terminated(mut text: Vec<u8>) -> Vec<u8> {
    text.push(0);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_reads_back_and_nonsense_is_refused_by_name() {
        let stop = Call::Request(Request::Stop {
            grace_seconds: Some(3),
            force: false,
        });
        let replace = Call::Replace {
            program: "/p".into(),
        };
        let attach = Call::Attach {
            container: "c".into(),
            input: true,
        };
        let watch = Call::Watch { more: true };
        for call in [stop, attach, replace, watch, Call::Info, Call::Describe] {
            let bytes = call.to_bytes();
            let (last, body) = bytes.split_last().expect("not empty");
            assert_eq!((*last, Call::parse(body)), (0, Ok(call)));
        }
        for bad in [&b""[..], b"{", b"[]", b"{\"method\":1}", b"\xff"] {
            assert!(Call::parse(bad).is_err());
        }
        let unknown =
            Call::parse(b"{\"method\":\"io.podshim.Pod.Fly\"}").expect_err("no such method");
        assert_eq!(
            unknown.error.as_deref(),
            Some("org.varlink.service.MethodNotFound")
        );
    }
}
