//! What actions take from the mains: measured by the processor's own counters, or estimated.
//!
//! | method | the processor's energy |
//! |---|---|
//! | `rapl` | what the packages counted while the action ran, times its share of the processor time of the machine |
//! | `estimated` | the action's processor time times [`WATTS_PER_CORE`] |
//!
//! Memory adds its most resident bytes times [`WATTS_PER_GIGABYTE`] for as long as the action ran. Graphics
//! processors, disks, the network, and what cooling and power supplies take are not counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::usage::Usage;

/// Of a busy core whose power is not known.
///
/// # Source
/// Lannelongue et al. 2021, doi:10.1002/advs.202100707: what Green Algorithms takes for any processor.
pub const WATTS_PER_CORE: f64 = 12.0;
/// Of memory, whatever is in it.
///
/// # Source
/// Karyakin and Salem 2017, doi:10.1145/3076113.3076117, as in Green Algorithms.
const WATTS_PER_GIGABYTE: f64 = 0.3725;
/// Counters begin anew after about half an hour of full load: they are read more often.
const LOOK: Duration = Duration::from_secs(20);

/// What is known of the machine's power.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Power {
    /// Of a busy core, where no counter can be read; `None` for [`WATTS_PER_CORE`]. A number that is given
    /// is used even where one can.
    pub watts_per_core: Option<f64>,
    /// Grams of CO₂ and its equivalents that a kilowatt-hour causes here.
    pub grams_per_kilowatt_hour: Option<f64>,
}

impl Power {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        watts_per_core: None,
        grams_per_kilowatt_hour: None,
    };
}

/// How energy was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnergyMethod {
    /// From counters of the processor.
    Rapl,
    /// From processor time.
    Estimated,
}

impl EnergyMethod {
    /// Its name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rapl => "rapl",
            Self::Estimated => "estimated",
        }
    }
}

/// What the machine has counted since some time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Reading {
    /// Of all packages; `None` without counters.
    joules: Option<f64>,
    /// Processor time of everything that runs here.
    busy_s: Option<f64>,
    /// That of this process.
    own_s: f64,
}

/// Reads the counters of the machine.
#[derive(Debug)]
pub(super) struct Meter {
    power: Power,
    packages: Vec<Package>,
    stat: PathBuf,
    looked: Instant,
}

impl Meter {
    /// The counters of this machine.
    pub(super) fn new(power: Power) -> Self {
        Self::of(
            power,
            Path::new("/sys/class/powercap"),
            Path::new("/proc/stat"),
        )
    }

    fn of(power: Power, counters: &Path, stat: &Path) -> Self {
        let packages = match power.watts_per_core {
            Some(_) => Vec::new(),
            None => packages(counters),
        };
        Self {
            power,
            packages,
            stat: stat.to_owned(),
            looked: Instant::now(),
        }
    }

    /// Looks often enough not to miss that a counter began anew.
    pub(super) fn keep_up(&mut self) {
        if self.looked.elapsed() >= LOOK {
            self.count();
        }
    }

    fn count(&mut self) {
        self.looked = Instant::now();
        self.packages.iter_mut().for_each(Package::count);
    }

    /// What is counted now.
    pub(super) fn read(&mut self) -> Reading {
        self.count();
        let joules = self.packages.iter().map(|package| package.joules).sum();
        Reading {
            joules: (!self.packages.is_empty()).then_some(joules),
            busy_s: busy(&self.stat),
            own_s: processor_time(&Usage::of_this_process()).unwrap_or(0.0),
        }
    }

    /// Adds the energy of an action to what it used, `elapsed_s` after a reading, on `cpus` threads.
    pub(super) fn add_to(
        &mut self,
        usage: &mut Usage,
        since: Reading,
        elapsed_s: f64,
        cpus: usize,
    ) {
        let now = self.read();
        // A stage in this process shares its time with what else is done here.
        #[expect(clippy::cast_precision_loss, reason = "a number of threads")]
        let most = elapsed_s * cpus as f64;
        let own = || (now.own_s - since.own_s).clamp(0.0, most);
        let processor_s = processor_time(usage).unwrap_or_else(own);
        let counted = share(now, since, processor_s);
        let watts = self.power.watts_per_core.unwrap_or(WATTS_PER_CORE);
        let processor = counted.unwrap_or(processor_s * watts);
        let memory = usage.peak_memory_bytes;
        let memory = memory.or_else(|| Usage::of_this_process().peak_memory_bytes);
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let gigabytes = memory.unwrap_or(0) as f64 / 1e9;
        let watt_hours = (processor + gigabytes * WATTS_PER_GIGABYTE * elapsed_s) / 3600.0;
        usage.energy_wh = Some(watt_hours);
        usage.energy_method = Some(match counted {
            Some(_) => EnergyMethod::Rapl,
            None => EnergyMethod::Estimated,
        });
        usage.co2e_g = self
            .power
            .grams_per_kilowatt_hour
            .map(|grams| watt_hours * grams / 1000.0);
    }
}

/// The part of what the packages counted that belongs to so much processor time.
fn share(now: Reading, since: Reading, processor_s: f64) -> Option<f64> {
    let joules = now.joules? - since.joules?;
    let busy = now.busy_s? - since.busy_s?;
    // Ticks are counted, so that a short action may have more time than the whole machine.
    Some(joules * (processor_s / busy.max(processor_s).max(f64::MIN_POSITIVE)))
}

fn processor_time(usage: &Usage) -> Option<f64> {
    Some(usage.user_cpu_s? + usage.system_cpu_s.unwrap_or(0.0))
}

/// A package of cores with its counter of energy.
#[derive(Debug)]
struct Package {
    counter: PathBuf,
    /// Microjoules after which it begins anew.
    range: f64,
    last: f64,
    /// Counted since this was made.
    joules: f64,
}

impl Package {
    fn count(&mut self) {
        if let Some(now) = number(&self.counter) {
            let more = now - self.last;
            self.joules += if more < 0.0 { more + self.range } else { more } / 1e6;
            self.last = now;
        }
    }
}

/// Packages whose counters may be read. Zones inside them are parts of what they count.
fn packages(counters: &Path) -> Vec<Package> {
    let entries = fs::read_dir(counters).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    found.sort();
    let package = |zone: &PathBuf| {
        let name = fs::read_to_string(zone.join("name")).ok()?;
        let counter = zone.join("energy_uj");
        name.starts_with("package").then_some(())?;
        Some(Package {
            last: number(&counter)?,
            range: number(&zone.join("max_energy_range_uj"))?,
            counter,
            joules: 0.0,
        })
    };
    found.iter().filter_map(package).collect()
}

fn number(path: &Path) -> Option<f64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Seconds that the processors of this machine were busy since it started.
fn busy(stat: &Path) -> Option<f64> {
    let text = fs::read_to_string(stat).ok()?;
    // user, nice, system, idle, waiting, interrupts, soft interrupts
    let ticks = text.lines().next()?.strip_prefix("cpu")?.split_whitespace();
    let ticks: Vec<f64> = ticks.map_while(|field| field.parse().ok()).collect();
    let busy = ticks.get(..3)?.iter().chain(ticks.get(5..7)?).sum::<f64>();
    #[expect(clippy::cast_precision_loss, reason = "ticks per second")]
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    Some(busy / per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of files, whose packages count and whose processors are busy as they are told.
    struct Machine {
        folder: tempfile::TempDir,
    }

    impl Machine {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (zone, name) in [
                ("intel-rapl:0", "package-0"),
                ("intel-rapl:1", "package-1"),
                ("intel-rapl:0:0", "core"),
            ] {
                let zone = folder.path().join("counters").join(zone);
                fs::create_dir_all(&zone).unwrap();
                fs::write(zone.join("name"), name).unwrap();
                fs::write(zone.join("max_energy_range_uj"), "1000000000\n").unwrap();
                fs::write(zone.join("energy_uj"), "0\n").unwrap();
            }
            let machine = Self { folder };
            machine.busy(0.0);
            machine
        }

        fn counts(&self, joules: [f64; 2]) {
            for (package, joules) in joules.into_iter().enumerate() {
                let zone = format!("counters/intel-rapl:{package}/energy_uj");
                let text = format!("{:.0}\n", joules * 1e6);
                fs::write(self.folder.path().join(zone), text).unwrap();
            }
        }

        fn busy(&self, seconds: f64) {
            let ticks = seconds * rustix::param::clock_ticks_per_second() as f64;
            let text = format!("cpu  {ticks:.0} 0 0 77777 99 0 0 0 0 0\ncpu0 1 2 3\n");
            fs::write(self.folder.path().join("stat"), text).unwrap();
        }

        fn meter(&self, power: Power) -> Meter {
            let at = |name| self.folder.path().join(name);
            Meter::of(power, &at("counters"), &at("stat"))
        }
    }

    fn used(processor_s: f64) -> Usage {
        Usage {
            peak_memory_bytes: Some(2_000_000_000),
            user_cpu_s: Some(processor_s),
            system_cpu_s: Some(0.0),
            ..Usage::default()
        }
    }

    #[track_caller]
    fn assert_joules(usage: &Usage, joules: f64, method: EnergyMethod) {
        let got = usage.energy_wh.unwrap() * 3600.0;
        assert!((got - joules).abs() < 1e-6, "{got} J, expected {joules} J");
        assert_eq!(usage.energy_method, Some(method));
    }

    #[test]
    fn an_action_has_its_share_of_what_packages_counted() {
        let machine = Machine::new();
        let mut meter = machine.meter(Power::UNKNOWN);
        machine.counts([990.0, 10.0]);
        machine.busy(100.0);
        let since = meter.read();
        // The first begins anew, and the action had a quarter of the time of all.
        machine.counts([90.0, 110.0]);
        machine.busy(140.0);
        let mut usage = used(10.0);
        meter.add_to(&mut usage, since, 20.0, 4);
        assert_joules(
            &usage,
            200.0 / 4.0 + 2.0 * 0.3725 * 20.0,
            EnergyMethod::Rapl,
        );
        assert_eq!(usage.co2e_g, None);
    }

    #[test]
    fn without_counters_processor_time_is_what_counts() {
        let machine = Machine::new();
        fs::remove_dir_all(machine.folder.path().join("counters")).unwrap();
        let power = Power {
            grams_per_kilowatt_hour: Some(50.0),
            ..Power::UNKNOWN
        };
        let mut meter = machine.meter(power);
        let since = meter.read();
        let mut usage = used(10.0);
        meter.add_to(&mut usage, since, 20.0, 4);
        let joules = 10.0 * WATTS_PER_CORE + 2.0 * 0.3725 * 20.0;
        assert_joules(&usage, joules, EnergyMethod::Estimated);
        let grams = usage.co2e_g.unwrap();
        assert!((grams - joules / 3.6e6 * 50.0).abs() < 1e-12, "{grams}");
    }

    #[test]
    fn watts_that_are_given_are_used_where_counters_could_be_read() {
        let machine = Machine::new();
        let power = Power {
            watts_per_core: Some(3.0),
            ..Power::UNKNOWN
        };
        let mut meter = machine.meter(power);
        let since = meter.read();
        machine.counts([500.0, 500.0]);
        let mut usage = used(10.0);
        meter.add_to(&mut usage, since, 0.0, 1);
        assert_joules(&usage, 30.0, EnergyMethod::Estimated);
    }

    #[test]
    fn a_stage_in_this_process_takes_no_more_than_its_threads() {
        let machine = Machine::new();
        let power = Power {
            watts_per_core: Some(1.0),
            ..Power::UNKNOWN
        };
        let mut meter = machine.meter(power);
        let since = Reading {
            own_s: -1e6,
            ..meter.read()
        };
        let mut usage = Usage {
            peak_memory_bytes: Some(0),
            ..Usage::default()
        };
        meter.add_to(&mut usage, since, 5.0, 2);
        assert_joules(&usage, 10.0, EnergyMethod::Estimated);
    }
}
