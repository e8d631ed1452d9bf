//! Where the time of a run went: a trace for a viewer, and a summary for the terminal.
//!
//! # Source
//! The trace is in the Trace Event Format of Chrome, which `ui.perfetto.dev` and `chrome://tracing` open:
//! complete events (`X`), one lane (`tid`) per action.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use engine::StageEvent;
use engine::exec::Event;
use engine::profile::{LIMIT, Phase};
use engine::store::write_atomically;
use serde_json::{Value, json};

use crate::failure::{Code, Failure};
use crate::table::Table;

/// Consumes the events of a run.
pub(crate) struct Profile {
    path: PathBuf,
    actions: Vec<Timed>,
}

/// An action that ran.
struct Timed {
    name: String,
    start_us: u64,
    /// None while it runs.
    duration_us: Option<u64>,
    phases: Vec<Phase>,
}

/// The spans of one phase of an action together.
struct Sum {
    phase: String,
    spans: u64,
    own_us: u64,
    operations: f64,
}

impl Sum {
    /// Billions of floating-point operations a second; none if nobody counted.
    fn speed(&self) -> Option<f64> {
        let is_counted = self.operations > 0.0 && self.own_us > 0;
        is_counted.then(|| self.operations / 1e3 / self.own_us as f64)
    }
}

impl Timed {
    /// What each phase took, the longest first, and how fast the machine can be.
    fn sums(&self) -> (Vec<Sum>, Option<f64>) {
        let mut sums: Vec<Sum> = Vec::new();
        for phase in &self.phases {
            let known = sums.iter().position(|sum| sum.phase == phase.phase);
            let at = known.unwrap_or_else(|| {
                sums.push(Sum {
                    phase: phase.phase.clone(),
                    spans: 0,
                    own_us: 0,
                    operations: 0.0,
                });
                sums.len() - 1
            });
            sums[at].spans += 1;
            sums[at].own_us += phase.own_us;
            sums[at].operations += phase.operations;
        }
        // The first ones are slower, while the processor wakes up.
        let measured = self.phases.iter().filter(|phase| phase.phase == LIMIT);
        let speeds = measured.map(|phase| phase.operations / 1e3 / phase.own_us.max(1) as f64);
        let limit = speeds.reduce(f64::max);
        sums.sort_by_key(|sum| std::cmp::Reverse(sum.own_us));
        (sums, limit)
    }
}

impl Profile {
    /// A profile that will be in this file.
    ///
    /// # Errors
    /// The file cannot be written: better known before the run than after it.
    pub(crate) fn new(path: &Path) -> Result<Self, Failure> {
        let profile = Self {
            path: path.to_owned(),
            actions: Vec::new(),
        };
        profile.write()?;
        Ok(profile)
    }

    pub(crate) fn handle(&mut self, event: &Event) {
        match event {
            Event::Started { action, .. } | Event::Turn { action } => {
                self.actions.retain(|timed| {
                    // What another process took is not its time.
                    timed.name != *action || timed.duration_us.is_some()
                });
                self.actions.push(Timed {
                    name: action.clone(),
                    start_us: now_us(),
                    duration_us: None,
                    phases: Vec::new(),
                });
            }
            Event::Stage {
                action,
                event: StageEvent::Phase(phase),
            } => {
                if let Some(timed) = self.running(action) {
                    timed.phases.push(phase.clone());
                }
            }
            Event::Finished { action, .. }
            | Event::Failed { action, .. }
            | Event::Retrying { action, .. } => {
                if let Some(timed) = self.running(action) {
                    timed.duration_us = Some(now_us().saturating_sub(timed.start_us));
                }
            }
            _ => {}
        }
    }

    fn running(&mut self, action: &str) -> Option<&mut Timed> {
        let mut running = self.actions.iter_mut();
        running.find(|timed| timed.name == action && timed.duration_us.is_none())
    }

    /// The actions that are over.
    fn done(&self) -> impl Iterator<Item = (&Timed, u64)> {
        self.actions
            .iter()
            .filter_map(|timed| Some((timed, timed.duration_us?)))
    }

    /// Writes the trace.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let text = self.trace().to_string();
        write_atomically(&self.path, text.as_bytes()).map_err(|error| {
            let message = format!(
                "cannot write the profile `{}`: {error}",
                self.path.display()
            );
            Failure::new(Code::Environment, message)
        })
    }

    fn trace(&self) -> Value {
        let first = self.done().map(|(timed, _)| timed.start_us).min();
        let since = |time: u64| time.saturating_sub(first.unwrap_or(0));
        let mut events = Vec::new();
        for (lane, (timed, duration)) in self.done().enumerate() {
            let name = json!({ "name": timed.name });
            events.push(
                json!({ "ph": "M", "name": "thread_name", "pid": 1, "tid": lane, "args": name }),
            );
            events.push(json!({
                "ph": "X", "name": timed.name, "cat": "action", "pid": 1, "tid": lane,
                "ts": since(timed.start_us), "dur": duration,
            }));
            for phase in &timed.phases {
                events.push(json!({
                    "ph": "X", "name": phase.phase, "cat": "phase", "pid": 1, "tid": lane,
                    "ts": since(phase.start_us), "dur": phase.duration_us,
                    "args": { "operations": phase.operations },
                }));
            }
        }
        json!({ "displayTimeUnit": "ms", "traceEvents": events })
    }

    /// The summary.
    pub(crate) fn text(&self) -> String {
        let mut table = Table::new(["", "time", "share", "GFLOP/s", "of the limit"]);
        let mut limits = Vec::new();
        for (timed, duration) in self.done() {
            table.row([timed.name.clone(), seconds(duration)]);
            let (sums, limit) = timed.sums();
            let share =
                |part: u64| format!("{:.1} %", 100.0 * part as f64 / duration.max(1) as f64);
            let told: u64 = sums.iter().map(|sum| sum.own_us).sum();
            for sum in sums.iter().filter(|sum| sum.phase != LIMIT) {
                let speed = sum.speed();
                let of_limit = speed.zip(limit).map(|(speed, limit)| speed / limit);
                table.row([
                    format!("  {}", sum.phase),
                    seconds(sum.own_us),
                    share(sum.own_us),
                    speed.map_or_else(String::new, |speed| format!("{speed:.0}")),
                    of_limit.map_or_else(String::new, |part| format!("{:.0} %", 100.0 * part)),
                ]);
            }
            if !sums.is_empty() {
                let rest = duration.saturating_sub(told);
                table.row(["  other".to_owned(), seconds(rest), share(rest)]);
            }
            if let Some(limit) = limit {
                limits.push(format!("  {}: {limit:.0} GFLOP/s\n", timed.name));
            }
        }
        let mut text = format!("profile: {}\n{table}", self.path.display());
        if !limits.is_empty() {
            text += "limit, measured on products of matrices:\n";
            text += &limits.concat();
        }
        text
    }

    /// The summary for programs.
    pub(crate) fn json(&self) -> Value {
        let actions = self.done().map(|(timed, duration)| {
            let (sums, limit) = timed.sums();
            let phases = sums.iter().map(|sum| {
                json!({
                    "phase": sum.phase, "spans": sum.spans, "seconds": sum.own_us as f64 / 1e6,
                    "gflop_per_s": sum.speed(),
                })
            });
            json!({
                "action": timed.name, "seconds": duration as f64 / 1e6,
                "limit_gflop_per_s": limit, "phases": phases.collect::<Vec<_>>(),
            })
        });
        json!({ "file": self.path, "actions": actions.collect::<Vec<_>>() })
    }
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

fn seconds(microseconds: u64) -> String {
    format!("{:.2} s", microseconds as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(name: &str, own_us: u64, operations: f64) -> Phase {
        Phase {
            phase: name.to_owned(),
            start_us: 1_000_500,
            duration_us: own_us,
            own_us,
            operations,
        }
    }

    fn profile() -> Profile {
        Profile {
            path: "profile.json".into(),
            actions: vec![Timed {
                name: "train (split 0)".into(),
                start_us: 1_000_000,
                duration_us: Some(2_000_000),
                phases: vec![
                    phase(LIMIT, 100_000, 20e9),
                    phase("data", 10_000, 0.0),
                    phase("forward", 400_000, 40e9),
                    phase("forward", 600_000, 10e9),
                ],
            }],
        }
    }

    #[test]
    fn the_summary_has_shares_and_speeds_and_what_is_left() {
        let expected = "\
profile: profile.json
                   time    share   GFLOP/s  of the limit
  train (split 0)  2.00 s
    forward        1.00 s  50.0 %  50       25 %
    data           0.01 s  0.5 %
    other          0.89 s  44.5 %
limit, measured on products of matrices:
  train (split 0): 200 GFLOP/s
";
        assert_eq!(profile().text(), expected);
    }

    #[test]
    fn a_trace_has_a_lane_per_action_and_times_from_the_start_of_the_first() {
        let trace = profile().trace();
        let events = trace["traceEvents"].as_array().unwrap();
        assert_eq!(events.len(), 6);
        assert_eq!(events[0]["args"]["name"], "train (split 0)");
        assert_eq!(
            (&events[1]["ts"], &events[1]["dur"]),
            (&json!(0), &json!(2_000_000))
        );
        assert_eq!(
            (&events[4]["ts"], &events[4]["dur"]),
            (&json!(500), &json!(400_000))
        );
    }

    #[test]
    fn a_second_try_is_an_action_of_its_own() {
        let mut profile = Profile {
            path: "x".into(),
            actions: Vec::new(),
        };
        let started = Event::Started {
            action: "a".into(),
            reason: String::new(),
        };
        profile.handle(&started);
        profile.handle(&Event::Retrying {
            action: "a".into(),
            error: engine::StageError::new("no"),
            attempts: 1,
            delay_s: 1.0,
        });
        profile.handle(&started);
        profile.handle(&Event::Finished {
            action: "a".into(),
            elapsed_s: 0.0,
        });
        assert_eq!(profile.done().count(), 2);
    }
}
