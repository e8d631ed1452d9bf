//! Slots: how much of the machine running actions hold.

use serde::Serialize;

use crate::context::Slots;
use crate::manifest::Resources;

/// What a run may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Threads.
    pub cpus: usize,
    /// Graphics processors.
    pub gpus: usize,
    /// Memory in bytes; `None` if unknown, and then not limited.
    pub memory: Option<u64>,
}

impl Machine {
    /// This machine: the processors this process may use, and its memory.
    pub fn detect() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let memory = std::fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| {
                let line = text
                    .lines()
                    .find_map(|line| line.strip_prefix("MemTotal:"))?;
                line.trim()
                    .strip_suffix("kB")?
                    .trim()
                    .parse::<u64>()
                    .ok()?
                    .checked_mul(1024)
            });
        Self {
            cpus,
            gpus: 0,
            memory,
        }
    }
}

/// What is free while actions run.
#[derive(Debug)]
pub(super) struct Free {
    machine: Machine,
    free: Machine,
    running: usize,
}

impl Free {
    pub(super) fn new(machine: Machine) -> Self {
        Self {
            machine,
            free: machine,
            running: 0,
        }
    }

    /// The slots of an action: what it asks for, within what the machine has.
    pub(super) fn slots(&self, wanted: &Resources) -> Slots {
        let cpus = wanted
            .cpus
            .unwrap_or(self.machine.cpus)
            .clamp(1, self.machine.cpus);
        // A missing GPU is the stage's to report: it knows what it needs it for.
        Slots {
            cpus,
            gpus: wanted.gpus,
        }
    }

    /// Whether nothing can be started at all before something ends.
    pub(super) fn is_full(&self) -> bool {
        self.running > 0 && self.free.cpus == 0
    }

    /// Whether the slots of an action are free. An action alone always fits.
    pub(super) fn fits(&self, wanted: &Resources) -> bool {
        let slots = self.slots(wanted);
        let gpus = slots.gpus.min(self.machine.gpus);
        let memory = wanted.memory_bytes().unwrap_or(0);
        self.running == 0
            || slots.cpus <= self.free.cpus
                && gpus <= self.free.gpus
                && self.free.memory.is_none_or(|free| memory <= free)
    }

    /// Takes the slots of an action.
    pub(super) fn take(&mut self, wanted: &Resources) {
        let slots = self.slots(wanted);
        let gpus = slots.gpus.min(self.machine.gpus);
        let memory = wanted.memory_bytes().unwrap_or(0);
        self.running += 1;
        self.free.cpus = self.free.cpus.saturating_sub(slots.cpus);
        self.free.gpus = self.free.gpus.saturating_sub(gpus);
        self.free.memory = self.free.memory.map(|free| free.saturating_sub(memory));
    }

    /// Gives the slots of an action back.
    pub(super) fn give_back(&mut self, wanted: &Resources) {
        let slots = self.slots(wanted);
        self.running -= 1;
        if self.running == 0 {
            self.free = self.machine;
            return;
        }
        self.free.cpus += slots.cpus;
        self.free.gpus += slots.gpus.min(self.machine.gpus);
        let memory = wanted.memory_bytes().unwrap_or(0);
        self.free.memory = self.free.memory.map(|free| free.saturating_add(memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(cpus: usize, memory: Option<&str>) -> Resources {
        Resources {
            cpus: Some(cpus),
            memory: memory.map(str::to_owned),
            ..Resources::default()
        }
    }

    #[test]
    fn actions_that_do_not_fit_together_wait_and_one_alone_always_fits() {
        let mut free = Free::new(Machine {
            cpus: 4,
            gpus: 0,
            memory: Some(8 << 30),
        });
        free.take(&wants(3, Some("6GiB")));
        assert!(!free.fits(&wants(2, None)));
        assert!(!free.fits(&wants(1, Some("4GiB"))));
        assert!(free.fits(&wants(1, Some("1GiB"))) && !free.is_full());
        free.take(&wants(1, Some("1GiB")));
        assert!(free.is_full());
        free.give_back(&wants(3, Some("6GiB")));
        free.give_back(&wants(1, Some("1GiB")));
        assert!(free.fits(&wants(99, Some("99TiB"))));
    }
}
