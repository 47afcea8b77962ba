//! Stand-ins for what language runtimes import of WASI 0.2 whether their program uses it or not.
//!
//! They are made out of the types that a component asks for, so that every 0.2 release links: a list is empty, an option
//! is none, a result is ok, except that nothing can be opened or connected. Random numbers and the monotonic clock are
//! the same in each fresh instance, so that decisions replay. The time of day traps: a guess would be a wrong decision,
//! and the contract has `clock` for it.

use grille_policy::Digest;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, LinkerInstance, Resource, ResourceAny, ResourceType, Type, Val};
use wasmtime::{Engine, Result, StoreContextMut, bail, format_err};

use crate::guest::Guest;

/// Packages with stand-ins. `wasi:http` and others have none: whoever imports them means to use them.
const PACKAGES: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];

/// Whether there is a stand-in for an import.
pub(crate) fn has_stand_in(import: &str) -> bool {
    let Some((package, rest)) = import.strip_prefix("wasi:").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    PACKAGES.contains(&package) && rest.rsplit_once('@').is_some_and(|(_, version)| version.starts_with("0.2."))
}

/// What the stand-ins of one instance count.
#[derive(Debug, Default)]
pub(crate) struct Clockwork {
    /// Nanoseconds: a thousand pass with each look.
    monotonic: u64,
    random: u64,
    handles: u32,
}

/// Streams and the like that one instance holds at once.
const HANDLES_MAX: u32 = 1_024;
/// Random bytes in one call.
const RANDOM_MAX: u64 = 64 << 10;
/// What a stream takes at once, to throw it away.
const WRITE_MAX: u64 = 64 << 10;

impl Clockwork {
    fn now(&mut self) -> u64 {
        // Never 0: runtimes take that for a broken clock.
        self.monotonic += 1_000;
        self.monotonic
    }

    /// splitmix64: good enough for hash seeds, and no secret.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A handle of a stand-in. There is nothing behind it.
struct Nothing;

/// Offers the stand-ins that the component wants, and no others.
pub(crate) fn stand_in(linker: &mut Linker<Guest>, component: &Component, engine: &Engine) -> Result<()> {
    let wanted = component.component_type();
    for (import, item) in wanted.imports(engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
        if !has_stand_in(import) {
            continue;
        }
        let mut place = linker.instance(import)?;
        for (name, item) in instance.exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(function) => {
                    let results: Vec<Type> = function.results().collect();
                    define(&mut place, import, name, results)?;
                }
                ComponentItem::Resource(_) => {
                    place.resource(name, ResourceType::host::<Nothing>(), |mut store, _| {
                        let clockwork = &mut store.data_mut().clockwork;
                        clockwork.handles = clockwork.handles.saturating_sub(1);
                        Ok(())
                    })?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// What a function does.
#[derive(Clone, Copy)]
enum Does {
    Traps(&'static str),
    GivesRandomBytes,
    GivesRandomNumber,
    TellsTime,
    TakesAnything,
    FindsAllReady,
    /// Succeeds with nothing.
    Succeeds,
    /// Fails with the least telling error.
    Fails,
}

fn does(import: &str, function: &str) -> Does {
    let interface = import.split(['/', '@']).nth(1).unwrap_or_default();
    match (interface, function) {
        ("wall-clock", "now") => {
            Does::Traps("it asked WASI for the time of day; import grille:policy/clock and list the grant `clock`")
        }
        ("exit", _) => Does::Traps("it asked to exit; return a verdict instead"),
        ("monotonic-clock", "now") => Does::TellsTime,
        ("random" | "insecure", name) if name.ends_with("bytes") => Does::GivesRandomBytes,
        ("random" | "insecure", _) => Does::GivesRandomNumber,
        ("streams", "[method]output-stream.check-write") => Does::TakesAnything,
        ("streams", name) if name.starts_with("[method]input-stream") && !name.ends_with("subscribe") => Does::Fails,
        ("poll", "poll") => Does::FindsAllReady,
        ("poll", "[method]pollable.ready") => Does::TakesAnything,
        _ if import.starts_with("wasi:filesystem/") || import.starts_with("wasi:sockets/") => Does::Fails,
        _ => Does::Succeeds,
    }
}

fn define(place: &mut LinkerInstance<'_, Guest>, import: &str, name: &str, types: Vec<Type>) -> Result<()> {
    let does = does(import, name);
    let called = format!("{import}#{name}");
    place.func_new(name, move |mut store, _, arguments, results| {
        arguments.iter().try_for_each(|argument| give_back(&mut store, argument))?;
        for (result, wanted) in results.iter_mut().zip(&types) {
            *result = answer(&mut store, does, arguments, wanted).map_err(|error| match does {
                Does::Traps(_) => error,
                _ => format_err!("it called {called}, which a policy cannot: {error}"),
            })?;
        }
        match does {
            Does::Traps(why) => bail!("{why}"),
            _ => Ok(()),
        }
    })
}

/// A handle that was lent with dynamic types is lent until somebody says otherwise.
fn give_back(store: &mut StoreContextMut<'_, Guest>, argument: &Val) -> Result<()> {
    match argument {
        Val::Resource(handle) => {
            if handle.owned() {
                let clockwork = &mut store.data_mut().clockwork;
                clockwork.handles = clockwork.handles.saturating_sub(1);
            }
            Resource::<Nothing>::try_from_resource_any(*handle, store).map(drop)
        }
        Val::List(list) => list.iter().try_for_each(|argument| give_back(store, argument)),
        _ => Ok(()),
    }
}

fn answer(store: &mut StoreContextMut<'_, Guest>, does: Does, arguments: &[Val], wanted: &Type) -> Result<Val> {
    let clockwork = &mut store.data_mut().clockwork;
    Ok(match (does, wanted) {
        (Does::Traps(why), _) => bail!("{why}"),
        (Does::GivesRandomBytes, _) => {
            let Some(Val::U64(count)) = arguments.first() else { bail!("no number of bytes") };
            if *count > RANDOM_MAX {
                bail!("more than 64 KiB of random bytes at once");
            }
            Val::List((0..*count).map(|_| Val::U8(clockwork.random().to_le_bytes()[0])).collect())
        }
        (Does::GivesRandomNumber, Type::U64) => Val::U64(clockwork.random()),
        (Does::TellsTime, _) => Val::U64(clockwork.now()),
        (Does::TakesAnything, Type::Bool) => Val::Bool(true),
        (Does::TakesAnything, _) => Val::Result(Ok(Some(Box::new(Val::U64(WRITE_MAX))))),
        (Does::FindsAllReady, _) => {
            let Some(Val::List(pollables)) = arguments.first() else { bail!("nothing to wait for") };
            Val::List((0u32..).take(pollables.len()).map(Val::U32).collect())
        }
        (Does::Fails, Type::Result(result)) => {
            let error = result.err().map(|wanted| inert(store, &wanted)).transpose()?;
            Val::Result(Err(error.map(Box::new)))
        }
        _ => inert(store, wanted)?,
    })
}

/// The emptiest value of a type.
fn inert(store: &mut StoreContextMut<'_, Guest>, wanted: &Type) -> Result<Val> {
    Ok(match wanted {
        Type::Bool => Val::Bool(false),
        Type::U8 => Val::U8(0),
        Type::U16 => Val::U16(0),
        Type::U32 => Val::U32(0),
        Type::U64 => Val::U64(0),
        Type::S8 => Val::S8(0),
        Type::S16 => Val::S16(0),
        Type::S32 => Val::S32(0),
        Type::S64 => Val::S64(0),
        Type::Float32 => Val::Float32(0.0),
        Type::Float64 => Val::Float64(0.0),
        Type::Char => Val::Char('\0'),
        Type::String => Val::String(String::new()),
        Type::List(_) => Val::List(Vec::new()),
        Type::Option(_) => Val::Option(None),
        Type::Flags(_) => Val::Flags(Vec::new()),
        Type::Tuple(tuple) => Val::Tuple(tuple.types().map(|part| inert(store, &part)).collect::<Result<_>>()?),
        Type::Record(record) => {
            let fields = record.fields().map(|field| Ok((field.name.to_owned(), inert(store, &field.ty)?)));
            Val::Record(fields.collect::<Result<_>>()?)
        }
        Type::Enum(cases) => {
            let mut names = cases.names();
            // Of the errors of files and sockets this is the honest one; the others' first is as good as any.
            let first =
                cases.names().find(|name| *name == "access-denied" || *name == "access").or_else(|| names.next());
            Val::Enum(first.ok_or_else(|| format_err!("an enum without cases"))?.to_owned())
        }
        Type::Variant(variant) => {
            // Streams end with `closed`, which is the last case and the only one without a payload.
            let cases: Vec<_> = variant.cases().collect();
            let empty = cases.iter().find(|case| case.ty.is_none()).or_else(|| cases.first());
            let case = empty.ok_or_else(|| format_err!("a variant without cases"))?;
            let payload = case.ty.as_ref().map(|payload| inert(store, payload)).transpose()?;
            Val::Variant(case.name.to_owned(), payload.map(Box::new))
        }
        Type::Result(result) => {
            let value = result.ok().map(|wanted| inert(store, &wanted)).transpose()?;
            Val::Result(Ok(value.map(Box::new)))
        }
        Type::Own(_) => {
            let clockwork = &mut store.data_mut().clockwork;
            if clockwork.handles >= HANDLES_MAX {
                bail!("more than {HANDLES_MAX} streams at once");
            }
            clockwork.handles += 1;
            Val::Resource(ResourceAny::try_from_resource(Resource::<Nothing>::new_own(0), store)?)
        }
        _ => bail!("a value that has no stand-in"),
    })
}

/// So that random numbers differ from plugin to plugin, and never from run to run.
pub(crate) fn clockwork(plugin: &Digest) -> Clockwork {
    let seed = plugin.0.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    Clockwork { monotonic: 0, random: seed, handles: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runtimes_drag_in_has_a_stand_in() {
        for (import, expected) in [
            ("wasi:cli/environment@0.2.0", true),
            ("wasi:io/streams@0.2.12", true),
            ("wasi:sockets/tcp@0.2.6", true),
            ("wasi:http/types@0.2.0", false),
            ("wasi:cli/environment@0.3.0", false),
            ("wasi:cli/environment", false),
            ("wasi:keyvalue/store@0.2.0-draft2", false),
            ("evil:cli/environment@0.2.0", false),
        ] {
            assert_eq!(has_stand_in(import), expected, "{import}");
        }
    }
}
