//! Reading rejected records again.

use super::chunked::Surroundings;
use super::columns::KnownColumns;
use super::read::Reading;
use crate::{Extract, ExtractFile, RejectedRecord, SourceError, SourceErrorKind};

pub(super) fn replay(
    _reading: &mut Reading<'_>,
    _known: KnownColumns<'_>,
    _files: &[ExtractFile],
    _records: &[RejectedRecord],
    _surroundings: &Surroundings<'_>,
) -> Result<Extract, SourceError> {
    Err(SourceError::new(SourceErrorKind::Denied, "rejects cannot be replayed yet"))
}
