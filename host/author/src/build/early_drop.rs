//! What `componentize-qjs` makes gives its handles back too late: when the host has read a hook's answer, and by then
//! the call has failed. So the one module between the contract and the runtime is changed: each hook is exported
//! through a function that calls it and then drops the handles that it borrowed, and what the runtime calls to drop
//! them later does nothing. A policy owns no handles, so no other drop is lost.

use crate::section::{push_number, push_section, take_number};

const PACKAGE: &str = "grille:policy/";
/// The handles that hooks borrow: their first arguments, in order.
const BORROWS: [(&str, [&str; 2]); 8] = [
    ("session", ["session", ""]),
    ("sql", ["session", "statement"]),
    ("sql-columns", ["session", "columns"]),
    ("sql-result", ["session", "result-shape"]),
    ("sql-values", ["session", "result-shape"]),
    ("http-request", ["session", "exchange"]),
    ("http-response", ["session", "exchange"]),
    ("http-values", ["session", "exchange"]),
];
const DROP: &str = "[resource-drop]";
// Sections of core modules, and of components.
const TYPE: u8 = 1;
const IMPORT: u8 = 2;
const FUNCTION: u8 = 3;
const EXPORT: u8 = 7;
const ELEMENT: u8 = 9;
const CODE: u8 = 10;
const CORE_MODULE: u8 = 1;
const NESTED_COMPONENT: u8 = 4;
// Instructions.
const LOCAL_GET: u8 = 0x20;
const CALL: u8 = 0x10;
const GLOBAL_GET: u8 = 0x23;
const END: u8 = 0x0b;

/// The component with handles given back in time; none where it is not of the kind that needs it.
pub(super) fn rewrite(component: &[u8]) -> Option<Vec<u8>> {
    let (rewritten, changed) = of_component(component)?;
    (changed == 1).then_some(rewritten)
}

fn of_component(component: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut out, mut changed) = (component.get(..8)?.to_vec(), 0);
    for (id, body) in sections(component)? {
        match id {
            NESTED_COMPONENT => {
                let (body, more) = of_component(body)?;
                changed += more;
                push_section(&mut out, id, &body);
            }
            CORE_MODULE if is_glue(body) => {
                changed += 1;
                push_section(&mut out, id, &of_module(body)?);
            }
            _ => push_section(&mut out, id, body),
        }
    }
    Some((out, changed))
}

fn is_glue(module: &[u8]) -> bool {
    let look = || {
        let parts = sections(module)?;
        let has_hook = exports(part(&parts, EXPORT)?)?.iter().any(|export| borrows(export.name).is_some());
        Some(has_hook && imports(part(&parts, IMPORT)?)?.iter().any(|import| import.name.starts_with(DROP)))
    };
    look().unwrap_or(false)
}

fn of_module(module: &[u8]) -> Option<Vec<u8>> {
    let parts = sections(module)?;
    let imports = imports(part(&parts, IMPORT)?)?;
    // The drops by their handle: the function's number and its type.
    let is_drop = |import: &&(usize, &Import<'_>)| import.1.package.starts_with(PACKAGE);
    let numbered: Vec<(usize, &Import<'_>)> = imports.iter().enumerate().collect();
    let drops: Vec<(&str, usize, usize)> = numbered
        .iter()
        .filter(is_drop)
        .filter_map(|(index, import)| Some((import.name.strip_prefix(DROP)?, *index, import.type_index)))
        .collect();
    let mut types = numbers(part(&parts, FUNCTION)?)?.0;
    let (count, code) = take_number(part(&parts, CODE)?)?;
    if count != types.len() {
        return None;
    }
    let mut code = code.to_vec();
    let mut add = |types: &mut Vec<usize>, type_index: usize, body: &[u8]| {
        types.push(type_index);
        push_number(&mut code, body.len());
        code.extend_from_slice(body);
        imports.len() + types.len() - 1
    };
    let mut new_exports = Vec::new();
    let exports = exports(part(&parts, EXPORT)?)?;
    push_number(&mut new_exports, exports.len());
    for export in &exports {
        let handles = borrows(export.name).filter(|_| export.kind == 0);
        let index = match handles {
            None => export.index,
            Some(handles) => {
                let type_index = *types.get(export.index.checked_sub(imports.len())?)?;
                // No locals of its own; all arguments passed on; then each handle dropped.
                let mut body = vec![0];
                for argument in 0..parameters(part(&parts, TYPE)?, type_index)? {
                    push_instruction(&mut body, LOCAL_GET, argument);
                }
                push_instruction(&mut body, CALL, export.index);
                for (argument, handle) in handles.iter().enumerate().filter(|(_, handle)| !handle.is_empty()) {
                    let (_, drop, _) = drops.iter().find(|(name, ..)| name == handle)?;
                    push_instruction(&mut body, LOCAL_GET, argument);
                    push_instruction(&mut body, CALL, *drop);
                }
                body.push(END);
                add(&mut types, type_index, &body)
            }
        };
        push_number(&mut new_exports, export.name.len());
        new_exports.extend_from_slice(export.name.as_bytes());
        new_exports.push(export.kind);
        push_number(&mut new_exports, index);
    }
    // What the runtime finds in the table instead of a drop.
    let nothing = add(&mut types, drops.first()?.2, &[0, END]);
    let is_late = |index: usize| drops.iter().any(|(_, drop, _)| *drop == index);
    let elements = elements(part(&parts, ELEMENT)?, |index| if is_late(index) { nothing } else { index })?;

    let mut new_types = Vec::new();
    push_numbers(&mut new_types, &types);
    let mut new_code = Vec::new();
    push_number(&mut new_code, types.len());
    new_code.extend_from_slice(&code);
    let mut out = module.get(..8)?.to_vec();
    for (id, body) in parts {
        let body = match id {
            FUNCTION => &new_types,
            CODE => &new_code,
            EXPORT => &new_exports,
            ELEMENT => &elements,
            _ => body,
        };
        push_section(&mut out, id, body);
    }
    Some(out)
}

fn push_instruction(body: &mut Vec<u8>, instruction: u8, number: usize) {
    body.push(instruction);
    push_number(body, number);
}

/// The handles of a hook's function, such as `grille:policy/sql@0.1.0#judge`.
fn borrows(export: &str) -> Option<&'static [&'static str; 2]> {
    let (interface, function) = export.strip_prefix(PACKAGE)?.split_once('#')?;
    let interface = interface.split('@').next()?;
    // `cabi_post_…` has another prefix; what is left is the function itself.
    let found = BORROWS.iter().find(|(hook, _)| *hook == interface && !function.is_empty());
    found.map(|(_, handles)| handles)
}

fn sections(binary: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut rest = binary.get(8..)?;
    let mut sections = Vec::new();
    while let Some((&id, after)) = rest.split_first() {
        let (size, after) = take_number(after)?;
        let (body, after) = after.split_at_checked(size)?;
        sections.push((id, body));
        rest = after;
    }
    Some(sections)
}

fn part<'a>(parts: &[(u8, &'a [u8])], id: u8) -> Option<&'a [u8]> {
    parts.iter().find(|(known, _)| *known == id).map(|(_, body)| *body)
}

struct Import<'a> {
    package: &'a str,
    name: &'a str,
    type_index: usize,
}

struct Export<'a> {
    name: &'a str,
    kind: u8,
    index: usize,
}

/// The imported functions.
fn imports(body: &[u8]) -> Option<Vec<Import<'_>>> {
    let mut read = Reader(body);
    let mut found = Vec::new();
    for _ in 0..read.number()? {
        let (package, name) = (read.text()?, read.text()?);
        match read.byte()? {
            0 => found.push(Import { package, name, type_index: read.number()? }),
            3 => {
                read.byte()?;
                read.byte()?;
            }
            kind => {
                // A table says its type first; both have a lower limit and perhaps an upper one.
                if kind == 1 {
                    read.byte()?;
                }
                let has_upper = read.byte()? & 1 == 1;
                read.number()?;
                if has_upper {
                    read.number()?;
                }
            }
        }
    }
    Some(found)
}

fn exports(body: &[u8]) -> Option<Vec<Export<'_>>> {
    let mut read = Reader(body);
    let count = read.number()?;
    (0..count).map(|_| Some(Export { name: read.text()?, kind: read.byte()?, index: read.number()? })).collect()
}

/// How many parameters a function type has.
fn parameters(body: &[u8], wanted: usize) -> Option<usize> {
    let mut read = Reader(body);
    read.number()?;
    for _ in 0..wanted {
        read.byte()?;
        read.bytes()?;
        read.bytes()?;
    }
    read.byte()?;
    Some(read.bytes()?.len())
}

/// The one segment that the glue has: functions into table 0, from a global on.
fn elements(body: &[u8], change: impl Fn(usize) -> usize) -> Option<Vec<u8>> {
    let mut read = Reader(body);
    let is_active = (read.number()?, read.number()?, read.number()?) == (1, 2, 0) && read.byte()? == GLOBAL_GET;
    read.number()?;
    if !is_active || (read.byte()?, read.byte()?) != (END, 0) {
        return None;
    }
    let head = body.len() - read.0.len();
    let indices: Vec<usize> = numbers(read.0)?.0.into_iter().map(change).collect();
    let mut out = body.get(..head)?.to_vec();
    push_numbers(&mut out, &indices);
    Some(out)
}

fn numbers(body: &[u8]) -> Option<(Vec<usize>, &[u8])> {
    let mut read = Reader(body);
    let count = read.number()?;
    let numbers = (0..count).map(|_| read.number()).collect::<Option<_>>()?;
    Some((numbers, read.0))
}

fn push_numbers(out: &mut Vec<u8>, numbers: &[usize]) {
    push_number(out, numbers.len());
    numbers.iter().for_each(|number| push_number(out, *number));
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn number(&mut self) -> Option<usize> {
        let (number, rest) = take_number(self.0)?;
        self.0 = rest;
        Some(number)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let size = self.number()?;
        let (bytes, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}
