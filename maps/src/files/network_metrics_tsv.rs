//! `<group>_<level>_level_metrics.tsv` where each part of images has a network of its own: the table of each
//! network, one below the other, each followed by a line that repeats the number of its network.
//!
//! ```text
//! Metrics         BA   accuracy  …  loss
//! Values          0.5  0.5       …  1.38
//! …
//! 0               0    0         …  0
//! Metrics         BA   accuracy  …  loss
//! ```

use crate::MapsError;

use super::MetricsTable;

/// The metrics of each network of a training with one for each part.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NetworkMetrics {
    /// The number of each network with its metrics, in the order of the file.
    pub networks: Vec<(usize, MetricsTable)>,
}

impl NetworkMetrics {
    /// Reads the file; it has no network if it is that of a single one.
    ///
    /// # Errors
    /// The table of a network is none of metrics.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, MapsError> {
        let text = std::str::from_utf8(bytes).map_err(|_| MapsError::NotText {
            file: file.to_owned(),
        })?;
        let mut networks = Vec::new();
        let mut block = String::new();
        for line in text.lines() {
            match network_of(line) {
                Some(network) => {
                    let table = MetricsTable::read(block.as_bytes(), file)?;
                    networks.push((network, table));
                    block.clear();
                }
                None => {
                    block.push_str(line);
                    block.push('\n');
                }
            }
        }
        Ok(Self { networks })
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (network, table) in &self.networks {
            let columns = 1 + table.columns.len() + usize::from(table.leakage.is_some());
            let numbers = vec![network.to_string(); columns];
            bytes.extend(table.to_bytes());
            bytes.extend(numbers.join("\t").bytes());
            bytes.push(b'\n');
        }
        bytes
    }
}

/// The network whose table ends with this line.
fn network_of(line: &str) -> Option<usize> {
    let mut cells = line.trim_end_matches('\r').split('\t');
    let first = cells.next()?;
    let network = first.parse().ok()?;
    let mut others = cells.peekable();
    (others.peek().is_some() && others.all(|cell| cell == first)).then_some(network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Interval, MetricColumn};

    fn table(value: f64, leakage: Option<&str>) -> MetricsTable {
        let interval = Interval {
            lower: 0.25,
            upper: 1.0,
            standard_error: 0.125,
        };
        let column = |name: &str, value, interval| MetricColumn {
            name: name.to_owned(),
            value,
            interval,
        };
        MetricsTable {
            columns: vec![
                column("BA", value, Some(interval)),
                column("loss", 1.5, None),
            ],
            leakage: leakage.map(str::to_owned),
        }
    }

    #[test]
    fn the_tables_of_networks_read_back() {
        let metrics = NetworkMetrics {
            networks: vec![(0, table(0.5, None)), (1, table(0.75, None))],
        };
        let bytes = metrics.to_bytes();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 12);
        assert_eq!((lines[5], lines[11]), ("0\t0\t0", "1\t1\t1"));
        assert_eq!(NetworkMetrics::read(&bytes, "m").unwrap(), metrics);
        // Who knows of one network only reads the first.
        assert_eq!(MetricsTable::read(&bytes, "m").unwrap(), table(0.5, None));
        let marked = NetworkMetrics {
            networks: vec![(3, table(0.5, Some("why")))],
        };
        assert_eq!(
            NetworkMetrics::read(&marked.to_bytes(), "m").unwrap(),
            marked
        );
    }

    #[test]
    fn the_table_of_a_single_network_is_of_none() {
        let bytes = table(0.5, None).to_bytes();
        assert!(
            NetworkMetrics::read(&bytes, "m")
                .unwrap()
                .networks
                .is_empty()
        );
        // One row without intervals: a value that looks like a number of a network.
        let plain = NetworkMetrics::read(b"BA\tloss\n0.5\t1.5\n", "m").unwrap();
        assert!(plain.networks.is_empty());
        let error = NetworkMetrics::read(b"BA\tx\nSE\t1\n0\t0\n", "m.tsv").unwrap_err();
        assert!(error.to_string().contains("m.tsv"), "{error}");
    }
}
