//! The members of an ensemble: found, read, and brought into one order.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Input, InputFile, StageError};
use maps::files::{
    DataRow, DataTable, Identity, MeasuredRow, MeasuredTable, PredictionRow, PredictionTable,
    REGRESSION_COLUMNS,
};
use maps::layout::{IMAGE_LEVEL, LEVELS, SplitPath, selection_metric_of, split_of};

use crate::leakage::Certificate;
use crate::learning::selection_column;
use crate::listed::{listed, some};
use crate::table::canonical_session;

/// Images that a message lists, of each member.
const LISTED: usize = 50;

/// The predictions of one data group by the models of several splits.
pub(super) struct Members<'a> {
    input: &'a Input,
    group: &'a str,
    /// The folder of each split, `split-<i>`.
    folders: BTreeMap<usize, &'a str>,
}

/// A prediction of each member, of one level: all of the same images in the same order.
pub(super) enum Tables {
    /// Of a classification.
    Classes(Vec<PredictionTable>),
    /// Of a regression.
    Numbers(Vec<MeasuredTable>),
}

impl<'a> Members<'a> {
    /// Finds the splits with predictions of a data group.
    ///
    /// # Errors
    /// There are fewer than two.
    pub(super) fn open(input: &'a Input, group: &'a str) -> Result<Self, StageError> {
        let firsts = input.files.keys().filter_map(|path| path.split_once('/'));
        let is_prediction = |inside: &str| {
            selection_metric_of(inside.split('/').next().unwrap_or(inside)).is_some()
        };
        let folders: BTreeMap<usize, &str> = firsts
            .filter(|(_, inside)| is_prediction(inside))
            .filter_map(|(folder, _)| Some((split_of(folder)?, folder)))
            .collect();
        let shown = &input.shown;
        match folders.len() {
            0 => {
                let message = format!("`{shown}` has no predictions of data group `{group}`");
                Err(StageError::new(message).hint("set `data_group`"))
            }
            1 => {
                let message = format!("`{shown}` has predictions of `{group}` of one split only");
                Err(StageError::new(message).hint("an ensemble has at least two models"))
            }
            _ => Ok(Self {
                input,
                group,
                folders,
            }),
        }
    }

    /// What messages call the predictions.
    pub(super) fn shown(&self) -> &str {
        &self.input.shown
    }

    /// The splits, ascending.
    pub(super) fn splits(&self) -> impl Iterator<Item = usize> {
        self.folders.keys().copied()
    }

    /// What the description says of them.
    pub(super) fn describe(&self) -> String {
        let splits: Vec<String> = self.splits().map(|split| split.to_string()).collect();
        format!("Ensemble of the models of splits {}\n", splits.join(", "))
    }

    /// The models to join, by what selected them: the wanted ones, or all.
    ///
    /// # Errors
    /// A split has none of a model.
    pub(super) fn metrics(&self, wanted: &[String]) -> Result<Vec<String>, StageError> {
        let of = |folder: &str| -> BTreeSet<String> {
            let files = self.input.files.keys();
            let inside = files.filter_map(|path| path.strip_prefix(folder)?.strip_prefix('/'));
            let models = inside.filter_map(|path| selection_metric_of(path.split('/').next()?));
            models.map(str::to_owned).collect()
        };
        let all: BTreeSet<String> = self
            .folders
            .values()
            .flat_map(|folder| of(folder))
            .collect();
        let wanted: Vec<String> = match wanted {
            [] => all.into_iter().collect(),
            wanted => {
                let columns = wanted
                    .iter()
                    .map(|name| selection_column(name).unwrap_or(name));
                columns.map(str::to_owned).collect()
            }
        };
        for (split, folder) in &self.folders {
            let known = of(folder);
            if let Some(metric) = wanted.iter().find(|metric| !known.contains(*metric)) {
                let (shown, group) = (self.shown(), self.group);
                let message = format!(
                    "`{shown}` has no predictions of `{group}` by the model of split {split} that \
                     `{metric}` selected"
                );
                let known: Vec<String> = known.into_iter().collect();
                return Err(StageError::new(message).hint(format!(
                    "it has those of {}: set `selection_metrics`",
                    some(&known)
                )));
            }
        }
        Ok(wanted)
    }

    /// Whether there are predictions of parts of images.
    pub(super) fn has_parts(&self, metric: &str) -> bool {
        let parts = LEVELS.iter().filter(|level| **level != IMAGE_LEVEL);
        let mut files = parts.flat_map(|level| self.files(metric, level));
        files.any(|(_, file)| file.is_some())
    }

    /// The certificate of each prediction, where there is one.
    pub(super) fn certificates(&self) -> impl Iterator<Item = &'a InputFile> {
        let path = Certificate::path(self.group);
        let folders = self.folders.values();
        folders.filter_map(move |folder| self.input.file(&format!("{folder}/{path}")))
    }

    /// The sessions of the data group, which is the same for all.
    ///
    /// # Errors
    /// It is not, or cannot be read.
    pub(super) fn data(&self) -> Result<DataTable, StageError> {
        let path = SplitPath::Data { group: self.group }.in_artifact();
        let mut first: Option<(&InputFile, DataTable)> = None;
        for folder in self.folders.values() {
            // That of a MAPS is not below its splits.
            let own = self.input.file(&format!("{folder}/{path}"));
            let file = match own {
                Some(file) => file,
                None => self.input.require(&path)?,
            };
            let table = DataTable::read(&read(file)?, &file.shown).map_err(StageError::new)?;
            let Some((known, before)) = &first else {
                first = Some((file, table));
                continue;
            };
            if sorted(before) != sorted(&table) {
                let (one, other) = (&known.shown, &file.shown);
                let message =
                    format!("`{one}` and `{other}` are not the same sessions with the same labels");
                return Err(StageError::new(message)
                    .hint("predict the same table of participants with every model"));
            }
        }
        let first = first.map(|(_, table)| table);
        first.ok_or_else(|| StageError::internal("there is no member"))
    }

    fn files(
        &self,
        metric: &str,
        level: &str,
    ) -> impl Iterator<Item = (usize, Option<&'a InputFile>)> + use<'a, '_> {
        let path = SplitPath::Prediction {
            metric,
            group: self.group,
            level,
        };
        let path = path.in_artifact();
        let folders = self.folders.iter();
        folders.map(move |(split, folder)| (*split, self.input.file(&format!("{folder}/{path}"))))
    }

    /// The predictions of a level in the order of the first member; `None` where no member has any.
    ///
    /// # Errors
    /// A member lacks predictions that another has, or says something else of what is true.
    pub(super) fn tables(
        &self,
        metric: &str,
        level: &str,
        data: &DataTable,
    ) -> Result<Option<Tables>, StageError> {
        let files: Vec<(usize, Option<&InputFile>)> = self.files(metric, level).collect();
        if files.iter().all(|(_, file)| file.is_none()) {
            return Ok(None);
        }
        if let Some((split, _)) = files.iter().find(|(_, file)| file.is_none()) {
            let (shown, group) = (self.shown(), self.group);
            let message = format!(
                "`{shown}` has predictions of `{group}` per {level} by models that `{metric}` selected, \
                 but not in split {split}"
            );
            return Err(
                StageError::new(message).hint("predict with the models of all splits alike")
            );
        }
        let files = files.into_iter();
        let files: Vec<_> = files
            .filter_map(|(split, file)| Some((split, file?)))
            .collect();
        let first = read(files[0].1)?;
        let header = first
            .split(|&byte| byte == b'\n')
            .next()
            .unwrap_or_default();
        let header = String::from_utf8_lossy(header);
        let has = |name: &str| header.trim_end().split('\t').any(|column| column == name);
        let tables = if has("proba0") {
            let read = files.iter().map(|(_, file)| {
                PredictionTable::read(&read(file)?, &file.shown).map_err(StageError::new)
            });
            let tables: Vec<PredictionTable> = read.collect::<Result<_, _>>()?;
            Tables::Classes(self.same_classes(tables, &files, level, data)?)
        } else if has(REGRESSION_COLUMNS[0]) {
            let read = files.iter().map(|(_, file)| {
                let table = MeasuredTable::read(&read(file)?, &file.shown, &REGRESSION_COLUMNS);
                table.map_err(StageError::new)
            });
            let tables: Vec<MeasuredTable> = read.collect::<Result<_, _>>()?;
            Tables::Numbers(self.same_numbers(tables, &files, level, data)?)
        } else {
            let shown = &files[0].1.shown;
            let message =
                format!("`{shown}` is of a reconstruction, whose tables hold no predictions");
            return Err(
                StageError::new(message).hint("ensembles are of classifications and regressions")
            );
        };
        Ok(Some(tables))
    }

    fn same_classes(
        &self,
        mut tables: Vec<PredictionTable>,
        files: &[(usize, &InputFile)],
        level: &str,
        data: &DataTable,
    ) -> Result<Vec<PredictionTable>, StageError> {
        let classes = tables[0].n_classes();
        if let Some(k) = tables.iter().position(|table| table.n_classes() != classes) {
            let (one, other) = (&files[0].1.shown, &files[k].1.shown);
            let found = tables[k].n_classes();
            let message =
                format!("`{one}` has probabilities of {classes} classes, `{other}` of {found}");
            return Err(StageError::new(message).hint("join models of the same labels"));
        }
        let identities: Vec<Vec<Identity>> = tables
            .iter()
            .map(|table| table.rows().iter().map(identity).collect())
            .collect();
        let orders = self.orders(&identities, files, level, data)?;
        for (k, order) in orders.iter().enumerate().skip(1) {
            let rows: Vec<PredictionRow> =
                order.iter().map(|&i| tables[k].rows()[i].clone()).collect();
            let pairs = tables[0].rows().iter().zip(&rows);
            self.same_truth(
                k,
                files,
                pairs.map(|(a, b)| (a.true_label, b.true_label)),
                &identities[0],
            )?;
            let (level, leakage) = (tables[k].level().to_owned(), tables[k].leakage());
            let leakage = leakage.map(str::to_owned);
            let table = PredictionTable::try_new(classes, rows).map_err(StageError::internal)?;
            tables[k] = table.of_level(&level).marked(leakage.as_deref());
        }
        for (table, (_, file)) in tables.iter().zip(files) {
            let is_code = |code: i64| usize::try_from(code).is_ok_and(|code| code < classes);
            let wrong = table.rows().iter().find(|row| {
                !is_code(row.predicted_label)
                    || !row.true_label.is_none_or(is_code)
                    || !row.probabilities.iter().all(|p| (0.0..=1.0).contains(p))
            });
            if let Some(row) = wrong {
                let (participant, session) = (&row.participant, &row.session);
                return Err(StageError::new(format!(
                    "`{}`: {participant}, {session} has a label that is no code below {classes}, or a \
                     probability that is not from 0 to 1",
                    file.shown
                )));
            }
        }
        Ok(tables)
    }

    fn same_numbers(
        &self,
        mut tables: Vec<MeasuredTable>,
        files: &[(usize, &InputFile)],
        level: &str,
        data: &DataTable,
    ) -> Result<Vec<MeasuredTable>, StageError> {
        let identities: Vec<Vec<Identity>> = tables
            .iter()
            .map(|table| table.rows.iter().map(|row| row.identity.clone()).collect())
            .collect();
        let orders = self.orders(&identities, files, level, data)?;
        for (k, order) in orders.iter().enumerate().skip(1) {
            let rows: Vec<MeasuredRow> = order.iter().map(|&i| tables[k].rows[i].clone()).collect();
            let pairs = tables[0].rows.iter().zip(&rows);
            let truths = pairs.map(|(a, b)| (a.values[0].to_bits(), b.values[0].to_bits()));
            self.same_truth(k, files, truths, &identities[0])?;
            tables[k].rows = rows;
        }
        Ok(tables)
    }

    /// Whether the `k`-th member tells the same truth as the first.
    fn same_truth<T: PartialEq>(
        &self,
        k: usize,
        files: &[(usize, &InputFile)],
        mut truths: impl Iterator<Item = (T, T)>,
        identities: &[Identity],
    ) -> Result<(), StageError> {
        let Some(row) = truths.position(|(a, b)| a != b) else {
            return Ok(());
        };
        let (one, other) = (&files[0].1.shown, &files[k].1.shown);
        let name = name(&key(&identities[row]), IMAGE_LEVEL);
        let message = format!("`{one}` and `{other}` have another true label of {name}");
        Err(StageError::new(message).hint("learn the same label with the same code in every split"))
    }

    /// By member, where the images of the first are in its table.
    ///
    /// # Errors
    /// They are not the same images, or images of nobody in the data group.
    fn orders(
        &self,
        identities: &[Vec<Identity>],
        files: &[(usize, &InputFile)],
        level: &str,
        data: &DataTable,
    ) -> Result<Vec<Vec<usize>>, StageError> {
        let mut places: Vec<BTreeMap<Key, usize>> = Vec::new();
        for (rows, (_, file)) in identities.iter().zip(files) {
            let mut place = BTreeMap::new();
            for (i, row) in rows.iter().enumerate() {
                if place.insert(key(row), i).is_some() {
                    // Tables name no cohort: participants of the same name cannot be told apart.
                    let (shown, name) = (&file.shown, name(&key(row), level));
                    let message = format!("`{shown}` has several predictions of {name}");
                    return Err(StageError::new(message).hint("predict each session once"));
                }
            }
            places.push(place);
        }
        let all: BTreeSet<&Key> = places.iter().flat_map(BTreeMap::keys).collect();
        let mut lacking = Vec::new();
        for (place, (split, _)) in places.iter().zip(files) {
            let missing = all.iter().filter(|key| !place.contains_key(**key));
            let missing: Vec<String> = missing.map(|key| name(key, level)).collect();
            if !missing.is_empty() {
                let (count, names) = (missing.len(), listed(&missing, LISTED, "; "));
                lacking.push(format!("split {split} lacks {count}: {names}"));
            }
        }
        if !lacking.is_empty() {
            let (shown, group) = (self.shown(), self.group);
            let message = format!(
                "`{shown}`: the models have not predicted the same images of `{group}`: {}",
                lacking.join("; ")
            );
            return Err(StageError::new(message).hint(
                "predict the same table of participants with every model, held out of all splits",
            ));
        }
        let known: BTreeSet<(&str, String)> = data.rows.iter().map(session).collect();
        let stranger = all.iter().find(|(participant, session, _)| {
            !known.contains(&(participant.as_str(), session.clone()))
        });
        if let Some(stranger) = stranger {
            let name = name(stranger, IMAGE_LEVEL);
            let (shown, group) = (self.shown(), self.group);
            return Err(StageError::new(format!(
                "`{shown}` predicts {name}, whom the sessions of data group `{group}` lack"
            )));
        }
        let rows = identities[0].iter().map(key);
        let rows: Vec<Key> = rows.collect();
        let order = |place: &BTreeMap<Key, usize>| rows.iter().map(|key| place[key]).collect();
        Ok(places.iter().map(order).collect())
    }
}

/// Participant, session as it is compared, and part.
type Key = (String, String, u32);

fn key(row: &Identity) -> Key {
    let session = canonical_session(&row.session).into_owned();
    (row.participant.clone(), session, row.image_id)
}

fn session(row: &DataRow) -> (&str, String) {
    let session = canonical_session(&row.session).into_owned();
    (&row.participant, session)
}

fn name((participant, session, part): &Key, level: &str) -> String {
    match level {
        IMAGE_LEVEL => format!("{participant}, {session}"),
        level => format!("{participant}, {session}, {level} {part}"),
    }
}

fn identity(row: &PredictionRow) -> Identity {
    Identity {
        participant: row.participant.clone(),
        session: row.session.clone(),
        image_id: row.image_id,
    }
}

fn sorted(table: &DataTable) -> BTreeSet<(&str, &str, String, Option<&str>)> {
    let rows = table.rows.iter().map(|row| {
        let (participant, session) = session(row);
        (
            row.cohort.as_str(),
            participant,
            session,
            row.label.as_deref(),
        )
    });
    rows.collect()
}

fn read(file: &InputFile) -> Result<Vec<u8>, StageError> {
    std::fs::read(&file.path).map_err(|e| StageError::io("read", &file.path, &e))
}
