//! Does what the statement says, by the standard library.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant, SystemTime};

use grille_sdk::{Opinion, Policy, Session, Settings, Severity, SqlHook, Statement};

struct Guest;

impl Policy for Guest {
    fn new(_settings: &mut Settings) -> Self {
        Self
    }
}

impl SqlHook for Guest {
    fn judge(&self, _session: &Session, statement: &Statement) -> Opinion {
        let text = statement.text();
        let said = match text.as_str() {
            "random" => RandomState::new().hash_one(7u8).to_string(),
            "map" => HashMap::from([(1, 2)])[&1].to_string(),
            "environment" => std::env::vars().count().to_string() + &std::env::args().count().to_string(),
            "print" => {
                println!("to nobody");
                eprintln!("to nobody");
                "printed".to_owned()
            }
            "read" => format!("{:?}", std::fs::read("/etc/passwd").map_err(|error| error.kind())),
            "connect" => format!("{:?}", std::net::TcpStream::connect("127.0.0.1:80").map_err(|error| error.kind())),
            "elapsed" => {
                let began = Instant::now();
                (began.elapsed() > Duration::ZERO).to_string()
            }
            "sleep" => {
                std::thread::sleep(Duration::from_secs(3_600));
                "slept".to_owned()
            }
            "time" => format!("{:?}", SystemTime::now()),
            "exit" => std::process::exit(0),
            "panic" => panic!("asked to"),
            "file-handles" => {
                for _ in 0..2_000 {
                    drop(std::hint::black_box(std::io::stdout().lock()));
                    eprint!(".");
                }
                "done".to_owned()
            }
            _ => return Opinion::allow(),
        };
        Opinion::block("said", Severity::Info, said)
    }
}

grille_sdk::export!(Guest: sql);
