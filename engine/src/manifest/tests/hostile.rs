//! Manifests that mean harm are refused with a message, in little time and memory.

use std::fmt::Write;
use std::fs;

use super::*;

/// The first message, which must not be long.
#[track_caller]
fn refused(text: String) -> String {
    let issues = parse(&text).unwrap_err();
    let all = issues.to_string();
    assert!(all.len() < 100_000, "{} bytes of messages", all.len());
    let first = issues.0[0].to_string();
    assert!(first.len() < 1_000, "{first}");
    first
}

#[test]
fn a_file_beyond_the_limit_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.yaml");
    fs::File::create(&path).unwrap().set_len(100 << 30).unwrap();
    let issues = Manifest::load(&path, REGISTRY).unwrap_err();
    assert!(issues.to_string().contains("larger than 4 MiB"), "{issues}");
    assert!(refused("x".repeat(5 << 20)).contains("larger than 4 MiB"));
}

#[test]
fn deep_nesting_is_refused() {
    let megabytes = 3 << 20;
    for open in ["[", "{a: ", "- ", "? ", "a:\n "] {
        let text = open.repeat(megabytes / open.len());
        let message = refused(text);
        let expected = [
            "nested too deeply",
            "not valid YAML",
            "cannot be a key",
            "duplicate key",
        ];
        assert!(
            expected.iter().any(|e| message.contains(e)),
            "{open:?}: {message}"
        );
    }
    let mut text = String::new();
    for depth in 0..1_500 {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}a:", " ".repeat(depth));
    }
    assert!(refused(text).contains("nested too deeply"));
    let toml = format!("a = {}", "[".repeat(megabytes));
    let issues = Manifest::parse(Path::new("m.toml"), toml, REGISTRY).unwrap_err();
    assert!(issues.to_string().contains("m.toml"), "{issues}");
    let toml = format!("{} = 1", vec!["a"; 100_000].join("."));
    assert!(Manifest::parse(Path::new("m.toml"), toml, REGISTRY).is_err());
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let below = vec![format!("*a{}", i - 1); 10].join(", ");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "a{i}: &a{i} [{below}]");
    }
    assert!(refused(text).contains("too large: more than 500000 values"));
    let long = "y".repeat(1 << 20);
    let text = format!("a: &a {long}\nb: [{}]\n", vec!["*a"; 1_000].join(", "));
    assert!(refused(text).contains("16 MiB of text"));
    let mut text = String::from("a0: &a0 [x]\n");
    for i in 1..200 {
        let _ = writeln!(text, "a{i}: &a{i} [*a{}]", i - 1);
    }
    assert!(refused(text).contains("nested too deeply"));
}

#[test]
fn params_that_multiply_are_refused() {
    let params = |cell: &dyn Fn(usize) -> String| {
        let mut text = String::from("clinicadl: 1\nname: x\nparams:\n  p0: [a, b, c, d]\n");
        for i in 1..25 {
            let _ = writeln!(text, "  p{i}: {}", cell(i - 1));
        }
        format!(
            "{text}inputs: {{ text: . }}\nstages: {{ w: {{ uses: count, inputs: {{ text: text }} }} }}\n"
        )
    };
    let lists = params(&|i| format!("[{}]", vec![format!("'${{params.p{i}}}'"); 10].join(", ")));
    assert!(refused(lists).contains("params and matrix make more than"));
    let texts = params(&|i| format!("'{}'", format!("${{params.p{i}.0}}").repeat(20)))
        .replace("p1: '", "p1: 'x")
        .replace("p0: [a, b, c, d]", "p0: [aaaaaaaaaaaaaaaa]");
    assert!(parse(&texts).is_err());
    let texts = params(&|i| format!("'{}'", format!("${{params.p{i}}}").repeat(20)))
        .replace("p0: [a, b, c, d]", "p0: aaaaaaaaaaaaaaaa");
    assert!(refused(texts).contains("MiB of text"));
}

#[test]
fn long_chains_of_params_are_refused() {
    for backwards in [false, true] {
        let mut text = String::from("clinicadl: 1\nname: x\nparams:\n");
        let count = 20_000;
        let mut lines: Vec<String> = (0..count)
            .map(|i| format!("  p{i}: '${{params.p{}}}'\n", i + 1))
            .collect();
        lines.push(format!("  p{count}: 1\n"));
        if backwards {
            lines.reverse();
        }
        text.extend(lines);
        let message = refused(format!("{text}stages: {{ w: {{ uses: count }} }}\n"));
        assert!(
            message.contains("more than 32 deep") || message.contains("not connected"),
            "{message}"
        );
    }
}

#[test]
fn a_matrix_that_explodes_is_refused() {
    let mut text = String::from("clinicadl: 1\nname: x\nparams: {");
    for i in 0..16 {
        let _ = write!(text, "p{i}: 0, ");
    }
    text.push_str("}\nmatrix:\n");
    for i in 0..16 {
        let values: Vec<String> = (0..9_999).map(|n| n.to_string()).collect();
        let _ = writeln!(text, "  p{i}: [{}]", values.join(","));
    }
    text.push_str("stages: { w: { uses: count } }\n");
    assert!(refused(text).contains("the matrix has too many cells"));
    let values: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    let mut text = format!(
        "clinicadl: 1\nname: x\nparams: {{ n: 1 }}\nmatrix: {{ n: [{}] }}\nstages:\n",
        values.join(",")
    );
    for i in 0..5_000 {
        let _ = writeln!(
            text,
            "  s{i}: {{ uses: count, with: {{ fault: 'a${{params.n}}' }} }}"
        );
    }
    assert!(refused(text).contains("are too many, expected at most 200000"));
}

#[test]
fn a_thousand_mistakes_are_summed_up() {
    let mut text = String::from("clinicadl: 1\nname: x\ninputs: { text: . }\nstages:\n");
    let long = "n".repeat(90);
    for i in 0..8_000 {
        let _ = writeln!(
            text,
            "  {long}{i}: {{ uses: fold, inputs: {{ count: {long}x{i} }}, with: {{ n_splitz: {i} }} }}"
        );
    }
    let issues = parse(&text).unwrap_err();
    assert_eq!(issues.0.len(), 201);
    assert!(
        issues.0[200].message.contains("more problems"),
        "{}",
        issues.0[200].message
    );
}

#[test]
fn long_scalars_and_comments_are_fine() {
    let text = GOOD.replace(
        "name: demo",
        &format!("name: demo # {}", "c".repeat(1 << 20)),
    );
    parse(&text).unwrap();
    let text = GOOD.replace(
        "mode: lines",
        &format!("mode: lines, fault: {}", "v".repeat(1 << 20)),
    );
    parse(&text).unwrap();
}

/// A project folder with a manifest below it.
fn project(git: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("project/pipelines")).unwrap();
    if git {
        fs::create_dir(folder.path().join("project/.git")).unwrap();
    }
    folder
}

fn publish_to(folder: &Path, maps: &str) -> Result<PathBuf, String> {
    let path = folder.join("project/pipelines/m.yaml");
    let text = GOOD.replace("maps: out", &format!("maps: \"{maps}\""));
    match Manifest::parse(&path, text, REGISTRY) {
        Ok(manifest) => Ok(manifest.maps_path().unwrap()),
        Err(issues) => Err(issues.0[0].message.clone()),
    }
}

#[test]
fn a_manifest_publishes_inside_of_its_project_only() {
    let folder = project(false);
    let inside = folder.path().join("project/pipelines/a/out");
    assert_eq!(publish_to(folder.path(), "./a/b/../out").unwrap(), inside);
    for (maps, why) in [
        ("../out", "is outside of the project `pipelines`"),
        ("a/../../out", "is outside of the project"),
        (
            "../../../../../../../../../../out",
            "leaves the file system",
        ),
        ("/tmp/out", "is not relative to the manifest"),
        (".", "holds the manifest itself"),
        ("", "is not the name of a folder"),
        (".clinicadl/objects", "belongs to git or to the store"),
        ("a\\u0000b", "is not the name of a folder"),
    ] {
        let message = publish_to(folder.path(), maps).unwrap_err();
        assert!(message.contains(why), "{maps}: {message}");
    }
}

#[test]
fn the_project_is_the_git_working_tree() {
    let folder = project(true);
    let out = publish_to(folder.path(), "../results/out").unwrap();
    assert_eq!(
        out,
        folder
            .path()
            .canonicalize()
            .unwrap()
            .join("project/results/out")
    );
    for (maps, why) in [
        ("../../out", "is outside of the project `project`"),
        ("..", "holds the manifest itself"),
        ("../.git/hooks", "belongs to git or to the store"),
    ] {
        let message = publish_to(folder.path(), maps).unwrap_err();
        assert!(message.contains(why), "{maps}: {message}");
    }
}

#[test]
fn links_out_of_the_project_are_refused() {
    let folder = project(true);
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, folder.path().join("project/pipelines").join(name)).unwrap();
    };
    link("../..", "out-of-it");
    link("/nowhere/at/all", "to-nothing");
    link("../results", "within");
    link("itself", "itself");
    fs::create_dir(folder.path().join("project/results")).unwrap();
    for (maps, why) in [
        ("out-of-it", "leads out of the project through a link"),
        ("out-of-it/x/y", "leads out of the project through a link"),
        ("to-nothing/x", "leads through a link to nothing"),
        ("itself", "leads through a link to nothing"),
    ] {
        let message = publish_to(folder.path(), maps).unwrap_err();
        assert!(message.contains(why), "{maps}: {message}");
    }
    publish_to(folder.path(), "within/out").unwrap();
}

#[test]
fn whoever_runs_it_may_publish_anywhere() {
    let folder = project(false);
    let overrides = Overrides {
        maps: Some("/somewhere/else".into()),
        ..Overrides::default()
    };
    let path = folder.path().join("project/pipelines/m.yaml");
    let text = GOOD.replace("maps: out", "maps: /etc");
    let manifest = resolve::resolve(&path, text, REGISTRY, &overrides).unwrap();
    assert_eq!(manifest.maps_path(), Some("/somewhere/else".into()));
}

#[test]
fn the_committed_corpus_is_read_without_a_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/manifest");
    let mut texts = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let text = String::from_utf8_lossy(&fs::read(entry.unwrap().path()).unwrap()).into_owned();
        texts += 1;
        for name in ["m.yaml", "m.toml"] {
            let folder = tempfile::tempdir().unwrap();
            drop(Manifest::parse(
                &folder.path().join(name),
                text.clone(),
                REGISTRY,
            ));
        }
    }
    assert!(texts >= 10, "{texts}");
}
