//! `clinicadl plan`.

use std::fmt::Write;

use engine::exec::RunReport;
use engine::key::Reason;
use engine::plan::State;
use serde_json::{Value, json};

use super::settled::recalled;
use super::{Session, look};
use crate::cli::PlanArgs;
use crate::failure::{Code, Failure};

pub(super) fn plan(session: &Session, args: &PlanArgs) -> Result<(), Failure> {
    if let Some(text) = recalled(session, &args.manifest, "plan") {
        session.print(text, &Value::Null);
        return Ok(());
    }
    let looked = look(session, &args.manifest)?;
    let mut text = String::new();
    let mut actions: Vec<Value> = Vec::new();
    let (mut hits, mut runs, mut maybes) = (0, 0, 0);
    for (id, state) in &looked.assessment.states {
        let name = looked.plan.action(*id).name();
        // Writing to a String cannot fail.
        match state {
            State::Hit(record) => {
                hits += 1;
                text.push_str(&hit(&name));
                actions.push(json!({ "action": name, "state": "hit", "key": record.key }));
            }
            State::Run { key, reason } => {
                runs += 1;
                let _ = writeln!(text, "    \x1b[1mrun\x1b[0m  {name}: {reason}");
                let entry = json!({ "action": name, "state": "run", "key": key, "why": reason });
                actions.push(entry);
            }
            State::Pending { upstream, besides } => {
                maybes += 1;
                let reason = Reason::UpstreamWillRun {
                    action: looked.plan.action(*upstream).name(),
                    besides: besides.clone(),
                };
                let _ = writeln!(text, "  maybe  {name}: {reason}");
                actions.push(json!({ "action": name, "state": "maybe", "why": reason }));
            }
        }
    }
    let total = looked.assessment.states.len();
    text.push_str(&sum(total, hits, runs, maybes));
    session.print(
        text,
        &json!({ "experiment": looked.manifest.name, "actions": actions }),
    );
    if args.exit_code && !looked.assessment.is_up_to_date() {
        return Err(Failure::silent(Code::NotUpToDate));
    }
    Ok(())
}

/// What `plan` prints after a run that had nothing to do.
pub(super) fn text_of_hits(report: &RunReport) -> String {
    let actions = report.actions.iter();
    let lines: String = actions.map(|action| hit(&action.action)).collect();
    let total = report.actions.len();
    lines + &sum(total, total, 0, 0)
}

fn hit(name: &str) -> String {
    format!("    hit  {name}\n")
}

fn sum(total: usize, hits: usize, runs: usize, maybes: usize) -> String {
    format!("{total} actions: {hits} hit, {runs} to run, {maybes} depend on those\n")
}
