//! Which actions can be looked at, which wait for room, for a twin, or for another try.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::slots::Demand;
use crate::key::{ActionKey, Keyed, Reason};
use crate::plan::{ActionId, Plan};

/// An action that must run.
pub(super) struct Candidate {
    pub(super) keyed: Keyed,
    pub(super) reason: Reason,
}

/// Actions that have not started, by what they wait for. Everything is in order of the plan.
pub(super) struct Queue {
    /// Place of each action in the order of the plan.
    places: Vec<usize>,
    /// Dependencies without a result, by action.
    missing: Vec<usize>,
    /// Everything it reads is settled.
    ready: BTreeSet<(usize, ActionId)>,
    /// Must run, and waits for slots. By what they ask for: there are few kinds of that, so that ten
    /// thousand waiting actions need not all be looked at to find one that fits.
    candidates: BTreeMap<Demand, BTreeMap<(usize, ActionId), Candidate>>,
    /// Waits for another action with the same key.
    twins: BTreeMap<ActionKey, Vec<ActionId>>,
    /// Keys of candidates and of running actions.
    claimed: BTreeSet<ActionKey>,
    /// Failed, and will be tried again.
    later: BTreeSet<(Instant, ActionId)>,
}

impl Queue {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut places = vec![0; plan.order().len()];
        let mut missing = vec![0; plan.order().len()];
        let mut ready = BTreeSet::new();
        for (place, &id) in plan.order().iter().enumerate() {
            places[id.index()] = place;
            missing[id.index()] = plan.dependencies(id).len();
            if missing[id.index()] == 0 {
                ready.insert((place, id));
            }
        }
        Self {
            places,
            missing,
            ready,
            candidates: BTreeMap::new(),
            twins: BTreeMap::new(),
            claimed: BTreeSet::new(),
            later: BTreeSet::new(),
        }
    }

    /// The next action whose dependencies are all settled.
    pub(super) fn next_ready(&mut self) -> Option<ActionId> {
        self.ready.pop_first().map(|(_, id)| id)
    }

    /// An action has a result, or never will: those that read from it may be ready now.
    pub(super) fn settled(&mut self, plan: &Plan, id: ActionId) {
        for &dependent in plan.dependents(id) {
            let missing = &mut self.missing[dependent.index()];
            *missing -= 1;
            if *missing == 0 {
                self.ready
                    .insert((self.places[dependent.index()], dependent));
            }
        }
    }

    /// Queues an action that must run. Of actions with one key, one runs and the others wait for it.
    pub(super) fn must_run(&mut self, id: ActionId, demand: Demand, candidate: Candidate) {
        let key = candidate.keyed.key;
        if self.claimed.insert(key) {
            let place = (self.places[id.index()], id);
            self.candidates
                .entry(demand)
                .or_default()
                .insert(place, candidate);
        } else {
            self.twins.entry(key).or_default().push(id);
        }
    }

    /// Takes the first candidate that fits.
    pub(super) fn take(&mut self, fits: impl Fn(&Demand) -> bool) -> Option<(ActionId, Candidate)> {
        let fitting = self.candidates.iter().filter(|(demand, _)| fits(demand));
        let first =
            fitting.filter_map(|(demand, waiting)| Some((*waiting.keys().next()?, *demand)));
        let (place, demand) = first.min()?;
        let waiting = self.candidates.get_mut(&demand)?;
        let candidate = waiting.remove(&place)?;
        if waiting.is_empty() {
            self.candidates.remove(&demand);
        }
        Some((place.1, candidate))
    }

    /// A running action ended: those with the same key look at the store again.
    pub(super) fn released(&mut self, key: &ActionKey) {
        self.claimed.remove(key);
        for twin in self.twins.remove(key).unwrap_or_default() {
            self.ready.insert((self.places[twin.index()], twin));
        }
    }

    /// Queues another try.
    pub(super) fn try_again(&mut self, id: ActionId, at: Instant) {
        self.later.insert((at, id));
    }

    /// Moves actions whose time has come to the ready ones; tells whether others still wait for theirs.
    pub(super) fn wake(&mut self, now: Instant) -> bool {
        while let Some((at, id)) = self.later.first().copied()
            && at <= now
        {
            self.later.pop_first();
            self.ready.insert((self.places[id.index()], id));
        }
        !self.later.is_empty()
    }
}
