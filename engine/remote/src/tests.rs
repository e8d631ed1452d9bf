use super::*;

fn remote_of(folder: &Path) -> Arc<dyn Remote> {
    open(folder.to_str().unwrap()).unwrap()
}

#[test]
fn a_folder_takes_files_and_gives_them_back() {
    let folder = tempfile::tempdir().unwrap();
    let remote = remote_of(&folder.path().join("made/when/needed"));
    assert_eq!(remote.size("objects/ab/cd").unwrap(), None);
    let mut got = Vec::new();
    assert!(!remote.get("objects/ab/cd", &mut got).unwrap());

    let from = folder.path().join("from");
    for bytes in [b"one".to_vec(), vec![7; 25 << 20]] {
        std::fs::write(&from, &bytes).unwrap();
        remote.put("objects/ab/cd", &from).unwrap();
        let size = bytes.len() as u64;
        assert_eq!(remote.size("objects/ab/cd").unwrap(), Some(size));
        got.clear();
        assert!(remote.get("objects/ab/cd", &mut got).unwrap());
        assert_eq!(got, bytes);
    }
    let there = folder.path().join("made/when/needed/objects/ab/cd");
    assert!(there.is_file(), "the layout is that of a store");
}

#[test]
fn what_cannot_be_read_here_is_not_put() {
    let folder = tempfile::tempdir().unwrap();
    let remote = remote_of(&folder.path().join("there"));
    let error = remote.put("FORMAT", &folder.path().join("missing"));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("write `FORMAT`"), "{error}");
    assert_eq!(remote.size("FORMAT").unwrap(), None);
}

#[test]
fn addresses_that_name_nothing_are_refused() {
    for (address, problem) in [
        ("gs://bucket", "expected a folder, `file://`"),
        ("ftp://host/path", "expected a folder, `file://`"),
        ("", "expected an address"),
        ("https://", "host"),
    ] {
        let error = open(address).unwrap_err().to_string();
        assert!(error.contains(problem), "{address}: {error}");
    }
}

#[test]
fn credentials_are_not_shown() {
    let remote = open("https://me:secret@example.org/store?token=1").unwrap();
    assert_eq!(remote.address(), "https://example.org/store");
    assert!(remote.is_read_only());
    let error = remote.put("FORMAT", Path::new("/dev/null")).unwrap_err();
    assert!(matches!(error, RemoteError::ReadOnly { .. }));
}
