//! Attribution maps of data groups, and the tables about them.

use crate::files::attribution_tsv;
use crate::layout::{MapTable, SplitPath, interpretation_of};

use super::Check;

/// Checks what interpreted the weights that a metric selected in a split.
pub(super) fn check(check: &mut Check, split: &str, metric: &str) {
    let folder = format!("{split}/best-{metric}");
    for group in check.subfolders(&folder) {
        let folder = format!("{folder}/{group}");
        for interpretation in check.subfolders(&folder) {
            let Some(name) = interpretation_of(&interpretation) else {
                continue;
            };
            for table in MapTable::ALL {
                let path = SplitPath::AttributionTable {
                    metric,
                    group: &group,
                    name,
                    table,
                };
                let path = format!("{split}/{path}");
                if check.exists(&path) {
                    check.read(&path, |bytes, file| {
                        attribution_tsv::check(table, bytes, file)
                    });
                }
            }
            check_mean(check, &format!("{folder}/{interpretation}"));
        }
    }
}

fn check_mean(check: &mut Check, path: &str) {
    let has_mean = std::fs::read_dir(check.folder.join(path)).is_ok_and(|entries| {
        let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.any(|name| name.starts_with("mean_") && name.ends_with("_map.pt"))
    });
    if !has_mean {
        check.report(path, "has no mean map `mean_<mode>-<part>_map.pt`");
    }
}
