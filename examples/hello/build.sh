#!/bin/sh
# Builds hello in the languages named, or in all: examples/hello/build.sh rust c js python
# Out come target/hello/hello-LANGUAGE.wasm. Compilers are what sdk/LANGUAGE/README.md says; those of JavaScript and
# Python are fetched to target/tools if they are missing.
set -eu
cd "$(dirname "$0")/../.."
tools=$PWD/target/tools
work=$PWD/target/hello
mkdir -p "$tools" "$work"
cargo build --quiet --locked --package grille-gateway
grille=$PWD/target/debug/grille

build() { # language, the SDK's file that a plugin has a copy of
    rm -rf "$work/$1"
    cp -r "examples/hello/$1" "$work/$1"
    cp "sdk/$1/template/$2" "$work/$1"
    (cd "$work/$1" && "$grille" plugin build --out "$work/hello-$1.wasm")
}

rust() {
    "$grille" plugin build examples/hello/rust --out "$work/hello-rust.wasm"
}

c() {
    build c grille_sdk.h
}

js() {
    [ -d "$work/node_modules/componentize-qjs" ] ||
        npm install --no-audit --no-fund --prefix "$work" componentize-qjs@0.4.5
    build js grille.js
}

python() {
    [ -x "$tools/py/bin/componentize-py" ] || {
        python3 -m venv "$tools/py"
        "$tools/py/bin/pip" install --quiet componentize-py==0.25.1
    }
    PATH="$tools/py/bin:$PATH" build python grille.py
}

[ $# -gt 0 ] || set -- rust c js python
for language in "$@"; do
    case $language in
        rust | c | js | python) "$language" ;;
        *) echo "$0: there is no $language; there are rust, c, js and python" >&2; exit 2 ;;
    esac
done
