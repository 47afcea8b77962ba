#!/bin/sh
# Builds hello in the languages named, or in all: examples/hello/build.sh rust c js python
# Out come target/hello/hello-LANGUAGE.wasm. Tools that are missing are fetched to target/tools; C needs apt besides:
#   apt-get install clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32
set -eu
cd "$(dirname "$0")/../.."
tools=$PWD/target/tools
work=$PWD/target/hello
mkdir -p "$tools" "$work"

pack() { # language, built component
    python3 examples/hello/pack.py "examples/hello/$1/plugin.toml" "$2" "$work/hello-$1.wasm"
}

npm_tools() {
    [ -x "$tools/js/node_modules/.bin/componentize-qjs" ] ||
        npm install --no-audit --no-fund --prefix "$tools/js" @bytecodealliance/jco@1.35.0 componentize-qjs@0.4.5
}

rust() {
    bin="$(rustc --print sysroot)/lib/rustlib/$(rustc --print host-tuple)/bin"
    # Panics name their source file: not where it lay on this machine.
    remap="--remap-path-prefix=$PWD=grille --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
    RUSTFLAGS="-C linker=$bin/wasm-component-ld -C link-arg=--wasm-ld-path=$bin/gcc-ld/wasm-ld $remap" \
        CARGO_TARGET_DIR="$PWD/target/guests" cargo build --release --quiet --locked \
        --target wasm32-unknown-unknown --manifest-path examples/hello/rust/Cargo.toml
    pack rust target/guests/wasm32-unknown-unknown/release/hello.wasm
}

c() {
    npm_tools
    [ -x "$tools/bin/wit-bindgen" ] ||
        cargo install wit-bindgen-cli --version 0.63.0 --no-default-features --features c --locked --root "$tools"
    "$tools/bin/wit-bindgen" c --world all-hooks --rename-world grille --autodrop-borrows yes \
        --out-dir "$work/c" wit
    "${CLANG:-clang-19}" --target=wasm32-wasi --sysroot=/usr -mexec-model=reactor -O2 -s -fuse-ld=lld -Wall -Wextra \
        -I"$work/c" -Isdk/c/template examples/hello/c/*.c "$work/c/grille.c" "$work/c/grille_component_type.o" \
        -o "$work/c/hello.core.wasm"
    "$tools/js/node_modules/.bin/jco" new "$work/c/hello.core.wasm" -o "$work/c/hello.wasm"
    pack c "$work/c/hello.wasm"
}

js() {
    npm_tools
    mkdir -p "$work/js"
    cp sdk/js/template/grille.js examples/hello/js/policy.js "$work/js"
    "$tools/js/node_modules/.bin/componentize-qjs" --wit wit --world all-hooks --js "$work/js/policy.js" \
        --sync --stub-wasi --output "$work/js/built.wasm"
    python3 sdk/js/early_drop.py "$work/js/built.wasm" "$work/js/hello.wasm"
    pack js "$work/js/hello.wasm"
}

python() {
    [ -x "$tools/py/bin/componentize-py" ] || {
        python3 -m venv "$tools/py"
        "$tools/py/bin/pip" install --quiet componentize-py==0.25.1
    }
    mkdir -p "$work/python"
    cp sdk/python/template/grille.py examples/hello/python/policy.py "$work/python"
    "$tools/py/bin/componentize-py" --wit-path wit --world all-hooks componentize --stub-wasi \
        --python-path "$work/python" policy --output "$work/python/hello.wasm"
    pack python "$work/python/hello.wasm"
}

[ $# -gt 0 ] || set -- rust c js python
for language in "$@"; do
    case $language in
        rust | c | js | python) "$language" ;;
        *) echo "$0: there is no $language; there are rust, c, js and python" >&2; exit 2 ;;
    esac
done
