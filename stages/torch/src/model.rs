//! A trained model, ours or of ClinicaDL 1.6.1, opened for use.

use std::collections::{BTreeMap, BTreeSet};

use engine::profile::span;
use engine::{Context, Input, StageError};
use maps::files::MapsJson;
use maps::layout::{LEVELS, MAPS_JSON, NETWORK_FILE, SplitPath, TRAIN_VALIDATION, model_of};
use maps::weights::read_pth;
use serde_json::Value;
use stages::extraction::Mode;
use stages::leakage::{Allowed, Certificate, Group, Origin, SEEN, separate};
use stages::learning::names::{LossName, Precision, Task};
use stages::learning::networks::Declaration;
use stages::learning::networks::torchscript::TORCH_SCRIPT;
use stages::learning::selection_column;
use stages::metrics::LabelCode;
use stages::table::Table;

use crate::data::cohort::{DIAGNOSIS, Labels, keep_diagnoses};
use crate::data::{Cohort, Dataset, Images, Transforms};
use crate::export::{DOCUMENT, Exported};
use crate::losses::{self, Criterion, Weighting};
use crate::networks::{self, ModuleFile, Network, NetworkSpec};
use crate::session::Session;
use crate::tasks::{Objective, objective};
use crate::voting::Voters;
use crate::weights;

/// What a `maps.json` says about a model, and where its weights are.
pub(crate) struct TrainedModel<'a> {
    input: &'a Input,
    /// Whole images, or a kind of parts.
    mode: String,
    spec: NetworkSpec,
    /// Number of networks, where each part of images has one of its own.
    networks: Option<usize>,
    /// What each of these networks takes, where they differ.
    input_sizes: Vec<Vec<usize>>,
    definition: MapsJson,
    /// What is done with images before the network, or the module, takes them.
    transforms: Transforms,
    /// What an exported module does with them itself; `None` for a network of this program.
    inside: Option<Transforms>,
    /// What its layers compute with.
    pub(crate) precision: Precision,
    diagnoses: Vec<String>,
    preprocessing: serde_json::Map<String, serde_json::Value>,
    /// Column that was learnt; none in a reconstruction.
    pub(crate) label: Option<String>,
    /// Output node of each label.
    pub(crate) code: LabelCode,
    pub(crate) objective: Box<dyn Objective>,
    /// The loss that was minimised; all classes weigh the same.
    pub(crate) criterion: Criterion,
}

/// The data group that a model is applied to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tested<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// The column of the labels; `None` where they are not read.
    pub(crate) label: Option<&'a str>,
    /// Diagnoses of its rows; `None`: those of the training, all where these are none.
    pub(crate) diagnoses: Option<&'a [String]>,
    /// Why participants of the training are allowed; empty if they are not.
    pub(crate) allow_leakage: &'a str,
}

impl<'a> TrainedModel<'a> {
    /// Reads the parameters of a model.
    ///
    /// # Errors
    /// They are damaged, or describe something that this program does not do.
    pub(crate) fn open(input: &'a Input) -> Result<Self, StageError> {
        let file = input.require(MAPS_JSON)?;
        let bytes =
            std::fs::read(&file.path).map_err(|e| StageError::io("read", &file.path, &e))?;
        let definition = MapsJson::read(&bytes, &file.shown)?;
        let named = |e: StageError| StageError::new(format!("`{}`: {}", file.shown, e.message));
        let refuse = |what: &str, got: &str, expected: &[&str]| {
            let expected = expected.join("` or `");
            StageError::new(format!(
                "`{}` is a model with {what} `{got}`, expected `{expected}`",
                file.shown
            ))
        };
        let (task, mode) = (definition.network_task()?, definition.mode()?);
        if !LEVELS.contains(&mode) {
            return Err(refuse("mode", mode, &LEVELS));
        }
        let task = Task::ALL.iter().copied().find(|known| known.name() == task);
        let Some(task) = task else {
            let known: Vec<&str> = Task::ALL.iter().map(|task| task.name()).collect();
            return Err(refuse("task", definition.network_task()?, &known));
        };
        let code: BTreeMap<String, usize> = definition
            .label_code()?
            .into_iter()
            .filter_map(|(label, node)| Some((label, usize::try_from(node).ok()?)))
            .collect();
        let code = LabelCode::given(code).map_err(named)?;
        let outputs = match task {
            Task::Reconstruction => 0,
            Task::Classification | Task::Regression => definition.output_size()?,
        };
        if task == Task::Regression && outputs != 1 {
            let shown = &file.shown;
            let message = format!("`{shown}` is a regression of {outputs} outputs, expected 1");
            return Err(StageError::new(message));
        }
        if task == Task::Classification && (outputs != code.classes() || outputs < 2) {
            return Err(StageError::new(format!(
                "`{}` has {outputs} outputs and {} classes, expected as many and at least 2",
                file.shown,
                code.classes()
            )));
        }
        let factor = definition.number("size_reduction_factor")?;
        let transforms = Transforms {
            normalize: definition.switch("normalize")?,
            size_reduction: definition.switch("size_reduction")?.then(|| {
                [2, 3, 4, 5]
                    .into_iter()
                    .find(|&n| (f64::from(n) - factor).abs() < 0.5)
                    .unwrap_or(0)
            }),
        };
        // A module takes images as they are.
        let inside = input.file(DOCUMENT).map(|_| transforms);
        let transforms = match inside {
            Some(Transforms {
                size_reduction: Some(_),
                ..
            }) if task == Task::Reconstruction => {
                let shown = &input.shown;
                let message = format!(
                    "`{shown}` makes images smaller before it restores them, expected the MAPS, which knows \
                     what to compare them with"
                );
                return Err(StageError::new(message).hint("predict with the MAPS"));
            }
            // What is restored is compared with the image that the network sees; where intensities have been
            // rescaled before, the module finds nothing to do.
            Some(_) => Transforms {
                normalize: transforms.normalize && task == Task::Reconstruction,
                size_reduction: None,
            },
            None => transforms,
        };
        let axis = |axis: usize| i64::try_from(axis).unwrap_or(i64::MAX);
        let declaration = networks::find(definition.architecture()?).map_err(named)?;
        let options = options_of(declaration, &definition);
        let weight = |name: &str| options.get(name).and_then(Value::as_f64).unwrap_or(1.0);
        let loss = definition.text("loss").ok();
        let weighting = Weighting {
            reconstruction: weight("recons_weight"),
            divergence: weight("kl_weight"),
            ..Weighting::default()
        };
        let label = match task {
            Task::Reconstruction => None,
            Task::Classification | Task::Regression => {
                Some(definition.label()?.unwrap_or(DIAGNOSIS).to_owned())
            }
        };
        Ok(Self {
            input,
            mode: definition.mode()?.to_owned(),
            spec: NetworkSpec {
                declaration,
                input_size: definition.input_size()?.into_iter().map(axis).collect(),
                output_size: axis(outputs),
                options,
                module: match declaration.name == TORCH_SCRIPT.name && inside.is_none() {
                    true => Some(ModuleFile::read(input.require(NETWORK_FILE)?)?),
                    false => None,
                },
            },
            transforms,
            inside,
            precision: precision_of(&definition).map_err(named)?,
            diagnoses: definition.diagnoses()?,
            preprocessing: match definition.preprocessing_target() {
                Some(target) => target.clone(),
                None => definition.preprocessing()?.clone(),
            },
            label,
            objective: objective(task, &code),
            code,
            criterion: Criterion {
                loss: losses::parse(loss.unwrap_or(LossName::default_of(task).name()))
                    .map_err(named)?,
                weighting,
            },
            networks: definition.networks()?,
            input_sizes: definition.input_sizes()?,
            definition,
        })
    }

    /// The selection metrics to use, by column name: the wanted ones, or all that have a model.
    ///
    /// # Errors
    /// There is no model, or none of a wanted metric.
    pub(crate) fn metrics(&self, wanted: &[String]) -> Result<Vec<String>, StageError> {
        let available: BTreeSet<&str> = self
            .input
            .files
            .keys()
            .filter_map(|path| Some(model_of(path)?.0))
            .collect();
        let shown = &self.input.shown;
        if available.is_empty() {
            let message = format!("`{shown}` has no `best-<metric>/model.pth.tar`");
            return Err(StageError::new(message));
        }
        if wanted.is_empty() {
            return Ok(available.into_iter().map(str::to_owned).collect());
        }
        let known: Vec<String> = available
            .iter()
            .map(|metric| format!("`{metric}`"))
            .collect();
        wanted
            .iter()
            .map(|name| {
                let column = selection_column(name).unwrap_or(name);
                if available.contains(column) {
                    return Ok(column.to_owned());
                }
                Err(StageError::new(format!(
                    "`{shown}` has no model selected by `{name}`, its models are selected by {}",
                    known.join(", ")
                )))
            })
            .collect()
    }

    /// All networks, by the part that each is of; one of no part that is of all.
    pub(crate) fn all_networks(&self) -> Vec<Option<usize>> {
        match self.networks {
            None => vec![None],
            Some(count) => (0..count).map(Some).collect(),
        }
    }

    /// The networks of a cohort, by the part that each is of; one of no part that is of all.
    ///
    /// # Errors
    /// A cohort has parts that no network learnt.
    pub(crate) fn networks(&self, cohort: &Cohort) -> Result<Vec<Option<usize>>, StageError> {
        let Some(count) = self.networks else {
            return Ok(vec![None]);
        };
        let parts = cohort.parts();
        if let Some(part) = parts.last().filter(|last| **last >= count) {
            let (shown, images) = (&self.input.shown, &cohort.shown);
            return Err(StageError::new(format!(
                "`{shown}` has networks of parts 0 to {}, but images of `{images}` have part {part}",
                count - 1
            ))
            .hint("extract them as for the training"));
        }
        Ok(parts.into_iter().map(Some).collect())
    }

    /// How its parts vote.
    ///
    /// # Errors
    /// Its `maps.json` says something that this program does not do.
    pub(crate) fn voters(&self) -> Result<Voters<'a>, StageError> {
        Voters::open(self.input, &self.definition, self.code.classes())
    }

    /// The network of a part with the weights that a metric selected, or that of all parts.
    ///
    /// # Errors
    /// The weights are damaged or do not fit the network.
    pub(crate) fn load_network(
        &self,
        metric: &str,
        network: Option<usize>,
        session: &Session,
    ) -> Result<Box<dyn Network>, StageError> {
        let _span = span("network");
        let path = SplitPath::Model { metric }.of_network(network);
        let file = self.input.require(&path)?;
        let bytes =
            std::fs::read(&file.path).map_err(|e| StageError::io("read", &file.path, &e))?;
        if let Some(inside) = self.inside {
            let thinned = inside.size_reduction.is_some();
            let thinned = thinned.then(|| (inside, self.cut_axis(), self.input_size(network)));
            let module = Exported::load(&bytes, &file.shown, thinned, session)?;
            return Ok(Box::new(module));
        }
        let checkpoint =
            read_pth(&bytes).map_err(|e| StageError::new(format!("`{}`: {e}", file.shown)))?;
        let spec = NetworkSpec {
            input_size: self.input_size(network),
            ..self.spec.clone()
        };
        let network = session.to_be_replaced(|| networks::build(&spec, session))?;
        weights::load_state_dict(network.state(), &checkpoint.model, &file.shown)?;
        Ok(network)
    }

    /// The network with freshly drawn weights.
    ///
    /// # Errors
    /// It cannot be built.
    pub(crate) fn fresh(&self, session: &Session) -> Result<Box<dyn Network>, StageError> {
        networks::build(&self.spec, session)
    }

    /// What `maps.json` calls the network.
    pub(crate) fn network_name(&self) -> &'static str {
        self.spec.declaration.name
    }

    /// The sessions of a data group with their images.
    ///
    /// Rows of diagnoses that the model was not trained on are left out, as ClinicaDL does, unless others are
    /// asked for. Labels mean what those of the training do, also those of another column.
    ///
    /// # Errors
    /// A session has no image or no label, or participants were seen in training.
    pub(crate) fn cohort(
        &self,
        group: Tested<'_>,
        context: &Context,
    ) -> Result<(Cohort, Certificate), StageError> {
        let images = Images::open(context.input("images")?)?;
        let mode = images.extraction.parts.mode().name();
        if mode != self.mode {
            let (shown, trained) = (&self.input.shown, &self.mode);
            let message = format!(
                "`{shown}` is a model of mode `{trained}`, but images were extracted with mode `{mode}`"
            );
            return Err(StageError::new(message).hint("extract them as for the training"));
        }
        self.compare_extraction(&images, context);
        let mut table = Table::read(context.input("participants")?.only_file()?)?;
        let before = table.len();
        let (diagnoses, what) = match group.diagnoses {
            Some(asked) => (asked, "not asked for"),
            // A table without diagnoses has none that could be others.
            None if table.column(DIAGNOSIS).is_err() => (&[][..], ""),
            None => (self.diagnoses.as_slice(), "not trained on"),
        };
        table = keep_diagnoses(table, diagnoses)?;
        if table.len() < before {
            let dropped = before - table.len();
            context.info(format!("{dropped} rows have a diagnosis {what}"));
        }
        let labels = group.label.map(|column| Labels {
            column,
            code: (self.objective.task() == Task::Classification).then_some(&self.code),
        });
        // The origin is that of what was seen; of those who are tested it does not matter.
        let of = (group.name, Origin::Validation);
        let cohort = Cohort::build(&table, &images, labels, of)?;
        let certificate = self.check_leakage(&cohort, group.allow_leakage, context)?;
        Ok((cohort, certificate))
    }

    /// The column that predictions are compared with: the one that was learnt, or another one.
    ///
    /// # Errors
    /// Another one is given, and the model learnt none.
    pub(crate) fn label_or<'l>(
        &'l self,
        other: Option<&'l str>,
    ) -> Result<Option<&'l str>, StageError> {
        match (self.label.as_deref(), other) {
            (None, Some(other)) => {
                let message = format!(
                    "`label: {other}`: a reconstruction has no label, its images are compared with themselves"
                );
                Err(StageError::new(message).hint("leave `label` out"))
            }
            (learnt, other) => Ok(other.or(learnt)),
        }
    }

    /// Whether every row of the participants table has a label that the model knows.
    ///
    /// # Errors
    /// The table cannot be read.
    pub(crate) fn knows_labels(&self, context: &Context) -> Result<bool, StageError> {
        let table = Table::read(context.input("participants")?.only_file()?)?;
        let Some(column) = &self.label else {
            return Ok(false);
        };
        let labels = table.complete_texts(column);
        let is_known = |label: &&str| match self.objective.task() {
            Task::Classification => self.code.code(label).is_some(),
            _ => label.parse::<f64>().is_ok_and(f64::is_finite),
        };
        Ok(labels.is_ok_and(|all| all.iter().all(is_known)))
    }

    /// Whether the network sees every voxel of an image or part.
    pub(crate) fn is_whole_grid(&self) -> bool {
        self.transforms.size_reduction.is_none()
    }

    /// A cohort as the network takes it.
    pub(crate) fn dataset<'c>(&self, cohort: &'c Cohort) -> Dataset<'c> {
        self.dataset_of(cohort, None)
    }

    /// A cohort as the network of a part takes it.
    pub(crate) fn dataset_of<'c>(&self, cohort: &'c Cohort, network: Option<usize>) -> Dataset<'c> {
        let is_thinned = self
            .inside
            .is_some_and(|inside| inside.size_reduction.is_some());
        // What cannot be read is told when it is loaded.
        if is_thinned && let Ok(dataset) = Dataset::measure(cohort, self.transforms) {
            return dataset;
        }
        let sizes = self.input_size(network).into_iter();
        let sizes = sizes.map(|axis| usize::try_from(axis).unwrap_or(0));
        Dataset::new(cohort, self.transforms, sizes.collect())
    }

    /// `[C, X, Y, Z]` of what a network takes.
    pub(crate) fn input_size(&self, network: Option<usize>) -> Vec<i64> {
        let own = network.and_then(|network| self.input_sizes.get(network));
        match own {
            Some(own) => own.iter().map(|&axis| axis as i64).collect(),
            None => self.spec.input_size.clone(),
        }
    }

    /// What is done with images before the network.
    pub(crate) fn transforms(&self) -> Transforms {
        self.transforms
    }

    /// Its `maps.json`.
    pub(crate) fn definition(&self) -> &MapsJson {
        &self.definition
    }

    /// The names of the network's options.
    pub(crate) fn option_names(&self) -> Vec<String> {
        let names = (self.spec.declaration.options.names)().into_iter();
        names.map(str::to_owned).collect()
    }

    /// What images are cut into.
    pub(crate) fn parts(&self) -> Mode {
        let all = [Mode::Image, Mode::Patch, Mode::Roi, Mode::Slice];
        let found = all.into_iter().find(|mode| mode.name() == self.mode);
        found.unwrap_or(Mode::Image)
    }

    /// The axis that slices lack; none of other images.
    pub(crate) fn cut_axis(&self) -> Option<usize> {
        let direction = self.preprocessing.get("slice_direction")?;
        let is_slice = self.mode == Mode::Slice.name();
        let number = direction
            .as_u64()
            .or_else(|| direction.as_str()?.parse().ok());
        number
            .filter(|_| is_slice)
            .and_then(|axis| usize::try_from(axis).ok())
    }

    /// Makes sure that the model has not seen the group.
    ///
    /// A model of this program lists everybody it has seen; of other MAPS participants are known.
    fn check_leakage(
        &self,
        cohort: &Cohort,
        reason: &str,
        context: &Context,
    ) -> Result<Certificate, StageError> {
        let mut certificate = Certificate::default();
        let read = |file: &engine::InputFile| {
            std::fs::read(&file.path).map_err(|e| StageError::io("read", &file.path, &e))
        };
        if let Some(file) = self.input.file(&Certificate::path("training")) {
            certificate.inherit(&Certificate::read(&read(file)?, &file.shown)?);
        }
        let seen = match self.input.file(SEEN) {
            Some(file) => Group::of_seen(&Table::read(file)?, &file.shown)?,
            None => {
                let file = self.input.require(TRAIN_VALIDATION)?;
                Group::of_table("seen", &Table::read(file)?, Origin::Train, Vec::new())?
            }
        };
        let seen = Group {
            shown: self.input.shown.clone(),
            ..seen
        };
        let allowed = Allowed { reason };
        separate(&seen, &cohort.group, allowed, &mut certificate, context)?;
        Ok(certificate)
    }

    /// Tells where images were extracted in another way than those of the training.
    fn compare_extraction(&self, images: &Images, context: &Context) {
        for key in ["preprocessing", "use_uncropped_image"] {
            let (trained, given) = (
                self.preprocessing.get(key),
                images.extraction.record.get(key),
            );
            if let (Some(trained), Some(given)) = (trained, given)
                && trained != given
            {
                let message =
                    format!("images have `{key}` {given}, those of the training had {trained}");
                context.warn(message);
            }
        }
    }
}

/// What layers compute with. ClinicaDL's `amp` does not say, and means nothing without a graphics
/// processor.
fn precision_of(definition: &MapsJson) -> Result<Precision, StageError> {
    let Some(value) = definition.fields().get("precision") else {
        return Ok(Precision::Float32);
    };
    let mut all = Precision::ALL.iter().copied();
    let found = all.find(|known| Some(known.name()) == value.as_str());
    found.ok_or_else(|| {
        let known = Precision::ALL.iter().map(|known| known.name());
        let known: Vec<&str> = known.collect();
        let known = known.join(", ");
        StageError::new(format!(
            "unknown precision {value}, expected one of {known}"
        ))
    })
}

/// The options of a network, which are keys of a `maps.json`.
fn options_of(
    declaration: &Declaration,
    definition: &MapsJson,
) -> serde_json::Map<String, serde_json::Value> {
    let names = (declaration.options.names)().into_iter();
    names
        .filter_map(|name| Some((name.to_owned(), definition.fields().get(name)?.clone())))
        .collect()
}
