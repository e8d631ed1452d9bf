//! What is published beside the results, and what of it may be shared.

use std::fs;
use std::path::Path;

use engine::provenance::FileSums;
use serde_json::{Value, json};

use crate::support::{Project, Said, command, files, run};

mod rules;

/// Words of the environment and of the tables that no published file may hold.
const SECRETS: [&str; 5] = [
    "user-of-nowhere",
    "host-of-nowhere",
    "61.2345",
    "sex-of-nobody",
    "project-of-nobody",
];

/// A project in a folder with a telling name; its labels have columns that no stage uses.
fn project() -> Project {
    let project = Project::with_caps(12);
    let labels = project.read("labels.tsv");
    let labels = labels.replace("\tF\t", "\tsex-of-nobody\t");
    let labels = labels.replace("\t61\n", "\t61.2345\n");
    for file in project.files() {
        let bytes = fs::read(project.path(&file)).unwrap();
        project.write_bytes(&format!("project-of-nobody/{file}"), &bytes);
    }
    project.write("project-of-nobody/labels.tsv", &labels);
    project
}

fn clinicadl(project: &Project, arguments: &[&str]) -> Said {
    let mut command = command(&project.path("project-of-nobody"), arguments);
    command
        .env("HOME", "/home/user-of-nowhere")
        .env("USER", "user-of-nowhere")
        .env("LOGNAME", "user-of-nowhere")
        .env("HOSTNAME", "host-of-nowhere");
    run(&mut command)
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Every file whose name or content has this text.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let has = |path: &String| {
        let bytes = fs::read(folder.join(path)).unwrap();
        path.contains(text)
            || bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
    };
    files(folder).into_iter().filter(has).collect()
}

fn assert_private(project: &Project, folder: &Path) {
    let place = project.path("").canonicalize().unwrap();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut secrets = SECRETS.map(str::to_owned).to_vec();
    secrets.push(place.to_str().unwrap().trim_end_matches('/').to_owned());
    // A short name is a word like others.
    secrets.extend(Some(host.trim().to_owned()).filter(|host| host.len() >= 6));
    for secret in secrets {
        assert_eq!(holding(folder, &secret), [""; 0], "`{secret}`");
    }
    for path in files(folder).iter().filter(|path| path.ends_with(".tsv")) {
        let text = fs::read_to_string(folder.join(path)).unwrap();
        let header: Vec<&str> = text.lines().next().unwrap().split('\t').collect();
        assert!(
            !header.contains(&"age") && !header.contains(&"sex"),
            "{path}: {header:?}"
        );
    }
}

/// Every file but the lists themselves is on both lists, with its digest.
fn assert_listed(folder: &Path) {
    let lists = [
        "provenance/manifest-blake3.txt",
        "provenance/manifest-sha256.txt",
    ];
    let unlisted = [lists[0], lists[1], "provenance/published.json"];
    for list in lists {
        let mut expected = String::new();
        for path in files(folder)
            .iter()
            .filter(|path| !unlisted.contains(&path.as_str()))
        {
            let sums = FileSums::of_file(&folder.join(path)).unwrap();
            let digest = match list.contains("sha256") {
                true => sums.sha256,
                false => sums.blake3.to_string(),
            };
            expected.push_str(&format!("{digest}  {path}\n"));
        }
        assert_eq!(
            fs::read_to_string(folder.join(list)).unwrap(),
            expected,
            "{list}"
        );
    }
    let published = json_of(&folder.join("provenance/published.json"));
    assert_eq!(
        published["files"].as_object().unwrap().len(),
        files(folder).len() - 1
    );
}

/// Whatever a relation of the PROV document names is described in it.
fn assert_prov(folder: &Path) {
    let prov = json_of(&folder.join("provenance/prov.json"));
    let mut relations = 0;
    for (relation, roles) in [
        (
            "used",
            [("prov:activity", "activity"), ("prov:entity", "entity")],
        ),
        (
            "wasGeneratedBy",
            [("prov:entity", "entity"), ("prov:activity", "activity")],
        ),
        (
            "wasAssociatedWith",
            [("prov:activity", "activity"), ("prov:agent", "agent")],
        ),
        (
            "wasDerivedFrom",
            [
                ("prov:generatedEntity", "entity"),
                ("prov:usedEntity", "entity"),
            ],
        ),
    ] {
        for (name, record) in prov[relation].as_object().unwrap() {
            relations += 1;
            for (role, kind) in roles {
                let to = record[role].as_str().unwrap();
                assert!(
                    !prov[kind][to].is_null(),
                    "{relation} {name}: `{to}` is no {kind}"
                );
                let prefix = to.split(':').next().unwrap();
                assert!(prov["prefix"][prefix].is_string(), "prefix of `{to}`");
            }
        }
    }
    assert!(relations > 100, "{relations} relations");
    for path in files(folder) {
        let entity = &prov["entity"][format!("published:{path}")];
        if path.starts_with("split-") {
            let sums = FileSums::of_file(&folder.join(&path)).unwrap();
            assert_eq!(entity["clinicadl:sha256"], json!(sums.sha256), "{path}");
        }
    }
}

fn assert_sound(project: &Project, folder: &Path) {
    assert_eq!(rules::violations(folder), [""; 0]);
    assert_listed(folder);
    assert_prov(folder);
    assert_private(project, folder);
    assert_eq!(maps::validate(folder), []);
}

fn computed_by(record: &Value, action: &str) -> (String, String) {
    let actions = record["actions"].as_array().unwrap();
    let action = actions
        .iter()
        .find(|entry| entry["action"] == action)
        .unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (
        text(&action["outcome"]["outcome"]),
        text(&action["computed"]["run"]),
    )
}

#[test]
fn a_published_folder_is_a_sound_crate_that_tells_who_computed_what_and_nothing_private() {
    let project = project();
    let folder = project.path("project-of-nobody/maps");
    clinicadl(&project, &["run", "experiment.yaml"]).success();
    assert_sound(&project, &folder);
    let first = json_of(&folder.join("provenance/run.json"));
    let bytes = fs::read(folder.join("ro-crate-metadata.json")).unwrap();

    clinicadl(&project, &["run", "experiment.yaml"]).success();
    let again = fs::read(folder.join("ro-crate-metadata.json")).unwrap();
    assert!(
        again == bytes,
        "a run that changes no result rewrites no record"
    );

    let manifest = "project-of-nobody/experiment.yaml";
    project.edit(
        manifest,
        "data_group: test }\n  saliency",
        "data_group: held-out }\n  saliency",
    );
    clinicadl(&project, &["run", "experiment.yaml"]).success();
    assert_sound(&project, &folder);
    let second = json_of(&folder.join("provenance/run.json"));
    let [one, two] = [&first, &second].map(|record| record["run"].as_str().unwrap().to_owned());
    assert_ne!(one, two);
    assert_eq!(
        computed_by(&first, "train (split 0)"),
        ("ran".to_owned(), one.clone())
    );
    assert_eq!(
        computed_by(&second, "train (split 0)"),
        ("hit".to_owned(), one)
    );
    assert_eq!(
        computed_by(&second, "test (split 1)"),
        ("ran".to_owned(), two)
    );
    let labels = &second["external_inputs"][1];
    assert_eq!(
        (&labels["name"], &labels["files"]),
        (&json!("labels"), &json!(1))
    );

    // The rules notice what they are for.
    let crate_path = folder.join("ro-crate-metadata.json");
    let text = fs::read_to_string(&crate_path).unwrap();
    for (from, to) in [
        ("\"ControlAction\"", "\"CreateAction\""),
        ("\"sourceParameter\": {", "\"targetParameter\": {"),
        ("\"propertyID\"", "\"name\""),
        ("\"additionalType\"", "\"description\""),
        ("\"datePublished\"", "\"dateCreated\""),
        ("\"#step-train\"", "\"#step-missing\""),
        ("\"contentSize\": \"", "\"contentSize\": \"1"),
        ("wfrun/provenance/0.5", "wfrun/provenances/0.5"),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(&crate_path, text.replacen(from, to, 2)).unwrap();
        assert_ne!(rules::violations(&folder), [""; 0], "{from} → {to}");
    }
}

#[test]
fn an_export_is_a_sound_crate_without_ids_images_and_columns_and_is_not_written_if_any_is_left() {
    let project = project();
    clinicadl(&project, &["run", "experiment.yaml"]).success();
    let maps = project.path("project-of-nobody/maps");
    let export = |arguments: &[&str]| {
        clinicadl(&project, &[&["maps", "export", "maps"], arguments].concat())
    };
    export(&["--output", "out/shared", "--new-salt", "salt"]).success();
    let shared = project.path("project-of-nobody/out/shared");
    assert_sound(&project, &shared);
    for i in 0..12 {
        let id = format!("sub-{i:03}");
        assert!(!holding(&maps, &id).is_empty());
        let left = holding(&shared, &format!("{id}\t"));
        let left = [left, holding(&shared, &format!("{id}_"))].concat();
        assert_eq!(left, [""; 0], "{id}");
    }
    let images = |folder: &Path| {
        let is_image = |path: &String| path.ends_with("_map.nii.gz");
        files(folder).into_iter().filter(is_image).count()
    };
    assert_eq!(
        (images(&maps), images(&shared)),
        (20, 4),
        "only the means of groups are left"
    );
    let weights = "split-0/best-loss/model.safetensors";
    assert!(fs::read(maps.join(weights)).unwrap() == fs::read(shared.join(weights)).unwrap());
    let table = |folder: &Path| {
        let path = "split-0/best-loss/test/test_image_level_prediction.tsv";
        fs::read_to_string(folder.join(path)).unwrap()
    };
    assert_eq!(table(&maps).lines().count(), table(&shared).lines().count());
    let note = json_of(&shared.join("provenance/redaction.json"));
    assert_eq!(
        (&note["participants"], &note["images_left_out"]),
        (&json!(12), &json!(32))
    );

    // The same salt gives the same bytes, as a folder and as an archive; another salt others.
    for output in ["again", "a.zip", "b.zip"] {
        export(&["--output", output, "--salt-file", "salt"]).success();
    }
    let again = project.path("project-of-nobody/again");
    assert_eq!(files(&again), files(&shared));
    for file in files(&again) {
        assert!(
            fs::read(again.join(&file)).unwrap() == fs::read(shared.join(&file)).unwrap(),
            "{file}"
        );
    }
    let [a, b] = ["a.zip", "b.zip"]
        .map(|name| fs::read(project.path(&format!("project-of-nobody/{name}"))).unwrap());
    // The folder inside has the name of the archive.
    assert_eq!(a.len(), b.len());
    assert!(a.starts_with(b"PK\x03\x04"));
    export(&["--output", "other"]).success();
    assert_ne!(
        table(&project.path("project-of-nobody/other")),
        table(&shared)
    );

    // Nothing is replaced, and a salt in the MAPS would go with it.
    let taken = export(&["--output", "out/shared"]);
    assert_eq!(taken.code, Some(2), "{}", taken.stderr);
    assert!(
        taken.stderr.contains("`out/shared` exists already"),
        "{}",
        taken.stderr
    );
    let inside = export(&["--output", "in", "--new-salt", "maps/salt"]);
    assert_eq!(inside.code, Some(2), "{}", inside.stderr);

    // The policy of the manifest, and absolute paths in it.
    let manifest = "project-of-nobody/experiment.yaml";
    let labels = project.path("project-of-nobody/labels.tsv");
    project.edit(
        manifest,
        "labels: labels.tsv",
        &format!("labels: \"{}\"", labels.display()),
    );
    project.edit(
        manifest,
        "maps: maps\n",
        "maps: maps\nredact: { participants: keep, images: keep }\n",
    );
    clinicadl(&project, &["run", "experiment.yaml"]).success();
    export(&["--output", "kept"]).success();
    let kept = project.path("project-of-nobody/kept");
    assert_sound(&project, &kept);
    assert_eq!(images(&kept), 20);
    assert!(!holding(&kept, "sub-003\t").is_empty());
    let text = fs::read_to_string(kept.join("provenance/manifest.yaml")).unwrap();
    assert!(text.contains("labels: \"removed-path\""), "{text}");
    let record = json_of(&kept.join("provenance/run.json"));
    let digest = FileSums::of(text.as_bytes()).blake3.to_string();
    assert_eq!(record["manifest"], json!(digest));
    let lock = "provenance/lock.json";
    assert!(fs::read(maps.join(lock)).unwrap() == fs::read(kept.join(lock)).unwrap());

    // What no rule replaces is found in the end, and then nothing is written.
    project.edit(manifest, "participants: keep, ", "");
    project.edit(manifest, "name: small", "name: without 000A");
    project.edit(
        manifest,
        "redact",
        "# the label of sub-000A is 000A\nredact",
    );
    clinicadl(&project, &["run", "experiment.yaml"]).success();
    let leak = export(&["--output", "leak"]);
    assert_eq!(leak.code, Some(2), "{}", leak.stderr);
    assert!(
        leak.stderr.contains("would still hold `000A`"),
        "{}",
        leak.stderr
    );
    assert!(!project.path("project-of-nobody/leak").exists());

    // What was changed by hand is no longer what the records tell.
    fs::write(maps.join("groups/test/data.tsv"), "participant_id\n").unwrap();
    let changed = export(&["--output", "changed"]);
    assert_eq!(changed.code, Some(2), "{}", changed.stderr);
}
