//! From a parsed file to a [`Manifest`]: names found, parameters typed, ports connected.

use std::path::Path;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::issue::{Issue, Issues, suggest};
use super::source::Document;
use super::wire::{MANIFEST_FORMAT, ManifestDoc, StageDoc, duration};
use super::{Manifest, Patience, ResolvedStage, Source, schema};
use crate::registry::{AnyStage, Registry};
use crate::stage::{InputPort, Ports};

/// Collects issues with the place of the key they are about.
struct Collector<'a> {
    path: &'a Path,
    document: &'a Document,
    issues: Vec<Issue>,
}

impl Collector<'_> {
    fn add(&mut self, pointer: &str, message: String, hint: Option<String>) {
        let place = self.document.place(pointer);
        let key = pointer
            .trim_start_matches('/')
            .replace('/', ".")
            .replace("~1", "/");
        self.issues.push(Issue {
            file: self.path.to_owned(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            key: key.replace("~0", "~"),
            message,
            hint,
        });
    }
}

/// A stage whose ID is known, with its parameters as far as they could be read.
struct Known {
    stage: &'static dyn AnyStage,
    params: Value,
    ports: Ports,
}

pub(super) fn resolve(
    path: &Path,
    text: String,
    document: Document,
    registry: Registry,
) -> Result<Manifest, Issues> {
    let mut collector = Collector {
        path,
        document: &document,
        issues: Vec::new(),
    };
    check_format(&mut collector)?;
    let mut sound = document.value.clone();
    for finding in schema::validate(&schema::wire_schema(), &document.value) {
        remove(&mut sound, &finding.pointer);
        collector.add(&finding.pointer, finding.message, finding.hint);
    }
    let known = find_stages(&mut collector, registry);
    let doc = match serde_json::from_value::<ManifestDoc>(with_placeholders(sound)) {
        Ok(doc) => doc,
        Err(error) => {
            if collector.issues.is_empty() {
                collector.add("", error.to_string(), None);
            }
            return Err(sorted(collector.issues));
        }
    };
    check_inputs(&mut collector, &doc);
    let mut stages = IndexMap::new();
    for (name, stage) in &doc.stages {
        let inputs = connect(&mut collector, &doc, &known, name, stage);
        if let Some(known) = known.get(name) {
            stages.insert(
                name.clone(),
                ResolvedStage {
                    stage: known.stage,
                    params: known.params.clone(),
                    inputs,
                    seed: doc.seed,
                    resources: stage.resources.clone(),
                    patience: Patience {
                        retries: stage.retries,
                        timeout: stage.timeout.as_deref().and_then(duration),
                    },
                    splits: stage.splits.clone(),
                },
            );
        }
    }
    if !collector.issues.is_empty() {
        return Err(sorted(collector.issues));
    }
    Ok(Manifest {
        path: path.to_owned(),
        text,
        name: doc.name,
        seed: doc.seed,
        inputs: doc.inputs,
        stages,
        maps: doc.maps,
        expect: doc.expect,
        verify: doc.verify,
    })
}

fn sorted(mut issues: Vec<Issue>) -> Issues {
    issues.sort_by_key(|issue| (issue.line.unwrap_or(0), issue.column.unwrap_or(0)));
    issues.dedup();
    Issues(issues)
}

/// Takes out a value that was reported, so that what is sound can still be checked.
fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else {
        return;
    };
    if let Some(Value::Object(fields)) = value.pointer_mut(parent) {
        fields.shift_remove(&key.replace("~1", "/").replace("~0", "~"));
    }
}

/// Fills required fields that were reported as missing.
fn with_placeholders(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        fields
            .entry("clinicadl")
            .or_insert_with(|| MANIFEST_FORMAT.into());
        fields.entry("name").or_insert_with(|| "unnamed".into());
        let stages = fields
            .entry("stages")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(stages) = stages {
            stages.retain(|_, stage| stage.is_object());
            for stage in stages.values_mut().filter_map(Value::as_object_mut) {
                stage.entry("uses").or_insert_with(|| "".into());
            }
        }
    }
    value
}

/// Another format may mean anything: nothing else is looked at then.
fn check_format(collector: &mut Collector<'_>) -> Result<(), Issues> {
    let found = collector
        .document
        .value
        .get("clinicadl")
        .and_then(Value::as_u64);
    if let Some(found) = found
        && found > MANIFEST_FORMAT
    {
        let message = format!(
            "manifest format {found} is newer than this program, which reads format \
             {MANIFEST_FORMAT}"
        );
        collector.add(
            "/clinicadl",
            message,
            Some("install a newer clinicadl".to_owned()),
        );
        return Err(Issues(std::mem::take(&mut collector.issues)));
    }
    Ok(())
}

/// Finds each stage's ID and reads its parameters, reporting every problem of both.
fn find_stages(collector: &mut Collector<'_>, registry: Registry) -> IndexMap<String, Known> {
    let mut known = IndexMap::new();
    let stages = collector
        .document
        .value
        .get("stages")
        .and_then(Value::as_object);
    for (name, stage) in stages.into_iter().flatten() {
        let pointer = format!("/stages/{name}");
        if name.contains('.') || name.is_empty() {
            let message = format!("`{name}` cannot be a stage's name: dots separate ports");
            collector.add(&pointer, message, None);
        }
        let Some(id) = stage.get("uses").and_then(Value::as_str) else {
            continue;
        };
        let Some(found) = registry.find(id) else {
            let ids: Vec<&str> = registry.iter().map(|stage| stage.id()).collect();
            let hint = suggest(id, &ids);
            collector.add(
                &format!("{pointer}/uses"),
                format!("unknown stage `{id}`"),
                hint,
            );
            continue;
        };
        let with = stage
            .get("with")
            .cloned()
            .unwrap_or_else(|| Value::Object(Map::new()));
        let before = collector.issues.len();
        for finding in schema::validate(&found.schema(), &with) {
            let pointer = format!("{pointer}/with{}", finding.pointer);
            collector.add(&pointer, finding.message, finding.hint);
        }
        let sound = collector.issues.len() == before;
        let params = match found.resolve(&with) {
            Ok(params) => params,
            Err(message) => {
                if sound {
                    collector.add(&format!("{pointer}/with"), message, None);
                }
                found
                    .resolve(&Value::Object(Map::new()))
                    .unwrap_or_default()
            }
        };
        if sound {
            for issue in found.check(&params) {
                let field = issue.field.replace('.', "/");
                collector.add(&format!("{pointer}/with/{field}"), issue.message, None);
            }
        }
        let ports = found.ports(&params);
        known.insert(
            name.clone(),
            Known {
                stage: found,
                params,
                ports,
            },
        );
    }
    known
}

fn check_inputs(collector: &mut Collector<'_>, doc: &ManifestDoc) {
    let folder = collector.path.parent().unwrap_or(Path::new(""));
    for (name, path) in &doc.inputs {
        let pointer = format!("/inputs/{name}");
        if doc.stages.contains_key(name) {
            collector.add(
                &pointer,
                format!("`{name}` is also the name of a stage"),
                None,
            );
        }
        if name.contains('.') {
            let message = format!("`{name}` cannot be an input's name: dots separate ports");
            collector.add(&pointer, message, None);
        }
        let full = folder.join(path);
        if !full.exists() {
            let hint = "paths are relative to the manifest".to_owned();
            collector.add(
                &pointer,
                format!("`{}` does not exist", full.display()),
                Some(hint),
            );
        }
    }
}

/// Connects the input ports of one stage.
fn connect(
    collector: &mut Collector<'_>,
    doc: &ManifestDoc,
    known: &IndexMap<String, Known>,
    name: &str,
    stage: &StageDoc,
) -> IndexMap<String, Source> {
    let mut connected = IndexMap::new();
    let Some(this) = known.get(name) else {
        return connected;
    };
    for (port, reference) in &stage.inputs {
        let pointer = format!("/stages/{name}/inputs/{port}");
        let Some(declared) = this.ports.inputs.iter().find(|p| p.name == *port) else {
            let names: Vec<&str> = this.ports.inputs.iter().map(|p| &*p.name).collect();
            let message = format!("stage `{}` has no input `{port}`", this.stage.id());
            collector.add(&pointer, message, suggest(port, &names));
            continue;
        };
        match find_source(doc, known, declared, reference) {
            Ok(Some(source)) => {
                connected.insert(port.clone(), source);
            }
            // The stage it refers to has an issue of its own.
            Ok(None) => {}
            Err((message, hint)) => collector.add(&pointer, message, hint),
        }
    }
    for port in this.ports.inputs.iter().filter(|port| !port.optional) {
        if !stage.inputs.contains_key(&*port.name) {
            let message = format!(
                "input `{}` ({}) is not connected",
                port.name,
                port.expected()
            );
            collector.add(
                &format!("/stages/{name}"),
                message,
                candidates(doc, known, port),
            );
        }
    }
    if stage.splits.is_some() && !this.ports.inputs.iter().any(|port| port.per_split) {
        let message = format!("stage `{}` does not run once per split", this.stage.id());
        collector.add(&format!("/stages/{name}/splits"), message, None);
    }
    connected
}

type Problem = (String, Option<String>);

fn find_source(
    doc: &ManifestDoc,
    known: &IndexMap<String, Known>,
    port: &InputPort,
    reference: &str,
) -> Result<Option<Source>, Problem> {
    if doc.inputs.contains_key(reference) {
        let kind = port.kinds.last().copied().unwrap_or_default().to_owned();
        return Ok(Some(Source::External {
            name: reference.to_owned(),
            kind,
        }));
    }
    let (stage, output) = match reference.split_once('.') {
        Some((stage, output)) => (stage, Some(output)),
        None => (reference, None),
    };
    if !doc.stages.contains_key(stage) {
        let names: Vec<&str> = doc
            .inputs
            .keys()
            .chain(doc.stages.keys())
            .map(String::as_str)
            .collect();
        let message = format!("`{reference}` is neither an input nor a stage");
        return Err((message, suggest(stage, &names)));
    }
    let Some(provider) = known.get(stage) else {
        return Ok(None);
    };
    let fits = |kind: &str| port.accepts(kind);
    let found = match output {
        Some(output) => provider
            .ports
            .outputs
            .iter()
            .find(|p| p.name == output)
            .ok_or_else(|| {
                let names: Vec<&str> = provider.ports.outputs.iter().map(|p| &*p.name).collect();
                (
                    format!("stage `{stage}` has no output `{output}`"),
                    suggest(output, &names),
                )
            })?,
        None => {
            let fitting: Vec<_> = provider
                .ports
                .outputs
                .iter()
                .filter(|p| fits(&p.kind))
                .collect();
            match fitting.as_slice() {
                [only] => *only,
                [] => {
                    return Err((
                        format!(
                            "`{stage}` provides no {}, which input `{}` expects",
                            port.expected(),
                            port.name
                        ),
                        None,
                    ));
                }
                several => {
                    let names: Vec<String> = several
                        .iter()
                        .map(|p| format!("`{stage}.{}`", p.name))
                        .collect();
                    let message = format!("`{reference}` could be any of {}", names.join(", "));
                    return Err((message, Some("name the output".to_owned())));
                }
            }
        }
    };
    if !fits(&found.kind) {
        let message = format!(
            "input `{}` expects {}, but `{stage}.{}` provides {}",
            port.name,
            port.expected(),
            found.name,
            found.kind
        );
        return Err((message, None));
    }
    if found.splits.is_some() && !port.per_split {
        let message = format!("input `{}` cannot take the splits of `{stage}`", port.name);
        return Err((message, None));
    }
    Ok(Some(Source::Stage {
        stage: stage.to_owned(),
        port: found.name.clone().into_owned(),
    }))
}

/// What could be connected to a port, as a hint.
fn candidates(
    doc: &ManifestDoc,
    known: &IndexMap<String, Known>,
    port: &InputPort,
) -> Option<String> {
    let outputs = known.iter().flat_map(|(name, known)| {
        let fitting = known.ports.outputs.iter().filter(|p| port.accepts(&p.kind));
        fitting.map(move |p| format!("`{name}.{}`", p.name))
    });
    let inputs = doc.inputs.keys().map(|name| format!("`{name}`"));
    let all: Vec<String> = outputs.chain(inputs).collect();
    (!all.is_empty()).then(|| format!("it could be {}", all.join(" or ")))
}
