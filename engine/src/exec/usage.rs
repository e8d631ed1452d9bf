//! What processes use: resident memory and processor time of a process with all its descendants.
//!
//! Descendants are found by their parents and not by their process group, which a program may leave.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde::{Deserialize, Serialize};

use super::energy::EnergyMethod;

/// What the processes of an action used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Most memory that they held together when it was looked at, or that one of them ever held, in
    /// bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// Processor time spent in programs, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_cpu_s: Option<f64>,
    /// Processor time spent in the system for them, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_cpu_s: Option<f64>,
    /// Energy of processor and memory, in watt-hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_wh: Option<f64>,
    /// How that was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_method: Option<EnergyMethod>,
    /// Grams of CO₂ and its equivalents that it caused, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub co2e_g: Option<f64>,
    /// The exit code, if the process exited by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
}

impl Usage {
    /// What this process has used so far.
    pub(super) fn of_this_process() -> Self {
        Self::from_rusage(nix::sys::resource::UsageWho::RUSAGE_SELF)
    }

    /// What the children of this process have used that were waited for.
    pub(super) fn of_children() -> Self {
        Self::from_rusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)
    }

    fn from_rusage(who: nix::sys::resource::UsageWho) -> Self {
        let Ok(usage) = nix::sys::resource::getrusage(who) else {
            return Self::default();
        };
        let seconds = |time: nix::sys::time::TimeVal| {
            let micros = u32::try_from(time.tv_usec()).unwrap_or(0);
            let whole = u32::try_from(time.tv_sec()).unwrap_or(u32::MAX);
            f64::from(whole) + f64::from(micros) / 1e6
        };
        Self {
            // Linux tells it in kibibytes.
            peak_memory_bytes: u64::try_from(usage.max_rss()).ok().map(|k| k << 10),
            user_cpu_s: Some(seconds(usage.user_time())),
            system_cpu_s: Some(seconds(usage.system_time())),
            ..Self::default()
        }
    }

    /// Of both accounts the larger: one was taken while the processes ran, the other at their end.
    #[must_use]
    pub(super) fn at_least(self, other: Self) -> Self {
        let larger = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        Self {
            peak_memory_bytes: self.peak_memory_bytes.max(other.peak_memory_bytes),
            user_cpu_s: larger(self.user_cpu_s, other.user_cpu_s),
            system_cpu_s: larger(self.system_cpu_s, other.system_cpu_s),
            // Added when all else is known.
            energy_wh: self.energy_wh.or(other.energy_wh),
            energy_method: self.energy_method.or(other.energy_method),
            co2e_g: self.co2e_g.or(other.co2e_g),
            exit_code: self.exit_code.or(other.exit_code),
            signal: self.signal.or(other.signal),
        }
    }
}

/// A process as `/proc` shows it.
#[derive(Debug)]
struct Process {
    parent: i32,
    name: String,
    resident: u64,
    user_ticks: u64,
    system_ticks: u64,
}

/// What a process and its descendants use at one moment.
#[derive(Debug, Default)]
pub(super) struct Moment {
    /// Resident memory in bytes.
    pub(super) memory: u64,
    pub(super) user_s: f64,
    pub(super) system_s: f64,
    /// The process that holds most.
    pub(super) largest: String,
}

/// The processes that descend from `root`, without it.
pub(super) fn descendants(root: i32) -> Vec<i32> {
    below(root, &all())
}

/// What `root` and its descendants use. Memory that several share counts once where it matters:
/// exactly when the plain sum is above `limit`.
pub(super) fn look(root: i32, limit: Option<u64>) -> Moment {
    let all = all();
    let mut members = below(root, &all);
    members.push(root);
    let mut moment = Moment::default();
    let (mut user, mut system, mut most) = (0, 0, 0);
    for process in members.iter().filter_map(|pid| all.get(pid)) {
        moment.memory += process.resident;
        user += process.user_ticks;
        system += process.system_ticks;
        if process.resident >= most {
            most = process.resident;
            moment.largest.clone_from(&process.name);
        }
    }
    if limit.is_some_and(|limit| moment.memory > limit) {
        let shares: Option<u64> = members.iter().map(|&pid| proportional(pid)).sum();
        moment.memory = shares.unwrap_or(moment.memory);
    }
    moment.user_s = seconds(user);
    moment.system_s = seconds(system);
    moment
}

#[expect(clippy::cast_precision_loss, reason = "seconds")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

fn below(root: i32, all: &BTreeMap<i32, Process>) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (&pid, process) in all {
        children.entry(process.parent).or_default().push(pid);
    }
    let mut found = BTreeSet::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        for &child in children.get(&pid).into_iter().flatten() {
            if child != root && found.insert(child) {
                open.push(child);
            }
        }
    }
    found.into_iter().collect()
}

/// Every process of this machine that can be seen.
fn all() -> BTreeMap<i32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((pid, parse(&stat)?))
        })
        .collect()
}

/// Reads a line of `/proc/<pid>/stat`. The name, in parentheses, may hold anything.
fn parse(stat: &str) -> Option<Process> {
    let (before, after) = stat.rsplit_once(") ")?;
    let (_, name) = before.split_once('(')?;
    // After the name: state, parent, group, …
    let fields: Vec<&str> = after.split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        name: name.to_owned(),
        resident: number(21)?.saturating_mul(rustix::param::page_size() as u64),
        user_ticks: number(11)? + number(13)?,
        system_ticks: number(12)? + number(14)?,
    })
}

/// The memory of a process, with what it shares divided among those that share it; none that is gone
/// holds nothing.
fn proportional(pid: i32) -> Option<u64> {
    let text = match fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return None,
        Err(_) => return Some(0),
    };
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_be_called_anything() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 0 0 0 0 0 11 12 13 14 20 0 1 0 5 4096 9 0";
        let process = parse(stat).unwrap();
        assert_eq!((process.parent, process.name.as_str()), (3, "a) b (c"));
        assert_eq!((process.user_ticks, process.system_ticks), (24, 26));
        assert_eq!(process.resident, 9 * rustix::param::page_size() as u64);
    }

    #[test]
    fn descendants_are_found_through_their_parents() {
        let process = |parent| Process {
            parent,
            name: String::new(),
            resident: 0,
            user_ticks: 0,
            system_ticks: 0,
        };
        let all = [(2, 1), (3, 2), (4, 3), (5, 1), (6, 9)];
        let all = all.map(|(pid, parent)| (pid, process(parent))).into();
        assert_eq!(below(2, &all), [3, 4]);
        assert_eq!(below(1, &all), [2, 3, 4, 5]);
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let usage = Usage::of_this_process();
        assert!(usage.peak_memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
        let pid = i32::try_from(std::process::id()).unwrap();
        let moment = look(pid, Some(1));
        assert!(moment.memory > 0 && !moment.largest.is_empty());
    }
}
