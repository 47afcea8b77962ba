//! What happens to the columns of one result: the lineage of the text, the origin that the server reports, and what the
//! policies add.

use std::sync::Arc;

use grille_pg_codec::backend::OwnedField;
use grille_policy::{Certainty, Fault, Masker, ResultColumn, ResultShape, Treatment, Verdict, join};
use grille_sql::RowPlan;

use crate::filter::Filter;
use crate::operation::Judged;
use crate::respond::{Answer, sqlstate};
use crate::session::Session;
use crate::statements::ResultFormats;

impl Session {
    /// The treatments of one result's rows, compiled; an answer if they cannot be known, so that no row may pass.
    pub(crate) async fn plan(
        &mut self,
        judged: &Judged,
        statement: usize,
        columns: &[OwnedField],
        formats: &ResultFormats,
    ) -> Result<Option<Arc<Filter>>, Answer> {
        if !self.view.is_masked() {
            return Ok(None);
        }
        let given = self.given(judged, statement, columns)?;
        let shape = self.shape(judged, statement, columns);
        let plan = self.policies.plan(&shape, &given).await;
        let refused = |message: &str| Answer::new(sqlstate::REFUSED, Fault::Policy, message);
        match &plan.decision.verdict {
            Verdict::Allow => {}
            Verdict::Block(finding) => return Err(refused(&finding.message)),
            Verdict::Review(terms) => return Err(refused(&terms.reason)),
        }
        if plan.treatments.len() != columns.len() {
            return Err(refused("a policy gave no treatment for every column of the result"));
        }
        let joined: Vec<Treatment> = plan.treatments.iter().zip(&given).map(|(one, two)| join(one, two)).collect();
        Ok(Filter::compile(shape, &joined, columns, formats, &self.path.mask_context()).map(Arc::new))
    }

    /// What the text's lineage gives each column, made stricter by what the target says of its origin: two sources that
    /// cannot both be wrong about a plain column.
    fn given(&self, judged: &Judged, statement: usize, columns: &[OwnedField]) -> Result<Vec<Treatment>, Answer> {
        let plan = judged.rows(statement);
        if let Some(RowPlan::Columns(planned)) = plan
            && planned.len() != columns.len()
        {
            let message = format!(
                "the result has {} columns where {} were expected, so it is withheld; run it again",
                columns.len(),
                planned.len()
            );
            return Err(Answer::new(sqlstate::REFUSED, Fault::Gateway, message));
        }
        let treatments = columns.iter().enumerate().map(|(index, column)| {
            let planned = match plan {
                Some(RowPlan::Columns(planned)) => planned.get(index).map(|plan| &plan.treatment),
                Some(RowPlan::Every(treatment)) => Some(treatment),
                // Rows where none were foreseen: nothing is known of them.
                Some(RowPlan::None) | None => None,
            };
            let planned = planned.unwrap_or(&Treatment::Mask(Masker::Redact));
            join(planned, &self.treatment_of_origin(column))
        });
        Ok(treatments.collect())
    }

    fn treatment_of_origin(&self, column: &OwnedField) -> Treatment {
        let (catalog, Some(protected)) = (&self.view.catalog, &self.view.protected) else {
            return Treatment::Mask(Masker::Redact);
        };
        if column.table_oid == 0 || column.attnum <= 0 {
            return Treatment::Keep;
        }
        match catalog.column_by_oid(column.table_oid, column.attnum) {
            Some(name) => protected.treatment(&name).cloned().unwrap_or(Treatment::Keep),
            None => Treatment::Keep,
        }
    }

    fn shape(&self, judged: &Judged, statement: usize, columns: &[OwnedField]) -> ResultShape {
        let planned = match judged.rows(statement) {
            Some(RowPlan::Columns(planned)) => planned.as_slice(),
            _ => &[],
        };
        let column = |(index, field): (usize, &OwnedField)| {
            let plan = planned.get(index);
            let type_name = self.view.catalog.type_name(field.type_oid);
            ResultColumn {
                name: String::from_utf8_lossy(&field.name).into(),
                type_oid: field.type_oid,
                type_name: type_name.unwrap_or("unknown").into(),
                origins: plan.map(|plan| plan.origins.clone()).unwrap_or_default(),
                certainty: plan.map_or(Certainty::Unknown, |plan| plan.certainty),
            }
        };
        ResultShape { columns: columns.iter().enumerate().map(column).collect() }
    }
}
