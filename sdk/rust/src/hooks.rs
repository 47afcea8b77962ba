use crate::{
    Batch, Columns, Exchange, ExchangePlan, Opinion, ResultPlan, ResultShape, Session, Settings, Statement, Treatment,
};

/// What every policy is: made out of settings, once on each instance.
pub trait Policy: Sized + 'static {
    /// Reads the settings. Say everything that is wrong through [`Settings::problem`] and go on with a default, so
    /// that the operator sees all problems at once; what is never read is reported as unknown.
    fn new(settings: &mut Settings) -> Self;
}

/// Judges the opening of sessions. Export it as `session`.
pub trait OpenHook: Policy {
    /// Called before anything reaches the target.
    fn open(&self, session: &Session) -> Opinion;
}

/// Judges statements. Export it as `sql`.
pub trait SqlHook: Policy {
    /// Called before a statement is forwarded.
    fn judge(&self, session: &Session, statement: &Statement) -> Opinion;
}

/// Says which columns of tables are protected. Export it as `sql_columns`.
pub trait ColumnsHook: Policy {
    /// One treatment per column, in order.
    fn classify(&self, session: &Session, columns: &Columns) -> Vec<Treatment>;
}

/// Judges results by their shape. Export it as `sql_result`.
pub trait ResultHook: Policy {
    /// A verdict, and one treatment per column, in order.
    fn plan(&self, session: &Session, shape: &ResultShape) -> ResultPlan;
}

/// Rewrites values of columns whose treatment is `transform`. Export it as `sql_values`.
pub trait ValuesHook: Policy {
    /// As many values as came, rewritten.
    fn transform(&self, session: &Session, shape: &ResultShape, column: u32, values: Batch) -> Batch;
}

/// Judges HTTP requests. Export it as `http_request`.
pub trait RequestHook: Policy {
    /// Called before anything is forwarded.
    fn request(&self, session: &Session, exchange: &Exchange) -> ExchangePlan;
}

/// Judges HTTP responses by their header. Export it as `http_response`.
pub trait ResponseHook: Policy {
    /// Called before the first byte of the body.
    fn response(&self, session: &Session, exchange: &Exchange) -> ExchangePlan;
}

/// Rewrites values at places whose treatment is `transform`. Export it as `http_values`.
pub trait HttpValuesHook: Policy {
    /// As many values as came, rewritten.
    fn transform_at(&self, session: &Session, exchange: &Exchange, place: &str, values: Batch) -> Batch;
}
