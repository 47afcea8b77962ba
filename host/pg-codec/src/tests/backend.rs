use crate::{
    Format, Malformed,
    backend::{Authentication, CommandTag, Message, TransactionStatus, field},
    tag::backend as tag,
};

fn parse(tag: u8, body: &[u8]) -> Result<Message<'_>, Malformed> {
    Message::parse(tag, body)
}

#[test]
fn authentication_requests_are_told_apart() {
    let cases: &[(&[u8], Authentication<'_>)] = &[
        (b"\0\0\0\0", Authentication::Ok),
        (b"\0\0\0\x02", Authentication::KerberosV5),
        (b"\0\0\0\x03", Authentication::CleartextPassword),
        (b"\0\0\0\x05salt", Authentication::Md5Password { salt: *b"salt" }),
        (b"\0\0\0\x06", Authentication::ScmCredential),
        (b"\0\0\0\x07", Authentication::Gss),
        (b"\0\0\0\x08token", Authentication::GssContinue(b"token")),
        (b"\0\0\0\x09", Authentication::Sspi),
        (b"\0\0\0\x0br=1", Authentication::SaslContinue(b"r=1")),
        (b"\0\0\0\x0cv=1", Authentication::SaslFinal(b"v=1")),
    ];
    for (body, expected) in cases {
        assert_eq!(parse(tag::AUTHENTICATION, body), Ok(Message::Authentication(*expected)));
    }
    let Ok(Message::Authentication(Authentication::Sasl(offered))) =
        parse(tag::AUTHENTICATION, b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
    else {
        panic!("a list of mechanisms")
    };
    assert_eq!(offered.iter().collect::<Vec<_>>(), [&b"SCRAM-SHA-256-PLUS"[..], b"SCRAM-SHA-256"]);
    assert!(offered.offers("SCRAM-SHA-256") && !offered.offers("SCRAM"));
}

#[test]
fn a_row_description_yields_its_fields() {
    let body = b"\0\x02id\0\0\0\x40\0\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff\0\x01ctid\0\0\0\x40\0\xff\xff\0\0\0\x1b\0\x06\xff\xff\xff\xff\0\0";
    let Ok(Message::RowDescription(shape)) = parse(tag::ROW_DESCRIPTION, body) else { panic!("a shape") };
    let fields: Vec<_> = shape.fields().collect();
    assert_eq!((shape.len(), fields.len()), (2, 2));
    assert_eq!((fields[0].name, fields[0].table_oid, fields[0].attnum), (&b"id"[..], 16384, 1));
    assert_eq!((fields[0].type_oid, fields[0].type_len, fields[0].typmod), (23, 4, -1));
    assert_eq!((fields[0].format, fields[1].format, fields[1].attnum), (Format::Binary, Format::Text, -1));
    assert_eq!(fields[1].to_owned().as_field(), fields[1]);
    let Ok(Message::RowDescription(none)) = parse(tag::ROW_DESCRIPTION, b"\0\0") else { panic!("no columns") };
    assert!(none.is_empty() && none.fields().next().is_none());
}

#[test]
fn a_row_is_checked_while_it_is_walked() {
    let walk = |body: &'static [u8]| match parse(tag::DATA_ROW, body) {
        Ok(Message::DataRow(row)) => row.values().collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let truncated = Err(Malformed::Truncated { message: "DataRow", field: "a value" });
    assert_eq!(walk(b"\0\0"), []);
    assert_eq!(walk(b"\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0"), [Ok(Some(&b"ab"[..])), Ok(None), Ok(Some(b""))]);
    assert_eq!(walk(b"\0\x02\0\0\0\x02ab"), [Ok(Some(&b"ab"[..])), truncated]);
    assert_eq!(walk(b"\0\x01\0\0\0\x03ab"), [truncated]);
    assert_eq!(walk(b"\0\x01\xff\xff\xff\xff!"), [Ok(None), Err(Malformed::Trailing { message: "DataRow", count: 1 })]);
    assert_eq!(
        walk(b"\0\x01\x80\0\0\0"),
        [Err(Malformed::BadValue { message: "DataRow", field: "a value", value: i32::MIN.into() })]
    );
}

#[test]
fn errors_and_notices_yield_their_fields() {
    let body = b"SFEHLER\0VERROR\0C42501\0Mnein \xe9\0\0";
    let Ok(Message::Error(report)) = parse(tag::ERROR_RESPONSE, body) else { panic!("an error") };
    assert_eq!(report.iter().map(|(code, _)| code).collect::<Vec<_>>(), *b"SVCM");
    assert_eq!(report.sqlstate(), Some(&b"42501"[..]));
    assert_eq!(report.get(field::MESSAGE), Some(&b"nein \xe9"[..]));
    assert_eq!(report.get(field::HINT), None);
    assert!(!report.ends_session());
    let Ok(Message::Notice(notice)) = parse(tag::NOTICE_RESPONSE, b"SFATAL\0\0") else { panic!("a notice") };
    assert!(notice.ends_session());
    assert!(matches!(parse(tag::ERROR_RESPONSE, b"\0"), Ok(Message::Error(none)) if none.iter().next().is_none()));
}

#[test]
fn what_a_session_learns_is_read() {
    let Ok(Message::BackendKeyData(key)) = parse(tag::BACKEND_KEY_DATA, b"\0\0\0\x07hush") else { panic!("a key") };
    assert_eq!((key.pid, key.key), (7, &b"hush"[..]));
    assert_eq!(format!("{key:?}"), "BackendKeyData { pid: 7, key_bytes: 4 }");
    let Ok(Message::ParameterStatus(status)) = parse(tag::PARAMETER_STATUS, b"TimeZone\0UTC\0") else { panic!() };
    assert_eq!((status.name, status.value), (&b"TimeZone"[..], &b"UTC"[..]));
    let Ok(Message::Notification(note)) = parse(tag::NOTIFICATION_RESPONSE, b"\0\0\0\x09jobs\0new\0") else { panic!() };
    assert_eq!((note.pid, note.channel, note.payload), (9, &b"jobs"[..], &b"new"[..]));
    let negotiate = b"\0\x03\0\x02\0\0\0\x02_pq_.a\0_pq_.b\0";
    let Ok(Message::NegotiateProtocolVersion(answer)) = parse(tag::NEGOTIATE_PROTOCOL_VERSION, negotiate) else {
        panic!()
    };
    assert_eq!((answer.version.to_string(), answer.len()), ("3.2".to_owned(), 2));
    assert_eq!(answer.options().collect::<Vec<_>>(), [&b"_pq_.a"[..], b"_pq_.b"]);
    for (code, status) in
        [(b"I", TransactionStatus::Idle), (b"T", TransactionStatus::Open), (b"E", TransactionStatus::Failed)]
    {
        assert_eq!(parse(tag::READY_FOR_QUERY, code), Ok(Message::ReadyForQuery(status)));
    }
    let Ok(Message::ParameterDescription(types)) = parse(tag::PARAMETER_DESCRIPTION, b"\0\x01\0\0\0\x19") else {
        panic!()
    };
    assert_eq!(types.types().collect::<Vec<_>>(), [25]);
    let Ok(Message::CopyOut(copy)) = parse(tag::COPY_OUT_RESPONSE, b"\x01\0\x02\0\x01\0\x01") else { panic!() };
    assert_eq!((copy.format, copy.columns.len()), (Format::Binary, 2));
    assert_eq!(parse(tag::FUNCTION_CALL_RESPONSE, b"\xff\xff\xff\xff"), Ok(Message::FunctionCallResponse(None)));
}

#[test]
fn a_command_tag_may_count_rows() {
    let cases: &[(&[u8], Option<u64>)] = &[
        (b"SELECT 3\0", Some(3)),
        (b"INSERT 0 1\0", Some(1)),
        (b"COPY 18446744073709551615\0", Some(u64::MAX)),
        (b"COPY 18446744073709551616\0", None),
        (b"CREATE TABLE\0", None),
        (b"BEGIN\0", None),
        (b"SELECT \0", None),
        (b"SELECT +3\0", None),
        (b"\0", None),
    ];
    for (body, rows) in cases {
        assert_eq!(CommandTag::from_body(body).unwrap().rows(), *rows, "{}", body.escape_ascii());
    }
}

#[test]
fn what_no_server_writes_is_malformed() {
    let cases: &[(u8, &[u8], &str)] = &[
        (tag::AUTHENTICATION, b"\0\0\0\0!", "Authentication is followed by 1 bytes inside its own length"),
        (tag::AUTHENTICATION, b"\0\0\0\x05sal", "Authentication ends inside the salt"),
        (tag::AUTHENTICATION, b"\0\0\0\x0aSCRAM\0", "Authentication has no zero byte after a mechanism"),
        (tag::AUTHENTICATION, b"\0\0\0\x63", "Authentication has the value 99 as its kind"),
        (tag::BACKEND_KEY_DATA, b"\0\0\0\x07key", "BackendKeyData has the value 3 as the length of its key"),
        (tag::COMMAND_COMPLETE, b"SELECT 1", "CommandComplete has no zero byte after the tag"),
        (tag::COPY_IN_RESPONSE, b"\x02\0\0", "CopyInResponse has the value 2 as its format"),
        (tag::COPY_BOTH_RESPONSE, b"\0\0\x01", "CopyBothResponse ends inside the column formats"),
        (tag::DATA_ROW, b"\0", "DataRow ends inside the number of values"),
        (tag::ERROR_RESPONSE, b"SERROR\0", "ErrorResponse ends inside the end of its fields"),
        (tag::ERROR_RESPONSE, b"", "ErrorResponse ends inside the end of its fields"),
        (tag::NOTICE_RESPONSE, b"SERROR", "NoticeResponse has no zero byte after a field"),
        (
            tag::NEGOTIATE_PROTOCOL_VERSION,
            b"\0\x03\0\0\xff\xff\xff\xff",
            "NegotiateProtocolVersion has no zero byte after an option",
        ),
        (tag::PARAMETER_DESCRIPTION, b"\0\x02\0\0\0\x01", "ParameterDescription ends inside the parameter types"),
        (tag::PARSE_COMPLETE, b"!", "ParseComplete is followed by 1 bytes inside its own length"),
        (tag::READY_FOR_QUERY, b"X", "ReadyForQuery has the value 88 as the transaction status"),
        (tag::ROW_DESCRIPTION, b"\0\x01id\0", "RowDescription ends inside a column's table"),
        (b'Q', b"", "message type Q is unknown in what a server sends"),
    ];
    for (tag, body, expected) in cases {
        assert_eq!(parse(*tag, body).unwrap_err().to_string(), *expected);
    }
}
