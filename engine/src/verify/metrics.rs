//! Metrics by name: the bounds that a manifest expects, and the locked values against published ones.
//!
//! A metric is called `group/split-0/…/metric`. A reference `group.metric` means the mean over the
//! splits; further parts between the two choose one split or one of what else there are several of,
//! and where nothing is chosen each has to keep the bound.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{Check, Fault, Section};
use crate::manifest::{Expectation, did_you_mean};

/// Metrics by name, and the other names of their groups.
#[derive(Debug, Clone, Copy)]
pub struct MetricNames<'a> {
    /// Values by name.
    pub values: &'a BTreeMap<String, f64>,
    /// Names of stages with the group that each makes: `stage.metric` means that group.
    pub stages: &'a BTreeMap<String, String>,
}

/// A name, in its parts.
struct Name<'a> {
    group: &'a str,
    split: Option<&'a str>,
    others: Vec<&'a str>,
    metric: &'a str,
}

impl<'a> Name<'a> {
    fn of(name: &'a str) -> Option<Self> {
        let mut parts = name.split('/');
        let (group, metric) = (parts.next()?, parts.next_back()?);
        let is_split = |part: &&str| part.starts_with("split-");
        let (splits, others): (Vec<&str>, Vec<&str>) = parts.partition(is_split);
        let split = splits.first().copied();
        Some(Self {
            group,
            split,
            others,
            metric,
        })
    }

    /// Whether a reference means this metric; `any` lets it leave the group out.
    fn is_meant_by(&self, reference: &str, stages: &BTreeMap<String, String>, any: bool) -> bool {
        let Some(rest) = reference.strip_suffix(self.metric) else {
            return false;
        };
        if rest.is_empty() {
            return any;
        }
        let Some(rest) = rest.strip_suffix('.') else {
            return false;
        };
        let chosen = |name: &str| -> bool {
            let Some(rest) = rest.strip_prefix(name) else {
                return false;
            };
            let Some(parts) = rest.strip_prefix('.') else {
                return rest.is_empty();
            };
            let mut parts = parts.split('.');
            parts.all(|part| self.split == Some(part) || self.others.contains(&part))
        };
        let by_stage = stages
            .iter()
            .any(|(stage, group)| group == self.group && chosen(stage));
        // A stage that has the name of another group hides it: the manifest's own names win.
        let hidden = stages
            .get(self.group)
            .is_some_and(|group| group != self.group);
        by_stage || !hidden && chosen(self.group)
    }
}

/// Values of one metric over the splits.
pub(super) struct Series {
    /// `test.balanced_accuracy`, with what distinguishes it from others of that name.
    pub(super) name: String,
    /// Values by split; the split is empty where there are none.
    pub(super) values: Vec<(String, f64)>,
}

impl Series {
    #[expect(clippy::cast_precision_loss, reason = "there are few splits")]
    pub(super) fn mean(&self) -> f64 {
        self.values.iter().map(|(_, value)| value).sum::<f64>() / self.values.len() as f64
    }
}

impl MetricNames<'_> {
    /// The metrics that a reference means, each over its splits.
    pub(super) fn meant_by(&self, reference: &str) -> Vec<Series> {
        self.series(|name| name.is_meant_by(reference, self.stages, false))
    }

    /// The values over splits of the one metric that a reference means.
    ///
    /// # Errors
    /// It means none or several; the message tells which there are.
    pub fn only(&self, reference: &str) -> Result<Vec<f64>, String> {
        let mut meant = self.meant_by(reference);
        match (meant.pop(), meant.len()) {
            (None, _) => {
                let advice = self.suggestion(reference);
                Err(format!("no metric is called `{reference}`: {advice}"))
            }
            (Some(series), 0) => Ok(series.values.into_iter().map(|(_, value)| value).collect()),
            (Some(last), _) => {
                let names = meant.iter().chain([&last]);
                let names: Vec<String> = names.map(|series| format!("`{}`", series.name)).collect();
                let names = names.join(", ");
                Err(format!("`{reference}` means several metrics: {names}"))
            }
        }
    }

    /// Every metric over its splits.
    pub(super) fn all(&self) -> Vec<Series> {
        self.series(|_| true)
    }

    /// The values that any of these references means; every value if there is no reference. A
    /// reference that means nothing is a failed check.
    pub fn chosen(&self, references: &[String]) -> (BTreeMap<String, f64>, Vec<Check>) {
        let means = |reference: &String, name: &String| {
            Name::of(name).is_some_and(|name| name.is_meant_by(reference, self.stages, false))
        };
        let mut values = self.values.clone();
        if !references.is_empty() {
            values.retain(|name, _| references.iter().any(|reference| means(reference, name)));
        }
        let unknown = references
            .iter()
            .filter(|reference| !self.values.keys().any(|name| means(reference, name)))
            .map(|reference| self.unknown(Section::Metric, reference))
            .collect();
        (values, unknown)
    }

    fn unknown(&self, section: Section, reference: &str) -> Check {
        let message = format!("no metric is called `{reference}`");
        Check::failed(section, reference, Fault::MetricOutside, message)
            .hint(self.suggestion(reference))
    }

    fn series(&self, wanted: impl Fn(&Name<'_>) -> bool) -> Vec<Series> {
        let mut found: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
        for (name, value) in self.values {
            let Some(name) = Name::of(name).filter(&wanted) else {
                continue;
            };
            let mut parts = vec![name.group];
            parts.extend(&name.others);
            parts.push(name.metric);
            let split = name.split.unwrap_or_default().to_owned();
            found
                .entry(parts.join("."))
                .or_default()
                .push((split, *value));
        }
        let series = found.into_iter();
        series
            .map(|(name, values)| Series { name, values })
            .collect()
    }

    /// Advice about a reference that means nothing.
    pub(super) fn suggestion(&self, reference: &str) -> String {
        let mut known = BTreeSet::new();
        for name in self.values.keys().filter_map(|name| Name::of(name)) {
            let stages = self.stages.iter().filter(|(_, group)| *group == name.group);
            known.extend(stages.map(|(stage, _)| format!("{stage}.{}", name.metric)));
            known.insert(format!("{}.{}", name.group, name.metric));
        }
        if known.is_empty() {
            return "this experiment publishes no metrics".to_owned();
        }
        match did_you_mean(reference, known.iter().map(String::as_str)) {
            Some(name) => format!("did you mean `{name}`?"),
            None => {
                let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
                format!("known: {}", known.join(", "))
            }
        }
    }

    /// How exactly a reference of a tolerance names a metric; `None` if it does not.
    pub(super) fn precision(&self, reference: &str, name: &str) -> Option<usize> {
        let is_meant = Name::of(name)?.is_meant_by(reference, self.stages, true);
        is_meant.then(|| reference.split('.').count())
    }
}

/// Whether metrics keep the bounds that the manifest expects.
pub fn check_expectations(expect: &[Expectation], metrics: MetricNames<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    for expectation in expect {
        let meant = metrics.meant_by(&expectation.metric);
        if meant.is_empty() {
            checks.push(metrics.unknown(Section::Expect, &expectation.metric));
        }
        checks.extend(meant.iter().map(|series| bounds_check(expectation, series)));
    }
    checks
}

fn bounds_check(expectation: &Expectation, series: &Series) -> Check {
    let value = series.mean();
    // What is no number keeps no bound.
    let too_small = expectation.min.filter(|&min| value.is_nan() || value < min);
    let too_large = expectation.max.filter(|&max| value.is_nan() || value > max);
    let of = match series.values.as_slice() {
        [_] => String::new(),
        several => format!(", the mean of {} splits", several.len()),
    };
    let shown = shown(value);
    let expected = match (too_small, too_large) {
        (Some(min), _) => format!("expected at least {min}"),
        (None, Some(max)) => format!("expected at most {max}"),
        (None, None) => {
            return Check::passed(Section::Expect, &series.name, format!("{shown}{of}"));
        }
    };
    let message = format!("is {shown}{of}; {expected}");
    let check = Check::failed(Section::Expect, &series.name, Fault::MetricOutside, message);
    match series.values.as_slice() {
        [_] => check,
        several => {
            let lines = several.iter();
            check.details(lines.map(|(split, value)| format!("{split}: {}", self::shown(*value))))
        }
    }
}

/// A value with as many digits as people read.
pub(super) fn shown(value: f64) -> String {
    if value.is_finite() {
        let text = format!("{value:.4}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        if text == "0" && value != 0.0 {
            return format!("{value:.2e}");
        }
        text.to_owned()
    } else {
        "no number".to_owned()
    }
}

/// Whether the metrics read from what is published are the locked ones.
pub fn check_same_metrics(
    locked: &BTreeMap<String, f64>,
    published: &BTreeMap<String, f64>,
) -> Check {
    let names: BTreeSet<&String> = locked.keys().chain(published.keys()).collect();
    let total = names.len();
    let different: Vec<String> = names
        .into_iter()
        .filter_map(|name| {
            let show = |value: Option<&f64>| value.map_or("missing".to_owned(), |v| v.to_string());
            let (locked, published) = (locked.get(name), published.get(name));
            let same = match (locked, published) {
                (Some(a), Some(b)) => {
                    a.to_bits() == b.to_bits() || !a.is_finite() && !b.is_finite()
                }
                _ => false,
            };
            (!same).then(|| {
                format!(
                    "`{name}`: locked {}, published {}",
                    show(locked),
                    show(published)
                )
            })
        })
        .collect();
    if different.is_empty() {
        return Check::passed(
            Section::Published,
            "metrics",
            format!("{total} metrics as locked"),
        );
    }
    let message = format!(
        "{} of {total} metrics are not the locked ones",
        different.len()
    );
    Check::failed(Section::Published, "metrics", Fault::OutputChanged, message)
        .details(super::inputs::shorten(different))
        .hint("the lock or a metrics table was edited: restore both from version control, or run again")
}
