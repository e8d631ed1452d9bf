//! The page `docs/generate.md` agrees with the code.

use std::path::Path;

use engine::Registry;
use engine::manifest::Manifest;

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/generate.md");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn its_manifest_parses_without_its_data() {
    let page = page();
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let (manifest, _) = rest.split_once("```").unwrap();
    assert_eq!(manifest.matches("uses: generate-").count(), 4);
    let registry = Registry::new(crate::STAGES);
    let parsed = Manifest::parse(Path::new("page.yaml"), manifest.to_owned(), registry);
    let issues = parsed.err().map_or(Vec::new(), |issues| issues.0);
    let missing = |message: &str| message.contains("does not exist");
    let other: Vec<_> = issues.iter().filter(|i| !missing(&i.message)).collect();
    assert!(other.is_empty(), "{other:#?}");
    assert_eq!(issues.len(), 3, "the three inputs: {issues:#?}");
}

#[test]
fn it_has_a_section_for_every_stage_of_the_family() {
    let page = page();
    let ids = crate::STAGES.iter().map(|stage| stage.id());
    let family: Vec<&str> = ids.filter(|id| id.starts_with("generate")).collect();
    assert_eq!(family.len(), 6);
    for id in family {
        assert!(page.contains(&format!("\n## `{id}`\n")), "{id}");
    }
}
