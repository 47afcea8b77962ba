//! Failures of other people's tools, told so that an author knows what to do.

/// What a tool printed when a plugin did not build, and what to do about it.
pub(crate) fn of_output(output: &str) -> Option<String> {
    const KNOWN: [(&[&str], &str); 9] = [
        (&["TextDecoder is not defined"], "QuickJS has no TextDecoder; decode bytes with the functions of grille.js"),
        (
            &["No such file or directory (os error 44)"],
            "jco 1.35 cannot read WIT paths; `grille plugin build` needs no jco",
        ),
        (
            &["'stdlib.h' file not found", "'string.h' file not found", "'stdint.h' file not found"],
            "the C library for Wasm is missing; run: apt install wasi-libc",
        ),
        (
            &["libclang_rt.builtins", "cannot open crt1"],
            "the compiler's runtime for Wasm is missing; run: apt install wasi-libc libclang-rt-19-dev-wasm32",
        ),
        (
            &[
                "unable to find executable 'wasm-ld'",
                "invalid linker name",
                "unable to execute command: Executable \"wasm-ld",
            ],
            "clang's linker is missing; run: apt install lld-19",
        ),
        (
            &["undefined symbol: exports_grille_policy_"],
            "a hook of the world is not defined; define it, or target a smaller world",
        ),
        (
            &["Could not resolve", "could not resolve", "Cannot find module"],
            "a module that is imported is not there; only files beside the plugin can be",
        ),
        (
            &["No module named"],
            "a module that is imported is not there; only Python's own and files beside the plugin can be",
        ),
        (
            &["ENOTFOUND", "EAI_AGAIN", "network request failed"],
            "the package registry cannot be reached; install the tool beforehand",
        ),
    ];
    let known = KNOWN.iter().find(|(symptoms, _)| symptoms.iter().any(|symptom| output.contains(symptom)));
    known.map(|(_, advice)| (*advice).to_owned())
}

/// Why a core module does not become a component.
pub(crate) fn of_wrapping(error: &str) -> String {
    let line = error.split_whitespace().collect::<Vec<_>>().join(" ");
    let advice = match &line {
        line if line.contains("task.cancel") || line.contains("[async-lift]") => {
            "it was built for asynchronous calls; build it with --sync"
        }
        line if line.contains("failed to find export")
            || line.contains("does not export")
            || line.contains("missing export") =>
        {
            "export what the world names, or target a smaller world"
        }
        line if line.contains("unresolved import")
            || line.contains("failed to resolve import")
            || line.contains("module requires an import interface") =>
        {
            "policies reach nothing but grille:policy; remove the import"
        }
        line if line.contains("cabi_realloc") => "export `cabi_realloc`; the bindings of your language have it",
        _ => "build the module against the world that you name",
    };
    format!("the module does not become a component ({line}); {advice}")
}

/// Why a finished component is not one that the host takes.
pub(crate) fn of_component(refusal: &str) -> String {
    if refusal.contains("component model async") {
        return "the component was built for asynchronous calls; build it with --sync".to_owned();
    }
    refusal.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_failures_come_with_advice() {
        for (output, expected) in [
            ("ReferenceError: TextDecoder is not defined", "grille.js"),
            ("policy.c:1:10: fatal error: 'stdlib.h' file not found", "apt install wasi-libc"),
            ("wasm-ld: error: undefined symbol: exports_grille_policy_sql_judge", "a hook of the world"),
            ("ModuleNotFoundError: No module named 'requests'", "Python's own"),
        ] {
            assert!(of_output(output).is_some_and(|advice| advice.contains(expected)), "{output}");
        }
        assert_eq!(of_output("policy.c:3: error: expected ';'"), None);
        for (error, expected) in [
            ("failed to find export of interface `grille:policy/sql`", "smaller world"),
            ("module requires an import interface named `env`", "remove the import"),
            ("`task.cancel` requires the component model async feature", "--sync"),
        ] {
            let said = of_wrapping(error);
            assert!(said.contains(expected) && !said.contains('\n'), "{said}");
        }
    }
}
