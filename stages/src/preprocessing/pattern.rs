//! File name patterns, matched as ClinicaDL looks files up.

/// A pattern for the paths of files below their session's folder.
///
/// `*` stands for any text within a name, letters are compared without case. The file may be in any
/// folder below the session's; folders that the pattern names are the innermost ones. Hidden files and
/// folders never fit.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// Names in lower case, the file's first.
    names: Vec<String>,
}

impl Pattern {
    /// A pattern, made once for many paths.
    pub fn new(pattern: &str) -> Self {
        let names = pattern.to_lowercase();
        Self {
            names: names.rsplit('/').map(str::to_owned).collect(),
        }
    }

    /// Whether a path fits.
    pub fn fits(&self, path: &str) -> bool {
        if path.split('/').any(|name| name.starts_with('.')) {
            return false;
        }
        let mut names = path.rsplit('/');
        self.names.iter().all(|pattern| {
            let name = names.next();
            name.is_some_and(|name| name_fits(pattern, &name.to_lowercase()))
        })
    }
}

/// Whether a path fits a pattern; see [`Pattern`].
pub fn fits(pattern: &str, path: &str) -> bool {
    Pattern::new(pattern).fits(path)
}

fn name_fits(pattern: &str, name: &str) -> bool {
    let Some((first, stars)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let (middle, last) = stars.rsplit_once('*').unwrap_or(("", stars));
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    // The leftmost place of each part leaves the most for those that follow.
    for part in middle.split('*') {
        match rest.split_once(part) {
            Some((_, after)) if !part.is_empty() => rest = after,
            _ if part.is_empty() => {}
            _ => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text_and_case_does_not_matter() {
        assert!(fits(
            "*space-x_T1w.nii.gz",
            "sub-1_ses-1_SPACE-x_t1w.nii.gz"
        ));
        assert!(!fits(
            "*space-x_T1w.nii.gz",
            "sub-1_space-x_desc-Crop_T1w.nii.gz"
        ));
        assert!(!fits(
            "*space-x_T1w.nii.gz",
            "sub-1_space-x_T1w.nii.gz.part"
        ));
        assert!(fits("a*b*c", "a__b_b_c") && fits("a", "a") && !fits("a", "ab"));
        assert!(fits("a**b", "ab") && fits("*", "x") && fits("a*", "a"));
        assert!(!fits("*a*a", "a") && !fits("ab*ba", "aba") && !fits("*a*b*a", "aab"));
    }

    #[test]
    fn any_folder_below_the_session_will_do_unless_the_pattern_names_it() {
        for path in ["x_T1w.nii.gz", "t1/x_T1w.nii.gz", "t1/deep/er/x_T1w.nii.gz"] {
            assert!(fits("*_T1w.nii.gz", path), "{path}");
        }
        assert!(fits("pet_linear/*_pet.nii.gz", "a/PET_linear/x_pet.nii.gz"));
        assert!(!fits("pet_linear/*_pet.nii.gz", "pet/x_pet.nii.gz"));
        assert!(!fits(
            "pet_linear/*_pet.nii.gz",
            "pet_linear/a/x_pet.nii.gz"
        ));
        assert!(!fits("pet_linear/*_pet.nii.gz", "x_pet.nii.gz"));
        assert!(
            !fits("t1*_T1w.nii.gz", "t1/x_T1w.nii.gz"),
            "a star does not cross folders"
        );
    }

    #[test]
    fn hidden_files_and_folders_do_not_fit() {
        assert!(!fits("*_T1w.nii.gz", ".x_T1w.nii.gz"));
        assert!(!fits("*_T1w.nii.gz", "t1/.trash/x_T1w.nii.gz"));
    }
}
