//! What the profiles of Workflow Run RO-Crate demand at the level REQUIRED, as `make provenance-test`
//! checks it with the official validator; here without it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use engine::provenance::FileSums;
use serde_json::{Map, Value};

/// Terms of the context of RO-Crate 1.1 that a crate of ours uses.
const TERMS: [&str; 39] = [
    "@id",
    "@type",
    "about",
    "actionStatus",
    "additionalType",
    "agent",
    "conformsTo",
    "contentSize",
    "creator",
    "datePublished",
    "description",
    "encodingFormat",
    "endTime",
    "exampleOfWork",
    "hasPart",
    "identifier",
    "input",
    "instrument",
    "license",
    "mainEntity",
    "mentions",
    "name",
    "object",
    "output",
    "position",
    "programmingLanguage",
    "propertyID",
    "result",
    "softwareRequirements",
    "softwareVersion",
    "startTime",
    "step",
    "unitCode",
    "url",
    "value",
    "valueRequired",
    "version",
    "workExample",
    "error",
];
const PROFILES: [&str; 3] = [
    "https://w3id.org/ro/wfrun/process/0.5",
    "https://w3id.org/ro/wfrun/workflow/0.5",
    "https://w3id.org/ro/wfrun/provenance/0.5",
];
const WORKFLOW: [&str; 4] = [
    "File",
    "SoftwareSourceCode",
    "ComputationalWorkflow",
    "HowTo",
];
const TOOLS: [&str; 3] = [
    "SoftwareApplication",
    "SoftwareSourceCode",
    "ComputationalWorkflow",
];
const DATA: [&str; 4] = ["File", "Dataset", "Collection", "PropertyValue"];

type Entity = Map<String, Value>;

struct Crate {
    entities: BTreeMap<String, Entity>,
    found: Vec<String>,
}

/// Every rule that the crate in a folder breaks.
pub(super) fn violations(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("ro-crate-metadata.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let mut all = Crate {
        entities: BTreeMap::new(),
        found: Vec::new(),
    };
    all.read(&document);
    all.check_root();
    all.check_files(folder);
    all.check_workflow();
    all.check_actions();
    all.found
}

fn types(entity: &Entity) -> Vec<&str> {
    match &entity["@type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        only => only.as_str().into_iter().collect(),
    }
}

fn references<'a>(entity: &'a Entity, property: &str) -> Vec<&'a str> {
    let id = |value: &'a Value| value["@id"].as_str();
    match entity.get(property) {
        Some(Value::Array(items)) => items.iter().filter_map(id).collect(),
        Some(only) => id(only).into_iter().collect(),
        None => Vec::new(),
    }
}

impl Crate {
    fn must(&mut self, holds: bool, id: &str, rule: &str) {
        if !holds {
            self.found.push(format!("{id}: {rule}"));
        }
    }

    fn read(&mut self, document: &Value) {
        let contexts = document["@context"].as_array().unwrap();
        assert_eq!(contexts[0], "https://w3id.org/ro/crate/1.1/context");
        let own = contexts[1].as_object().unwrap();
        for entity in document["@graph"].as_array().unwrap() {
            let entity = entity.as_object().unwrap();
            let id = entity["@id"].as_str().unwrap().to_owned();
            for (property, value) in entity {
                let known = TERMS.contains(&property.as_str()) || own.contains_key(property);
                self.must(known, &id, &format!("`{property}` is in no context"));
                let values = value
                    .as_array()
                    .cloned()
                    .unwrap_or_else(|| vec![value.clone()]);
                let flat = values.iter().all(|value| match value {
                    Value::Object(fields) => fields.len() == 1 && fields.contains_key("@id"),
                    Value::Array(_) => false,
                    _ => true,
                });
                self.must(flat, &id, &format!("`{property}` is not flat"));
            }
            let twice = self.entities.insert(id.clone(), entity.clone());
            self.must(twice.is_none(), &id, "is described twice");
        }
        let named: Vec<(String, String)> = self
            .entities
            .iter()
            .flat_map(|(id, entity)| {
                let all = entity
                    .keys()
                    .flat_map(|property| references(entity, property));
                all.map(move |to| (id.clone(), to.to_owned()))
            })
            .collect();
        for (id, to) in named {
            let there = self.entities.contains_key(&to) || to.starts_with("https://");
            self.must(
                there,
                &id,
                &format!("refers to `{to}`, which is not described"),
            );
        }
    }

    fn is(&self, id: &str, kinds: &[&str]) -> bool {
        let entity = self.entities.get(id);
        entity.is_some_and(|entity| types(entity).iter().any(|kind| kinds.contains(kind)))
    }

    fn of_type(&self, kind: &str) -> Vec<(String, Entity)> {
        let all = self.entities.iter();
        all.filter(|(_, entity)| types(entity).contains(&kind))
            .map(|(id, entity)| (id.clone(), entity.clone()))
            .collect()
    }

    /// All that `property` refers to is of one of these kinds, and there are at least so many.
    fn refers(&mut self, id: &str, property: &str, kinds: &[&str], least: usize) {
        let entity = self.entities.get(id).cloned().unwrap_or_default();
        let to = references(&entity, property);
        let fit = to.iter().all(|to| self.is(to, kinds));
        let rule = format!("`{property}` refers to at least {least} of {kinds:?}");
        self.must(fit && to.len() >= least, id, &rule);
    }

    fn check_root(&mut self) {
        let descriptor = "ro-crate-metadata.json";
        self.must(
            self.is(descriptor, &["CreativeWork"]),
            descriptor,
            "is a CreativeWork",
        );
        self.refers(descriptor, "about", &["Dataset"], 1);
        let entity = self.entities[descriptor].clone();
        let conforms = references(&entity, "conformsTo").contains(&"https://w3id.org/ro/crate/1.1");
        self.must(conforms, descriptor, "conforms to RO-Crate 1.1");
        let root = self.entities["./"].clone();
        for property in ["name", "description", "datePublished"] {
            let text = root
                .get(property)
                .and_then(Value::as_str)
                .unwrap_or_default();
            self.must(!text.is_empty(), "./", &format!("has `{property}`"));
            let is_date = text.len() >= 10 && text[..4].bytes().all(|b| b.is_ascii_digit());
            self.must(
                property != "datePublished" || is_date,
                "./",
                "datePublished is a date",
            );
        }
        self.refers("./", "license", &["CreativeWork"], 1);
        self.refers("./", "conformsTo", &["CreativeWork"], 3);
        for profile in PROFILES {
            let claims = references(&root, "conformsTo").contains(&profile);
            self.must(claims, "./", &format!("conforms to {profile}"));
        }
        self.refers("./", "hasPart", &["File", "Dataset"], 1);
        self.refers("./", "mainEntity", &["ComputationalWorkflow"], 1);
    }

    fn check_files(&mut self, folder: &Path) {
        let root = self.entities["./"].clone();
        let parts: BTreeSet<&str> = references(&root, "hasPart").into_iter().collect();
        let mut described = BTreeSet::from(["ro-crate-metadata.json".to_owned()]);
        for (id, file) in self.of_type("File") {
            self.must(parts.contains(id.as_str()), &id, "is part of the root");
            // Names in these tests need no escapes.
            let Ok(sums) = FileSums::of_file(&folder.join(&id)) else {
                self.must(false, &id, "is in the folder");
                continue;
            };
            for (property, now) in [
                ("contentSize", sums.size.to_string()),
                ("sha256", sums.sha256),
                ("identifier", format!("urn:blake3:{}", sums.blake3)),
            ] {
                let told = file.get(property).is_none_or(|told| *told == now.as_str());
                self.must(told, &id, &format!("`{property}` is that of the file"));
            }
            described.insert(id);
        }
        for path in crate::support::files(folder) {
            let there = described.contains(&path);
            self.must(there, &path, "is a published file and described");
        }
    }

    fn check_workflow(&mut self) {
        let root = self.entities["./"].clone();
        let workflow = references(&root, "mainEntity")[0].to_owned();
        for kind in WORKFLOW {
            self.must(
                self.is(&workflow, &[kind]),
                &workflow,
                &format!("is a {kind}"),
            );
        }
        self.refers(&workflow, "programmingLanguage", &["ComputerLanguage"], 1);
        self.refers(&workflow, "input", &["FormalParameter"], 1);
        self.refers(&workflow, "output", &["FormalParameter"], 1);
        self.refers(&workflow, "hasPart", &TOOLS, 1);
        self.refers(&workflow, "step", &["HowToStep"], 1);
        let entity = self.entities[&workflow].clone();
        let run = self
            .of_type("CreateAction")
            .into_iter()
            .any(|(_, action)| references(&action, "instrument").contains(&workflow.as_str()));
        self.must(run, &workflow, "is the instrument of an action");
        for tool in references(&entity, "hasPart") {
            self.refers(tool, "input", &["FormalParameter"], 0);
            self.refers(tool, "output", &["FormalParameter"], 1);
            let used = self
                .of_type("CreateAction")
                .into_iter()
                .any(|(_, action)| references(&action, "instrument").contains(&tool));
            self.must(used, tool, "is the instrument of an action");
        }
        for (id, step) in self.of_type("HowToStep") {
            self.must(
                references(&entity, "step").contains(&id.as_str()),
                &id,
                "is a step",
            );
            self.refers(&id, "workExample", &TOOLS, 1);
            self.refers(&id, "connection", &["ParameterConnection"], 0);
            let position = step
                .get("position")
                .and_then(Value::as_str)
                .unwrap_or_default();
            self.must(position.parse::<u32>().is_ok(), &id, "has a position");
        }
        for (id, parameter) in self.of_type("FormalParameter") {
            self.must(
                parameter.contains_key("additionalType"),
                &id,
                "has an additionalType",
            );
            self.refers(&id, "workExample", &DATA, 1);
        }
        for (id, _) in self.of_type("ParameterConnection") {
            self.refers(&id, "sourceParameter", &["FormalParameter"], 1);
            self.refers(&id, "targetParameter", &["FormalParameter"], 1);
        }
    }

    fn check_actions(&mut self) {
        for (id, _) in self.of_type("CreateAction") {
            self.refers(&id, "instrument", &TOOLS, 1);
            self.refers(&id, "agent", &["Person", "Organization"], 1);
            self.refers(&id, "object", &DATA, 1);
            self.refers(&id, "result", &DATA, 1);
            self.refers(&id, "resourceUsage", &["PropertyValue"], 0);
            let usage = self.entities[&id].clone();
            for usage in references(&usage, "resourceUsage") {
                let has = self.entities[usage].contains_key("propertyID");
                self.must(has, usage, "has a propertyID");
            }
        }
        for (id, _) in self.of_type("ControlAction") {
            self.refers(&id, "instrument", &["HowToStep"], 1);
            self.refers(&id, "object", &["CreateAction"], 1);
        }
        let organised = self.of_type("OrganizeAction");
        self.must(organised.len() == 1, "./", "is organised by one action");
        for (id, _) in organised {
            self.refers(&id, "instrument", &TOOLS, 1);
            self.refers(&id, "result", &["CreateAction"], 1);
            self.refers(&id, "object", &["ControlAction"], 1);
        }
    }
}
