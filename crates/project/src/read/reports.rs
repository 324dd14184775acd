//! `reports/**/*.sql` and the YAML files beside them.

use super::{Document, Reader};
use crate::Report;
use crate::diagnostic::nearest;
use crate::forms::{OneOrMany, ReportConfig, ReportFile};
use crate::input::InputFile;
use crate::template::Templates;
use crate::yaml::Node;

/// Rows shown on the terminal where nothing else is said.
const DEFAULT_LIMIT: usize = 20;

impl<'a> Reader<'a> {
    /// Reads the YAML files below `reports/`.
    pub(super) fn report_documents(&mut self) -> Vec<Document<'a, ReportFile>> {
        self.files("reports").filter(|file| file.is_yaml()).filter_map(|file| self.document(file)).collect()
    }

    /// Renders the reports and joins them with their settings.
    pub(super) fn reports(&mut self, templates: &Templates, documents: &[Document<'a, ReportFile>]) -> Vec<Report> {
        let files: Vec<&InputFile> = self.files("reports").filter(|file| file.extension() == "sql").collect();
        let mut configs: Vec<Option<ReportConfig>> = files.iter().map(|_| None).collect();
        for document in documents {
            let nodes = document.node.get("reports").map_or(&[][..], Node::items);
            for (form, node) in document.form.reports.iter().flatten().zip(nodes) {
                let span = node.get("name").map_or_else(|| node.span.clone(), |name| name.span.clone());
                let index = files.iter().position(|file| file.stem().eq_ignore_ascii_case(&form.name));
                match index {
                    Some(index) if configs[index].is_some() => {
                        let message = format!("the report `{}` is described twice", form.name);
                        self.report("duplicate-description", message, &document.file.path, span).help =
                            Some("join the two entries".to_owned());
                    }
                    Some(index) => configs[index] = Some(form.config.clone().unwrap_or_default()),
                    None if form.name.is_empty() => {}
                    None => {
                        let near = nearest(&form.name, files.iter().map(|file| file.stem())).map(str::to_owned);
                        let message = format!("there is no report `{}` to describe", form.name);
                        self.report("unknown-report", message, &document.file.path, span).help = Some(match near {
                            Some(near) => format!("did you mean `{near}`?"),
                            None => format!("write it into `reports/{}.sql`, or remove the entry", form.name),
                        });
                    }
                }
            }
        }
        let mut reports: Vec<Report> = Vec::new();
        for (file, in_yaml) in files.into_iter().zip(configs) {
            if let Some(twin) = reports.iter().find(|other| other.name.eq_ignore_ascii_case(file.stem())) {
                let message = format!("two reports are called `{}`: `{}` and `{}`", file.stem(), twin.file, file.path);
                self.report("duplicate-report", message, &file.path, 0..0).help = Some("rename one of them".to_owned());
                continue;
            }
            let (rendered, diagnostics) = templates.render(file, None);
            self.diagnostics.extend(diagnostics);
            let Some(rendered) = rendered else { continue };
            if rendered.sql.trim().is_empty() {
                let message = format!("the report `{}` is empty", file.path);
                self.report("empty-report", message, &file.path, 0..0).help = Some("write a SELECT into it".to_owned());
                continue;
            }
            let in_file: ReportConfig = self.config(file, &rendered.config);
            let in_yaml = in_yaml.unwrap_or_default();
            let mut formats = in_file.all_formats();
            if formats.is_empty() {
                formats = in_yaml.all_formats();
            }
            let tags = [in_yaml.tags, in_file.tags].into_iter().flatten().flat_map(OneOrMany::into_vec);
            reports.push(Report {
                name: file.stem().to_owned(),
                file: file.path.clone(),
                sql: rendered.sql,
                templated: rendered.templated,
                title: in_file.title.or(in_yaml.title),
                formats,
                limit: in_file.limit.or(in_yaml.limit).unwrap_or(DEFAULT_LIMIT),
                tags: tags.collect(),
            });
        }
        reports
    }
}
