//! Whatever stands in the files, reading answers; and it answers quickly.

use std::time::Instant;

use proptest::prelude::*;
use thalweg_project::{InputFile, ProjectInput, Selection, locate, read};

fn project(files: &[(&str, &str)]) -> ProjectInput {
    ProjectInput {
        files: files.iter().map(|(path, text)| InputFile::new(*path, *text)).collect(),
        ..ProjectInput::default()
    }
}

/// Texts that look like YAML more often than chance would have it.
fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("name: x\n"),
        Just("targets:\n"),
        Just("  dev: { type: duckdb }\n"),
        Just("streams:\n"),
        Just("  a: { files: \"*.csv\" }\n"),
        Just("models:\n  - name: a\n"),
        Just("    columns: [{ name: a, data_tests: [not_null, { unique: 3 }] }]\n"),
        Just("type: files\npath: x\n"),
        Just("${A} $${B} ${"),
        Just("&a [*a, *b]"),
        Just("<<: {a: 1}\n"),
        Just("- "),
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(": "),
        Just("|\n  ö\n"),
        Just("'"),
        Just("\""),
        Just("#"),
        Just("\t"),
        Just("\r\n"),
        Just("!!str "),
        Just("? "),
        Just("---\n"),
        Just("é😀"),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Texts that look like templates.
fn template_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("select 1 from "),
        Just("{{ ref('a') }}"),
        Just("{{ config(tags=['a'], enabled=1) }}"),
        Just("{{ var('é') }}"),
        Just("{{"),
        Just("}}"),
        Just("{% if "),
        Just("{% for x in [1, 2] %}"),
        Just("{% endfor %}"),
        Just("%}"),
        Just("{% macro m(a) %}{{ m(a) }}{% endmacro %}"),
        Just("{{ m(1) }}"),
        Just("{#"),
        Just("é"),
        Just("\n"),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn check(input: &ProjectInput) {
    let (_, diagnostics) = read(input);
    for diagnostic in diagnostics {
        let location = &diagnostic.location;
        if let Some(file) = input.files.iter().find(|file| file.path == location.file) {
            assert!(file.text.get(location.span.clone()).is_some(), "{diagnostic:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_yaml_is_answered(settings in yaml_like(), source in yaml_like(), model in yaml_like(), noise in any::<String>()) {
        let files = [("sources/a.yml", source.as_str()), ("models/b/a.yml", &model), ("models/b/a.sql", "select 1"), ("seeds/s.yml", &noise)];
        let mut with_settings = project(&files);
        with_settings.files.push(InputFile::new("thalweg.yml", "name: x\n"));
        check(&with_settings);
        let mut as_settings = project(&files);
        as_settings.files.push(InputFile::new("thalweg.yml", settings));
        as_settings.env_file = Some(noise);
        check(&as_settings);
    }

    #[test]
    fn any_template_is_answered(model in template_like(), macros in template_like()) {
        check(&project(&[("thalweg.yml", "name: x\n"), ("models/b/a.sql", &model), ("macros/m.sql", &macros)]));
    }

    #[test]
    fn any_selector_is_answered(text in "[a-z0-9+:,.*@? /-]{0,24}", noise in any::<String>()) {
        if let Ok(selection) = Selection::parse(&text) {
            prop_assert!(selection.evaluate(&[], &[]).is_err());
        }
        let _ = Selection::parse(&noise);
    }

    #[test]
    fn any_span_is_located_within_the_file(original in "[a-c {}\\n]{0,30}", rendered in "[a-cé {}\\n]{0,30}", start in 0usize..30, length in 0usize..10) {
        if let Some(span) = locate(&original, &rendered, start..start + length) {
            prop_assert!(span.end <= original.len() || original == rendered);
        }
    }
}

/// Run with `cargo test --release -p thalweg-project -- --ignored --nocapture`: 200 models and 50 streams must take well under 50 ms.
#[test]
#[ignore = "a measurement, only meaningful in release"]
fn speed_of_200_models_and_50_streams() {
    let mut input = project(&[
        ("thalweg.yml", "name: big\nvars: { currency: AUD }\n"),
        ("macros/money.sql", "{% macro cents(a) %}round({{ a }} * 100){% endmacro %}"),
    ]);
    for source in 0..5 {
        let mut text = "type: files\npath: incoming\nstreams:\n".to_owned();
        for stream in 0..10 {
            text += &format!(
                "  s{source}_{stream}:\n    files: \"s{stream}_*.csv\"\n    primary_key: [id, line]\n    columns:\n      - {{ name: id, type: bigint, data_tests: [not_null] }}\n      - {{ name: amount, type: \"decimal(12,2)\" }}\n"
            );
        }
        input.files.push(InputFile::new(format!("sources/source{source}.yml"), text));
    }
    for schema in 0..10 {
        let mut text = "models:\n".to_owned();
        for model in 0..20 {
            text += &format!(
                "  - name: m{schema}_{model}\n    description: Something.\n    config: {{ primary_key: id, tags: [daily] }}\n    columns:\n      - name: id\n        data_tests: [not_null, unique]\n      - name: amount\n        data_tests: [{{ accepted_range: {{ arguments: {{ min_value: 0 }} }} }}]\n"
            );
            let sql = format!(
                "{{{{ config(materialized='table') }}}}\nselect id, line, {{{{ cents('amount') }}}} as cents, '{{{{ var('currency') }}}}' as currency\nfrom {{{{ ref('s{}_{}') }}}} a\nleft join store.s0_0 b using (id)\nwhere a.amount > 0\n",
                schema % 5,
                model % 10
            );
            input.files.push(InputFile::new(format!("models/schema{schema}/m{schema}_{model}.sql"), sql));
        }
        input.files.push(InputFile::new(format!("models/schema{schema}/all.yml"), text));
    }
    let mut fastest = f64::MAX;
    for round in 0..10 {
        let start = Instant::now();
        let (project, diagnostics) = read(&input);
        let took = start.elapsed().as_secs_f64() * 1000.0;
        assert_eq!(diagnostics, []);
        assert_eq!(project.expect("a project").models.len(), 200);
        if round == 0 {
            println!("first reading: {took:.1} ms");
        }
        fastest = fastest.min(took);
    }
    println!("fastest of 10: {fastest:.1} ms");
    assert!(fastest < 50.0 || cfg!(debug_assertions), "{fastest} ms");
}
