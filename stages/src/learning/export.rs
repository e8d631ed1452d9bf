//! Declaration of `export`: the best models of a training as files that PyTorch loads alone.

use engine::{InputPort, OutputPort, ParamIssue, Ports, RunsIn, Stage};

use super::{check_selection_metrics, selects_model_file, selects_voting_file};

engine::params! {
    /// Parameters of `export`.
    pub struct ExportParams {
        /// Models to export, by the metric that selected them: one file for each of their networks. Empty (default): every one in the model.
        semantic selection_metrics: Vec<String> = Vec::new(),
    }
}

/// Writes the best models of a training as modules of TorchScript, once per split.
#[derive(Debug)]
pub struct Export;

impl Stage for Export {
    const ID: &'static str = "export";
    const VERSION: u32 = 2;
    const SUMMARY: &'static str = "Writes trained models as files for PyTorch: `torch.jit.load`.";
    const RUNS_IN: RunsIn = RunsIn::Worker;
    type Params = ExportParams;

    fn ports(_: &ExportParams) -> Ports {
        let model = "a trained model, or a MAPS of this program or of ClinicaDL 1.6";
        let modules = "a module of TorchScript for each selection metric, `<metric>.pt`, or of each part, `network-<k>_<metric>.pt`";
        Ports {
            inputs: vec![InputPort::new("model", &["model", "maps"], model).per_split()],
            outputs: vec![OutputPort::new("modules", "module", modules)],
        }
    }

    fn check(params: &ExportParams) -> Vec<ParamIssue> {
        check_selection_metrics(&params.selection_metrics, None)
    }

    fn selects(params: &ExportParams, _: &str, path: &str) -> bool {
        let metrics = &params.selection_metrics;
        selects_model_file(metrics, path) || selects_voting_file(metrics, path)
    }
}
