//! Exclusive use of libtorch's process-wide state: generator, thread pool, device.
//!
//! libtorch has one default generator and one thread pool per process, so a process works on one
//! action at a time. A [`Session`] is the proof of having them; whatever draws from the default
//! generator takes one.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use engine::context::Slots;
use engine::{StageError, profile};
use serde_json::{Value, json};
use stages::learning::names::Precision;
use tch::{Cuda, Device, Kind, Tensor};

use crate::networks::layers::{Arithmetic, Tape};

static LIBTORCH: Mutex<()> = Mutex::new(());

/// What weights of networks start with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// What their layers draw.
    Drawn,
    /// Anything: all of them will be replaced.
    Replaced,
}

/// libtorch, set up for one action.
#[derive(Debug)]
pub(crate) struct Session {
    device: Device,
    arithmetic: Arithmetic,
    tape: Tape,
    start: Cell<Start>,
    _exclusive: MutexGuard<'static, ()>,
}

impl Session {
    /// Waits for libtorch and sets it up for these slots.
    ///
    /// # Errors
    /// A graphics processor is asked for and there is none that libtorch can use.
    pub(crate) fn open(slots: Slots) -> Result<Self, StageError> {
        let exclusive = LIBTORCH.lock().unwrap_or_else(PoisonError::into_inner);
        let device = choose_device(slots.gpus)?;
        tch::set_num_threads(i32::try_from(slots.cpus.max(1)).unwrap_or(i32::MAX));
        Ok(Self {
            device,
            arithmetic: Arithmetic::of(Precision::Float32),
            tape: Tape::default(),
            start: Cell::new(Start::Drawn),
            _exclusive: exclusive,
        })
    }

    /// Where to compute.
    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// Makes the layers of networks that are built from now on compute so.
    pub(crate) fn compute_in(&mut self, precision: Precision) {
        self.arithmetic = Arithmetic::of(precision);
        if profile::is_on() {
            self.measure_limit(precision);
        }
    }

    /// Tells a profile how fast this machine multiplies matrices, which no network is faster than.
    fn measure_limit(&self, precision: Precision) {
        const SIZE: i64 = 2048;
        let kind = match precision {
            Precision::Float32 => Kind::Float,
            Precision::Bfloat16 => Kind::BFloat16,
            Precision::Float16 => Kind::Half,
        };
        // A limit that cannot be measured is not told.
        let Ok(matrix) = Tensor::f_ones([SIZE, SIZE], (kind, self.device)) else {
            return;
        };
        for _ in 0..6 {
            let _span = profile::span(profile::LIMIT);
            if matrix.f_mm(&matrix).is_ok() {
                profile::operations(|| 2.0 * (SIZE as f64).powi(3));
            }
        }
    }

    /// The numbers that layers compute with.
    pub(crate) fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// Lets weights of networks that are built by `build` start with anything; what random streams give
    /// afterwards is another thing.
    pub(crate) fn to_be_replaced<T>(&self, build: impl FnOnce() -> T) -> T {
        self.start.set(Start::Replaced);
        let built = build();
        self.start.set(Start::Drawn);
        built
    }

    /// What weights start with.
    pub(crate) fn start(&self) -> Start {
        self.start.get()
    }

    /// Where the ReLUs of its networks leave their cuts.
    pub(crate) fn tape(&self) -> &Tape {
        &self.tape
    }

    /// Restarts the default generators.
    pub(crate) fn seed(&self, seed: u64) {
        // Seeds of labelled streams have 63 bits, those of parameters 32.
        tch::manual_seed(i64::try_from(seed).unwrap_or(i64::MAX));
    }

    /// Refuses algorithms whose result depends on timing.
    ///
    /// # Errors
    /// The device is a graphics processor, whose algorithms cannot be restricted here.
    pub(crate) fn require_deterministic(&self) -> Result<(), StageError> {
        if self.device == Device::Cpu {
            return Ok(());
        }
        Err(
            StageError::environment("`deterministic: true` is not available on a GPU")
                .hint("train on CPU (`resources: { gpus: 0 }`), or set `deterministic: false`"),
        )
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mib = kernels::most_memory() >> 20;
        tracing::debug!(mib, "large tensors took at most");
    }
}

fn choose_device(gpus: usize) -> Result<Device, StageError> {
    if gpus == 0 {
        return Ok(Device::Cpu);
    }
    if Cuda::is_available() {
        Cuda::cudnn_set_benchmark(false);
        return Ok(Device::Cuda(0));
    }
    let error = StageError::environment(format!(
        "{gpus} GPU asked for, and this libtorch finds no CUDA device"
    ));
    Err(error
        .hint("set `resources: { gpus: 0 }` to compute on CPU")
        .hint("for CUDA, build against a CUDA libtorch with `LIBTORCH_USE_PYTORCH=1`, see README"))
}

/// What results of libtorch computed with these slots depend on besides inputs and parameters: the
/// numerics class.
pub fn numerics(slots: Slots) -> Value {
    let device = if slots.gpus > 0 { "cuda" } else { "cpu" };
    json!({
        "libtorch": torch_version(),
        "device": device,
        "intraop_threads": slots.cpus.max(1),
        "cpu_capability": cpu_capability(),
        "cpu_bfloat16": cpu_bfloat16(),
        "mkl": tch::utils::has_mkl(),
        "mkldnn": tch::utils::has_mkldnn(),
    })
}

/// The version that tch is made for and refuses to build without.
fn torch_version() -> &'static str {
    "2.13.0"
}

/// The widest vector instructions that libtorch's kernels choose on this processor.
fn cpu_capability() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        let is_avx512 = std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512vl")
            && std::arch::is_x86_feature_detected!("fma");
        if is_avx512 {
            return "AVX512";
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
        {
            return "AVX2";
        }
    }
    "default"
}

/// What multiplies numbers of 16 bits on this processor, as Linux tells it.
fn cpu_bfloat16() -> &'static str {
    static FOUND: OnceLock<&str> = OnceLock::new();
    FOUND.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let flags = text.lines().find(|line| line.starts_with("flags"));
        let flags: Vec<&str> = flags.unwrap_or_default().split_whitespace().collect();
        match flags {
            flags if flags.contains(&"amx_bf16") => "AMX",
            flags if flags.contains(&"avx512_bf16") => "AVX512_BF16",
            _ => "emulated",
        }
    })
}

#[cfg(test)]
impl Session {
    /// A session of one CPU thread, so that parallel tests do not share the generator.
    pub(crate) fn for_test() -> Self {
        Self::open(Slots { cpus: 1, gpus: 0 }).expect("a CPU is always there")
    }
}

#[cfg(test)]
mod tests {
    use engine::FailureKind;

    use super::*;

    #[test]
    fn a_missing_gpu_is_an_environment_problem_with_advice() {
        if Cuda::is_available() {
            return;
        }
        let error = Session::open(Slots { cpus: 1, gpus: 1 }).unwrap_err();
        assert_eq!(error.kind, FailureKind::Environment);
        assert!(error.hints[0].contains("gpus: 0"));
    }

    #[test]
    fn numerics_name_what_results_depend_on() {
        let numerics = numerics(Slots { cpus: 2, gpus: 0 });
        for field in ["libtorch", "device", "intraop_threads", "cpu_capability"] {
            assert!(!numerics[field].is_null(), "{field}");
        }
        assert_eq!(
            numerics["device"], "cpu",
            "no graphics processor was asked for"
        );
    }
}
