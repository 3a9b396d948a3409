# The verbs of this project; `just` alone lists them.

export PATH := justfile_directory() / ".tools/bin:" + justfile_directory() / ".tools/venv/bin:" + env("PATH")

[private]
default:
    @just --list --unsorted

# Formats the code.
fmt:
    cargo fmt --all

# Checks form: format, clippy, the contract's rules, dependencies.
lint: tools
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- -D warnings
    buf lint proto
    buf breaking proto --against proto/released.binpb
    .ci/dependencies

# Runs all tests, or those whose name has PATTERN.
test *PATTERN:
    cargo test --locked {{ PATTERN }}

# Runs the whole-system tests alone.
e2e *PATTERN:
    cargo test --locked -p taiwa-e2e {{ PATTERN }}

# Feeds TARGET with bytes for SECONDS; needs cargo-fuzz and a nightly toolchain.
fuzz TARGET="frames" SECONDS="60":
    cp Cargo.lock fuzz/Cargo.lock
    mkdir -p fuzz/corpus/{{ TARGET }}
    cargo +nightly fuzz run {{ TARGET }} fuzz/corpus/{{ TARGET }} fuzz/seeds/{{ TARGET }} -- -max_total_time={{ SECONDS }}

# Compares Taiwa with a bare relay; bench/README.md says how to read it.
bench *OPTIONS:
    cargo run --release -p taiwa-bench -- {{ OPTIONS }}

# Starts the Bedrock simulator.
sim *OPTIONS:
    cargo run --bin bedrock-simulator -- {{ OPTIONS }}

# Starts the server; with --offline it needs no account.
serve *OPTIONS:
    cargo run --bin taiwa-server -- {{ OPTIONS }}

# Talks with an offline server, which runs for as long as the chat.
demo:
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build --bins
    target/debug/taiwa-server --offline &
    server=$!
    trap 'kill "$server"' EXIT
    until (exec 3<>/dev/tcp/127.0.0.1/50051) 2>/dev/null; do sleep 0.1; done
    target/debug/taiwa chat

# Makes and runs the clients of LANGUAGES (python go typescript java), or all.
examples *LANGUAGES: tools
    cargo build --locked --bin taiwa-server
    examples/run {{ LANGUAGES }}

# Runs the commands of the documents.
docs *FILES="README.md docs/*.md examples/README.md examples/grpcurl/README.md examples/service/README.md": tools
    cargo build --locked --workspace --bins
    .ci/docs {{ FILES }}

# Rewrites the golden file of the wire; read its diff as a client would.
contract:
    UPDATE_EXPECT=1 cargo test --locked -p taiwa --test contract the_wire_is_what_it_was

# Renews what later contracts must stay compatible with; CONTRIBUTING.md says when.
contract-release: tools
    buf build proto -o proto/released.binpb --as-file-descriptor-set --exclude-source-info

# Rewrites the list of what the core stands on.
core-dependencies:
    .ci/dependencies --update

# Checks licences, advisories, duplicates and bans; needs cargo-deny.
deny:
    cargo deny --workspace check

# Everything that a change must pass.
ci:
    .ci/run

[private]
tools:
    .ci/tools
