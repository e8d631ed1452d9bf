//! The stage `export`: a trained model as one file that PyTorch loads without this program.
//!
//! ```text
//! MAPS ─▶ TrainedModel ─▶ trace (transforms + network) ─▶ pack: code, weights, extra/clinicadl.json
//! predict ◀─ open: the file as the files of a model, its network the module
//! ```
//!
//! The file tells what it was trained for and whom it has seen, so that `predict` needs no MAPS.

mod document;
mod open;
mod trace;

use engine::{Context, Run, StageError};
use maps::weights::pack_module;
use stages::learning::networks::torchscript::TORCH_SCRIPT;
use stages::learning::{Export, ExportParams};

pub(crate) use open::{Exported, opened};

use crate::implemented::Implemented;
use crate::model::TrainedModel;
use crate::session::Session;
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
        if model.has_several_networks() {
            let message = format!(
                "`{shown}` has a network for each part of images, expected one of all parts"
            );
            return Err(StageError::new(message)
                .hint("train without `multi_network`: what is exported is one network"));
        }
        if model.network_name() == TORCH_SCRIPT.name {
            let message =
                format!("`{shown}` is a training of a module of TorchScript, expected a network");
            return Err(StageError::new(message)
                .hint("load its state dict into the module that it was trained as, in Python"));
        }
        let output = context.output("modules")?;
        let steps = Steps::of(&model)?;
        let metrics = model.metrics(&params.selection_metrics)?;
        for (done, metric) in metrics.iter().enumerate() {
            context.check_cancelled()?;
            context.progress(done, metrics.len(), format!("model selected by {metric}"));
            let network = model.load_network(metric, None, &session)?;
            let network = network.as_ref();
            let path = context.scratch()?.join("traced.pt");
            let device = session.device();
            let traced = trace(network, &steps, &model.input_size(None), device, &path)?;
            let document = document::of(&model, input, metric, &traced, context)?;
            let named = |e: maps::weights::WeightsError| StageError::internal(e);
            let bytes =
                pack_module(&traced.bytes, ROOT, &[(DOCUMENT, &document)]).map_err(named)?;
            let apart = difference(&bytes, network, &steps, &traced, device)?;
            if apart.is_nan() || apart > TOLERANCE {
                let name = model.network_name();
                let message =
                    format!("network `{name}` cannot be exported: its module differs by {apart}");
                return Err(StageError::new(message)
                    .hint("this is a bug: please report it with the run record"));
            }
            output.write(&format!("{metric}.pt"), &bytes)?;
        }
        context.progress(metrics.len(), metrics.len(), "exported");
        Ok(())
    }
}
