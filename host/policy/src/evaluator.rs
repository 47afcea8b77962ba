use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::{
    BaseColumn, Decision, Epoch, Exchange, ExchangePlan, Operation, Protection, ResultShape, SessionFacts, Treatment,
};

/// A boxed future, so that the paths need not know who evaluates.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The policy sets, as the data paths see them: one is in force, and it may be swapped at any time.
pub trait Evaluator: Send + Sync {
    /// The set in force now. Costs one atomic load: the paths ask before each operation.
    fn epoch(&self) -> Epoch;

    /// Binds the policies of the set in force to a session and judges its opening.
    ///
    /// Called at login, and again before the next operation after each swap. Never fails: a policy that cannot be
    /// asked blocks.
    fn open(&self, session: Arc<SessionFacts>) -> BoxFuture<'_, Opened>;
}

/// A session under one policy set.
pub struct Opened {
    /// The verdict on the opening; `review` counts as block here.
    pub decision: Decision,
    /// The policies that bind the session.
    pub policies: Box<dyn Policies>,
}

/// The policies of one set that bind one session. One task uses it; whatever it answers is of one epoch.
pub trait Policies: Send {
    /// The set that these belong to.
    fn epoch(&self) -> Epoch;

    /// How the session is guarded if an enforced policy protects columns, i.e. if it is *masked*; else none.
    fn protection(&self) -> Option<&Protection>;

    /// Whether any policy judges statements.
    fn judges(&self) -> bool;

    /// Judges one operation.
    fn decide<'a>(&'a mut self, operation: &'a Operation) -> BoxFuture<'a, Decision>;

    /// Classifies base columns: the protected set. The host asks once per catalog version and keeps the answer.
    fn classify<'a>(&'a mut self, columns: &'a [BaseColumn]) -> BoxFuture<'a, Classification>;

    /// Plans the treatment of one result shape, on top of what the classification of its origins gave. Only tightens.
    /// `given` holds that treatment per column.
    fn plan<'a>(&'a mut self, shape: &'a ResultShape, given: &'a [Treatment]) -> BoxFuture<'a, Plan>;

    /// Rewrites a batch of one column's values by the code of the policy named in [`Treatment::Transform`]; the batch
    /// names its column in `shape`.
    fn transform<'a>(
        &'a mut self,
        policy: &'a str,
        shape: &'a ResultShape,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Batch, Decision>>;

    /// Judges an HTTP request or, once it has one, the response to it.
    fn exchange<'a>(&'a mut self, exchange: &'a Arc<Exchange>) -> BoxFuture<'a, ExchangePlan>;

    /// Rewrites a batch of the values at one place of a body by the code of the policy named in
    /// [`Treatment::Transform`]. The batch's column means nothing.
    fn transform_at<'a>(
        &'a mut self,
        policy: &'a str,
        exchange: &'a Arc<Exchange>,
        place: &'a str,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Batch, Decision>>;
}

/// The protected set, in the order of the columns asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classification {
    /// Says whether every policy answered: anything but allow means that masked statements are refused with this.
    pub decision: Decision,
    /// One treatment per column, all policies joined.
    pub treatments: Vec<Treatment>,
}

/// What happens to a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Allow, or block; `review` counts as block here.
    pub decision: Decision,
    /// One treatment per column, at least as strict as what was given.
    pub treatments: Vec<Treatment>,
}

/// Values of one column, one after the other: value `i` is `blob[offsets[i]..offsets[i + 1]]` in UTF-8 text form, or
/// NULL where bit `i` of `nulls` is set (least significant bit first).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// The column as the result shape names it.
    pub column: u32,
    /// All values.
    pub blob: Vec<u8>,
    /// One more than there are values; starts with 0, never decreases, ends with the blob's length.
    pub offsets: Vec<u32>,
    /// One bit per value, rounded up to bytes.
    pub nulls: Vec<u8>,
}
