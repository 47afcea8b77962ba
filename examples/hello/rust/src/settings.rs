//! What is wrong with the settings, to the letter.

use grille_sdk::bindings::policy::exports::grille::policy::lifecycle::Guest;
use grille_sdk::runtime::Kept;
use grille_sdk::{Policy, Problem, Settings};
use serde_json::{Map, Value};

use crate::Hello;

pub(crate) struct Lifecycle;

impl Guest for Lifecycle {
    fn validate(settings: String) -> Vec<Problem> {
        problems(&settings)
    }

    fn configure(settings: String) -> Result<(), String> {
        if let Some(problem) = problems(&settings).into_iter().next() {
            return Err(problem.message);
        }
        let mut settings = Settings::parse(&settings).map_err(|problem| problem.message)?;
        let hello = Hello::new(&mut settings);
        Hello::cell().with(|cell| cell.set(hello)).map_err(|_| "is configured already".to_owned())
    }
}

/// The map keeps its keys sorted.
fn problems(settings: &str) -> Vec<Problem> {
    let settings: Map<String, Value> = serde_json::from_str(settings).expect("the host hands out a JSON object");
    let problem = |(key, value): (&String, &Value)| {
        let message = match key.as_str() {
            "greeting" if value.is_string() => return None,
            "greeting" => "must be a text",
            _ => "is unknown",
        };
        let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
        Some(Problem { pointer, message: message.to_owned() })
    };
    settings.iter().filter_map(problem).collect()
}
