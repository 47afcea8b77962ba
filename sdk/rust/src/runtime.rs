//! What [`export!`](crate::export) needs: the instance's policy, and the way from the generated traits to ours.

use std::cell::OnceCell;
use std::marker::PhantomData;
use std::thread::LocalKey;

use crate::bindings::policy::exports::grille::policy::lifecycle;
use crate::bindings::{http_request, http_response, http_values, session, sql, sql_columns, sql_result, sql_values};
use crate::{
    Batch, Columns, ColumnsHook, Exchange, ExchangePlan, HttpValuesHook, OpenHook, Opinion, Policy, Problem,
    RequestHook, ResponseHook, ResultHook, ResultPlan, ResultShape, Session, Settings, SqlHook, Statement, Treatment,
    ValuesHook,
};

/// A policy that has a place for its one value. [`export!`](crate::export) implements it.
pub trait Kept: Policy {
    /// The place.
    fn cell() -> &'static LocalKey<OnceCell<Self>>;
}

/// The component made of a policy.
pub struct Component<P>(PhantomData<P>);

fn with<P: Kept, T>(call: impl FnOnce(&P) -> T) -> T {
    P::cell().with(|cell| call(cell.get().expect("the host configures an instance before it calls a hook")))
}

fn read<P: Policy>(json: &str) -> (Option<P>, Vec<Problem>) {
    match Settings::parse(json) {
        Ok(mut settings) => {
            let policy = P::new(&mut settings);
            (Some(policy), settings.finish())
        }
        Err(problem) => (None, vec![problem]),
    }
}

impl<P: Kept> lifecycle::Guest for Component<P> {
    fn validate(settings: String) -> Vec<Problem> {
        read::<P>(&settings).1
    }

    fn configure(settings: String) -> Result<(), String> {
        let (policy, problems) = read::<P>(&settings);
        match (policy, problems.first()) {
            (Some(policy), None) => P::cell().with(|cell| cell.set(policy)).map_err(|_| "configured twice".to_owned()),
            (_, Some(problem)) => Err(format!("settings{}: {}", problem.pointer, problem.message)),
            (None, None) => Err("no settings".to_owned()),
        }
    }
}

impl<P: OpenHook + Kept> session::exports::grille::policy::session::Guest for Component<P> {
    fn open(session: &Session) -> Opinion {
        with::<P, _>(|policy| policy.open(session))
    }
}

impl<P: SqlHook + Kept> sql::exports::grille::policy::sql::Guest for Component<P> {
    fn judge(session: &Session, statement: &Statement) -> Opinion {
        with::<P, _>(|policy| policy.judge(session, statement))
    }
}

impl<P: ColumnsHook + Kept> sql_columns::exports::grille::policy::sql_columns::Guest for Component<P> {
    fn classify(session: &Session, columns: &Columns) -> Vec<Treatment> {
        with::<P, _>(|policy| policy.classify(session, columns))
    }
}

impl<P: ResultHook + Kept> sql_result::exports::grille::policy::sql_result::Guest for Component<P> {
    fn plan(session: &Session, shape: &ResultShape) -> ResultPlan {
        with::<P, _>(|policy| policy.plan(session, shape))
    }
}

impl<P: ValuesHook + Kept> sql_values::exports::grille::policy::sql_values::Guest for Component<P> {
    fn transform(session: &Session, shape: &ResultShape, column: u32, values: Batch) -> Batch {
        with::<P, _>(|policy| policy.transform(session, shape, column, values))
    }
}

impl<P: RequestHook + Kept> http_request::exports::grille::policy::http_request::Guest for Component<P> {
    fn judge(session: &Session, exchange: &Exchange) -> ExchangePlan {
        with::<P, _>(|policy| policy.request(session, exchange))
    }
}

impl<P: ResponseHook + Kept> http_response::exports::grille::policy::http_response::Guest for Component<P> {
    fn judge(session: &Session, exchange: &Exchange) -> ExchangePlan {
        with::<P, _>(|policy| policy.response(session, exchange))
    }
}

impl<P: HttpValuesHook + Kept> http_values::exports::grille::policy::http_values::Guest for Component<P> {
    fn transform(session: &Session, exchange: &Exchange, place: String, values: Batch) -> Batch {
        with::<P, _>(|policy| policy.transform_at(session, exchange, &place, values))
    }
}

/// Makes a component of a policy: `export!(Guard: sql, sql_columns);` with the hooks that it implements.
#[macro_export]
macro_rules! export {
    ($policy:ty $(: $($hook:ident),+ $(,)?)?) => {
        const _: () = {
            type GrilleComponent = $crate::runtime::Component<$policy>;
            ::std::thread_local! {
                static POLICY: ::std::cell::OnceCell<$policy> = const { ::std::cell::OnceCell::new() };
            }
            impl $crate::runtime::Kept for $policy {
                fn cell() -> &'static ::std::thread::LocalKey<::std::cell::OnceCell<Self>> {
                    &POLICY
                }
            }
            $crate::bindings::policy::export_lifecycle!(GrilleComponent with_types_in $crate::bindings::policy);
            $($($crate::__export_hook!($hook GrilleComponent);)+)?
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_hook {
    (session $component:ident) => {
        const _: () = {
    $crate::bindings::session::export_session!($component with_types_in $crate::bindings::session);
        };
    };
    (sql $component:ident) => {
        const _: () = {
    $crate::bindings::sql::export_sql!($component with_types_in $crate::bindings::sql);
        };
    };
    (sql_columns $component:ident) => {
        const _: () = {
    $crate::bindings::sql_columns::export_sql_columns!($component with_types_in $crate::bindings::sql_columns);
        };
    };
    (sql_result $component:ident) => {
        const _: () = {
    $crate::bindings::sql_result::export_sql_result!($component with_types_in $crate::bindings::sql_result);
        };
    };
    (sql_values $component:ident) => {
        const _: () = {
    $crate::bindings::sql_values::export_sql_values!($component with_types_in $crate::bindings::sql_values);
        };
    };
    (http_request $component:ident) => {
        const _: () = {
    $crate::bindings::http_request::export_http_request!($component with_types_in $crate::bindings::http_request);
        };
    };
    (http_response $component:ident) => {
        const _: () = {
    $crate::bindings::http_response::export_http_response!($component with_types_in $crate::bindings::http_response);
        };
    };
    (http_values $component:ident) => {
        const _: () = {
    $crate::bindings::http_values::export_http_values!($component with_types_in $crate::bindings::http_values);
        };
    };
}
