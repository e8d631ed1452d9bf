//! What a MAPS says against what follows from it: metrics from predictions, shapes of weights from the
//! network. [`maps::validate`] checks the files themselves, and knows neither metrics nor networks.

mod metrics;
mod network;
mod shapes;

use std::path::Path;

use maps::{Maps, MapsIssue};

pub use network::unsupported;

/// Every contradiction in a MAPS, sorted; what cannot be read is told by [`maps::validate`].
pub fn check(folder: &Path) -> Vec<MapsIssue> {
    let Ok(maps) = Maps::open(folder) else {
        return Vec::new();
    };
    let mut issues = Vec::new();
    for split in maps.splits() {
        for metric in maps.selection_metrics(split).unwrap_or_default() {
            issues.extend(network::check(&maps, split, &metric));
            for group in maps.result_groups(split, &metric).unwrap_or_default() {
                issues.extend(metrics::check(&maps, split, &metric, &group));
            }
        }
    }
    for name in maps.ensembles().unwrap_or_default() {
        for metric in maps.ensemble_selections(&name).unwrap_or_default() {
            for group in maps.groups().unwrap_or_default() {
                issues.extend(metrics::check_ensemble(&maps, &name, &metric, &group));
            }
        }
    }
    issues.sort();
    issues
}

/// A file of the MAPS, as issues name it.
fn relative(maps: &Maps, path: &Path) -> String {
    let inside = path.strip_prefix(maps.folder()).unwrap_or(path);
    inside.display().to_string()
}
