//! Each kind of node that the grammar has stands in one of these lists. A new one ends the build of the tests until
//! somebody has decided how it is walked.

use std::fs;
use std::path::Path;

use pg_raw_parse::Node;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The walker names it where it meets it.
    Followed,
    /// It is read by the fields of what holds it.
    Within,
    /// It holds no value and no query, or stands in definitions that are refused or looked at as a whole.
    Inert,
    /// Parsing alone never makes it. Met all the same it would be a construct that cannot be followed.
    Unknown,
}

macro_rules! kinds {
    ($($fate:ident { $($kind:ident)* })*) => {
        const KINDS: &[(&str, Fate)] = &[$($((stringify!($kind), Fate::$fate)),*),*];

        fn fate(node: Node<'_>) -> Fate {
            match node {
                $($(Node::$kind { .. } => Fate::$fate,)*)*
            }
        }
    };
}

kinds! {
    Followed {
        StatsElem None NodeList RangeVar GroupingFunc MergeSupportFunc NamedArgExpr BoolExpr SubLink CaseExpr
        CaseWhen RowExpr CoalesceExpr MinMaxExpr SQLValueFunction XmlExpr JsonValueExpr JsonIsPredicate NullTest
        BooleanTest SetToDefault CurrentOfExpr JoinExpr Integer Boolean String ColumnRef ParamRef A_Expr A_Const
        TypeCast CollateClause FuncCall A_Star A_Indices A_Indirection A_ArrayExpr ResTarget MultiAssignRef
        SortBy WindowDef RangeSubselect RangeFunction RangeTableFunc RangeTableSample ColumnDef TableLikeClause
        IndexElem DefElem XmlSerialize GroupingSet JsonArgument JsonFuncExpr JsonTable JsonTableColumn
        JsonParseExpr JsonScalarExpr JsonSerializeExpr JsonObjectConstructor JsonArrayConstructor
        JsonArrayQueryConstructor JsonObjectAgg JsonArrayAgg InsertStmt DeleteStmt UpdateStmt MergeStmt
        SelectStmt ReturnStmt CreateSchemaStmt AlterTableStmt AlterTableCmd AlterCollationStmt AlterDomainStmt
        GrantStmt GrantRoleStmt AlterDefaultPrivilegesStmt CopyStmt VariableSetStmt VariableShowStmt CreateStmt
        Constraint CreateTableSpaceStmt DropTableSpaceStmt AlterTableSpaceOptionsStmt AlterTableMoveAllStmt
        CreateExtensionStmt AlterExtensionStmt AlterExtensionContentsStmt CreateFdwStmt AlterFdwStmt
        CreateForeignServerStmt AlterForeignServerStmt CreateUserMappingStmt AlterUserMappingStmt
        DropUserMappingStmt ImportForeignSchemaStmt CreatePolicyStmt AlterPolicyStmt CreateAmStmt CreateTrigStmt
        CreateEventTrigStmt AlterEventTrigStmt CreatePLangStmt CreateRoleStmt AlterRoleStmt AlterRoleSetStmt
        DropRoleStmt CreateSeqStmt AlterSeqStmt DefineStmt CreateDomainStmt CreateOpClassStmt CreateOpFamilyStmt
        AlterOpFamilyStmt DropStmt TruncateStmt CommentStmt SecLabelStmt DeclareCursorStmt ClosePortalStmt
        FetchStmt IndexStmt CreateStatsStmt AlterStatsStmt CreateFunctionStmt AlterFunctionStmt DoStmt CallStmt
        RenameStmt AlterObjectDependsStmt AlterObjectSchemaStmt AlterOwnerStmt AlterOperatorStmt AlterTypeStmt
        RuleStmt NotifyStmt ListenStmt UnlistenStmt TransactionStmt CompositeTypeStmt CreateEnumStmt
        CreateRangeStmt AlterEnumStmt ViewStmt LoadStmt CreatedbStmt AlterDatabaseStmt
        AlterDatabaseRefreshCollStmt AlterDatabaseSetStmt DropdbStmt AlterSystemStmt ClusterStmt VacuumStmt
        ExplainStmt CreateTableAsStmt RefreshMatViewStmt CheckPointStmt DiscardStmt LockStmt ConstraintsSetStmt
        ReindexStmt CreateConversionStmt CreateCastStmt CreateTransformStmt PrepareStmt ExecuteStmt
        DeallocateStmt DropOwnedStmt ReassignOwnedStmt AlterTSDictionaryStmt AlterTSConfigurationStmt
        CreatePublicationStmt AlterPublicationStmt CreateSubscriptionStmt AlterSubscriptionStmt
        DropSubscriptionStmt
    }
    Within {
        PartitionElem PartitionSpec Alias IntoClause JsonBehavior Float BitString TypeName RangeTableFuncCol
        PartitionBoundSpec WithClause InferClause OnConflictClause CTESearchClause CTECycleClause
        CommonTableExpr MergeWhenClause ReturningOption ReturningClause JsonKeyValue JsonAggConstructor RawStmt
        FunctionParameter
    }
    Inert {
        Bitmapset JsonFormat JsonReturning RoleSpec LockingClause PartitionRangeDatum PartitionCmd
        TriggerTransition JsonOutput JsonTablePathSpec ATAlterConstraint ReplicaIdentityStmt ObjectWithArgs
        AccessPriv CreateOpClassItem VacuumRelation PublicationTable PublicationObjSpec
    }
    Unknown {
        TableFunc Param Aggref WindowFunc WindowFuncRunCondition SubscriptingRef FuncExpr OpExpr
        ScalarArrayOpExpr SubPlan AlternativeSubPlan FieldSelect FieldStore CoerceViaIO ArrayCoerceExpr
        ConvertRowtypeExpr CollateExpr CaseTestExpr ArrayExpr RowCompareExpr JsonConstructorExpr JsonExpr
        MergeAction CoerceToDomain CoerceToDomainValue NextValueExpr InferenceElem ReturningExpr TargetEntry
        RangeTblRef FromExpr OnConflictExpr Query RangeTblEntry RTEPermissionInfo RangeTblFunction
        TableSampleClause WithCheckOption SortGroupClause WindowClause RowMarkClause SetOperationStmt
        PLAssignStmt InlineCodeBlock CallContext Invalid
    }
}

#[test]
fn what_is_followed_is_named_by_the_walker() {
    let mut sources = String::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/walk")).expect("the walker's sources") {
        let path = entry.expect("an entry").path();
        if !path.ends_with("tests.rs") && !path.ends_with("kinds.rs") {
            sources += &fs::read_to_string(path).expect("a source");
        }
    }
    let is_named = |kind: &str| {
        let name = format!("Node::{kind}");
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        sources.match_indices(&name).any(|(at, _)| sources.get(at + name.len()..).is_some_and(ends))
    };
    for (kind, fate) in KINDS {
        assert_eq!(is_named(kind), *fate == Fate::Followed, "{kind} is listed as {fate:?}");
    }
}

#[test]
fn what_is_not_known_is_said() {
    let parsed = pg_raw_parse::parse("SELECT 1").expect("SQL");
    assert_eq!(parsed.stmts().next().map(fate), Some(Fate::Followed));
    assert!(KINDS.len() > 250, "{} kinds", KINDS.len());
}
