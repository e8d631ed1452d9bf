use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

fn record(store: &Store) -> ActionRecord {
    let digest = store.put_bytes(b"content").unwrap();
    let document = json!({ "stage": "x" });
    let key = ActionKey::of_document(&document);
    let artifact = Artifact {
        kind: "table".into(),
        digest,
        size: 7,
    };
    ActionRecord::new(key, document, [("out".to_owned(), vec![artifact])].into())
}

#[test]
fn a_record_reads_back_as_it_was_written() {
    let (_folder, store) = store();
    let record = record(&store);
    store.put_record(&record).unwrap();
    assert_eq!(store.record(&record.key), Some(record));
}

#[test]
fn a_damaged_record_is_no_record() {
    let (_folder, store) = store();
    let record = record(&store);
    store.put_record(&record).unwrap();
    let path = store.record_path(&record.key);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("table", "tab1e")).unwrap();
    assert_eq!(store.record(&record.key), None);
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    assert_eq!(store.record(&record.key), None);
}

#[test]
fn a_damaged_object_is_noticed_and_dropped() {
    let (_folder, store) = store();
    let digest = store.put_bytes(b"content").unwrap();
    assert!(store.has_object(&digest, 7));
    let path = store.object_path(&digest);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "CONTENT").unwrap();
    assert!(!store.has_object(&digest, 7));
    assert!(!path.exists());
}

#[test]
fn a_folder_becomes_a_tree_of_objects() {
    let (_folder, store) = store();
    let source = store.temporary_folder().unwrap();
    fs::create_dir(source.path().join("b")).unwrap();
    fs::write(source.path().join("b/two"), "2").unwrap();
    fs::write(source.path().join("one"), "1").unwrap();
    let mut batch = store.batch();
    let (digest, tree) = batch.folder(source.path(), &BTreeMap::new()).unwrap();
    assert!(store.whole_tree(&digest).is_none(), "nothing is there yet");
    batch.store().unwrap();
    assert_eq!(tree.files.keys().collect::<Vec<_>>(), ["b/two", "one"]);
    assert_eq!(store.whole_tree(&digest).as_deref(), Some(&tree));
}

#[test]
fn a_tree_with_a_path_outside_itself_is_refused() {
    for path in ["../x", "/x", "a//b", "a/./b", ""] {
        let file = TreeFile {
            digest: Digest::of(b""),
            size: 0,
        };
        let tree = Tree {
            files: [(path.to_owned(), file)].into(),
        };
        assert_eq!(Tree::from_bytes(&tree.to_bytes()), None, "{path}");
    }
}

#[test]
fn a_store_of_another_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("FORMAT"), r#"{"format":9}"#).unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("format"), "{error}");
}
