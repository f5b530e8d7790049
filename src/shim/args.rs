//! The command line that containerd gives a shim: flags as Go writes them (`-id x`, `--id x`, `-id=x`), then one word.

/// What the program is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Start a server, or find the one of the pod.
    Start,
    /// Clean up after one.
    Delete,
    /// Be one.
    Serve,
    /// Say what the runtime can do.
    Info,
    /// Say which version this is.
    Version,
}

/// The flags that matter; unknown ones are passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Args {
    pub action: Action,
    /// Namespace of containerd.
    pub namespace: String,
    /// containerd's own socket.
    pub address: String,
    /// The container.
    pub id: String,
    /// Its bundle; empty for the working directory.
    pub bundle: String,
    /// The server's socket.
    pub socket: String,
    pub debug: bool,
}

impl Args {
    /// Reads them; what is missing is empty.
    pub fn read(words: impl Iterator<Item = String>) -> Args {
        let mut args = Args {
            action: Action::Serve,
            namespace: String::new(),
            address: String::new(),
            id: String::new(),
            bundle: String::new(),
            socket: String::new(),
            debug: false,
        };
        let mut words = words;
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix('-') else {
                match word.as_str() {
                    "start" => args.action = Action::Start,
                    "delete" => args.action = Action::Delete,
                    _ => {}
                }
                continue;
            };
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, own) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            let is_set = own.as_deref() != Some("false");
            match name {
                "debug" => args.debug = is_set,
                "info" if is_set => args.action = Action::Info,
                "v" | "version" if is_set => args.action = Action::Version,
                "info" | "v" | "version" => {}
                _ => {
                    let value = own.or_else(|| words.next()).unwrap_or_default();
                    match name {
                        "namespace" => args.namespace = value,
                        "address" => args.address = value,
                        "id" => args.id = value,
                        "bundle" => args.bundle = value,
                        "socket" => args.socket = value,
                        _ => {}
                    }
                }
            }
        }
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Args {
        Args::read(text.split(' ').map(str::to_owned))
    }

    #[test]
    fn flags_are_read_as_containerd_writes_them() {
        let args = read(
            "-namespace k8s.io -address /run/c.sock -publish-binary /usr/bin/containerd -id abc -debug start",
        );
        assert_eq!(args.action, Action::Start);
        assert_eq!(
            (
                args.namespace.as_str(),
                args.address.as_str(),
                args.id.as_str()
            ),
            ("k8s.io", "/run/c.sock", "abc")
        );
        assert!(args.debug);
        let args = read("--namespace=n -unknown start -id=x -bundle /b delete");
        assert_eq!(args.action, Action::Delete, "`start` was a value");
        assert_eq!((args.id.as_str(), args.bundle.as_str()), ("x", "/b"));
        for (text, action) in [
            ("-info", Action::Info),
            ("-v", Action::Version),
            ("--version", Action::Version),
            ("-v=false -id x", Action::Serve),
        ] {
            assert_eq!(read(text).action, action, "{text}");
        }
    }
}
