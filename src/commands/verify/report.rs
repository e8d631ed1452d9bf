//! What `clinicadl verify` says: lines for people, JSON, JUnit XML.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use engine::verify::{Check, Fault, Outcome, Section, SpreadRow};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};

use super::super::Session;
use super::Verified;
use crate::cli::{Rerun, Tier, VerifyArgs};
use crate::failure::{Code, Failure};

/// Version of the JSON.
const FORMAT: u32 = 1;

/// Prints every check; only what is wrong with `--quiet`.
pub(super) fn show(session: &Session, verified: &Verified, code: Option<Code>) {
    let mut text = String::new();
    for check in &verified.checks {
        if !session.output.quiet || check.fault().is_some() {
            line(&mut text, check);
        }
    }
    if !session.output.quiet {
        table(&mut text, &verified.spread);
        let (passed, failed, skipped) = counts(&verified.checks);
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            text,
            "{} checks: {passed} ok, {failed} failed, {skipped} skipped",
            verified.checks.len()
        );
    }
    let (passed, failed, skipped) = counts(&verified.checks);
    let json = json!({
        "verify_format": FORMAT,
        "experiment": verified.experiment,
        "tier": tier(verified.tier),
        "rerun": verified.rerun.map(rerun),
        "checks": verified.checks,
        "spread": verified.spread,
        "passed": passed, "failed": failed, "skipped": skipped,
        "exit_code": code.map_or(0, |code| code as u8),
    });
    session.print(text, &json);
}

/// What is printed with `--json` when nothing could be verified.
pub(super) fn refusal(failure: &Failure) -> Value {
    let messages: Vec<Value> = failure
        .messages
        .iter()
        .map(|(message, hints)| json!({ "message": message, "hints": hints }))
        .collect();
    json!({
        "verify_format": FORMAT,
        "errors": messages,
        "exit_code": failure.code as u8,
    })
}

/// One sentence about what is wrong.
pub(super) fn failure(args: &VerifyArgs, verified: &Verified, code: Code) -> Failure {
    let mut kinds: Vec<&str> = Vec::new();
    for fault in verified.checks.iter().filter_map(Check::fault) {
        let kind = words(fault);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let name = args.manifest.manifest.display();
    Failure::new(
        code,
        format!("{name} failed verification: {}", kinds.join("; ")),
    )
}

fn words(fault: Fault) -> &'static str {
    match fault {
        Fault::NotUpToDate => "the lock is not up to date",
        Fault::InputChanged => "an input changed",
        Fault::OutputChanged => "a stored or published output changed or is missing",
        Fault::MetricOutside => "a metric is out of bounds",
        Fault::OtherNumerics => "this machine has another numerics class",
        Fault::NotReproducible => "a stage is not reproducible",
        Fault::RunFailed => "an action failed",
    }
}

fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Inputs => "inputs",
        Tier::Outputs => "outputs",
        Tier::Rerun => "rerun",
    }
}

fn rerun(rerun: Rerun) -> &'static str {
    match rerun {
        Rerun::Bitwise => "bitwise",
        Rerun::Tolerance => "tolerance",
        Rerun::Seeds => "seeds",
    }
}

fn counts(checks: &[Check]) -> (usize, usize, usize) {
    let passed = checks.iter().filter(|check| check.is_passed()).count();
    let failed = checks
        .iter()
        .filter(|check| check.fault().is_some())
        .count();
    (passed, failed, checks.len() - passed - failed)
}

fn line(text: &mut String, check: &Check) {
    let mark = match check.outcome {
        Outcome::Passed => "\x1b[32m✓   ok\x1b[0m",
        Outcome::Failed { .. } => "\x1b[1;31m✗ fail\x1b[0m",
        Outcome::Skipped => "- skip",
    };
    let _ = writeln!(
        text,
        "{mark}  {:<9} {}: {}",
        check.section.to_string(),
        check.name,
        check.message
    );
    for detail in &check.details {
        let _ = writeln!(text, "                  {detail}");
    }
    if let Some(hint) = &check.hint {
        let _ = writeln!(text, "                  \x1b[1;36mhint\x1b[0m: {hint}");
    }
}

fn table(text: &mut String, rows: &[SpreadRow]) {
    if rows.is_empty() {
        return;
    }
    let width = rows.iter().map(|row| row.metric.len()).max().unwrap_or(0);
    let _ = writeln!(
        text,
        "\n{:width$}  {:>8} {:>8} {:>8} {:>8} {:>8}  interval",
        "metric", "locked", "mean", "sd", "min", "max"
    );
    for row in rows {
        let _ = writeln!(
            text,
            "{:width$}  {:>8.4} {:>8.4} {:>8.4} {:>8.4} {:>8.4}  {:.4} to {:.4}{}",
            row.metric,
            row.locked,
            row.mean,
            row.deviation,
            row.least,
            row.greatest,
            row.interval.0,
            row.interval.1,
            if row.inside { "" } else { "  outside" }
        );
    }
    text.push('\n');
}

/// The checks as JUnit: a suite per section, a case per check.
pub(super) fn junit(verified: &Verified) -> Report {
    let mut suites: BTreeMap<Section, TestSuite> = BTreeMap::new();
    for check in &verified.checks {
        let section = check.section;
        let status = match check.outcome {
            Outcome::Passed => TestCaseStatus::success(),
            Outcome::Failed { fault } => {
                let mut lines = check.details.clone();
                lines.extend(check.hint.as_ref().map(|hint| format!("hint: {hint}")));
                wrong(&kebab(fault), &check.message, &lines)
            }
            Outcome::Skipped => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(check.message.as_str());
                status
            }
        };
        let mut case = TestCase::new(check.name.as_str(), status);
        case.set_classname(format!("{}.{section}", verified.experiment));
        let suite = suites.entry(section);
        let suite = suite.or_insert_with(|| TestSuite::new(section.to_string()));
        suite.add_test_case(case);
    }
    let mut report = Report::new(format!("clinicadl verify {}", verified.experiment));
    report.add_test_suites(suites.into_values());
    report
}

/// A failure before the first check, as the only case.
pub(super) fn junit_of_refusal(failure: &Failure) -> Report {
    let lines: Vec<String> = failure
        .messages
        .iter()
        .flat_map(|(message, hints)| {
            let hints = hints.iter().map(|hint| format!("hint: {hint}"));
            std::iter::once(message.clone()).chain(hints)
        })
        .collect();
    let message = lines.first().cloned().unwrap_or_default();
    let mut suite = TestSuite::new("manifest");
    suite.add_test_case(TestCase::new(
        "manifest",
        wrong("invalid", &message, &lines),
    ));
    let mut report = Report::new("clinicadl verify");
    report.add_test_suite(suite);
    report
}

fn wrong(kind: &str, message: &str, lines: &[String]) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type(kind);
    status.set_message(message);
    status.set_description(lines.join("\n"));
    status
}

/// The fault's name in JSON.
fn kebab(fault: Fault) -> String {
    json!(fault).as_str().unwrap_or_default().to_owned()
}

pub(super) fn write_junit(path: &Path, report: Report) -> Result<(), Failure> {
    let failed = |error: String| {
        Failure::new(
            Code::Environment,
            format!("failed to write `{}`: {error}", path.display()),
        )
    };
    let text = report
        .to_string()
        .map_err(|error| failed(error.to_string()))?;
    engine::store::write_atomically(path, text.as_bytes()).map_err(|e| failed(e.to_string()))
}
