//! One script on both sides, and the comparison of what came back.

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use grille_pg_codec::tag::backend as tag;
use grille_test_support::{Chance, Reply};

use super::coverage::Coverage;
use super::generate;
use super::message::{Message, Say, UNPARSABLE};
use super::oracle::Stand;
use super::session::Pair;
use crate::script::essence;

/// A message, where the server stood when it came, and what it answered.
pub(super) struct Step {
    pub(super) message: Message,
    stand: Stand,
    pub(super) expected: Vec<Reply>,
}

/// How the bytes of a script reach the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// All at once.
    AtOnce,
    /// As far as the next ReadyForQuery or request for COPY data at once.
    Batches,
    /// Message by message, each with its answer.
    InStep,
}

/// Where the two sides differ.
pub(super) struct Difference {
    pub(super) why: String,
    pub(super) got: Vec<Reply>,
}

/// Makes a script up while it is played straight to the server.
pub(super) fn invent(pair: &mut Pair<'_>, chance: &mut Chance) -> Result<Vec<Step>> {
    let length = 3 + chance.below(12);
    let mut steps = Vec::new();
    let mut waiting = generate::beginning(chance);
    while steps.len() < length {
        if waiting.is_empty() {
            waiting = generate::next(chance, pair.kind, pair.oracle.stand);
        }
        say(pair, &mut steps, waiting.remove(0))?;
    }
    end(pair, &mut steps)?;
    Ok(steps)
}

/// Plays given messages straight to the server; those that may not be said where they stand are left out.
pub(super) fn repeat(pair: &mut Pair<'_>, messages: &[Message]) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for message in messages {
        say(pair, &mut steps, message.clone())?;
    }
    end(pair, &mut steps)?;
    Ok(steps)
}

fn end(pair: &mut Pair<'_>, steps: &mut Vec<Step>) -> Result<()> {
    for message in generate::ending(pair.oracle.stand, pair.kind.table()) {
        say(pair, steps, message)?;
    }
    Ok(())
}

fn say(pair: &mut Pair<'_>, steps: &mut Vec<Step>, message: Message) -> Result<()> {
    if pair.oracle.may_say(&message) {
        let stand = pair.oracle.stand;
        let before = || steps.iter().map(|step| format!("  {}\n", step.message)).collect::<String>();
        let mut expected = pair.oracle.say(&message).with_context(|| format!("after\n{}", before()))?;
        expected.retain(|reply| !is_unsteady(reply));
        steps.push(Step { message, stand, expected });
    }
    Ok(())
}

/// Plays the script through the gateway and compares.
pub(super) fn compare(pair: &mut Pair<'_>, steps: &[Step], pace: Pace) -> Option<Difference> {
    let mut got = Vec::new();
    let heard = listen(pair, steps, pace, &mut got);
    let mut answers = got.iter();
    for step in steps {
        for expected in &step.expected {
            let why = match answers.next() {
                None => format!("nothing more came where {} was expected", shown(expected)),
                Some(answer) if is_same(&step.message, expected, answer) => continue,
                Some(answer) => format!("it answered {} instead of {}", shown(answer), shown(expected)),
            };
            let broken = heard.err().map_or_else(String::new, |error| format!(" ({error:#})"));
            return Some(Difference { why: format!("at {}: {why}{broken}", step.message), got });
        }
    }
    heard.err().map(|error| Difference { why: format!("{error:#}"), got })
}

fn listen(pair: &mut Pair<'_>, steps: &[Step], pace: Pace, got: &mut Vec<Reply>) -> Result<()> {
    let (mut bytes, mut owed) = (BytesMut::new(), 0);
    for (index, step) in steps.iter().enumerate() {
        owed += step.expected.len();
        bytes.extend_from_slice(&step.message.bytes());
        if pace == Pace::InStep {
            step.stand.flush(&step.message, &mut bytes);
        }
        let pauses = match pace {
            Pace::AtOnce => false,
            Pace::Batches => {
                let last = step.expected.last().map(|reply| reply.tag);
                matches!(last, Some(tag::READY_FOR_QUERY | tag::COPY_IN_RESPONSE))
            }
            Pace::InStep => true,
        };
        if !pauses && index + 1 < steps.len() {
            continue;
        }
        pair.through.send(&bytes).context("say it")?;
        bytes.clear();
        while owed > 0 {
            match pair.through.reply().context("hear the answer")? {
                Some(reply) if is_unsteady(&reply) => {}
                Some(reply) => {
                    got.push(reply);
                    owed -= 1;
                }
                None => bail!("the gateway closed the connection"),
            }
        }
    }
    Ok(())
}

/// What PostgreSQL 18 says of SET LOCAL hangs on whether another statement ran in the same pipeline, and a question of
/// Grille's own is one.
fn is_unsteady(reply: &Reply) -> bool {
    let said = b"MSET LOCAL can only be used in transaction blocks\0";
    reply.tag == tag::NOTICE_RESPONSE && reply.body.windows(said.len()).any(|part| part == said)
}

/// The same but for the text of an error where a policy blocked, and of one that a masked session does not read. Three more errors are other ones on purpose:
///
/// - what does not parse is not sent in a limited session: 42501 for 42601;
/// - a masked session does not ask the server about a prepared statement or cursor that it never saw, but refuses it:
///   42501 for 26000 or 34000, for 25P02 in a failed transaction, for XX000 where a portal has no rows to fetch;
/// - a failed transaction keeps portals that nobody can run any more, the simple query's own among them; Grille knows
///   only those that were bound: 34000 for 25P02 or 55000.
fn is_same(message: &Message, expected: &Reply, got: &Reply) -> bool {
    let code = |reply: &Reply| reply.sqlstate().unwrap_or_default();
    let stands_for = expected.text().is_some_and(|text| text.contains(first_word(UNPARSABLE)));
    match (expected.tag, got.tag) {
        (tag::ERROR_RESPONSE, tag::ERROR_RESPONSE) if stands_for => {
            // A Bind of what does not exist is told so before it is judged.
            let refused = if message.say == Say::FunctionCall { "0A000" } else { "42501" };
            code(got) == refused || (code(got) == "26000" && matches!(message.say, Say::Bind { .. }))
        }
        (tag::ERROR_RESPONSE, tag::ERROR_RESPONSE) if code(got) == "42501" => {
            let says = |words| got.text().is_some_and(|text| text.contains(words));
            match code(expected).as_str() {
                "26000" | "34000" | "25P02" | "XX000" => says("not known to Grille"),
                "42601" => says("cannot be understood"),
                _ => false,
            }
        }
        (tag::ERROR_RESPONSE, tag::ERROR_RESPONSE) if code(got) == "34000" && code(expected) != "34000" => {
            matches!(message.say, Say::Execute { .. }) && matches!(code(expected).as_str(), "25P02" | "55000")
        }
        // The end of a transaction may quote what statements before it wrote.
        (tag::ERROR_RESPONSE, tag::ERROR_RESPONSE) if got.text().is_some_and(|text| text.contains("may quote")) => {
            code(got) == code(expected)
        }
        _ => essence(std::slice::from_ref(expected)) == essence(std::slice::from_ref(got)),
    }
}

fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

/// Leaves out what the difference does not need.
pub(super) fn shrink(pair: &mut Pair<'_>, messages: &[Message], pace: Pace) -> Option<(Vec<Step>, Difference)> {
    let mut played = play_afresh(pair, messages, pace)?;
    let mut kept = messages.to_vec();
    let mut size = messages.len() / 2;
    while size > 0 {
        let mut index = 0;
        while index < kept.len() {
            let mut fewer = kept.clone();
            fewer.drain(index..(index + size).min(kept.len()));
            match play_afresh(pair, &fewer, pace) {
                Some(still) => (kept, played) = (fewer, still),
                None => index += size,
            }
        }
        size /= 2;
    }
    Some(played)
}

fn play_afresh(pair: &mut Pair<'_>, messages: &[Message], pace: Pace) -> Option<(Vec<Step>, Difference)> {
    pair.reconnect().ok()?;
    let steps = repeat(pair, messages).ok()?;
    pair.reset().ok()?;
    pair.through.be_patient_for(std::time::Duration::from_secs(2)).ok()?;
    let difference = compare(pair, &steps, pace)?;
    Some((steps, difference))
}

/// Counts a script's messages by where the server stood.
pub(super) fn count(steps: &[Step], coverage: &mut Coverage) {
    steps.iter().for_each(|step| coverage.count(&step.message, step.stand));
}

/// A reply, for people.
pub(super) fn shown(reply: &Reply) -> String {
    let name = char::from(reply.tag);
    match (reply.sqlstate(), reply.text()) {
        (Some(code), Some(text)) => format!("{name}({code} {text})"),
        _ => format!("{name}({})", String::from_utf8_lossy(&reply.body).escape_debug()),
    }
}
