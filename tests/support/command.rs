//! Runs a program with a deadline. Its output goes to files, so that a child that keeps them open holds up nobody.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long one command may take. Generous: a debug build on a busy machine; reached only when something hangs.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);

/// How often a condition is asked again.
const POLL: Duration = Duration::from_millis(20);

/// A command that ended.
#[derive(Debug)]
pub struct Ran {
    /// The command line, for messages.
    pub line: String,
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Ran {
    /// Itself, if it ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Ran {
        assert_eq!(
            self.code,
            Some(code),
            "\n$ {}\n-- stdout:\n{}-- stderr:\n{}",
            self.line,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Its standard output, if it ended with 0.
    #[track_caller]
    pub fn text(self) -> String {
        self.expect(0).stdout
    }

    /// The same without white space around it.
    #[track_caller]
    pub fn word(self) -> String {
        self.text().trim().to_owned()
    }

    /// Standard output as JSON, if it ended with 0.
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        let line = self.line.clone();
        let text = self.text();
        serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("`{line}` printed no JSON: {e}\n{text}"))
    }
}

/// A command that runs beside the test.
pub struct Background {
    line: String,
    child: Child,
    stdout: File,
    stderr: File,
}

impl Background {
    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        contents(&self.stdout)
    }

    /// What it printed on standard error so far.
    pub fn stderr(&self) -> String {
        contents(&self.stderr)
    }

    /// Its exit code if it has ended; -1 if by a signal.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.child.try_wait().expect("the child is ours");
        status.map(|status| status.code().unwrap_or(-1))
    }

    /// Ends it, if it still runs.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it ends.
    #[track_caller]
    pub fn wait(mut self) -> Ran {
        let deadline = now() + COMMAND_DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                break status;
            }
            if now() > deadline {
                self.child.kill().expect("the child is ours");
                self.child.wait().expect("the child is ours");
                panic!(
                    "`{}` did not end within {COMMAND_DEADLINE:?}\n-- stdout:\n{}-- stderr:\n{}",
                    self.line,
                    contents(&self.stdout),
                    contents(&self.stderr)
                );
            }
            sleep(POLL);
        };
        Ran {
            line: self.line.clone(),
            code: status.code(),
            stdout: contents(&self.stdout),
            stderr: contents(&self.stderr),
        }
    }
}

/// A test that fails leaves no process behind.
impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts a command beside the test, with this on its standard input.
#[track_caller]
pub fn background(command: &mut Command, input: &[u8]) -> Background {
    let line = line(command);
    let file = || tempfile::tempfile().expect("a temporary file");
    let (mut stdin, stdout, stderr) = (file(), file(), file());
    stdin.write_all(input).expect("a temporary file");
    stdin.seek(SeekFrom::Start(0)).expect("a temporary file");
    let child = command
        .stdin(stdin)
        .stdout(Stdio::from(stdout.try_clone().expect("a file descriptor")))
        .stderr(Stdio::from(stderr.try_clone().expect("a file descriptor")))
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start `{line}`: {e}"));
    Background {
        line,
        child,
        stdout,
        stderr,
    }
}

/// The program and its arguments, without the environment.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    words.join(" ")
}

/// The same command at a terminal of 33 rows and 99 columns.
pub fn at_terminal(command: &Command) -> Command {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let line = format!("stty rows 33 cols 99; exec {}", words.join(" "));
    let mut outer = Command::new("script");
    outer.args(["-qefc", &line, "/dev/null"]);
    let set = command.get_envs();
    outer.envs(set.filter_map(|(name, value)| Some((name, value?))));
    outer
}

/// Runs a command to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Ran {
    background(command, b"").wait()
}

/// Runs a command to its end, with this on its standard input.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Ran {
    background(command, input).wait()
}

/// Asks again until there is an answer; after `seconds`, fails and says what it last saw.
#[track_caller]
pub fn until<T>(seconds: u64, what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let deadline = now() + Duration::from_secs(seconds);
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(seen) if now() > deadline => {
                panic!("waited {seconds} s in vain for: {what}\nlast seen: {seen}")
            }
            Err(_) => sleep(POLL),
        }
    }
}

/// The file shares its offset with the child that writes it, so it is read through a descriptor of its own.
fn contents(file: &File) -> String {
    use std::os::fd::AsRawFd;
    let mut bytes = Vec::new();
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .and_then(|mut own| own.read_to_end(&mut bytes))
        .expect("a temporary file is readable");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[allow(clippy::disallowed_methods, reason = "a test has its own clock")]
fn now() -> Instant {
    Instant::now()
}
