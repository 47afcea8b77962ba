use wasmtime::component::Resource;

use grille_policy::{Access, BaseColumn, Certainty, ColumnName, Filter, KeyKind, TransactionState};

use super::{Answer, Guest, texts};
use crate::bindings::grille::policy::sql_data;
use crate::bindings::handles::{ColumnsHandle, ShapeHandle, StatementHandle};
use crate::memo::Question;

impl sql_data::Host for Guest {}

impl sql_data::HostStatement for Guest {
    fn text(&mut self, _: Resource<StatementHandle>) -> Answer<String> {
        self.ask(|| Question::Text);
        Ok(self.statement()?.text.to_string())
    }

    fn fingerprint(&mut self, _: Resource<StatementHandle>) -> Answer<String> {
        self.ask(|| Question::Fingerprint);
        Ok(self.statement()?.facts.fingerprint.to_string())
    }

    fn statement_count(&mut self, _: Resource<StatementHandle>) -> Answer<u32> {
        self.ask(|| Question::StatementCount);
        Ok(self.statement()?.facts.statements)
    }

    fn kinds(&mut self, _: Resource<StatementHandle>) -> Answer<Vec<String>> {
        self.ask(|| Question::Kinds);
        Ok(texts(&self.statement()?.facts.kinds))
    }

    fn has_kind(&mut self, _: Resource<StatementHandle>, kind: String) -> Answer<bool> {
        self.ask(|| Question::HasKind(kind.as_str().into()));
        Ok(self.statement()?.facts.kinds.iter().any(|known| **known == *kind))
    }

    fn effects(&mut self, _: Resource<StatementHandle>) -> Answer<Vec<String>> {
        self.ask(|| Question::Effects);
        Ok(self.statement()?.facts.effects.iter().map(|effect| effect.name().to_owned()).collect())
    }

    fn has_effect(&mut self, _: Resource<StatementHandle>, effect: String) -> Answer<bool> {
        self.ask(|| Question::HasEffect(effect.as_str().into()));
        Ok(self.statement()?.facts.effects.iter().any(|known| known.name() == effect))
    }

    fn relations(&mut self, _: Resource<StatementHandle>) -> Answer<Vec<sql_data::RelationUse>> {
        self.ask(|| Question::Relations);
        let relations = self.statement()?.facts.relations.iter();
        let relation = |used: &grille_policy::RelationUse| sql_data::RelationUse {
            schema: used.relation.schema.to_string(),
            name: used.relation.name.to_string(),
            is_written: used.access == Access::Write,
        };
        Ok(relations.map(relation).collect())
    }

    fn columns(&mut self, _: Resource<StatementHandle>) -> Answer<Vec<sql_data::ColumnUse>> {
        self.ask(|| Question::Columns);
        let columns = self.statement()?.facts.columns.iter();
        let column = |used: &grille_policy::ColumnUse| sql_data::ColumnUse {
            column: column_name(&used.column),
            usage: used.usage.name().to_owned(),
        };
        Ok(columns.map(column).collect())
    }

    fn functions(&mut self, _: Resource<StatementHandle>) -> Answer<Vec<sql_data::FunctionUse>> {
        self.ask(|| Question::Functions);
        let functions = self.statement()?.facts.functions.iter();
        let function = |used: &grille_policy::FunctionUse| sql_data::FunctionUse {
            name: used.name.to_string(),
            is_known: used.is_known,
        };
        Ok(functions.map(function).collect())
    }

    fn writes(&mut self, _: Resource<StatementHandle>) -> Answer<Vec<sql_data::Write>> {
        self.ask(|| Question::Writes);
        let write = |write: &grille_policy::Write| sql_data::Write {
            kind: write.kind.to_string(),
            schema: write.relation.schema.to_string(),
            table: write.relation.name.to_string(),
            filter: match write.filter {
                Filter::Absent => sql_data::RowFilter::Absent,
                Filter::None => sql_data::RowFilter::AllRows,
                Filter::Effective => sql_data::RowFilter::Effective,
            },
        };
        Ok(self.statement()?.facts.writes.iter().map(write).collect())
    }

    fn unknown(&mut self, _: Resource<StatementHandle>) -> Answer<Vec<String>> {
        self.ask(|| Question::Unknown);
        Ok(texts(&self.statement()?.facts.unknown))
    }

    fn parameter_count(&mut self, _: Resource<StatementHandle>) -> Answer<u32> {
        self.ask(|| Question::ParameterCount);
        Ok(u32::try_from(self.statement()?.parameters.len())?)
    }

    fn parameter(&mut self, _: Resource<StatementHandle>, index: u32) -> Answer<Option<sql_data::Parameter>> {
        self.ask(|| Question::Parameter(index));
        let parameter = self.statement()?.parameters.get(index as usize);
        Ok(parameter.map(|parameter| sql_data::Parameter {
            type_oid: parameter.type_oid,
            is_binary: parameter.is_binary,
            value: parameter.value.as_ref().map(|value| value.to_vec()),
        }))
    }

    fn transaction(&mut self, _: Resource<StatementHandle>) -> Answer<sql_data::TransactionState> {
        self.ask(|| Question::Transaction);
        Ok(match self.statement()?.transaction {
            TransactionState::Idle => sql_data::TransactionState::Idle,
            TransactionState::Open => sql_data::TransactionState::Open,
            TransactionState::Failed => sql_data::TransactionState::Failed,
        })
    }

    fn drop(&mut self, _: Resource<StatementHandle>) -> Answer<()> {
        Ok(())
    }
}

impl sql_data::HostColumns for Guest {
    fn len(&mut self, _: Resource<ColumnsHandle>) -> Answer<u32> {
        Ok(u32::try_from(self.base_columns()?.len())?)
    }

    fn range(&mut self, _: Resource<ColumnsHandle>, start: u32, count: u32) -> Answer<Vec<sql_data::BaseColumn>> {
        let column = |column: &BaseColumn| sql_data::BaseColumn {
            schema: column.name.schema.to_string(),
            table: column.name.table.to_string(),
            column: column.name.column.to_string(),
            type_oid: column.type_oid,
            type_name: column.type_name.to_string(),
            key: match column.key {
                KeyKind::None => sql_data::KeyKind::None,
                KeyKind::Primary => sql_data::KeyKind::Primary,
                KeyKind::Foreign => sql_data::KeyKind::Foreign,
            },
            comment: column.comment.to_string(),
        };
        Ok(self.base_columns()?.iter().skip(start as usize).take(count as usize).map(column).collect())
    }

    fn drop(&mut self, _: Resource<ColumnsHandle>) -> Answer<()> {
        Ok(())
    }
}

impl sql_data::HostResultShape for Guest {
    fn len(&mut self, _: Resource<ShapeHandle>) -> Answer<u32> {
        self.ask(|| Question::ShapeLen);
        Ok(u32::try_from(self.shape()?.columns.len())?)
    }

    fn range(&mut self, _: Resource<ShapeHandle>, start: u32, count: u32) -> Answer<Vec<sql_data::ResultColumn>> {
        self.ask(|| Question::ShapeRange(start, count));
        let column = |column: &grille_policy::ResultColumn| sql_data::ResultColumn {
            name: column.name.to_string(),
            type_oid: column.type_oid,
            type_name: column.type_name.to_string(),
            origins: column.origins.iter().map(column_name).collect(),
            certainty: match column.certainty {
                Certainty::Exact => sql_data::Certainty::Exact,
                Certainty::Derived => sql_data::Certainty::Derived,
                Certainty::Unknown => sql_data::Certainty::Unknown,
            },
        };
        Ok(self.shape()?.columns.iter().skip(start as usize).take(count as usize).map(column).collect())
    }

    fn drop(&mut self, _: Resource<ShapeHandle>) -> Answer<()> {
        Ok(())
    }
}

fn column_name(name: &ColumnName) -> sql_data::ColumnName {
    sql_data::ColumnName {
        schema: name.schema.to_string(),
        table: name.table.to_string(),
        column: name.column.to_string(),
    }
}
