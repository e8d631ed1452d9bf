//! Modules of TorchScript (`torch.jit.save`), looked through before libtorch reads them.
//!
//! ```text
//! <root>/data.pkl, data/…     attributes: libtorch reads them
//!        code/**.py           classes in the language of TorchScript, compressed
//! ```
//!
//! The code is read as text: what reaches files is refused, and buffers are declared as parameters, so that
//! whoever loads the module gets handles of all of its tensors.

use std::io::{Cursor, Read, Write};

use flate2::read::DeflateDecoder;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::WeightsError;
use super::archive::Archive;

/// The most text that the code of a module has; that of the largest known networks has 1 MiB.
const MAX_CODE_BYTES: usize = 32 << 20;
/// The folder of files that are no part of a module.
const EXTRA: &str = "extra/";
/// Functions of TorchScript that read or write files.
const OF_FILES: [&str; 4] = ["from_file", "save", "load", "load_tensor"];
/// Families of operators that are part of every libtorch and compute.
const FAMILIES: [&str; 2] = ["prim", "aten"];

/// The module with buffers declared as parameters.
///
/// # Errors
/// The bytes are no module, or its code does more than to compute: see [`WeightsError`].
pub fn expose_buffers(bytes: &[u8]) -> Result<Vec<u8>, WeightsError> {
    let mut writer = Writer::of(bytes.len());
    for (name, content) in entries(bytes, rewrite)? {
        writer.add(&name, &content)?;
    }
    writer.finish()
}

/// The module with other files beside its code, whose names and contents `torch.jit.load` gives by
/// `_extra_files`; `methods` is code that is added to its classes, indented as theirs.
///
/// Equal modules are equal bytes: folders have the name `root`, no entry has a time, and where the code came
/// from is left out.
///
/// # Errors
/// The bytes are no module, or its code does more than to compute.
///
/// # Source
/// `torch/csrc/jit/serialization/export_module.cpp` of PyTorch 2.13: `<root>/extra/<name>`.
pub fn pack_module(
    bytes: &[u8],
    root: &str,
    methods: &str,
    extra: &[(&str, &[u8])],
) -> Result<Vec<u8>, WeightsError> {
    let of_extra: usize = extra.iter().map(|(_, content)| content.len()).sum();
    let mut writer = Writer::of(bytes.len() + of_extra);
    for (name, content) in entries(bytes, |text| format!("{text}{methods}"))? {
        let (_, inside) = name.split_once('/').unwrap_or(("", &name));
        if !inside.starts_with(EXTRA) {
            writer.add(&format!("{root}/{inside}"), &content)?;
        }
    }
    for (name, content) in extra {
        writer.add(&format!("{root}/{EXTRA}{name}"), content)?;
    }
    writer.finish()
}

/// A file beside the code of a module; `None` where there is none of this name.
///
/// # Errors
/// The bytes are no archive of PyTorch, or the file is damaged.
pub fn read_extra(bytes: &[u8], name: &str) -> Result<Option<Vec<u8>>, WeightsError> {
    let mut archive = Archive::open(bytes)?;
    let end = format!("/{EXTRA}{name}");
    let names = archive.names();
    let found = names.iter().find(|entry| {
        let root = entry.strip_suffix(&end);
        root.is_some_and(|root| !root.contains('/'))
    });
    found.map(|entry| archive.entry(entry)).transpose()
}

/// The entries of a module with its code, which was looked at, as `change` makes it.
fn entries(
    bytes: &[u8],
    change: impl Fn(&str) -> String,
) -> Result<Vec<(String, Vec<u8>)>, WeightsError> {
    let mut archive = Archive::open(bytes)?;
    let names = archive.names();
    if !names.iter().any(|name| is_code(name)) {
        return Err(WeightsError::NotAModule);
    }
    let mut entries = Vec::with_capacity(names.len());
    let mut budget = MAX_CODE_BYTES;
    for name in names {
        // Where the code came from in Python; places in it would be wrong now.
        if name.ends_with(".debug_pkl") || name.ends_with('/') {
            continue;
        }
        let content = if is_code(&name) {
            let text = read_code(&mut archive, &name, budget)?;
            budget -= text.len();
            check(&name, &text)?;
            change(&text).into_bytes()
        } else {
            archive.entry(&name)?
        };
        entries.push((name, content));
    }
    Ok(entries)
}

/// An archive that is written in one way only.
struct Writer(ZipWriter<Cursor<Vec<u8>>>);

impl Writer {
    /// `size_bytes` is about how large it will be.
    fn of(size_bytes: usize) -> Self {
        let bytes = Vec::with_capacity(size_bytes + (64 << 10));
        Self(ZipWriter::new(Cursor::new(bytes)))
    }

    fn add(&mut self, name: &str, content: &[u8]) -> Result<(), WeightsError> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .with_alignment(64)
            .large_file(u32::try_from(content.len()).is_err());
        let failed = |reason: String| WeightsError::Archive(reason);
        let started = self.0.start_file(name, options);
        started.map_err(|error| failed(error.to_string()))?;
        let written = self.0.write_all(content);
        written.map_err(|error| failed(error.to_string()))
    }

    fn finish(self) -> Result<Vec<u8>, WeightsError> {
        let written = self.0.finish();
        let written = written.map_err(|error| WeightsError::Archive(error.to_string()))?;
        Ok(written.into_inner())
    }
}

fn is_code(name: &str) -> bool {
    let inside = name.split_once('/').map_or("", |(_, inside)| inside);
    inside.starts_with("code/") && inside.ends_with(".py")
}

/// The text of a class, which PyTorch compresses.
fn read_code(
    archive: &mut Archive<'_>,
    name: &str,
    limit_bytes: usize,
) -> Result<String, WeightsError> {
    let damaged = |reason: String| WeightsError::DamagedEntry {
        entry: name.to_owned(),
        reason,
    };
    let (raw, is_deflated) = archive.raw(name)?;
    let mut text = Vec::new();
    let limit = limit_bytes as u64 + 1;
    let read = match is_deflated {
        true => DeflateDecoder::new(raw.as_slice())
            .take(limit)
            .read_to_end(&mut text),
        false => raw.as_slice().take(limit).read_to_end(&mut text),
    };
    read.map_err(|error| damaged(error.to_string()))?;
    if text.len() > limit_bytes {
        return Err(WeightsError::EntryTooLarge {
            entry: name.to_owned(),
            size_bytes: text.len() as u64,
            limit_bytes: limit_bytes as u64,
        });
    }
    String::from_utf8(text).map_err(|_| damaged("it is no text".to_owned()))
}

/// Refuses code that does more than to compute.
fn check(name: &str, text: &str) -> Result<(), WeightsError> {
    let refuse = |what: &str| {
        Err(WeightsError::Code {
            entry: name.to_owned(),
            what: what.to_owned(),
        })
    };
    // Between quotes there is text; quotes in it have a backslash before them.
    let mut before = "";
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| is_word(c) || c == '"') {
        let (gap, found) = rest.split_at(at);
        if let Some(quoted) = found.strip_prefix('"') {
            rest = after_quote(quoted);
            before = "";
            continue;
        }
        let end = found.find(|c: char| !is_word(c)).unwrap_or(found.len());
        let (word, tail) = found.split_at(end);
        let is_member = gap.ends_with('.');
        let is_called = tail.starts_with('(');
        if is_called && OF_FILES.contains(&word) {
            return refuse(word);
        }
        if is_member && before == "ops" && !FAMILIES.contains(&word) {
            return refuse(&format!("ops.{word}"));
        }
        if is_member && before == "torch" && word == "classes" {
            return refuse("torch.classes");
        }
        (before, rest) = (word, tail);
    }
    Ok(())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What is behind a quoted text that begins here.
fn after_quote(text: &str) -> &str {
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !is_escaped => return &text[at + 1..],
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    ""
}

/// Adds the names of buffers to those of parameters, class by class.
fn rewrite(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let buffers = listed(line, "  __buffers__ = [");
        let parameters = lines
            .last()
            .and_then(|last| listed(last, "  __parameters__ = ["));
        match (parameters, buffers) {
            (Some(parameters), Some(buffers)) => {
                let both = format!("  __parameters__ = [{parameters}{buffers}]");
                lines.pop();
                lines.push(both);
                lines.push("  __buffers__ = []".to_owned());
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

/// What is between the brackets of a list of names.
fn listed<'l>(line: &'l str, start: &str) -> Option<&'l str> {
    line.strip_prefix(start)?.strip_suffix(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_become_parameters_of_their_class() {
        let text = "class A(Module):\n  __parameters__ = [\"w\", ]\n  __buffers__ = [\"m\", \"v\", ]\n  w : Tensor\n";
        let expected = "class A(Module):\n  __parameters__ = [\"w\", \"m\", \"v\", ]\n  __buffers__ = []\n  w : Tensor\n";
        assert_eq!(rewrite(text), expected);
    }

    #[test]
    fn code_that_reaches_files_is_refused_wherever_it_stands() {
        let refused = |text: &str| match check("a/code/__torch__.py", text) {
            Err(WeightsError::Code { what, .. }) => what,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(
            refused("y = torch.from_file(\"/etc/passwd\", False, 3)"),
            "from_file"
        );
        assert_eq!(refused("_0 = torch.save(x, \"a\\\"b\")"), "save");
        assert_eq!(refused("_0 = ops.aten.save(x, \"a\")"), "save");
        assert_eq!(refused("_0 = ops.rpc.rpc_async(x)"), "ops.rpc");
        assert_eq!(
            refused("x : __torch__.torch.classes.rnn.Cell"),
            "torch.classes"
        );
        let harmless = "ops.prim.RaiseException(torch.format(\"save( from_file(\\\"\", eps), \"b\")\nsave = self.save\n";
        assert!(check("a/code/b.py", harmless).is_ok());
    }

    #[test]
    fn files_beside_the_code_read_back_and_equal_modules_are_equal_bytes() {
        let folder = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/reference/learning/torchscript"
        );
        let read = |name: &str| std::fs::read(format!("{folder}/{name}.pt")).unwrap();
        let module = read("classifier");
        let packed = pack_module(&module, "net", "", &[("a.json", b"{}")]).unwrap();
        assert_eq!(read_extra(&packed, "a.json").unwrap().unwrap(), b"{}");
        assert_eq!(read_extra(&packed, "b.json").unwrap(), None);
        assert_eq!(read_extra(&module, "a.json").unwrap(), None);
        // Neither what it was called nor what was beside it before is left.
        let again = pack_module(&packed, "else", "", &[("b.json", b"[]")]).unwrap();
        assert_eq!(read_extra(&again, "a.json").unwrap(), None);
        assert_eq!(
            again,
            pack_module(&module, "else", "", &[("b.json", b"[]")]).unwrap()
        );
        assert!(expose_buffers(&packed).is_ok());
        let refused = |name: &str| pack_module(&read(name), "net", "", &[]).unwrap_err();
        assert!(matches!(refused("files"), WeightsError::Code { .. }));
        assert!(matches!(refused("weights"), WeightsError::NotAModule));
        assert!(matches!(
            read_extra(b"none", "a"),
            Err(WeightsError::NotAnArchive)
        ));
    }
}
