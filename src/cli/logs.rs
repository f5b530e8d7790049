//! `logs`: what containers wrote, from their log files; no process is asked, so it works on pods that have ended.
//! Source: kubelet `validateContainerLogStatus` for the choice of the instance, kubectl for the flags.

use crate::cli::args::LogsArgs;
use crate::cli::exit::{Code, DONE, Failed, Outcome, cannot};
use crate::cli::settings::Settings;
use crate::cli::{follow, pods, report, table};
use crate::pod::{ContainerState, ContainerView};
use crate::stdio::{self, LogQuery, LogSource, Told};
use crate::supervisor::{PodRecord, SNAPSHOT};
use crate::sys;
use std::io::{self, BufWriter};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant, SystemTime};

/// Time between two looks at a snapshot that is the same by its number and time while a log is followed: a flood of output must
/// not read it each turn.
const LOOK: Duration = Duration::from_secs(1);
/// The waiting reason of a container whose supervisor has not begun.
const NOT_BEGUN: &str = "ContainerCreating";

/// There is no log to show.
#[derive(Debug, thiserror::Error)]
enum NoLog {
    #[error("container \"{container}\" in pod \"{pod}\" is waiting to start: {reason}")]
    Waiting {
        container: String,
        pod: String,
        reason: String,
        message: String,
    },
    #[error("previous terminated container \"{container}\" in pod \"{pod}\" not found")]
    NoPrevious { container: String, pod: String },
}

pub(super) fn logs(settings: &Settings, args: &LogsArgs) -> Outcome {
    let query = query(args)?;
    let (pod, named) = pods::find_with_container(settings, &args.pod)?;
    let named = args.container.as_deref().or(named.as_deref());
    let names = if !args.all_containers {
        vec![pods::container(&pod, named)?.name.clone()]
    } else if let Some(name) = named {
        let message = format!("container `{name}` and --all-containers exclude each other");
        return Err(Failed::new(Code::Usage, message));
    } else {
        let containers = pod.plan.pod.containers.iter();
        containers.map(|c| c.name.clone()).collect()
    };
    let (mut shown, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        match Shown::choose(&pod, &name, args.previous) {
            Ok(instance) => shown.push(instance),
            Err(no_log) => failures.push(failed(no_log)),
        }
    }
    if shown.is_empty()
        && let Some(failed) = failures.pop()
    {
        return Err(failed);
    }
    for failed in &failures {
        report::warn(report::chain(failed.error.as_ref()));
    }
    match show(&pod, &shown, &query, args) {
        // Who reads has seen enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => DONE,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let message = format!("the log of pod `{}` is gone", pod.plan.pod.name);
            Err(Failed::new(Code::NotFound, message))
        }
        Err(e) => Err(cannot(format!("read the log of pod `{}`", pod.plan.pod.name))(e).into()),
        Ok(()) if failures.is_empty() => DONE,
        Ok(()) => Ok(Code::Partly as u8),
    }
}

fn failed(no_log: NoLog) -> Failed {
    let hint = match &no_log {
        NoLog::Waiting { message, .. } if !message.is_empty() => Some(message.clone()),
        NoLog::Waiting { .. } | NoLog::NoPrevious { .. } => None,
    };
    let failed = Failed::new(Code::Failed, no_log);
    match hint {
        Some(hint) => failed.hint(hint),
        None => failed,
    }
}

/// What to print of each log.
fn query(args: &LogsArgs) -> Result<LogQuery, Failed> {
    let usage = |message: &str| Failed::new(Code::Usage, message);
    let tail = match args.tail {
        -1 => None,
        n => Some(u64::try_from(n).map_err(|_| usage("--tail is -1 or more"))?),
    };
    if args.limit_bytes == Some(0) {
        return Err(usage("--limit-bytes is at least 1"));
    }
    let now = sys::now().wall.0;
    let since = match (&args.since, &args.since_time) {
        (Some(span), _) => since(table::duration(span)?, now),
        (None, Some(time)) => {
            let parsed = time.parse::<jiff::Timestamp>();
            let wrong = cannot(format!("read `{time}` as an RFC 3339 time"));
            Some(parsed.map_err(|e| Failed::new(Code::Usage, wrong(e)))?)
        }
        (None, None) => None,
    };
    Ok(LogQuery {
        tail,
        since,
        timestamps: args.timestamps,
        limit_bytes: args.limit_bytes,
        prefix: None,
    })
}

/// That long before `now` (milliseconds since the epoch), in whole seconds and at least one; zero means all. Source: kubectl.
fn since(span: Duration, now: u64) -> Option<jiff::Timestamp> {
    if span.is_zero() {
        return None;
    }
    let seconds = (span + Duration::from_millis(500)).as_secs().max(1);
    let cutoff = now.saturating_sub(seconds.saturating_mul(1000));
    jiff::Timestamp::from_millisecond(i64::try_from(cutoff).ok()?).ok()
}

/// The instance of one container whose log is shown.
struct Shown {
    container: String,
    /// The number of its log file.
    attempt: u32,
    /// It may write more.
    runs: bool,
}

impl Shown {
    /// The running instance, else the last that ended; with `previous` the one of `lastState`.
    fn choose(pod: &PodRecord, name: &str, previous: bool) -> Result<Shown, NoLog> {
        let (container, title) = (name.to_owned(), pod.plan.pod.name.clone());
        let view = pods::container_view(pod, name);
        match instance(view, previous) {
            Some((attempt, runs)) => Ok(Shown {
                container,
                attempt,
                runs,
            }),
            None if previous => Err(NoLog::NoPrevious {
                container,
                pod: title,
            }),
            None => {
                let (reason, message) = match view.map(|view| &view.state) {
                    Some(ContainerState::Waiting { reason, message }) => (reason.as_str(), message),
                    _ => (NOT_BEGUN, &String::new()),
                };
                Err(NoLog::Waiting {
                    container,
                    pod: title,
                    reason: reason.to_owned(),
                    message: message.clone(),
                })
            }
        }
    }

    fn source(&self, pod: &PodRecord, query: &LogQuery, prefix: bool) -> LogSource {
        let (logs, spec) = (&pod.plan.dirs.logs, &pod.plan.pod);
        let mut query = query.clone();
        query.prefix = prefix.then(|| format!("[pod/{}/{}] ", spec.name, self.container));
        LogSource {
            path: stdio::container_log(logs, spec, &self.container, self.attempt),
            query,
        }
    }
}

/// The number of the log file of the instance that is meant, and whether that instance runs; `None` when there is none.
fn instance(view: Option<&ContainerView>, previous: bool) -> Option<(u32, bool)> {
    let view = view?;
    let last = view.last_state.as_ref().map(|last| {
        // While a container waits for its restart, the one that ended last is both its instance and its last state.
        let is_current = view.instance.as_ref().is_none_or(|id| *id == last.instance);
        let earlier = u32::from(!is_current);
        (view.restart_count.saturating_sub(earlier), false)
    });
    match &view.state {
        _ if previous => last,
        ContainerState::Running { .. } => Some((view.restart_count, true)),
        ContainerState::Terminated(_) => Some((view.restart_count, false)),
        ContainerState::Waiting { .. } => last,
    }
}

fn show(pod: &PodRecord, shown: &[Shown], query: &LogQuery, args: &LogsArgs) -> io::Result<()> {
    let sources: Vec<_> = shown
        .iter()
        .map(|one| one.source(pod, query, args.prefix))
        .collect();
    let mut out = BufWriter::new(io::stdout().lock());
    if !args.follow {
        for source in &sources {
            stdio::print(&source.path, &source.query, &mut out)?;
        }
        return Ok(());
    }
    let mut now = Now {
        pod: pod.clone(),
        file: None,
        seen: follow::now(),
    };
    let told = Told::ByFileIn(&pod.dir.state);
    stdio::follow(&sources, told, &mut out, |index| {
        let one = &shown[index];
        !one.runs || now.has_ended(one)
    })
}

/// The pod as it was at the last look.
struct Now {
    pod: PodRecord,
    /// Which file the snapshot was: its number, the time it was written.
    file: Option<(u64, SystemTime)>,
    seen: Instant,
}

impl Now {
    /// Whether the instance has ended. Its log is whole by then: the end is told after the last line was written.
    fn has_ended(&mut self, shown: &Shown) -> bool {
        let meta = self.pod.dir.file(SNAPSHOT).metadata();
        let file = meta.and_then(|meta| Ok((meta.ino(), meta.modified()?)));
        let file = file.ok();
        if file != self.file || self.seen.elapsed() >= LOOK {
            (self.file, self.seen) = (file, follow::now());
            match follow::reread(&self.pod) {
                Ok(pod) => self.pod = pod,
                // Written whole and renamed, so this is no half-written one; the next look will tell.
                Err(_) => return false,
            }
        }
        let Some(snapshot) = &self.pod.snapshot else {
            return true;
        };
        let view = pods::container_view(&self.pod, &shown.container);
        let runs = instance(view, false) == Some((shown.attempt, true));
        // Of a pod without a keeper nobody notes the end.
        let lives = view.and_then(|view| view.pid).and_then(sys::start_time);
        !runs
            || snapshot.boot_id != sys::boot_id()
            || (lives.is_none() && !follow::is_supervised(&self.pod))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{InstanceId, Wall};
    use crate::manifest::Role;
    use crate::pod::Terminated;

    fn ended(instance: &str) -> Terminated {
        Terminated {
            exit_code: 1,
            reason: "Error".into(),
            message: String::new(),
            started_at: None,
            finished_at: Wall(0),
            instance: InstanceId(instance.into()),
        }
    }

    fn view(state: ContainerState, now: Option<&str>, last: Option<&str>) -> ContainerView {
        ContainerView {
            name: "c".into(),
            role: Role::App,
            state,
            last_state: last.map(ended),
            ready: false,
            started: false,
            restart_count: 3,
            image_id: String::new(),
            instance: now.map(|id| InstanceId(id.into())),
            pid: None,
        }
    }

    #[test]
    fn the_log_shown_is_the_running_instance_s_or_the_last_that_ended() {
        let running = || ContainerState::Running {
            started_at: Wall(0),
        };
        let waiting = || ContainerState::Waiting {
            reason: "CrashLoopBackOff".into(),
            message: String::new(),
        };
        let terminated = || ContainerState::Terminated(ended("c-3"));
        for (view, current, previous) in [
            (view(running(), Some("c-3"), None), Some((3, true)), None),
            (
                view(running(), Some("c-3"), Some("c-2")),
                Some((3, true)),
                Some((2, false)),
            ),
            (
                view(waiting(), Some("c-3"), Some("c-3")),
                Some((3, false)),
                Some((3, false)),
            ),
            (
                view(waiting(), Some("c-3"), Some("c-2")),
                Some((2, false)),
                Some((2, false)),
            ),
            (
                view(terminated(), Some("c-3"), Some("c-2")),
                Some((3, false)),
                Some((2, false)),
            ),
            (
                view(terminated(), Some("c-3"), None),
                Some((3, false)),
                None,
            ),
            (view(waiting(), None, None), None, None),
        ] {
            assert_eq!(instance(Some(&view), false), current, "{view:?}");
            assert_eq!(instance(Some(&view), true), previous, "{view:?}");
        }
        assert_eq!(instance(None, false), None);
    }

    #[test]
    fn since_is_whole_seconds_and_at_least_one() {
        for (ms, before) in [(1, 1), (1400, 1), (1500, 2), (60_000, 60)] {
            let cutoff = since(Duration::from_millis(ms), 100_000).expect("a cutoff");
            assert_eq!(cutoff.as_second(), 100 - before, "{ms} ms");
        }
        assert_eq!(since(Duration::ZERO, 100_000), None);
    }
}
