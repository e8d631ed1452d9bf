//! Where the time of an action goes: spans of its main thread, told as events.
//!
//! A stage opens a [`span`] around a phase of its work, and may say how many operations were done in it.
//! Both cost nothing to speak of where nobody asked for a profile. Spans nest; what one took itself is told
//! without those inside it, so that the phases of an action add up to its time. Nothing of it can be read
//! by a stage: a result cannot depend on a clock.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::context::{EventSink, StageEvent};

/// The phase in which a machine's limit is measured: its operations over its time.
pub const LIMIT: &str = "limit of the machine";

/// What an action did for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// What it did: `forward`.
    pub phase: String,
    /// When it began, microseconds since 1970.
    pub start_us: u64,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// The same without the spans inside it.
    pub own_us: u64,
    /// Floating-point operations done in it and not in a span inside it; 0 if nobody counted.
    pub operations: f64,
}

/// A span that is open.
struct Open {
    phase: &'static str,
    start: Instant,
    /// What spans inside it took.
    inside: Duration,
    operations: f64,
}

struct Recorder {
    events: EventSink,
    /// One moment on both clocks.
    origin: (Instant, SystemTime),
    open: Vec<Open>,
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

/// Runs an action with its spans told to `events`.
pub(crate) fn recorded<T>(events: EventSink, run: impl FnOnce() -> T) -> T {
    /// Also after a panic.
    struct Off;
    impl Drop for Off {
        fn drop(&mut self) {
            RECORDER.set(None);
        }
    }
    RECORDER.set(Some(Recorder {
        events,
        origin: (Instant::now(), SystemTime::now()),
        open: Vec::new(),
    }));
    let _off = Off;
    run()
}

/// Whether a profile of this thread is wanted: what is measured only for it can be left out otherwise.
pub fn is_on() -> bool {
    RECORDER.with_borrow(Option::is_some)
}

/// Opens a span, which ends when what is returned is dropped.
#[must_use = "the span ends when this is dropped"]
pub fn span(phase: &'static str) -> Span {
    RECORDER.with_borrow_mut(|recorder| {
        if let Some(recorder) = recorder {
            recorder.open.push(Open {
                phase,
                start: Instant::now(),
                inside: Duration::ZERO,
                operations: 0.0,
            });
        }
    });
    Span(PhantomData)
}

/// Adds floating-point operations to the innermost open span.
pub fn operations(count: impl FnOnce() -> f64) {
    RECORDER.with_borrow_mut(|recorder| {
        if let Some(open) = recorder.as_mut().and_then(|r| r.open.last_mut()) {
            open.operations += count();
        }
    });
}

/// Operations counted so far in the innermost open span.
fn counted() -> f64 {
    RECORDER.with_borrow(|recorder| {
        let open = recorder.as_ref().and_then(|r| r.open.last());
        open.map_or(0.0, |open| open.operations)
    })
}

/// An open span.
#[derive(Debug)]
pub struct Span(PhantomData<*const ()>);

impl Span {
    /// Ends this span and opens one that undoes its work step by step: the passes backward through layers,
    /// which take about twice the operations of the passes forward.
    #[must_use = "the span ends when this is dropped"]
    pub fn then_backward(self, phase: &'static str) -> Self {
        let forward = counted();
        drop(self);
        let span = span(phase);
        operations(|| 2.0 * forward);
        span
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let told = RECORDER.with_borrow_mut(|recorder| {
            let recorder = recorder.as_mut()?;
            let open = recorder.open.pop()?;
            let took = open.start.elapsed();
            if let Some(outer) = recorder.open.last_mut() {
                outer.inside += took;
            }
            let (origin, time) = recorder.origin;
            let began = time + open.start.saturating_duration_since(origin);
            let phase = Phase {
                phase: open.phase.to_owned(),
                start_us: microseconds(began.duration_since(UNIX_EPOCH).unwrap_or_default()),
                duration_us: microseconds(took),
                own_us: microseconds(took.saturating_sub(open.inside)),
                operations: open.operations,
            };
            Some((recorder.events.clone(), phase))
        });
        if let Some((events, phase)) = told {
            events(StageEvent::Phase(phase));
        }
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn phases(run: impl FnOnce()) -> Vec<Phase> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = told.clone();
        let events: EventSink = Arc::new(move |event| match event {
            StageEvent::Phase(phase) => sink.lock().unwrap().push(phase),
            other => panic!("{other:?}"),
        });
        recorded(events, run);
        std::mem::take(&mut *told.lock().unwrap())
    }

    #[test]
    fn spans_are_told_when_they_end_and_their_own_times_add_up() {
        let told = phases(|| {
            let _epoch = span("epoch");
            std::thread::sleep(Duration::from_millis(2));
            for _ in 0..2 {
                let forward = span("forward");
                operations(|| 3.0);
                operations(|| 4.0);
                std::thread::sleep(Duration::from_millis(2));
                let _backward = forward.then_backward("backward");
            }
        });
        let names: Vec<&str> = told.iter().map(|phase| phase.phase.as_str()).collect();
        assert_eq!(
            names,
            ["forward", "backward", "forward", "backward", "epoch"]
        );
        let operations: Vec<f64> = told.iter().map(|phase| phase.operations).collect();
        assert_eq!(operations, [7.0, 14.0, 7.0, 14.0, 0.0]);
        let epoch = &told[4];
        let own: u64 = told.iter().map(|phase| phase.own_us).sum();
        // Each time loses less than a microsecond.
        assert!(epoch.duration_us.abs_diff(own) <= 5, "{told:?}");
        assert!(epoch.own_us >= 2000 && epoch.own_us < epoch.duration_us);
        let is_inside = |phase: &Phase| {
            phase.start_us >= epoch.start_us
                && phase.start_us + phase.duration_us <= epoch.start_us + epoch.duration_us + 2
        };
        assert!(told.iter().all(is_inside), "{told:?}");
    }

    #[test]
    fn without_a_recorder_nothing_is_counted() {
        assert!(!is_on());
        let _span = span("forward");
        operations(|| panic!("nobody asked"));
        let told = phases(|| assert!(is_on()));
        assert_eq!(told, []);
        assert!(!is_on());
    }
}
