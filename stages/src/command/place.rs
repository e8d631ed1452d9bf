//! Where a program finds its inputs and leaves its outputs, and how arguments name these places.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use engine::{Context, Input, StageError};

use super::CommandParams;

/// From this size on a file is linked and not copied: it is read-only in the store.
const LINK_FROM: u64 = 64 << 20;

/// A part of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    Text(String),
    Input(String),
    Output(String),
    Seed,
    Cpus,
}

/// The parts of an argument.
pub(super) fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("{{").or(rest.strip_prefix("}}")) {
            plain.push_str(&rest[..1]);
            rest = after;
            continue;
        }
        let end = rest.find('}').filter(|_| rest.starts_with('{'));
        let Some(end) = end else {
            return Err("a single brace: write `{{` or `}}` for the character".to_owned());
        };
        let word = match rest[1..end].split_once('.') {
            Some(("inputs", name)) => Word::Input(name.to_owned()),
            Some(("outputs", name)) => Word::Output(name.to_owned()),
            None if &rest[1..end] == "seed" => Word::Seed,
            None if &rest[1..end] == "cpus" => Word::Cpus,
            _ => {
                return Err(format!(
                    "`{}` is no placeholder: expected `{{inputs.NAME}}`, `{{outputs.NAME}}`, \
                     `{{seed}}` or `{{cpus}}`",
                    &rest[..=end]
                ));
            }
        };
        words.push(Word::Text(std::mem::take(&mut plain)));
        words.push(word);
        rest = &rest[end + 1..];
    }
    plain.push_str(rest);
    words.push(Word::Text(plain));
    Ok(words)
}

/// Whether a text can be the name of a port.
pub(super) fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !text.is_empty() && text.chars().all(allowed)
}

/// Whether a path is below the folder that it is relative to.
pub(super) fn is_inside(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// The private folder of one run of a program.
#[derive(Debug)]
pub(super) struct Places {
    folder: PathBuf,
    home: PathBuf,
    inputs: BTreeMap<String, PathBuf>,
    outputs: BTreeMap<String, PathBuf>,
    seed: u64,
    cpus: usize,
}

impl Places {
    /// Makes the folders and puts the inputs into them.
    pub(super) fn prepare(
        work: &Path,
        params: &CommandParams,
        context: &Context,
    ) -> Result<Self, StageError> {
        let folder = work.join("run");
        let home = work.join("home");
        for made in [&folder, &home] {
            create(made)?;
        }
        let mut inputs = BTreeMap::new();
        for name in &params.inputs {
            let place = Placing {
                file_name: params.file_names.get(name),
                copies_all: params.copy_inputs,
            };
            let place = place.input(&work.join("inputs").join(name), context.input(name)?)?;
            inputs.insert(name.clone(), place);
        }
        let mut outputs = BTreeMap::new();
        for (name, output) in &params.outputs {
            let path = folder.join(&output.path);
            create(path.parent().unwrap_or(&folder))?;
            outputs.insert(name.clone(), path);
        }
        Ok(Self {
            folder,
            home,
            inputs,
            outputs,
            seed: context.stream().seed(),
            cpus: context.slots().cpus,
        })
    }

    /// The working folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A folder for what programs keep for themselves.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// An argument with its placeholders replaced; what is no placeholder was refused before.
    pub(super) fn fill(&self, text: &str) -> String {
        let shown = |places: &BTreeMap<String, PathBuf>, name: &str| {
            let place = places.get(name).cloned().unwrap_or_default();
            place.to_string_lossy().into_owned()
        };
        let words = words(text).unwrap_or_default();
        words
            .into_iter()
            .map(|word| match word {
                Word::Text(text) => text,
                Word::Input(name) => shown(&self.inputs, &name),
                Word::Output(name) => shown(&self.outputs, &name),
                Word::Seed => self.seed.to_string(),
                Word::Cpus => self.cpus.to_string(),
            })
            .collect()
    }
}

/// How an input is put before a program.
struct Placing<'a> {
    file_name: Option<&'a String>,
    copies_all: bool,
}

impl Placing<'_> {
    /// Copies an input, so that a program that writes to it changes nothing else. An input of one file
    /// is that file, else it is a folder.
    fn input(&self, folder: &Path, input: &Input) -> Result<PathBuf, StageError> {
        create(folder)?;
        if let Some(name) = self.file_name {
            let target = folder.join(name);
            self.file(&input.only_file()?.path, &target)?;
            return Ok(target);
        }
        for (name, file) in &input.files {
            let target = folder.join(name);
            create(target.parent().unwrap_or(folder))?;
            self.file(&file.path, &target)?;
        }
        let mut names = input.files.keys();
        match (names.next(), names.next()) {
            (Some(only), None) if !only.contains('/') => Ok(folder.join(only)),
            _ => Ok(folder.to_owned()),
        }
    }

    /// Shares the blocks of a file where the file system can, copies a small one, links to a large one.
    /// What a link leads to is looked at again before anything is recorded.
    fn file(&self, from: &Path, to: &Path) -> Result<(), StageError> {
        let place = || -> io::Result<()> {
            if reflink_copy::reflink(from, to).is_err() {
                if fs::metadata(from)?.len() >= LINK_FROM && !self.copies_all {
                    return symlink(from, to);
                }
                fs::copy(from, to)?;
            }
            // A script has to be executable, and a copy loses nothing by it.
            fs::set_permissions(to, Permissions::from_mode(0o755))
        };
        place().map_err(|e| StageError::io("prepare input", from, &e))
    }
}

fn create(folder: &Path) -> Result<(), StageError> {
    fs::create_dir_all(folder).map_err(|e| StageError::io("create folder", folder, &e))
}
