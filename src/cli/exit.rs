//! Exit codes and the error that carries one.

use std::error::Error;

/// Exit codes of podshim's own verdicts; `run` and `exec` otherwise give the process's. Documented in the README, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// Wrong usage or an invalid manifest; nothing was changed.
    Usage = 2,
    /// No such pod or container.
    NotFound = 3,
    /// It did not happen in time.
    Timeout = 4,
    /// The name or a port belongs to another.
    Conflict = 5,
    /// Done for some; the others are listed on standard error.
    Partly = 6,
    /// This machine lacks something that is needed.
    Host = 7,
    /// `run` or `exec` could not do its own part.
    Own = 125,
}

/// Why a verb failed: the code, the chain of causes, and how to mend it if we know.
#[derive(Debug)]
pub struct Failed {
    /// What the program exits with.
    pub code: Code,
    /// What could not be done, and why.
    pub error: Box<dyn Error>,
    /// What the user can do about it.
    pub hint: Option<String>,
}

impl Failed {
    /// An error with its code.
    pub fn new(code: Code, error: impl Into<Box<dyn Error>>) -> Failed {
        Failed {
            code,
            error: error.into(),
            hint: None,
        }
    }

    /// The same with the code of what is podshim's own part, lest it be taken for that of a process whose code is passed on.
    pub fn own(self) -> Failed {
        Failed {
            code: Code::Own,
            ..self
        }
    }

    /// The same with advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Failed {
        self.hint = Some(hint.into());
        self
    }
}

impl<E: Error + 'static> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed::new(Code::Failed, error)
    }
}

/// What a verb gives back: its exit code.
pub type Outcome = Result<u8, Failed>;

/// The ordinary end.
pub const DONE: Outcome = Ok(Code::Done as u8);

/// What podshim could not do, with the reason as source.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}")]
pub struct Cannot {
    /// Verb and object.
    pub what: String,
    /// Why.
    #[source]
    pub source: Box<dyn Error>,
}

/// Puts a sentence before an error.
pub fn cannot<E: Into<Box<dyn Error>>>(what: impl Into<String>) -> impl FnOnce(E) -> Cannot {
    let what = what.into();
    move |source| Cannot {
        what,
        source: source.into(),
    }
}
