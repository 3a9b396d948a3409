use std::{collections::BTreeMap, fmt::Write, path::PathBuf, time::Duration};

use expect_test::expect;
use http::{HeaderMap, HeaderName, HeaderValue};
use taiwa_core::{
    price::Price,
    tool::{Approval, Schema},
};
use taiwa_tools::{grpc, mcp};

use super::*;
use crate::tools::agent::AgentRef;

/// A variable that Cargo sets for every test, and its value.
const SET: (&str, &str) = ("CARGO_PKG_NAME", "taiwa-server");

/// What an agent's tables give, the text of which begins at line 4.
fn mounts(tables: &str) -> Vec<Mount> {
    let mut offered = parse(&with(tables), Path::new("/etc/taiwa"), None).unwrap();
    offered.mounts.remove("a").unwrap_or_default()
}

fn with(tables: &str) -> String {
    format!("[[agents]]\nid = \"a\"\nmodel = \"m\"\n{tables}")
}

/// What is said of a text at fault.
#[track_caller]
fn refused(text: &str) -> String {
    parse(text, Path::new("/etc/taiwa"), None)
        .unwrap_err()
        .to_string()
}

/// The only source of a table.
#[track_caller]
fn origin(table: &str) -> Origin {
    let mut mounts = mounts(table);
    assert_eq!(mounts.len(), 1);
    mounts.remove(0).origin
}

#[track_caller]
fn grpc(table: &str) -> grpc::Config {
    match origin(&format!("[[agents.tools]]\n[agents.tools.grpc]\n{table}")) {
        Origin::Grpc(config) => config,
        other @ (Origin::Mcp(_) | Origin::Agent(_) | Origin::Own(_)) => {
            panic!("{other:?}")
        }
    }
}

#[track_caller]
fn mcp(table: &str) -> mcp::Config {
    match origin(&format!("[[agents.tools]]\n[agents.tools.mcp]\n{table}")) {
        Origin::Mcp(config) => config,
        other @ (Origin::Grpc(_) | Origin::Agent(_) | Origin::Own(_)) => {
            panic!("{other:?}")
        }
    }
}

fn headers(entries: &[(&'static str, &'static str)]) -> HeaderMap {
    entries
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

/// The blocks of TOML in the document.
fn examples() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let document = std::fs::read_to_string(path).unwrap();
    let blocks = document.split("```toml\n").skip(1);
    blocks
        .map(|block| block.split_once("```").unwrap().0.to_owned())
        .collect()
}

#[test]
fn the_tools_of_the_document_are_read() {
    let example = examples().swap_remove(1);
    let example = example
        .replace("env:INVENTORY_KEY", &format!("env:{}", SET.0))
        .replace("env:CRM_TOKEN", &format!("env:{}", SET.0));
    let text = format!("default_agent = \"support\"\n{example}");
    let offered = parse(&text, Path::new("/etc/taiwa"), Some("m")).unwrap();
    assert_eq!(offered.mounts.keys().collect::<Vec<_>>(), ["support"]);

    let mut mounts = offered.mounts["support"].clone().into_iter();
    let inventory = mounts.next().unwrap();
    assert_eq!(inventory.prefix, "stock_");
    assert_eq!(
        inventory.allow,
        ["Get*", "FindItems"].map(|text| text.parse().unwrap())
    );
    assert_eq!(inventory.approval, Some(Approval::Never));
    assert_eq!(inventory.timeout, Some(Duration::from_secs(20)));
    let Origin::Grpc(config) = inventory.origin else {
        panic!("{inventory:?}");
    };
    let file = |name: &str| PathBuf::from("/etc/taiwa").join(name);
    let expected = grpc::Config {
        descriptor_set: Some(file("inventory.binpb")),
        metadata: headers(&[("x-api-key", SET.1)]),
        forward_metadata: vec![HeaderName::from_static("traceparent")],
        tls: Some(grpc::Tls {
            ca: Some(file("tls/ca.pem")),
            client: Some(grpc::ClientCertificate {
                certificate: file("tls/us.pem"),
                key: file("tls/us.key"),
            }),
            server_name: Some("inventory.internal".to_owned()),
        }),
        ..grpc::Config::new("https://inventory.example:443", ["shop.v1.Inventory/*"])
    };
    assert_eq!(config, expected, "the document shows the defaults");

    let files = mounts.next().unwrap();
    assert_eq!(files.prefix, "files_");
    assert_eq!(files.approval, Some(Approval::Always));
    assert_eq!((files.allow.len(), files.timeout), (0, None));
    let Origin::Mcp(config) = files.origin else {
        panic!("{files:?}");
    };
    let transport = mcp::Transport::Stdio {
        command: "npx".to_owned(),
        args: ["-y", "@modelcontextprotocol/server-filesystem", "/srv/docs"]
            .map(str::to_owned)
            .to_vec(),
        env: BTreeMap::from([("LOG_LEVEL".to_owned(), "warning".to_owned())]),
        cwd: Some(file("work")),
    };
    let expected = mcp::Config::new("files", transport);
    assert_eq!(config, expected, "the document shows the defaults");

    let crm = mounts.next().unwrap();
    let schema = r#"{"properties":{"amount":{"exclusiveMinimum":100}},"required":["amount"]}"#;
    let when = Approval::When(Schema::parse(schema).unwrap());
    assert_eq!(crm.approval, Some(when));
    let Origin::Mcp(config) = crm.origin else {
        panic!("{crm:?}");
    };
    let transport = mcp::Transport::Http {
        url: "https://crm.example/mcp".to_owned(),
        headers: headers(&[("x-team", "shop")]),
        bearer: Some(SET.1.to_owned()),
        forward_metadata: vec![HeaderName::from_static("authorization")],
    };
    let expected = mcp::Config::new("https://crm.example/mcp", transport);
    assert_eq!(config, expected);

    let writer = mounts.next().unwrap();
    assert_eq!((writer.prefix.as_str(), writer.approval), ("", None));
    let Origin::Agent(asked) = writer.origin else {
        panic!("another source");
    };
    let expected = AgentRef {
        id: "writer".to_owned(),
        name: "ask_writer".to_owned(),
        description: "Writes a letter.".to_owned(),
    };
    assert_eq!(asked, expected);
    assert!(mounts.next().is_none());
}

#[test]
fn the_servers_own_tools_of_the_document_are_read() {
    let example = examples().swap_remove(2);
    let offered = parse(&example, Path::new("/etc/taiwa"), Some("m")).unwrap();
    let mut found = Vec::new();
    for mount in &offered.mounts["support"] {
        let Origin::Own(source) = &mount.origin else {
            panic!("{mount:?}");
        };
        for tool in source.tools().borrow().iter() {
            found.push(tool.definition().clone());
        }
    }
    let names: Vec<&str> = found.iter().map(|tool| &*tool.name).collect();
    assert_eq!(names, ["current_time", "http_get"]);
    let description = &found[1].description;
    assert!(
        description.contains("https://docs.example/"),
        "{description}"
    );
}

#[test]
fn a_source_needs_only_where_it_is() {
    let config = grpc("endpoint = \"http://shop:1\"\nmethods = [\"a.B/C\"]\n");
    assert_eq!(config, grpc::Config::new("http://shop:1", ["a.B/C"]));

    let config = mcp("command = [\"server\"]\n");
    let transport = mcp::Transport::Stdio {
        command: "server".to_owned(),
        args: Vec::new(),
        env: BTreeMap::new(),
        cwd: None,
    };
    assert_eq!(config, mcp::Config::new("server", transport));

    let Origin::Agent(asked) = origin("[[agents.tools]]\n[agents.tools.agent]\nid = \"a\"\n")
    else {
        panic!("another source");
    };
    let expected = AgentRef {
        id: "a".to_owned(),
        name: "a".to_owned(),
        description: String::new(),
    };
    assert_eq!(asked, expected);
}

#[test]
fn every_setting_of_a_source_has_another_value() {
    let config = grpc(
        "endpoint = \"http://shop:1\"\nmethods = [\"a.B/C\", \"a.B/D\"]\n\
         stream_result = \"all\"\nconnect_timeout = \"250ms\"\nmax_message_size = \"1MiB\"\n",
    );
    let expected = grpc::Config {
        stream_result: grpc::StreamResult::All,
        connect_timeout: Duration::from_millis(250),
        max_message_bytes: 1 << 20,
        ..grpc::Config::new("http://shop:1", ["a.B/C", "a.B/D"])
    };
    assert_eq!(config, expected);

    let config = mcp(
        "command = [\"server\", \"--quick\"]\nstart_timeout = \"3s\"\n\
         shortest_pause = \"1s\"\nlongest_pause = \"2s\"\n",
    );
    assert_eq!(config.name, "server --quick");
    assert_eq!(config.start_timeout, Duration::from_secs(3));
    assert_eq!(config.shortest_pause, Duration::from_secs(1));
    assert_eq!(config.longest_pause, Duration::from_secs(2));

    let source = "[agents.tools.mcp]\nurl = \"http://x\"\n";
    let approval = |word: &str| {
        let text = format!("[[agents.tools]]\napproval = \"{word}\"\n{source}");
        mounts(&text).remove(0).approval
    };
    assert_eq!(approval("never"), Some(Approval::Never));
    assert_eq!(approval("always"), Some(Approval::Always));
}

#[test]
fn a_secret_may_be_in_a_variable_wherever_one_is_taken() {
    let of = format!("env:{}", SET.0);
    let config = grpc(&format!(
        "endpoint = \"http://x\"\nmethods = [\"a.B/C\"]\nmetadata = {{ K = \"{of}\" }}\n"
    ));
    assert_eq!(config.metadata, headers(&[("k", SET.1)]));
    assert!(config.metadata["k"].is_sensitive());

    let config = mcp(&format!(
        "command = [\"s\"]\nenv = {{ K = \"{of}\", PLAIN = \"environment\" }}\n"
    ));
    let mcp::Transport::Stdio { env, .. } = config.transport else {
        panic!("another transport");
    };
    let expected = [("K", SET.1), ("PLAIN", "environment")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(env, BTreeMap::from(expected));

    let config = mcp(&format!(
        "url = \"http://x\"\nbearer = \"{of}\"\nheaders = {{ k = \"{of}\" }}\n"
    ));
    let mcp::Transport::Http {
        bearer, headers, ..
    } = config.transport
    else {
        panic!("another transport");
    };
    assert_eq!(bearer.as_deref(), Some(SET.1));
    assert_eq!(headers["k"], SET.1);
}

#[test]
fn secrets_are_not_in_what_is_logged() {
    let tables = "[[agents.tools]]\n[agents.tools.grpc]\nendpoint = \"http://x\"\n\
                  methods = [\"a.B/C\"]\nmetadata = { k = \"hush-1\" }\n\
                  [[agents.tools]]\n[agents.tools.mcp]\ncommand = [\"s\"]\nenv = { K = \"hush-2\" }\n\
                  [[agents.tools]]\n[agents.tools.mcp]\nurl = \"http://x\"\nbearer = \"hush-3\"\n\
                  headers = { k = \"hush-4\" }\n";
    let shown = format!("{:?}", mounts(tables));
    assert!(shown.contains("a.B/C"), "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn prices_are_of_a_token_and_default_to_those_of_input() {
    let text = "[[prices]]\nmodel = \"vendor.one\"\ninput_usd = 3.0\noutput_usd = 15.0\n\
                cache_read_usd = 0.3\ncache_write_usd = 3.75\ncache_write_1h_usd = 6.0\n\
                [[prices]]\nmodel = \"vendor.two\"\ninput_usd = 0.06\noutput_usd = 0.24\n\
                [[prices]]\nmodel = \"vendor.three\"\ninput_usd = 1\noutput_usd = 0\n\
                cache_write_usd = 2\n";
    let offered = parse(&format!("{text}{}", with("")), Path::new(""), None).unwrap();
    let prices = &offered.agents.default_agent().prices;
    let price = |input, output, cache_read, cache_write, cache_write_1h| Price {
        input,
        output,
        cache_read,
        cache_write,
        cache_write_1h,
    };
    let expected = [
        (
            "vendor.one",
            price(3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000),
        ),
        ("vendor.two", price(60_000, 240_000, 60_000, 60_000, 60_000)),
        (
            "vendor.three",
            price(1_000_000, 0, 1_000_000, 2_000_000, 2_000_000),
        ),
    ];
    for (model, price) in expected {
        assert_eq!(prices.find(model), Some(price), "{model}");
    }
    assert_eq!(prices.find("vendor.four"), None);
}

#[test]
fn budgets_are_read_as_they_are_written() {
    let text = "[[budgets]]\ntenant = \"acme\"\nmax_tokens = 5000000\nmax_cost_usd = 20.5\n\
                period = \"24h\"\n[[budgets]]\nmax_tokens = 1\n\
                [[budgets]]\ntenant = \"\"\nmax_cost_usd = 0.000000000001\n";
    let offered = parse(&format!("{text}{}", with("")), Path::new(""), None).unwrap();
    let none = budget::Config {
        tenant: None,
        max_tokens: None,
        max_cost: None,
        period: None,
    };
    let expected = [
        budget::Config {
            tenant: Some("acme".to_owned()),
            max_tokens: Some(5_000_000),
            max_cost: Some(20_500_000_000_000),
            period: Some(Duration::from_secs(24 * 60 * 60)),
        },
        budget::Config {
            max_tokens: Some(1),
            ..none.clone()
        },
        budget::Config {
            tenant: Some(String::new()),
            max_cost: Some(1),
            ..none
        },
    ];
    assert_eq!(offered.budgets, expected);
}

#[test]
fn faults_of_tools_are_told_with_their_place() {
    let tools = "[[agents.tools]]\n";
    let grpc = "[[agents.tools]]\n[agents.tools.grpc]\n";
    let mcp = "[[agents.tools]]\n[agents.tools.mcp]\n";
    let whole = "endpoint = \"http://x\"\nmethods = [\"a.B/C\"]\n";
    let agent = "[agents.tools.agent]\nid = \"a\"\n";
    let bad = [
        tools.to_owned(),
        format!("{tools}{agent}[agents.tools.mcp]\nurl = \"http://x\"\n"),
        format!("{tools}[agents.tools.agent]\nid = \"b\"\n"),
        format!("{tools}builtin = [\"time\"]\n"),
        format!("{tools}[agents.tools.http_get]\nallowed = []\n"),
        format!("{tools}[agents.tools.http_get]\nmax_size = \"1MiB\"\n"),
        format!("{tools}[agents.tools.http_get]\nallow = []\n"),
        format!("{tools}[agents.tools.http_get]\nallow = [\"http://a\", \"docs.example\"]\n"),
        format!("{tools}pre = \"x\"\n{agent}"),
        format!("{tools}prefix = \"a.\"\n{agent}"),
        format!("{tools}allow = [\"a*b\"]\n{agent}"),
        format!("{tools}allow = [\"\"]\n{agent}"),
        format!("{tools}timeout = \"0s\"\n{agent}"),
        format!("{tools}approval = \"sometimes\"\n{agent}"),
        format!("{tools}approval = true\n{agent}"),
        format!("{tools}approval = {{ if = {{}} }}\n{agent}"),
        format!("{tools}approval = {{ when = {{}}, unless = {{}} }}\n{agent}"),
        format!("{tools}approval = {{ when = {{ type = \"thing\" }} }}\n{agent}"),
        format!("{tools}approval = {{ when = {{ const = 2026-11-22 }} }}\n{agent}"),
        format!("{grpc}endpoint = \"http://x\"\n"),
        format!("{grpc}{whole}stream_result = \"first\"\n"),
        format!("{grpc}{whole}metadata = {{ \"a b\" = \"x\" }}\n"),
        format!("{grpc}{whole}metadata = {{ a = \"x\\ny\" }}\n"),
        format!("{grpc}{whole}metadata = {{ a = \"env:NO_SUCH_VARIABLE\" }}\n"),
        format!("{grpc}{whole}forward_metadata = [\"ok\", \"ü\"]\n"),
        format!("{grpc}{whole}max_message_size = \"5GiB\"\n"),
        format!("{grpc}{whole}tls = {{ client_certificate = \"x\" }}\n"),
        format!("{grpc}{whole}tls = {{ client_key = \"x\" }}\n"),
        format!("{grpc}{whole}tls = {{ cert = \"x\" }}\n"),
        format!("{mcp}name = \"x\"\n"),
        format!("{mcp}command = [\"s\"]\nurl = \"http://x\"\n"),
        format!("{mcp}command = []\n"),
        format!("{mcp}command = [\"\"]\n"),
        format!("{mcp}command = \"server --quick\"\n"),
        format!("{mcp}command = [\"s\"]\nbearer = \"x\"\n"),
        format!("{mcp}url = \"http://x\"\ncwd = \"x\"\n"),
        format!("{mcp}url = \"http://x\"\nbearer = \"env:NO_SUCH_VARIABLE\"\n"),
        format!("{mcp}url = \"http://x\"\nshortest_pause = \"1m\"\n"),
        format!("{mcp}commands = [\"s\"]\n"),
    ];
    let mut told = String::new();
    for tables in bad {
        writeln!(told, "{}\n", refused(&with(&tables)).trim_end()).unwrap();
    }
    expect![[r#"
        line 4, column 1: tools must have one of grpc, mcp, agent, builtin and http_get

        line 4, column 1: tools must have one of grpc, mcp, agent, builtin and http_get

        line 4, column 1: tools has a tool that is an agent, and there is none: b

        TOML parse error at line 5, column 12
          |
        5 | builtin = ["time"]
          |            ^^^^^^
        unknown variant `time`, expected `current_time`

        TOML parse error at line 6, column 1
          |
        6 | allowed = []
          | ^^^^^^^
        unknown field `allowed`, expected one of `allow`, `max_size`, `timeout`
        did you mean `allow`?

        TOML parse error at line 5, column 1
          |
        5 | [agents.tools.http_get]
          | ^^^^^^^^^^^^^^^^^^^^^^^
        missing field `allow`

        line 5, column 1: http_get must allow at least one address

        line 6, column 22: allow must name what may be asked: 'docs.example' is no address of the form http[s]://host[:port][/path prefix]

        TOML parse error at line 5, column 1
          |
        5 | pre = "x"
          | ^^^
        unknown field `pre`, expected one of `prefix`, `allow`, `approval`, `timeout`, `grpc`, `mcp`, `agent`, `builtin`, `http_get`

        TOML parse error at line 5, column 10
          |
        5 | prefix = "a."
          |          ^^^^
        must be 1 to 64 letters, digits, underscores or hyphens

        TOML parse error at line 5, column 9
          |
        5 | allow = ["a*b"]
          |         ^^^^^^^
        must be a tool's name, or the beginning of one with a * behind it

        TOML parse error at line 5, column 9
          |
        5 | allow = [""]
          |         ^^^^
        must be a tool's name, or the beginning of one with a * behind it

        TOML parse error at line 5, column 11
          |
        5 | timeout = "0s"
          |           ^^^^
        must be more than zero

        TOML parse error at line 5, column 12
          |
        5 | approval = "sometimes"
          |            ^^^^^^^^^^^
        must be "never", "always" or { when = SCHEMA }

        TOML parse error at line 5, column 12
          |
        5 | approval = true
          |            ^^^^
        must be "never", "always" or { when = SCHEMA }

        TOML parse error at line 5, column 12
          |
        5 | approval = { if = {} }
          |            ^^^^^^^^^^^
        must be "never", "always" or { when = SCHEMA }

        TOML parse error at line 5, column 12
          |
        5 | approval = { when = {}, unless = {} }
          |            ^^^^^^^^^^^^^^^^^^^^^^^^^^
        must be "never", "always" or { when = SCHEMA }

        line 5, column 12: approval has a when that is not a JSON Schema, at /type: "thing" is not one of "array", "boolean" or 5 other candidates

        line 5, column 12: approval must hold what JSON can say: no dates

        TOML parse error at line 5, column 1
          |
        5 | [agents.tools.grpc]
          | ^^^^^^^^^^^^^^^^^^^
        missing field `methods`

        TOML parse error at line 8, column 17
          |
        8 | stream_result = "first"
          |                 ^^^^^^^
        unknown variant `first`, expected `last` or `all`

        line 8, column 22: metadata must name metadata or a header, which "a b" cannot be

        line 8, column 18: metadata must have values of printable ASCII characters

        line 8, column 18: metadata names a variable that is not set: NO_SUCH_VARIABLE

        line 8, column 27: forward_metadata must name metadata or a header, which "ü" cannot be

        TOML parse error at line 8, column 20
          |
        8 | max_message_size = "5GiB"
          |                    ^^^^^^
        must be less than 4GiB

        line 8, column 30: client_certificate must be set together with client_key

        line 8, column 22: client_key must be set together with client_certificate

        TOML parse error at line 8, column 9
          |
        8 | tls = { cert = "x" }
          |         ^^^^
        unknown field `cert`, expected one of `ca`, `client_certificate`, `client_key`, `server_name`

        line 5, column 1: mcp must have either a command, of a program and its arguments, or a url

        line 5, column 1: mcp must have either a command, of a program and its arguments, or a url

        line 6, column 11: command must begin with a program

        line 6, column 11: command must begin with a program

        TOML parse error at line 6, column 11
          |
        6 | command = "server --quick"
          |           ^^^^^^^^^^^^^^^^
        invalid type: string "server --quick", expected a sequence

        line 5, column 1: mcp takes env and cwd with command; headers, bearer and forward_metadata with url

        line 5, column 1: mcp takes env and cwd with command; headers, bearer and forward_metadata with url

        line 7, column 10: bearer names a variable that is not set: NO_SUCH_VARIABLE

        line 5, column 1: shortest_pause must not be longer than longest_pause

        TOML parse error at line 6, column 1
          |
        6 | commands = ["s"]
          | ^^^^^^^^
        unknown field `commands`, expected one of `name`, `command`, `env`, `cwd`, `url`, `headers`, `bearer`, `forward_metadata`, `start_timeout`, `shortest_pause`, `longest_pause`
        did you mean `command`?

    "#]].assert_eq(&told);
}

#[test]
fn faults_of_prices_and_budgets_are_told_with_their_place() {
    let price = "[[prices]]\nmodel = \"m\"\ninput_usd = 1.0\noutput_usd = 1.0\n";
    let bad = [
        "[[prices]]\nmodel = \"m\"\ninput_usd = 1.0\n".to_owned(),
        "[[prices]]\nmodel = \"m\"\ninput_usd = -1.0\noutput_usd = 1.0\n".to_owned(),
        "[[prices]]\nmodel = \"m\"\ninput_usd = nan\noutput_usd = 1.0\n".to_owned(),
        "[[prices]]\nmodel = \"a b\"\ninput_usd = 1.0\noutput_usd = 1.0\n".to_owned(),
        format!("{price}{price}"),
        format!("{price}cache_write_2h_usd = 1.0\n"),
        "[[budgets]]\ntenant = \"acme\"\n".to_owned(),
        "[[budgets]]\nmax_tokens = 0\n".to_owned(),
        "[[budgets]]\nmax_cost_usd = 1000001.0\n".to_owned(),
        "[[budgets]]\nmax_cost_usd = 0\n".to_owned(),
        with("[agents.limits]\nmax_cost_usd = 0.0\n"),
        with("[agents.limits]\nmax_cost_usd = 1e-13\n"),
        "[[budgets]]\nmax_tokens = 1\nperiod = \"0s\"\n".to_owned(),
        "[[budgets]]\nmax_tokens = 1\n[[budgets]]\nmax_tokens = 2\n".to_owned(),
        "[[budgets]]\ntenant = \"t\"\nmax_tokens = 1\n[[budgets]]\ntenant = \"t\"\nmax_tokens = 2\n"
            .to_owned(),
        "[[budgets]]\nmax_token = 1\n".to_owned(),
    ];
    let mut told = String::new();
    for tables in bad {
        let text = format!("{tables}{}", with(""));
        writeln!(told, "{}\n", refused(&text).trim_end()).unwrap();
    }
    expect![[r#"
        TOML parse error at line 1, column 1
          |
        1 | [[prices]]
          | ^^^^^^^^^^
        missing field `output_usd`

        TOML parse error at line 3, column 13
          |
        3 | input_usd = -1.0
          |             ^^^^
        must be between 0 and 1000000

        TOML parse error at line 3, column 13
          |
        3 | input_usd = nan
          |             ^^^
        must be between 0 and 1000000

        TOML parse error at line 2, column 9
          |
        2 | model = "a b"
          |         ^^^^^
        must be 1 to 2048 printable characters without spaces

        line 6, column 9: model has a price already: m

        TOML parse error at line 5, column 1
          |
        5 | cache_write_2h_usd = 1.0
          | ^^^^^^^^^^^^^^^^^^
        unknown field `cache_write_2h_usd`, expected one of `model`, `input_usd`, `output_usd`, `cache_read_usd`, `cache_write_usd`, `cache_write_1h_usd`
        did you mean `cache_write_1h_usd`?

        line 1, column 1: budgets must have max_tokens or max_cost_usd

        TOML parse error at line 2, column 14
          |
        2 | max_tokens = 0
          |              ^
        invalid value: integer `0`, expected a nonzero u64

        TOML parse error at line 2, column 16
          |
        2 | max_cost_usd = 1000001.0
          |                ^^^^^^^^^
        must be between 0 and 1000000

        TOML parse error at line 2, column 16
          |
        2 | max_cost_usd = 0
          |                ^
        must be more than 0 and at most 1000000

        TOML parse error at line 5, column 16
          |
        5 | max_cost_usd = 0.0
          |                ^^^
        must be more than 0 and at most 1000000

        TOML parse error at line 5, column 16
          |
        5 | max_cost_usd = 1e-13
          |                ^^^^^
        must be more than 0 and at most 1000000

        TOML parse error at line 3, column 10
          |
        3 | period = "0s"
          |          ^^^^
        must be more than zero

        line 3, column 1: budgets has two without a tenant

        line 4, column 1: budgets has two of the tenant t

        TOML parse error at line 2, column 1
          |
        2 | max_token = 1
          | ^^^^^^^^^
        unknown field `max_token`, expected one of `tenant`, `max_tokens`, `max_cost_usd`, `period`
        did you mean `max_tokens`?

    "#]].assert_eq(&told);
}
