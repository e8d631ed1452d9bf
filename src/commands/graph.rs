//! `clinicadl graph`.

use engine::plan::{GraphFormat, draw};
use serde_json::{Value, json};

use super::{Session, look};
use crate::cli::{Format, GraphArgs};
use crate::failure::Failure;

pub(super) fn graph(session: &Session, args: &GraphArgs) -> Result<(), Failure> {
    let looked = look(session, &args.manifest)?;
    let format = match args.format {
        Format::Text => GraphFormat::Text,
        Format::Dot => GraphFormat::Dot,
        Format::Mermaid => GraphFormat::Mermaid,
        Format::Svg => GraphFormat::Svg,
    };
    let actions: Vec<Value> = looked
        .plan
        .order()
        .iter()
        .map(|&id| {
            let action = looked.plan.action(id);
            let reads: Vec<String> = looked
                .plan
                .dependencies(id)
                .iter()
                .map(|&dependency| looked.plan.action(dependency).name())
                .collect();
            json!({
                "action": action.name(),
                "stage": action.stage.stage.id(),
                "state": looked.assessment.word(id),
                "reads": reads,
            })
        })
        .collect();
    let picture = draw(&looked.plan, &looked.assessment, format);
    session.print(picture, &json!({ "actions": actions }));
    Ok(())
}
