use crate::{
    Format, Malformed,
    frame::PASSWORD_MAX,
    frontend::{Execute, Message, Target},
    tag::frontend as tag,
};

fn parse(tag: u8, body: &[u8]) -> Result<Message<'_>, Malformed> {
    Message::parse(tag, body)
}

#[test]
fn messages_are_read() {
    let cases: &[(u8, &[u8], &str)] = &[
        (tag::QUERY, b"select 1\0", "select 1"),
        (tag::QUERY, b"\0", ""),
        (tag::QUERY, b"select '\xe9'\0", r"select \'\xe9\'"),
        (tag::PARSE, b"s\0select $1\0\0\x02\0\0\0\x17\0\0\0\0", "s: select $1 [23, 0]"),
        (tag::PARSE, b"\0\0\0\0", ":  []"),
        (tag::BIND, b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0", "p s [Some([120]), None] binary text"),
        (tag::BIND, b"\0\0\0\0\0\0\0\x01\0\x01", "  [] text binary"),
    ];
    for (tag, body, expected) in cases {
        let shown = match parse(*tag, body).unwrap() {
            Message::Query(query) => query.sql.escape_ascii().to_string(),
            Message::Parse(parse) => {
                let types: Vec<_> = parse.parameter_types().collect();
                format!("{}: {} {types:?}", parse.name.escape_ascii(), parse.sql.escape_ascii())
            }
            Message::Bind(bind) => {
                let values: Vec<_> = bind.values.iter().collect();
                let name = |format| if format == Some(Format::Binary) { "binary" } else { "text" };
                let (portal, statement) = (bind.portal.escape_ascii(), bind.statement.escape_ascii());
                format!(
                    "{portal} {statement} {values:?} {} {}",
                    name(bind.formats.of(1)),
                    name(bind.result_formats.of(9))
                )
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(shown, *expected);
    }
}

#[test]
fn small_messages_are_read() {
    let cases: &[(u8, &[u8], Message<'_>)] = &[
        (tag::DESCRIBE, b"Sname\0", Message::Describe(Target::Statement(b"name"))),
        (tag::DESCRIBE, b"P\0", Message::Describe(Target::Portal(b""))),
        (tag::CLOSE, b"Pname\0", Message::Close(Target::Portal(b"name"))),
        (tag::EXECUTE, b"p\0\0\0\0\x05", Message::Execute(Execute { portal: b"p", max_rows: 5 })),
        (tag::SYNC, b"", Message::Sync),
        (tag::FLUSH, b"", Message::Flush),
        (tag::COPY_DATA, b"1\t2\n", Message::CopyData(b"1\t2\n")),
        (tag::COPY_DONE, b"", Message::CopyDone),
        (tag::COPY_FAIL, b"no more\0", Message::CopyFail(b"no more")),
        (tag::TERMINATE, b"", Message::Terminate),
        (tag::FUNCTION_CALL, b"anything", Message::FunctionCall),
    ];
    for (tag, body, expected) in cases {
        assert_eq!(parse(*tag, body), Ok(*expected));
    }
}

#[test]
fn formats_follow_the_rule_of_bind() {
    let formats = |body: &'static [u8]| match parse(tag::BIND, body) {
        Ok(Message::Bind(bind)) => (0..3).map(|column| bind.result_formats.of(column)).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let (text, binary) = (Some(Format::Text), Some(Format::Binary));
    assert_eq!(formats(b"\0\0\0\0\0\0\0\0"), [text, text, text], "none: all text");
    assert_eq!(formats(b"\0\0\0\0\0\0\0\x01\0\x01"), [binary, binary, binary], "one for all");
    assert_eq!(formats(b"\0\0\0\0\0\0\0\x02\0\0\0\x01"), [text, binary, None], "one for each");
}

#[test]
fn what_the_server_would_refuse_is_malformed() {
    let cases: &[(u8, &[u8], &str)] = &[
        (tag::QUERY, b"", "Query has no zero byte after its text"),
        (tag::QUERY, b"select 1", "Query has no zero byte after its text"),
        (tag::QUERY, b"select 1\0drop table t\0", "Query is followed by 13 bytes inside its own length"),
        (tag::PARSE, b"s\0select 1\0", "Parse ends inside the number of parameter types"),
        (tag::PARSE, b"s\0select 1\0\0\x01\0\0", "Parse ends inside the parameter types"),
        (tag::PARSE, b"s\0select 1\0\0\0x", "Parse is followed by 1 bytes inside its own length"),
        (tag::BIND, b"\0\0\0\x01\0\x02\0\0\0\0", "Bind has the value 2 as the parameter formats"),
        (
            tag::BIND,
            b"\0\0\0\x02\0\0\0\0\0\x01\0\0\0\0\0\0",
            "Bind has the value 1 as the number of values beside its parameter formats",
        ),
        (tag::BIND, b"\0\0\0\0\0\x01\0\0\0\x06abc\0\0", "Bind ends inside a value"),
        (tag::BIND, b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0", "Bind has the value -2 as a value"),
        (tag::BIND, b"\0\0\0\0\0\x02\xff\xff\xff\xff\0\0", "Bind ends inside a value"),
        (tag::BIND, b"\0\0\0\0\0\0\0\x01", "Bind ends inside the result formats"),
        (tag::BIND, b"\0\0\0\0\0\0\0\0!", "Bind is followed by 1 bytes inside its own length"),
        (tag::DESCRIBE, b"X\0", "Describe has the value 88 as what it is about"),
        (tag::CLOSE, b"", "Close ends inside what it is about"),
        (tag::EXECUTE, b"\0\0\0\0", "Execute ends inside the row limit"),
        (tag::SYNC, b"x", "Sync is followed by 1 bytes inside its own length"),
        (b'!', b"", "message type ! is unknown in what a client sends"),
        (0xff, b"", r"message type \xff is unknown in what a client sends"),
    ];
    for (tag, body, expected) in cases {
        assert_eq!(parse(*tag, body).unwrap_err().to_string(), *expected);
    }
}

#[test]
fn a_password_has_three_readings_and_is_not_printed() {
    let read = |body: &'static [u8]| match parse(tag::PASSWORD, body) {
        Ok(Message::Password(password)) => password,
        other => panic!("{other:?}"),
    };
    assert_eq!(read(b"hush\0").text(), Ok(&b"hush"[..]));
    assert!(read(b"hush").text().is_err());
    let initial = read(b"SCRAM-SHA-256\0\0\0\0\x04n,,n").sasl_initial().unwrap();
    assert_eq!((initial.mechanism, initial.response), (&b"SCRAM-SHA-256"[..], Some(&b"n,,n"[..])));
    assert_eq!(read(b"X\0\xff\xff\xff\xff").sasl_initial().unwrap().response, None);
    assert!(read(b"X\0\0\0\0\x04abc").sasl_initial().is_err());
    assert_eq!(read(b"c=biws").sasl(), b"c=biws");
    for shown in [format!("{:?}", read(b"hush\0")), format!("{initial:?}")] {
        assert!(!shown.contains("hush") && !shown.contains("n,,n"), "{shown}");
    }
}

#[test]
fn a_password_may_be_as_long_as_postgresql_takes() {
    assert!(parse(tag::PASSWORD, &vec![b'x'; PASSWORD_MAX]).is_ok());
    assert!(parse(tag::PASSWORD, &vec![b'x'; PASSWORD_MAX + 1]).is_err());
}
