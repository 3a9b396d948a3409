use std::{collections::BTreeSet, fmt::Write, fs, num::NonZeroU64};

use clap::CommandFactory;
use expect_test::{expect, expect_file};
use taiwa_cli::chain;
use taiwa_core::{
    context::{Policy, Settings, Summary},
    model::ReplyForm,
    options::LatencyMode,
};

use super::*;

#[test]
fn a_model_is_all_that_is_needed() {
    let config = config(&["--model", "amazon.nova-lite-v1:0"]);
    assert_eq!(config.listen.to_string(), "127.0.0.1:50051");
    assert!(config.offline.is_none());
    let assistant = config.agents.default_agent();
    assert_eq!(assistant.id, "assistant");
    assert_eq!(
        assistant.options,
        TurnOptions {
            model_id: Some("amazon.nova-lite-v1:0".to_owned()),
            ..TurnOptions::default()
        }
    );
    assert!(assistant.model_override);
    assert_eq!(assistant.system_override, SystemOverride::Replace);
    assert_eq!(config.sessions, session::Config::default());
    assert_eq!(config.transport, transport::Config::default());
}

#[test]
fn offline_is_all_that_is_needed_without_an_account() {
    // Unset it means the same, but where a language model was built in and brought.
    let persona = if cfg!(feature = "local-model") {
        &["--offline", "--offline-model=persona"][..]
    } else {
        &["--offline"]
    };
    let config = config(persona);
    let model = &config.agents.default_agent().options.model_id;
    assert_eq!(model.as_deref(), Some("simulator.persona-v1:0"));
    assert_eq!(config.offline.unwrap().pace, Pace::real());
}

#[cfg(not(feature = "local-model"))]
#[test]
fn a_program_without_local_models_says_how_to_build_one() {
    let error = load(&["--offline", "--offline-model=model.gguf"]).unwrap_err();
    let said = chain(&error);
    assert!(
        said.contains("--offline-model: cannot use model.gguf"),
        "{said}"
    );
    assert!(
        said.contains("--features taiwa-server/local-model"),
        "{said}"
    );
}

#[cfg(feature = "local-model")]
#[test]
fn the_model_that_was_brought_answers_unless_something_else_is_named() {
    let shelf = taiwa_simulator::local::shelf::Shelf::of_user().unwrap();
    if let Err(error) = shelf.usual() {
        let in_ci = std::env::var_os("CI").is_some_and(|it| it == "true");
        assert!(!in_ci, "{error}");
        eprintln!("SKIPPED: {error}");
        return;
    }
    let model_of = |arguments: &[&str]| {
        let config = config(arguments);
        let id = config.agents.default_agent().options.model_id.clone();
        let loaded = config.offline.unwrap().model;
        assert_eq!(
            loaded.map(|model| model.id().to_owned()),
            id.clone().filter(|id| id.starts_with("local."))
        );
        id.unwrap()
    };
    assert!(model_of(&["--offline"]).starts_with("local."));
    assert!(model_of(&["--offline", "--offline-model=default"]).starts_with("local."));
    let persona = ["--offline", "--offline-model=persona"];
    assert_eq!(model_of(&persona), "simulator.persona-v1:0");
    assert_eq!(model_of(&["--offline", "--model=m"]), "m");
}

#[test]
fn a_tool_of_ones_own_goes_to_an_agent_that_there_is() {
    let tool = || {
        taiwa_tools::Function::new("tell", "Tells.", r#"{"type":"object"}"#, async |_| {
            Ok(taiwa_tools::Output::text("told"))
        })
        .unwrap()
    };
    let mut config = config(&["--offline"]);
    config.add_tool("assistant", tool()).unwrap();
    config.add_tool("assistant", tool()).unwrap();
    assert_eq!(config.tools["assistant"].len(), 2);
    let error = config.add_tool("nobody", tool()).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"there is no agent "nobody" to have a tool"#
    );
}

#[test]
fn every_option_reaches_its_place() {
    let config = config(&[
        "--listen=[::1]:7",
        "--model=m",
        "--region=eu-central-1",
        "--profile=shop",
        "--endpoint-url=https://bedrock.example/path",
        "--max-sessions=3",
        "--max-connections=4",
        "--max-streams-per-connection=5",
        "--max-message-size=6MiB",
        "--session-idle-timeout=7s",
        "--stream-idle-timeout=8s",
        "--reader-stall-timeout=9s",
        "--event-log-max=10KiB",
        "--event-log-keep=1KiB",
        "--event-log-window=2KiB",
        "--max-connection-age=11m",
        "--max-connection-age-grace=0s",
        "--shutdown-grace=0s",
        "--replay-window=13m",
        "--session-ttl=14m",
        "--event-log-keep-overall=12KiB",
        "--store=sqlite:/var/lib/taiwa.db",
        "--durability=full",
        "--max-kept-sessions=15",
        "--tenant-header=x-tenant",
        "--log-format=json",
        "--log=warn,taiwa_server=trace",
    ]);
    assert_eq!(config.listen.to_string(), "[::1]:7");
    assert_eq!(config.bedrock.region.as_deref(), Some("eu-central-1"));
    assert_eq!(config.bedrock.profile.as_deref(), Some("shop"));
    let endpoint = config.bedrock.endpoint_url.as_deref();
    assert_eq!(endpoint, Some("https://bedrock.example/path"));
    assert_eq!(
        config.sessions,
        session::Config {
            max_sessions: 3,
            session_idle_timeout: Duration::from_secs(7),
            session_ttl: Duration::from_secs(14 * 60),
            replay_window: Duration::from_secs(13 * 60),
            stream_idle_timeout: Duration::from_secs(8),
            reader_stall_timeout: Duration::from_secs(9),
            max_frame_bytes: 6 << 20,
            log: session::log::Config {
                max_bytes: 10 << 10,
                keep_bytes: 1 << 10,
                keep_bytes_overall: 12 << 10,
                window_bytes: 2 << 10,
            },
        }
    );
    assert_eq!(
        config.store,
        store_config::Config {
            place: store_config::Place::Sqlite {
                path: "/var/lib/taiwa.db".into(),
                durability: store_config::Durability::Full,
            },
            max_sessions_per_tenant: 15,
        }
    );
    let header = http::HeaderName::from_static("x-tenant");
    assert_eq!(config.tenants, TenantSource::Header(header));
    assert_eq!(config.max_message_bytes, 6 << 20);
    assert_eq!(
        config.transport,
        transport::Config {
            max_connections: 4.try_into().unwrap(),
            max_streams_per_connection: 5.try_into().unwrap(),
            max_connection_age: Some(Duration::from_secs(660)),
            max_connection_age_grace: Duration::ZERO,
            ..transport::Config::default()
        }
    );
    assert_eq!(config.shutdown_grace, Duration::ZERO);
    assert_eq!(config.telemetry.format, LogFormat::Json);
    assert_eq!(
        config.telemetry.filter.to_string(),
        "warn,taiwa_server=trace"
    );
}

#[test]
fn bad_options_are_named() {
    let bad = [
        &[][..],
        &["--offline", "--endpoint-url=http://x"],
        &["--offline", "--profile=x"],
        &["--model=m", "--offline-scenario=x"],
        &["--model=m", "--offline-speed=max"],
        &["--model=m", "--offline-model=default"],
        &["--offline", "--offline-scenario=/no/such/file"],
        &["--config=/no/such/file"],
        &["--model=m", "--endpoint-url=ftp://x"],
        &["--model=m", "--endpoint-url=https://me:secret@x"],
        &["--model=m", "--event-log-keep=5MiB"],
        &["--model=m", "--max-sessions=0"],
        &["--model=m", "--max-message-size=0"],
        &["--model=m", "--session-idle-timeout=0s"],
        &["--model=m", "--log=info,x=loud"],
        &["--model=a b"],
        &["--model="],
        &["--modle=m"],
    ];
    let mut told = String::new();
    for arguments in bad {
        let error = load(arguments).unwrap_err();
        let text = chain(&error);
        let first = text.lines().next().unwrap_or_default();
        writeln!(told, "{}\n    {first}", arguments.join(" ")).unwrap();
    }
    expect![[r#"

            no model: give a Bedrock model id with --model or TAIWA_MODEL, or use --offline to run without an AWS account
        --offline --endpoint-url=http://x
            --offline and --endpoint-url exclude each other
        --offline --profile=x
            --offline and --profile exclude each other
        --model=m --offline-scenario=x
            --offline-scenario needs --offline
        --model=m --offline-speed=max
            --offline-speed needs --offline
        --model=m --offline-model=default
            --offline-model needs --offline
        --offline --offline-scenario=/no/such/file
            --offline-scenario: cannot read /no/such/file: No such file or directory (os error 2)
        --config=/no/such/file
            --config: cannot read /no/such/file: No such file or directory (os error 2)
        --model=m --endpoint-url=ftp://x
            --endpoint-url must be http:// or https:// with a host, and without user or password
        --model=m --endpoint-url=https://me:secret@x
            --endpoint-url must be http:// or https:// with a host, and without user or password
        --model=m --event-log-keep=5MiB
            --event-log-keep must not be larger than --event-log-max
        --model=m --max-sessions=0
            error: invalid value '0' for '--max-sessions <COUNT>': number would be zero for non-zero type
        --model=m --max-message-size=0
            error: invalid value '0' for '--max-message-size <SIZE>': must be more than zero
        --model=m --session-idle-timeout=0s
            error: invalid value '0s' for '--session-idle-timeout <DURATION>': must be more than zero
        --model=m --log=info,x=loud
            error: invalid value 'info,x=loud' for '--log <FILTER>': error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5
        --model=a b
            error: invalid value 'a b' for '--model <ID>': must be 1 to 2048 printable characters without spaces
        --model=
            error: invalid value '' for '--model <ID>': must be 1 to 2048 printable characters without spaces
        --modle=m
            error: unexpected argument '--modle' found
    "#]].assert_eq(&told);
}

#[test]
fn the_agents_of_the_document_are_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("prompts")).unwrap();
    fs::write(folder.path().join("prompts/writer.md"), "You write.\n").unwrap();
    let path = folder.path().join("agents.toml");
    fs::write(&path, example()).unwrap();

    let agents = file::read(&path, None).unwrap().agents;
    assert_eq!(agents.default_agent().id, "support");
    let writer = agents.find("writer").unwrap();
    assert_eq!(writer.options.system.as_deref(), Some("You write.\n"));
    assert_eq!(writer.display_name, "writer");
    assert_eq!(writer.system_override, SystemOverride::Refuse);
    assert!(!writer.model_override);
    assert_eq!(writer.limits, Limits::default());
    assert_eq!(writer.context, None);
    let support = agents.find("support").unwrap();
    let expected = Limits {
        max_total_tokens: Some(200_000.try_into().unwrap()),
        ..Limits::default()
    };
    assert_eq!(support.options.max_cost, NonZeroU64::new(500_000_000_000));
    assert_eq!(support.reply_form, Some(ReplyForm::Native));
    assert_eq!(writer.reply_form, None);
    assert_eq!(support.limits, expected, "the document shows the defaults");
    let context = Settings {
        trigger_tokens: 150_000.try_into().unwrap(),
        target_tokens: 75_000.try_into().unwrap(),
        policy: Policy::Summarize(Summary {
            model_id: Some("eu.amazon.nova-lite-v1:0".to_owned()),
            instructions: Some("Condense the conversation. Keep order numbers.".to_owned()),
            max_tokens: 1_024.try_into().unwrap(),
        }),
    };
    assert_eq!(support.context, Some(context));
    assert_eq!(support.options.latency, Some(LatencyMode::Standard));
    let fields = support.options.additional_model_fields.as_ref().unwrap();
    assert_eq!(fields.to_string(), r#"{"top_k":50}"#);
    expect![[r#"
        TurnOptions {
            model_id: Some(
                "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            ),
            system: Some(
                "You answer questions about orders. Be brief.",
            ),
            system_content: [],
            max_tokens: Some(
                2048,
            ),
            temperature: Some(
                0.2,
            ),
            top_p: Some(
                0.9,
            ),
            stop_sequences: [
                "END",
            ],
            reasoning: Some(
                ReasoningOptions {
                    effort: Some(
                        "low",
                    ),
                    budget_tokens: Some(
                        1024,
                    ),
                },
            ),
            output: None,
            client_tools: [],
            allowed_tools: [],
            provider_tools: [],
            tool_choice: None,
            approval: None,
            guardrail: Some(
                GuardrailOptions {
                    guardrail_id: "gr-0123456789ab",
                    version: "1",
                    trace: Some(
                        Enabled,
                    ),
                    stream_mode: Some(
                        Sync,
                    ),
                },
            ),
            max_steps: None,
            timeout: None,
            max_total_tokens: None,
            max_cost: Some(
                500000000000,
            ),
            service_tier: Some(
                Default,
            ),
            latency: Some(
                Standard,
            ),
            prompt_variables: {},
            additional_model_fields: Some(
                Object {
                    "top_k": Number(50),
                },
            ),
            additional_response_paths: [],
            request_metadata: {
                "app": "shop",
            },
            cache: Some(
                CacheOptions {
                    system: true,
                    tools: true,
                    messages: false,
                    ttl: Some(
                        FiveMinutes,
                    ),
                },
            ),
            include_steps: false,
        }
    "#]]
    .assert_eq(&format!("{:#?}\n", support.options));
}

/// The parser lists the keys that it knows when it meets one that it does not.
#[test]
fn the_document_shows_every_key() {
    let tables = [
        "",
        "[[agents]]\nid = \"a\"\n",
        "[[agents]]\nid = \"a\"\n[agents.inference]\n",
        "[[agents]]\nid = \"a\"\n[agents.reasoning]\n",
        "[[agents]]\nid = \"a\"\n[agents.limits]\n",
        "[[agents]]\nid = \"a\"\n[agents.guardrail]\n",
        "[[agents]]\nid = \"a\"\n[agents.cache]\n",
        "[[agents]]\nid = \"a\"\n[agents.context]\n",
        "[[prices]]\n",
        "[[budgets]]\n",
        "[[agents]]\nid = \"a\"\n[[agents.tools]]\n",
        "[[agents]]\nid = \"a\"\n[[agents.tools]]\n[agents.tools.grpc]\n",
        "[[agents]]\nid = \"a\"\n[[agents.tools]]\n[agents.tools.grpc]\n[agents.tools.grpc.tls]\n",
        "[[agents]]\nid = \"a\"\n[[agents.tools]]\n[agents.tools.mcp]\n",
        "[[agents]]\nid = \"a\"\n[[agents.tools]]\n[agents.tools.agent]\n",
        "[[agents]]\nid = \"a\"\n[[agents.tools]]\n[agents.tools.http_get]\n",
    ];
    let mut known = BTreeSet::new();
    for table in tables {
        let error = refused(&format!("{table}no_such_key = 1\n"));
        let (_, names) = error.split_once("expected").expect(&error);
        known.extend(names.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    assert!(known.len() > 80, "{known:?}");
    let example = document();
    let is_shown = |key: &&String| {
        example.lines().any(|line| {
            line.starts_with(&format!("{key} = "))
                || line.starts_with(&format!("[agents.{key}]"))
                || line.starts_with(&format!("[agents.tools.{key}]"))
                || line.starts_with(&format!("[agents.tools.grpc.{key}]"))
                || line.starts_with(&format!("[[agents.{key}]]"))
                || line.starts_with(&format!("[[{key}]]"))
        })
    };
    let missing: Vec<_> = known.iter().filter(|key| !is_shown(key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_context_needs_only_its_policy_and_its_trigger() {
    let context = |policy: &str, trigger: u64| {
        let text = format!(
            "[[agents]]\nid = \"a\"\nmodel = \"m\"\n[agents.context]\n\
             policy = \"{policy}\"\ntrigger_tokens = {trigger}\n"
        );
        let agents = file::parse(&text, Path::new(""), None).unwrap().agents;
        agents.default_agent().context.clone().unwrap()
    };
    let sliding = context("sliding", 100_001);
    assert_eq!(sliding.target_tokens.get(), 50_000);
    assert_eq!(sliding.policy, Policy::Sliding);
    for (trigger, tokens) in [(100_000, 2_048), (1_000, 250), (2, 1)] {
        let Policy::Summarize(summary) = context("summarize", trigger).policy else {
            panic!("another policy");
        };
        assert_eq!(summary.max_tokens.get(), tokens);
        assert_eq!((summary.model_id, summary.instructions), (None, None));
    }
}

#[test]
fn faults_of_the_agents_file_are_told_with_their_place() {
    let agent = "[[agents]]\nid = \"a\"\nmodel = \"m\"\n";
    let bad = [
        "".to_owned(),
        "default_agent = \"b\"\n".to_owned() + agent,
        format!("{agent}{agent}"),
        format!("default_agent = \"a\"\n{agent}{agent}"),
        "[[agents]]\nid = \"a\"\n".to_owned(),
        "[[agents]]\nid = \"a b\"\nmodel = \"m\"\n".to_owned(),
        "[[agents]]\nmodel = \"m\"\n".to_owned(),
        format!("{agent}modle = \"m\"\n"),
        format!("{agent}system = \"  \"\n"),
        format!("{agent}system = \"x\"\nsystem_file = \"y\"\n"),
        format!("{agent}system_file = \"no-such-file\"\n"),
        format!("{agent}system = \"12345\"\n[agents.limits]\nmax_input_size = \"4B\"\n"),
        format!("{agent}[agents.inference]\ntemperature = 1.5\n"),
        format!("{agent}[agents.inference]\ntop_p = nan\n"),
        format!("{agent}[agents.inference]\nmax_tokens = 0\n"),
        format!("{agent}[agents.inference]\nmax_tokens = 3000000000\n"),
        format!("{agent}[agents.inference]\nstop_sequences = [\"\"]\n"),
        format!("{agent}[agents.reasoning]\neffort = \"\"\n"),
        format!("{agent}[agents.limits]\nturn_timeout = 30\n"),
        format!("{agent}[agents.limits]\nturn_timeout = \"soon\"\n"),
        format!("{agent}[agents.limits]\nclient_tool_timeout = \"25h\"\n"),
        format!("{agent}[agents.limits]\napproval_timeout = \"25h\"\n"),
        format!("{agent}[agents.limits]\nmax_concurrent_tools = 0\n"),
        format!("{agent}structured_output = \"json\"\n"),
        format!("{agent}[agents.limits]\nmax_input_size = \"5GiB\"\n"),
        format!("{agent}[agents.guardrail]\nid = \"g\"\n"),
        format!("{agent}[agents.guardrail]\nid = \"g\"\nversion = \"v1\"\n"),
        format!("{agent}[agents.cache]\nttl = \"6m\"\n"),
        format!("{agent}[agents.context]\npolicy = \"sliding\"\n"),
        format!("{agent}[agents.context]\npolicy = \"forget\"\ntrigger_tokens = 9\n"),
        format!("{agent}[agents.context]\npolicy = \"sliding\"\ntrigger_tokens = 0\n"),
        format!("{agent}[agents.context]\npolicy = \"sliding\"\ntrigger_tokens = 1\n"),
        format!(
            "{agent}[agents.context]\npolicy = \"sliding\"\ntrigger_tokens = 9\ntarget_tokens = 9\n"
        ),
        format!(
            "{agent}[agents.context]\npolicy = \"sliding\"\ntrigger_tokens = 9\n\
             summary_model = \"m\"\n"
        ),
        format!(
            "{agent}[agents.context]\npolicy = \"summarize\"\ntrigger_tokens = 9\n\
             summary_max_tokens = 4\n"
        ),
        format!("{agent}service_tier = \"premium\"\n"),
        format!("{agent}request_metadata = {{ \"\" = \"x\" }}\n"),
        format!("{agent}[agents.additional_model_fields]\nwhen = 2026-11-22\n"),
        format!("{agent}system_override = \"append\"\n"),
    ];
    let mut told = String::new();
    for text in bad {
        writeln!(told, "{}\n", refused(&text)).unwrap();
    }
    expect![[r#"
        line 1, column 1: agents must name at least one agent: [[agents]]

        line 1, column 17: default_agent names no agent: b

        line 1, column 1: default_agent must be set where there are several

        line 6, column 6: id is that of another agent: a

        line 2, column 6: model must be set for a, or --model for all that have none

        TOML parse error at line 2, column 6
          |
        2 | id = "a b"
          |      ^^^^^
        must be 1 to 64 letters, digits, underscores or hyphens

        TOML parse error at line 1, column 1
          |
        1 | [[agents]]
          | ^^^^^^^^^^
        missing field `id`

        TOML parse error at line 4, column 1
          |
        4 | modle = "m"
          | ^^^^^
        unknown field `modle`, expected one of `id`, `display_name`, `description`, `version`, `labels`, `model`, `system`, `system_file`, `inference`, `reasoning`, `limits`, `guardrail`, `cache`, `context`, `provider_tools`, `tools`, `structured_output`, `service_tier`, `latency`, `request_metadata`, `additional_model_fields`, `allow_model_override`, `system_override`
        did you mean `model`?

        TOML parse error at line 4, column 10
          |
        4 | system = "  "
          |          ^^^^
        must not be blank

        line 5, column 15: system_file excludes system

        line 4, column 15: system_file cannot be read: /nowhere/no-such-file: No such file or directory (os error 2)

        line 4, column 10: system must not be larger than limits.max_input_size

        TOML parse error at line 5, column 15
          |
        5 | temperature = 1.5
          |               ^^^
        must be between 0 and 1

        TOML parse error at line 5, column 9
          |
        5 | top_p = nan
          |         ^^^
        must be between 0 and 1

        TOML parse error at line 5, column 14
          |
        5 | max_tokens = 0
          |              ^
        invalid value: integer `0`, expected a nonzero u32

        line 5, column 14: max_tokens must be at most 2147483647

        TOML parse error at line 5, column 18
          |
        5 | stop_sequences = [""]
          |                  ^^^^
        must not be empty

        TOML parse error at line 5, column 10
          |
        5 | effort = ""
          |          ^^
        must be 1 to 16 characters

        TOML parse error at line 5, column 16
          |
        5 | turn_timeout = 30
          |                ^^
        invalid type: integer `30`, expected a string

        TOML parse error at line 5, column 16
          |
        5 | turn_timeout = "soon"
          |                ^^^^^^
        not a duration, such as 500ms, 30s, 5m or 1h30m

        line 5, column 23: client_tool_timeout must be at most 24h

        line 5, column 20: approval_timeout must be at most 24h

        TOML parse error at line 5, column 24
          |
        5 | max_concurrent_tools = 0
          |                        ^
        invalid value: integer `0`, expected a nonzero usize

        TOML parse error at line 4, column 21
          |
        4 | structured_output = "json"
          |                     ^^^^^^
        unknown variant `json`, expected `native` or `tool`

        TOML parse error at line 5, column 18
          |
        5 | max_input_size = "5GiB"
          |                  ^^^^^^
        must be less than 4GiB

        TOML parse error at line 4, column 1
          |
        4 | [agents.guardrail]
          | ^^^^^^^^^^^^^^^^^^
        missing field `version`

        TOML parse error at line 6, column 11
          |
        6 | version = "v1"
          |           ^^^^
        must be "DRAFT" or a number of at most eight digits

        TOML parse error at line 5, column 7
          |
        5 | ttl = "6m"
          |       ^^^^
        unknown variant `6m`, expected `5m` or `1h`

        TOML parse error at line 4, column 1
          |
        4 | [agents.context]
          | ^^^^^^^^^^^^^^^^
        missing field `trigger_tokens`

        TOML parse error at line 5, column 10
          |
        5 | policy = "forget"
          |          ^^^^^^^^
        unknown variant `forget`, expected `sliding` or `summarize`

        TOML parse error at line 6, column 18
          |
        6 | trigger_tokens = 0
          |                  ^
        invalid value: integer `0`, expected a nonzero u64

        line 4, column 1: target_tokens must be at least 1 and below trigger_tokens

        line 7, column 17: target_tokens must be at least 1 and below trigger_tokens

        line 7, column 17: summary_model needs policy = "summarize"

        line 7, column 22: summary_max_tokens must be below target_tokens, for the summary to fit

        TOML parse error at line 4, column 16
          |
        4 | service_tier = "premium"
          |                ^^^^^^^^^
        unknown variant `premium`, expected one of `default`, `priority`, `flex`, `reserved`

        line 4, column 20: request_metadata must have names of 1 to 256 characters and values of at most 256

        line 4, column 1: additional_model_fields must hold what JSON can say: no dates, no infinite numbers

        TOML parse error at line 4, column 19
          |
        4 | system_override = "append"
          |                   ^^^^^^^^
        unknown variant `append`, expected one of `refuse`, `prepend`, `replace`

    "#]].assert_eq(&told);
}

#[test]
fn a_model_of_the_command_line_is_for_agents_that_name_none() {
    let text =
        "default_agent = \"b\"\n[[agents]]\nid = \"a\"\nmodel = \"own\"\n[[agents]]\nid = \"b\"\n";
    let agents = file::parse(text, Path::new(""), Some("given"))
        .unwrap()
        .agents;
    let model = |id: &str| agents.find(id).unwrap().options.model_id.clone().unwrap();
    assert_eq!((model("a").as_str(), model("b").as_str()), ("own", "given"));
}

#[test]
fn the_only_agent_of_a_file_is_the_default() {
    let text = "[[agents]]\nid = \"a\"\nmodel = \"m\"\n";
    let agents = file::parse(text, Path::new(""), None).unwrap().agents;
    assert_eq!(agents.default_agent().id, "a");
}

/// Run with `UPDATE_EXPECT=1` to write the table.
#[test]
fn the_document_has_the_options_as_they_are() {
    const BEGIN: &str = "<!-- options: generated from the program's own definition -->\n";
    const END: &str = "<!-- end of options -->";
    let document = document();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let table = options();
    expect_file!["../../../docs/configuration.md"]
        .assert_eq(&format!("{before}{BEGIN}{table}{END}{after}"));
}

fn options() -> String {
    let mut table =
        "| flag | variable | default | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    let mut command = Args::command();
    command.build();
    for argument in command.get_arguments() {
        let (Some(flag), Some(variable)) = (argument.get_long(), argument.get_env()) else {
            assert!(
                matches!(argument.get_long(), Some("help" | "version")),
                "{argument:?}"
            );
            continue;
        };
        let value = match argument.get_value_names() {
            Some([name]) if argument.get_action().takes_values() => format!(" {name}"),
            _ => String::new(),
        };
        let words: Vec<_> = argument
            .get_possible_values()
            .iter()
            .filter(|_| argument.get_action().takes_values())
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        let default = match argument.get_default_values() {
            [default] if argument.get_action().takes_values() => format!("`{}`", default.display()),
            _ => String::new(),
        };
        let mut meaning = argument.get_help().unwrap().to_string();
        if !words.is_empty() {
            write!(meaning, ": {}", words.join(" or ")).unwrap();
        }
        writeln!(
            table,
            "| `--{flag}{value}` | `{}` | {default} | {meaning} |",
            variable.display()
        )
        .unwrap();
    }
    table
}

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    fs::read_to_string(path).unwrap()
}

/// The agents file in the document.
fn example() -> String {
    let document = document();
    let (_, rest) = document.split_once("```toml\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

fn load(arguments: &[&str]) -> Result<Config, Error> {
    let program = std::iter::once("taiwa-server").chain(arguments.iter().copied());
    Config::load(program.map(OsString::from))
}

#[track_caller]
fn config(arguments: &[&str]) -> Config {
    load(arguments).unwrap()
}

#[track_caller]
fn refused(text: &str) -> String {
    chain(&file::parse(text, Path::new("/nowhere"), None).unwrap_err())
}
