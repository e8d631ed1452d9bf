//! Where a program finds its inputs and leaves its outputs, and how arguments name these places.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use engine::{Context, Input, StageError};

use super::CommandParams;

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
            let folder = work.join("inputs").join(name);
            let place = place_input(&folder, context.input(name)?, params.file_names.get(name))?;
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

/// Copies an input, so that a program that writes to it changes nothing else. An input of one file is
/// that file, else it is a folder.
fn place_input(
    folder: &Path,
    input: &Input,
    file_name: Option<&String>,
) -> Result<PathBuf, StageError> {
    create(folder)?;
    if let Some(name) = file_name {
        let target = folder.join(name);
        place_file(&input.only_file()?.path, &target)?;
        return Ok(target);
    }
    for (name, file) in &input.files {
        let target = folder.join(name);
        create(target.parent().unwrap_or(folder))?;
        place_file(&file.path, &target)?;
    }
    let mut names = input.files.keys();
    match (names.next(), names.next()) {
        (Some(only), None) if !only.contains('/') => Ok(folder.join(only)),
        _ => Ok(folder.to_owned()),
    }
}

/// Always a copy, never a link: a program may write to whatever it is given. File systems that can
/// share the blocks of a copy do.
fn place_file(from: &Path, to: &Path) -> Result<(), StageError> {
    // A script has to be executable, and a copy loses nothing by it.
    fs::copy(from, to)
        .and_then(|_| fs::set_permissions(to, Permissions::from_mode(0o755)))
        .map_err(|e| StageError::io("prepare input", from, &e))
}

fn create(folder: &Path) -> Result<(), StageError> {
    fs::create_dir_all(folder).map_err(|e| StageError::io("create folder", folder, &e))
}
