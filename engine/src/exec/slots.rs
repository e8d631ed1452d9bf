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

/// What an action holds while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Demand {
    cpus: usize,
    gpus: usize,
    memory: u64,
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

    /// What an action will hold.
    pub(super) fn demand(&self, wanted: &Resources) -> Demand {
        let slots = self.slots(wanted);
        Demand {
            cpus: slots.cpus,
            gpus: slots.gpus.min(self.machine.gpus),
            memory: wanted.memory_bytes().unwrap_or(0),
        }
    }

    /// Whether nothing can be started at all before something ends.
    pub(super) fn is_full(&self) -> bool {
        self.running > 0 && self.free.cpus == 0
    }

    /// Whether a demand can be met. An action alone always fits.
    pub(super) fn fits(&self, demand: &Demand) -> bool {
        self.running == 0
            || demand.cpus <= self.free.cpus
                && demand.gpus <= self.free.gpus
                && self.free.memory.is_none_or(|free| demand.memory <= free)
    }

    /// Takes what an action holds.
    pub(super) fn take(&mut self, demand: &Demand) {
        self.running += 1;
        self.free.cpus = self.free.cpus.saturating_sub(demand.cpus);
        self.free.gpus = self.free.gpus.saturating_sub(demand.gpus);
        self.free.memory = self
            .free
            .memory
            .map(|free| free.saturating_sub(demand.memory));
    }

    /// Gives it back.
    pub(super) fn give_back(&mut self, demand: &Demand) {
        self.running -= 1;
        if self.running == 0 {
            self.free = self.machine;
            return;
        }
        self.free.cpus = (self.free.cpus + demand.cpus).min(self.machine.cpus);
        self.free.gpus = (self.free.gpus + demand.gpus).min(self.machine.gpus);
        // An action that wanted more than there is took only what there was.
        self.free.memory = self
            .free
            .memory
            .map(|free| free.saturating_add(demand.memory))
            .min(self.machine.memory);
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
        let machine = Machine {
            cpus: 4,
            gpus: 0,
            memory: Some(8 << 30),
        };
        let mut free = Free::new(machine);
        let demand = |cpus, memory| Free::new(machine).demand(&wants(cpus, memory));
        free.take(&demand(3, Some("6GiB")));
        assert!(!free.fits(&demand(2, None)));
        assert!(!free.fits(&demand(1, Some("4GiB"))));
        assert!(free.fits(&demand(1, Some("1GiB"))) && !free.is_full());
        free.take(&demand(1, Some("1GiB")));
        assert!(free.is_full());
        free.give_back(&demand(3, Some("6GiB")));
        free.give_back(&demand(1, Some("1GiB")));
        let huge = demand(99, Some("99TiB"));
        assert!(free.fits(&huge));
        free.take(&huge);
        assert!(!free.fits(&demand(1, None)));
    }

    #[test]
    fn an_action_that_wanted_more_than_there_is_gives_back_what_it_took() {
        let mut free = Free::new(Machine {
            cpus: 4,
            gpus: 0,
            memory: Some(8 << 30),
        });
        let huge = free.demand(&wants(1, Some("99TiB")));
        let small = free.demand(&wants(1, None));
        free.take(&huge);
        free.take(&small);
        free.give_back(&huge);
        assert!(!free.fits(&free.demand(&wants(1, Some("9GiB")))));
        assert!(free.fits(&free.demand(&wants(1, Some("8GiB")))));
    }
}
