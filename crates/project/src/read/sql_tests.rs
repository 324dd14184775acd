//! `tests/**/*.sql`: queries that must return no rows.

use super::Reader;
use super::data_tests::TestReader;
use crate::forms::{TestConfig, TestSettings};
use crate::template::Templates;

impl Reader<'_> {
    /// Reads the tests that are files.
    pub(super) fn sql_tests(&mut self, templates: &Templates, tests: &mut TestReader<'_>) {
        for file in self.files("tests").filter(|file| file.extension() == "sql") {
            let (rendered, diagnostics) = templates.render(file, None);
            self.diagnostics.extend(diagnostics);
            let Some(rendered) = rendered else { continue };
            if rendered.sql.trim().is_empty() {
                let message = format!("the test `{}` is empty", file.path);
                self.report("empty-test", message, &file.path, 0..0).help =
                    Some("write a SELECT that must return no rows".to_owned());
                continue;
            }
            let settings: TestSettings = self.config(file, &rendered.config);
            if settings.enabled == Some(false) {
                continue;
            }
            let config = TestConfig { severity: settings.severity, tags: settings.tags, ..TestConfig::default() };
            tests.sql(file.stem(), file, rendered.sql, config);
        }
    }
}
