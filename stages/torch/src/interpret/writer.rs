//! The files of an interpretation.

use engine::{Output, StageError};
use maps::files::{CompletenessTable, RegionsTable, SanityTable};
use maps::layout::{MapFormat, MapOf, MapTable, SplitPath};
use maps::weights::{Array, write_pt};
use stages::io::nifti;

use crate::data::Sample;
use crate::whole::Space;

/// What a map shows: whole images, or a part of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shows<'a> {
    pub(super) level: &'a str,
    pub(super) part: usize,
}

impl Shows<'_> {
    /// A whole image.
    pub(super) const IMAGE: Self = Self {
        level: maps::layout::IMAGE_LEVEL,
        part: 0,
    };
}

/// Writes the maps of one model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) output: &'a Output,
    pub(super) metric: &'a str,
    pub(super) group: &'a str,
    pub(super) name: &'a str,
}

/// Whose map that of a sample is.
pub(super) fn map_of(sample: &Sample) -> MapOf<'_> {
    MapOf::Image {
        participant: &sample.participant,
        session: &sample.session,
    }
}

impl Writer<'_> {
    /// Writes a map `[C, …]` as a tensor, and as an image if it has one channel and a place in space.
    pub(super) fn write(
        &self,
        of: MapOf<'_>,
        shows: Shows<'_>,
        map: &Array,
        space: Space,
    ) -> Result<(), StageError> {
        let tensor = write_pt(map);
        let path = self.path(of, shows, MapFormat::Tensor);
        self.output.write(&path, &tensor)?;
        if let Some(volume) = space.volume(map) {
            let path = self.path(of, shows, MapFormat::Nifti);
            nifti::write(&self.output.create_path(&path)?, &volume)?;
        }
        Ok(())
    }

    pub(super) fn write_regions(
        &self,
        table: MapTable,
        regions: &RegionsTable,
    ) -> Result<(), StageError> {
        self.write_table(table, &regions.to_bytes())
    }

    pub(super) fn write_completeness(&self, table: &CompletenessTable) -> Result<(), StageError> {
        self.write_table(MapTable::Completeness, &table.to_bytes())
    }

    pub(super) fn write_sanity(&self, table: &SanityTable) -> Result<(), StageError> {
        self.write_table(MapTable::SanityCheck, &table.to_bytes())
    }

    fn write_table(&self, table: MapTable, bytes: &[u8]) -> Result<(), StageError> {
        let path = SplitPath::AttributionTable {
            metric: self.metric,
            group: self.group,
            name: self.name,
            table,
        };
        self.output.write(&path.in_artifact(), bytes)
    }

    fn path(&self, of: MapOf<'_>, shows: Shows<'_>, format: MapFormat) -> String {
        let path = SplitPath::Attribution {
            metric: self.metric,
            group: self.group,
            name: self.name,
            of,
            level: shows.level,
            part: shows.part,
            format,
        };
        path.in_artifact()
    }
}
