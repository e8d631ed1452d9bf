//! `provenance/prov.json`: W3C PROV in its JSON serialisation.
//!
//! Entities are named by what they are: inputs, artifacts and the manifest by their BLAKE3 digest,
//! published files by their path; an activity is named by its action key. Two stages with one key are
//! one activity, since they are one computation.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::checksums::FileSums;
use super::history::{History, Origins, uri};
use crate::digest::Digest;

/// Prefix of published files.
pub(super) const PUBLISHED: &str = "published:";

/// The records of one kind, by identifier.
type Records = Map<String, Value>;

pub(super) fn document(
    history: &History<'_>,
    sums: &BTreeMap<String, FileSums>,
    origins: &Origins,
) -> Value {
    let mut prov = Prov::default();
    prov.entities(history);
    prov.agents(history);
    prov.activities(history);
    prov.published(history, sums, origins);
    json!({
        "prefix": {
            "action": "urn:clinicadl:action:",
            "blake3": "urn:blake3:",
            "clinicadl": "urn:clinicadl:terms:",
            "published": "urn:clinicadl:published:",
            "software": "urn:clinicadl:software:",
        },
        "entity": prov.entity,
        "activity": prov.activity,
        "agent": prov.agent,
        "used": prov.used,
        "wasGeneratedBy": prov.generated,
        "wasAssociatedWith": prov.associated,
        "wasDerivedFrom": prov.derived,
    })
}

#[derive(Default)]
struct Prov {
    entity: Records,
    activity: Records,
    agent: Records,
    used: Records,
    generated: Records,
    associated: Records,
    derived: Records,
}

fn blake3(digest: &Digest) -> String {
    format!("blake3:{digest}")
}

fn of_type(name: &str) -> Value {
    json!({ "$": format!("clinicadl:{name}"), "type": "prov:QUALIFIED_NAME" })
}

fn integer(number: impl TryInto<i64>) -> Value {
    let number = number.try_into().unwrap_or(i64::MAX);
    json!({ "$": number.to_string(), "type": "xsd:long" })
}

fn add(records: &mut Records, kind: &str, record: Value) {
    records.insert(format!("_:{kind}{}", records.len() + 1), record);
}

fn clinicadl() -> String {
    concat!("software:clinicadl-", env!("CARGO_PKG_VERSION")).to_owned()
}

impl Prov {
    fn entities(&mut self, history: &History<'_>) {
        let manifest = Digest::of(history.account.manifest.text.as_bytes());
        let entity = json!({
            "prov:type": [{ "$": "prov:Plan", "type": "prov:QUALIFIED_NAME" }, of_type("Manifest")],
            "prov:label": history.account.manifest.name,
            "clinicadl:seed": history.account.manifest.seed.to_string(),
        });
        self.entity.insert(blake3(&manifest), entity);
        for input in &history.inputs {
            let entity = json!({
                "prov:type": of_type("Input"),
                "prov:label": input.name,
                "clinicadl:kind": input.kind,
                "clinicadl:files": integer(input.files),
                "clinicadl:bytes": integer(input.bytes),
            });
            self.entity.insert(blake3(&input.digest), entity);
        }
        for (digest, artifact) in &history.artifacts {
            let entity = json!({
                "prov:type": of_type("Artifact"),
                "prov:label": artifact.name,
                "clinicadl:kind": artifact.kind,
                "clinicadl:bytes": integer(artifact.bytes),
            });
            self.entity.insert(blake3(digest), entity);
        }
    }

    fn agents(&mut self, history: &History<'_>) {
        let agent = json!({
            "prov:type": { "$": "prov:SoftwareAgent", "type": "prov:QUALIFIED_NAME" },
            "prov:label": "clinicadl",
            "clinicadl:version": env!("CARGO_PKG_VERSION"),
        });
        self.agent.insert(clinicadl(), agent);
        if let Some(version) = history.libtorch() {
            let agent = json!({
                "prov:type": { "$": "prov:SoftwareAgent", "type": "prov:QUALIFIED_NAME" },
                "prov:label": "libtorch",
                "clinicadl:version": version,
            });
            self.agent.insert(libtorch(&version), agent);
        }
    }

    fn activities(&mut self, history: &History<'_>) {
        let manifest = blake3(&Digest::of(history.account.manifest.text.as_bytes()));
        let mut labels: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for done in &history.actions {
            let activity = format!("action:{}", done.record.key);
            let labels = labels.entry(activity.clone()).or_default();
            labels.push(&done.report.action);
            if labels.len() > 1 {
                self.activity[&activity]["prov:label"] = json!(labels);
                continue;
            }
            let mut record = json!({
                "prov:type": of_type("Action"),
                "prov:label": done.report.action,
                "clinicadl:stage": done.document.stage,
                "clinicadl:version": integer(done.document.version),
            });
            if let Some(computed) = &done.computed {
                record["prov:startTime"] = json!(computed.started);
                record["prov:endTime"] = json!(computed.ended);
            }
            self.activity.insert(activity.clone(), record);
            self.associate(history, done.record.numerics.as_ref(), &activity, &manifest);
            for (port, input) in &done.inputs {
                let usage = json!({
                    "prov:activity": activity,
                    "prov:entity": blake3(&input.digest),
                    "prov:role": port,
                });
                add(&mut self.used, "u", usage);
                // What one split of an input shows is content of its own.
                self.entity.entry(blake3(&input.digest)).or_insert_with(|| {
                    json!({
                        "prov:type": of_type(if input.external { "Input" } else { "Artifact" }),
                        "prov:label": input.from,
                        "clinicadl:kind": input.kind,
                    })
                });
            }
            for (port, artifacts) in &done.record.outputs {
                for artifact in artifacts {
                    let mut generation = json!({
                        "prov:entity": blake3(&artifact.digest),
                        "prov:activity": activity,
                        "prov:role": port,
                    });
                    if let Some(computed) = &done.computed {
                        generation["prov:time"] = json!(computed.ended);
                    }
                    add(&mut self.generated, "g", generation);
                    for input in done.inputs.values() {
                        let derivation = json!({
                            "prov:generatedEntity": blake3(&artifact.digest),
                            "prov:usedEntity": blake3(&input.digest),
                            "prov:activity": activity,
                        });
                        add(&mut self.derived, "d", derivation);
                    }
                }
            }
        }
    }

    fn associate(
        &mut self,
        history: &History<'_>,
        numerics: Option<&Value>,
        activity: &str,
        manifest: &str,
    ) {
        let association = json!({
            "prov:activity": activity,
            "prov:agent": clinicadl(),
            "prov:plan": manifest,
        });
        add(&mut self.associated, "a", association);
        if let (Some(_), Some(version)) = (numerics, history.libtorch()) {
            let association =
                json!({ "prov:activity": activity, "prov:agent": libtorch(&version) });
            add(&mut self.associated, "a", association);
        }
    }

    fn published(
        &mut self,
        history: &History<'_>,
        sums: &BTreeMap<String, FileSums>,
        origins: &Origins,
    ) {
        let run = format!("action:run-{}", history.account.run);
        let (started, ended) = (history.account.started, history.account.ended);
        let record = json!({
            "prov:type": of_type("Run"),
            "prov:label": history.account.manifest.name,
            "prov:startTime": super::timestamp(started),
            "prov:endTime": super::timestamp(ended),
        });
        self.activity.insert(run.clone(), record);
        let manifest = blake3(&Digest::of(history.account.manifest.text.as_bytes()));
        self.associate(history, None, &run, &manifest);
        for (path, sums) in sums {
            let name = format!("{PUBLISHED}{}", uri(path));
            self.entity.insert(name.clone(), file_entity(path, sums));
            let generation = json!({
                "prov:entity": name,
                "prov:activity": run,
                "prov:time": super::timestamp(ended),
            });
            add(&mut self.generated, "g", generation);
            if let Some((_, artifact)) = origins.get(path) {
                let derivation = json!({
                    "prov:generatedEntity": name,
                    "prov:usedEntity": blake3(artifact),
                });
                add(&mut self.derived, "d", derivation);
            }
        }
    }
}

/// The entity of a published file.
pub(super) fn file_entity(path: &str, sums: &FileSums) -> Value {
    json!({
        "prov:type": of_type("PublishedFile"),
        "prov:location": path,
        "clinicadl:blake3": sums.blake3.to_string(),
        "clinicadl:sha256": sums.sha256,
        "clinicadl:bytes": integer(sums.size),
    })
}

fn libtorch(version: &str) -> String {
    format!("software:libtorch-{}", uri(version))
}
