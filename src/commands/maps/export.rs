//! `clinicadl maps export`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use engine::manifest::{Participants, Redaction};
use maps::CopyError;
use maps::export::{ExportError, Exported, LEAST_SALT, export};
use serde_json::json;

use super::Session;
use crate::cli::MapsExportArgs;
use crate::failure::{Code, Failure};

pub(super) fn export_maps(session: &Session, args: &MapsExportArgs) -> Result<(), Failure> {
    let policy = policy_of(args)?;
    if let Some(path) = args.salt_file.iter().chain(&args.new_salt).next()
        && is_inside(path, &args.maps)
    {
        let message = format!(
            "`{}` is in the MAPS: who has the salt can tell the participants",
            path.display()
        );
        return Err(Failure::new(Code::Invalid, message).hint("keep it somewhere else"));
    }
    let salt = salt_of(args)?;
    let exported = export(&args.maps, &args.output, &policy, &salt).map_err(failure)?;
    // Written last: a salt of an export that failed is of no use.
    if let Some(path) = &args.new_salt {
        write_salt(path, &salt)?;
    }
    if !session.output.quiet || session.output.json {
        let text = summary(args, &policy, &exported);
        let report = json!({ "export": args.output, "policy": policy, "result": exported });
        session.print(text, &report);
    }
    Ok(())
}

/// The policy asked for, that of the published manifest, or the one that shares the least.
fn policy_of(args: &MapsExportArgs) -> Result<Redaction, Failure> {
    if let Some(path) = &args.policy {
        let text = read(path)?;
        return Ok(Redaction::of_policy(path, &text)?);
    }
    for extension in ["yaml", "yml", "toml"] {
        let path = args.maps.join(format!("provenance/manifest.{extension}"));
        if path.is_file() {
            let policy = Redaction::of_manifest(&path, &read(&path)?)?;
            return Ok(policy.unwrap_or_default());
        }
    }
    Ok(Redaction::default())
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        let message = format!("failed to read `{}`: {error}", path.display());
        Failure::new(Code::Invalid, message)
    })
}

fn salt_of(args: &MapsExportArgs) -> Result<Vec<u8>, Failure> {
    let Some(path) = &args.salt_file else {
        if let Some(path) = args.new_salt.as_ref().filter(|path| path.exists()) {
            let message = format!("`{}` exists already", path.display());
            let hint = "`--salt-file` uses the salt that is in a file";
            return Err(Failure::new(Code::Invalid, message).hint(hint));
        }
        let salt: [u8; 32] = rand::random();
        return Ok(hexadecimal(&salt).into_bytes());
    };
    // The line break that an editor adds is no part of the secret.
    let salt = read(path)?.trim().as_bytes().to_vec();
    if salt.len() < LEAST_SALT {
        return Err(failure(ExportError::ShortSalt(salt.len())));
    }
    Ok(salt)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_salt(path: &Path, salt: &[u8]) -> Result<(), Failure> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| {
        file.write_all(salt)?;
        file.write_all(b"\n")
    })
    .map_err(|error| {
        let message = format!("failed to write `{}`: {error}", path.display());
        Failure::new(Code::Environment, message)
    })
}

/// Whether a file is, or would be, below a folder.
fn is_inside(path: &Path, folder: &Path) -> bool {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let real = |path: &Path| -> PathBuf { path.canonicalize().unwrap_or_else(|_| path.to_owned()) };
    real(parent).starts_with(real(folder))
}

fn summary(args: &MapsExportArgs, policy: &Redaction, exported: &Exported) -> String {
    let mut lines = vec![format!(
        "exported {} files: {}",
        exported.files,
        args.output.display()
    )];
    let participants = exported.participants;
    match policy.participants {
        Participants::Keep => lines.push("  participant IDs are as they were".to_owned()),
        Participants::Salted if args.salt_file.is_some() => {
            lines.push(format!("  {participants} participant IDs replaced"));
        }
        Participants::Salted => match &args.new_salt {
            Some(path) => lines.push(format!(
                "  {participants} participant IDs replaced; the salt is in {}: keep it secret",
                path.display()
            )),
            None => lines.push(format!(
                "  {participants} participant IDs replaced; the salt was not kept"
            )),
        },
    }
    if exported.images_left_out > 0 {
        lines.push(format!(
            "  {} images of participants left out",
            exported.images_left_out
        ));
    }
    if !exported.columns_left_out.is_empty() {
        let columns: Vec<&str> = exported
            .columns_left_out
            .iter()
            .map(String::as_str)
            .collect();
        lines.push(format!("  columns left out: {}", columns.join(", ")));
    }
    for file in &exported.foreign_left_out {
        lines.push(format!("  left out, as it is no part of the MAPS: {file}"));
    }
    lines.join("\n") + "\n"
}

fn failure(error: ExportError) -> Failure {
    let code = match &error {
        ExportError::Changed(_) => Code::Tampered,
        ExportError::Copy(CopyError::Io { .. }) => Code::Environment,
        ExportError::Broken(_) => Code::Internal,
        _ => Code::Invalid,
    };
    let failure = Failure::new(code, error.to_string());
    error.hints().into_iter().fold(failure, Failure::hint)
}
