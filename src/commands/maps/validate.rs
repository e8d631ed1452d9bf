//! `clinicadl maps validate`.

use maps::{MapsIssue, validate};
use serde_json::json;

use super::Session;
use crate::cli::MapsFolder;
use crate::failure::{Code, Failure};

pub(super) fn validate_maps(session: &Session, args: &MapsFolder) -> Result<(), Failure> {
    let folder = &args.maps;
    let mut issues = validate(folder);
    issues.extend(stages::consistency::check(folder));
    issues.sort();
    let shown = folder.display();
    if issues.is_empty() {
        let json = json!({ "maps": folder, "valid": true, "issues": issues });
        session.print(format!("{shown}: nothing is wrong\n"), &json);
        return Ok(());
    }
    if session.output.json {
        session.print(
            "",
            &json!({ "maps": folder, "valid": false, "issues": issues }),
        );
        return Err(Failure::silent(Code::Mismatch));
    }
    let mut messages: Vec<(String, Vec<String>)> = issues.into_iter().map(message).collect();
    let count = messages.len();
    if count > 1 {
        messages.push((format!("{shown} has {count} problems"), Vec::new()));
    }
    Err(Failure {
        code: Code::Mismatch,
        messages,
    })
}

/// An issue with its advice.
pub(super) fn message(issue: MapsIssue) -> (String, Vec<String>) {
    (issue.to_string(), issue.hints)
}
