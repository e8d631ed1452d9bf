//! What of the machine belongs to a key: programs by content, variables by value.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::PlanError;
use crate::digest::Digest;
use crate::stage::Need;
use crate::store::StatCache;

/// The identities of everything a stage needs: `program sh`, `variable SUBJECTS_DIR`.
pub(crate) fn resolve(
    stage: &str,
    needs: Vec<Need>,
    stats: &StatCache,
) -> Result<BTreeMap<String, String>, PlanError> {
    needs
        .into_iter()
        .map(|need| match need {
            Need::Program(name) => {
                let missing = || PlanError::Program {
                    stage: stage.to_owned(),
                    program: name.clone(),
                };
                let path = find_program(&name).ok_or_else(missing)?;
                let (digest, _) = stats.digest_of(&path).map_err(|_| missing())?;
                Ok((format!("program {name}"), digest.to_string()))
            }
            Need::Variable(name) => {
                // A value may be secret: it is told apart, not told.
                let value = std::env::var_os(&name);
                let value = value.map_or_else(
                    || "unset".to_owned(),
                    |value| Digest::of(value.as_encoded_bytes()).to_string(),
                );
                Ok((format!("variable {name}"), value))
            }
        })
        .collect()
}

/// The file of a program: what is hashed for the key, and what is run.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        std::fs::metadata(path)
            .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(Path::new(name).to_owned()).filter(is_program);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(is_program)
}
