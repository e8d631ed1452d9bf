//! The stage `export`: each network of a trained model as a file that PyTorch loads without this program.
//!
//! ```text
//! MAPS ─▶ TrainedModel ─▶ trace (transforms + network) ─▶ pack: code, weights, extra/clinicadl.json
//!                         once per network: each part of images may have one of its own
//! predict ◀─ open: the file as the files of a model, its network the module
//! ```
//!
//! The file tells what it was trained for and whom it has seen, so that `predict` needs no MAPS.

mod beside;
mod document;
mod open;
mod trace;

use engine::{Context, Run, StageError};
use maps::weights::pack_module;
use stages::learning::networks::torchscript::TORCH_SCRIPT;
use stages::learning::{Export, ExportParams, exported_file};

pub(crate) use open::{Exported, opened};

use crate::implemented::Implemented;
use crate::model::TrainedModel;
use crate::session::Session;
use beside::Beside;
use trace::{Steps, TOLERANCE, difference, trace};

/// The file in the archive that describes the model.
pub(crate) const DOCUMENT: &str = "clinicadl.json";
/// The folder of the archive.
const ROOT: &str = "network";

impl Run for Implemented<Export> {
    fn run(params: &ExportParams, context: &Context) -> Result<(), StageError> {
        let mut session = Session::open(context.slots())?;
        let input = context.input("model")?;
        let model = TrainedModel::open(input)?;
        session.compute_in(model.precision);
        let shown = &input.shown;
        if model.network_name() == TORCH_SCRIPT.name {
            let message =
                format!("`{shown}` is a training of a module of TorchScript, expected a network");
            return Err(StageError::new(message)
                .hint("load its state dict into the module that it was trained as, in Python"));
        }
        let output = context.output("modules")?;
        let steps = Steps::of(&model)?;
        let metrics = model.metrics(&params.selection_metrics)?;
        let parts = model.all_networks();
        let total = metrics.len() * parts.len();
        let models = metrics.iter().flat_map(|metric| {
            let parts = parts.iter();
            parts.map(move |part| (metric.as_str(), *part))
        });
        for (done, (metric, part)) in models.enumerate() {
            context.check_cancelled()?;
            let of_part = part.map_or_else(String::new, |part| format!("part {part} of the "));
            context.progress(done, total, format!("{of_part}model selected by {metric}"));
            let network = model.load_network(metric, part, &session)?;
            let network = network.as_ref();
            let path = context.scratch()?.join("traced.pt");
            let device = session.device();
            let traced = trace(network, &steps, &model.input_size(part), device, &path)?;
            let document = document::of(&model, input, (metric, part), &traced, context)?;
            let named = |e: maps::weights::WeightsError| StageError::internal(e);
            let methods = traced.beside.as_ref().map(Beside::methods);
            let methods = methods.unwrap_or_default();
            let extra = [(DOCUMENT, document.as_slice())];
            let bytes = pack_module(&traced.bytes, ROOT, &methods, &extra).map_err(named)?;
            let apart = difference(&bytes, network, &steps, &traced, device)?;
            if apart > TOLERANCE {
                let name = model.network_name();
                let message =
                    format!("network `{name}` cannot be exported: its module differs by {apart}");
                return Err(StageError::new(message)
                    .hint("this is a bug: please report it with the run record"));
            }
            output.write(&exported_file(metric, part), &bytes)?;
        }
        context.progress(total, total, "exported");
        Ok(())
    }
}
