//! The select list: what it holds once stars are written out.

use sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, ObjectName, RenameSelectItem, SelectItem, SelectItemQualifiedWildcardKind,
    WildcardAdditionalOptions,
};

use super::expression::stripped;
use super::scope::{Scope, parts, same};
use super::{Outcome, Reader, stop};
use crate::parser::facts::{identifiers, unescaped};
use crate::refresh::ColumnId;

/// One column of the select list.
pub(super) struct Item<'a> {
    /// Empty where the text gives none.
    pub(super) name: String,
    /// Whether other expressions may use its name.
    pub(super) alias: bool,
    pub(super) value: ItemValue<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum ItemValue<'a> {
    /// A column that a star shows.
    Column(ColumnId),
    Expr(&'a Expr),
}

impl<'a> Reader<'a> {
    pub(super) fn items(&mut self, projection: &'a [SelectItem], scope: &Scope<'_>) -> Outcome<Vec<Item<'a>>> {
        let mut items = Vec::new();
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    items.push(Item { name: natural_name(expr), alias: false, value: ItemValue::Expr(expr) });
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    items.push(Item { name: unescaped(alias), alias: true, value: ItemValue::Expr(expr) });
                }
                SelectItem::Wildcard(options) => {
                    let columns = scope.star();
                    self.star(columns, options, scope, &mut items)?;
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    let names = identifiers(name).unwrap_or_default();
                    let span = self.span_of(&names);
                    let parts = parts(&names);
                    let Some((index, source)) = scope.source(&parts).map(|source| {
                        (scope.sources.iter().position(|one| std::ptr::eq(one, source)).unwrap_or_default(), source)
                    }) else {
                        return Err(stop(
                            format!("`{}.*` is not the star of a table named here", self.text(&span)),
                            span,
                            Some("name the columns"),
                        ));
                    };
                    let columns = source.columns.iter().map(|column| (column.name.clone(), column.id, index)).collect();
                    self.star(columns, options, scope, &mut items)?;
                }
                _ => {
                    return Err(stop("this part of the select list is not understood", 0..0, Some("name the columns")));
                }
            }
        }
        if items.is_empty() {
            return Err(stop("the select list is empty", 0..0, None));
        }
        Ok(items)
    }

    fn star(
        &mut self,
        columns: Vec<(String, ColumnId, usize)>,
        options: &'a WildcardAdditionalOptions,
        scope: &Scope<'_>,
        items: &mut Vec<Item<'a>>,
    ) -> Outcome<()> {
        let place = self.places.range(options.wildcard_token.0.span);
        if options.opt_ilike.is_some() || options.opt_except.is_some() || options.opt_alias.is_some() {
            return Err(stop("columns by a pattern are not followed", place, Some("name the columns")));
        }
        if columns.is_empty() {
            return Err(stop("a star without a table", place, None));
        }
        let excluded: Vec<&ObjectName> = match &options.opt_exclude {
            None => Vec::new(),
            Some(ExcludeSelectItem::Single(name)) => vec![name],
            Some(ExcludeSelectItem::Multiple(names)) => names.iter().collect(),
        };
        let excluded: Vec<Vec<String>> =
            excluded.into_iter().map(|name| parts(&identifiers(name).unwrap_or_default())).collect();
        let renamed: Vec<(&Ident, &Ident)> = match &options.opt_rename {
            None => Vec::new(),
            Some(RenameSelectItem::Single(one)) => vec![(&one.ident, &one.alias)],
            Some(RenameSelectItem::Multiple(many)) => many.iter().map(|one| (&one.ident, &one.alias)).collect(),
        };
        for (name, id, source) in columns {
            let is_excluded = excluded.iter().any(|parts| match parts.as_slice() {
                [column] => same(column, &name),
                [.., table, column] => {
                    same(column, &name) && scope.sources.get(source).is_some_and(|source| same(&source.name, table))
                }
                [] => false,
            });
            if is_excluded {
                continue;
            }
            let replaced = options.opt_replace.iter().flat_map(|replace| &replace.items);
            let replaced = replaced.into_iter().find(|item| same(&unescaped(&item.column_name), &name));
            let new_name = renamed.iter().find(|(from, _)| same(&unescaped(from), &name)).map(|(_, to)| unescaped(to));
            items.push(Item {
                alias: false,
                name: new_name.unwrap_or(name),
                value: replaced.map_or(ItemValue::Column(id), |item| ItemValue::Expr(&item.expr)),
            });
        }
        Ok(())
    }
}

/// The name of an expression without AS, where it is a column's.
fn natural_name(expr: &Expr) -> String {
    match stripped(expr) {
        Expr::Identifier(name) => unescaped(name),
        Expr::CompoundIdentifier(names) => names.last().map(unescaped).unwrap_or_default(),
        _ => String::new(),
    }
}
