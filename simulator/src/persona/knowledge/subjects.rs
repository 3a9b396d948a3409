//! What the persona knows, subject by subject.

use super::Subject;

pub(super) const SUBJECTS: &[Subject] = &[
    Subject {
        keys: &[
            "grpc streaming",
            "server streaming",
            "streaming rpc",
            "streaming call",
            "grpc stream",
        ],
        title: "gRPC streaming",
        what: "gRPC has four kinds of calls: unary, server streaming, client streaming and \
               bidirectional streaming. In a streaming call each side can send any number of \
               messages over one HTTP/2 stream, in order, and the call ends with a status in the \
               trailers.",
        why: "Streaming shows the first words of an answer while the rest is still being made. For \
              a language model that turns several seconds of waiting into a few hundred \
              milliseconds, and the client can cancel as soon as it has read enough.",
        how: "The method is declared with the `stream` keyword in the proto file. The server returns \
              a stream of messages instead of one; HTTP/2 flow control paces it, so that a slow \
              reader slows the sender down instead of filling its memory.",
        points: &[
            "Set a deadline on every call; it travels with the request and bounds the whole stream.",
            "Treat cancellation as normal: a client that goes away should stop the work behind it.",
            "Keep messages small; a stream of many small messages is easier to pace than a few large ones.",
            "Send heartbeats as messages, because load balancers close streams that look idle.",
            "Number the messages, so that a client can resume after a broken connection.",
        ],
    },
    Subject {
        keys: &["bidirectional", "bidi", "bidirectional streaming"],
        title: "bidirectional streaming",
        what: "In a bidirectional streaming call both sides send messages whenever they like, over \
               one HTTP/2 stream. The two directions are independent: a client may keep talking \
               while the server answers, and either side may finish first.",
        why: "It fits conversations. A user can interrupt an answer, send the result of a tool or \
              add to a question without opening another call, and the order of what was said is \
              never in doubt.",
        how: "The client opens the call and gets a sending and a receiving half. When it has nothing \
              more to send it half-closes its side; the server then finishes its own messages and \
              ends the call with a status.",
        points: &[
            "Half-close is not cancellation: the rest of the answer still comes.",
            "Return the response stream before reading the first request, or some clients wait for ever.",
            "Bound every queue between the two directions.",
            "Decide what an interruption does to the answer that is under way.",
        ],
    },
    Subject {
        keys: &["grpc", "remote procedure call", "rpc"],
        title: "gRPC",
        what: "gRPC is a framework for remote procedure calls. Services are described in Protocol \
               Buffers, code for clients and servers is generated for a dozen languages, and the \
               calls travel over HTTP/2.",
        why: "Teams choose it because the contract is written down and checked by a compiler, \
              because messages are compact, and because deadlines, cancellation and streaming are \
              part of the protocol and not an afterthought.",
        how: "You write a `.proto` file with messages and a service, generate code from it, implement \
              the server's methods and call them through the generated client. One connection \
              carries many calls at once as HTTP/2 streams.",
        points: &[
            "One contract for all languages.",
            "Streaming in both directions.",
            "Deadlines that travel from service to service.",
            "Status codes with typed details instead of ad-hoc error bodies.",
            "Reflection, so that tools such as grpcurl can call a server without its proto files.",
        ],
    },
    Subject {
        keys: &["deadline", "timeout"],
        title: "deadlines",
        what: "A deadline is the moment after which a caller no longer wants the answer. In gRPC it \
               travels with the request as `grpc-timeout`, and each service passes on what is left \
               of it.",
        why: "Without one, a stuck dependency holds threads, memory and connections until somebody \
              notices. With one, the work stops everywhere at about the same time.",
        how: "The client sets it for each call; the server reads the remainder, uses it for its own \
              calls, and ends with DEADLINE_EXCEEDED when it has passed.",
        points: &[
            "Set it at the edge and pass on the remainder.",
            "Let it cover the whole stream and not the headers alone.",
            "Choose it from what users bear, not from what servers manage.",
        ],
    },
    Subject {
        keys: &["cancellation", "cancel", "cancelling", "interrupt"],
        title: "cancellation",
        what: "Cancellation tells the other side that an answer is not wanted any more. In gRPC it \
               is an HTTP/2 RST_STREAM frame: it ends one call and leaves the connection alone.",
        why: "A model bills for every token it makes. When a user closes the window, going on costs \
              money and keeps others waiting.",
        how: "The server sees that its response stream was dropped and must then stop everything \
              that it started for the call: the model request, running tools and timers.",
        points: &[
            "Notice it also while nothing is being sent.",
            "Close the upstream connection at once instead of draining it.",
            "Keep what was already said, so that the conversation stays consistent.",
        ],
    },
    Subject {
        keys: &["backpressure", "flow control", "slow client", "slow reader"],
        title: "backpressure",
        what: "Backpressure is how a slow receiver slows its sender down. HTTP/2 has a window for \
               each stream and one for the connection; when the receiver does not read, the window \
               closes and the sender has to wait.",
        why: "Without it, whatever a slow client does not read piles up in the server's memory. A \
              hundred such clients are then enough to bring a server down.",
        how: "Use bounded queues from end to end, and ask the source for more only when there is \
              room. In Rust that falls out of streams: nobody polls, so nothing is produced.",
        points: &[
            "Every queue has a size, and somebody can say why it is that size.",
            "Never drop messages in silence; slow down or end the call with a reason.",
            "Watch the connection's window: one stalled stream can starve its neighbours.",
        ],
    },
    Subject {
        keys: &["http/2", "http2", "hpack"],
        title: "HTTP/2",
        what: "HTTP/2 carries many requests over one connection as independent streams of binary \
               frames, with compressed headers and flow control for each stream.",
        why: "It saves connections and handshakes, and a slow response does not block the ones \
              behind it. gRPC needs it for streaming in both directions and for trailers.",
        how: "Both sides exchange settings, then send HEADERS and DATA frames that carry a stream \
              number. WINDOW_UPDATE frames grant room for more data, RST_STREAM ends one stream, and \
              GOAWAY announces that the connection will close.",
        points: &[
            "Limit the number of streams on purpose.",
            "Mind that a lost packet stalls all streams of a connection.",
            "Use GOAWAY to drain a connection before a restart.",
        ],
    },
    Subject {
        keys: &["protobuf", "protocol buffer", "proto file"],
        title: "Protocol Buffers",
        what: "Protocol Buffers are a language for describing messages, and a compact binary form \
               for sending them. Each field has a number, and that number, not the name, goes over \
               the wire.",
        why: "Old and new programs understand each other as long as numbers are never reused, so a \
              service can change without all its clients changing on the same day.",
        how: "You describe messages in `.proto` files and generate types from them. Readers skip \
              fields that they do not know and use defaults for those that are missing.",
        points: &[
            "Add fields; never change the meaning of one.",
            "Give every enum an UNSPECIFIED value of zero.",
            "Reserve the numbers of fields that were removed.",
        ],
    },
    Subject {
        keys: &["ownership", "borrow checker", "borrowing", "lifetime"],
        title: "ownership in Rust",
        what: "In Rust every value has exactly one owner, and it is freed when the owner goes out of \
               scope. Others may borrow it: either any number of readers or one writer, never both \
               at once.",
        why: "The compiler can then rule out use after free and data races without a garbage \
              collector. Most of what is hard to debug in C++ does not compile in Rust.",
        how: "Pass `&T` to let somebody read, `&mut T` to let somebody write, and `T` to give a value \
              away. Where the compiler objects, the usual cure is a clearer answer to the question \
              who owns what.",
        points: &[
            "Prefer values and messages to shared mutable state.",
            "Take `&str` instead of `String` where you only read.",
            "Reach for `Arc` and `Mutex` last, not first.",
        ],
    },
    Subject {
        keys: &["async", "tokio", "future", "async rust", "await"],
        title: "async Rust",
        what: "An async function in Rust returns a future: a state machine that makes progress when \
               it is polled. Tokio is the runtime that most servers use to poll them, with timers, \
               sockets and tasks.",
        why: "One thread can serve thousands of connections, because a future that waits takes some \
              memory and nothing else.",
        how: "Write `async fn`, wait with `.await`, and run several things at once with \
              `tokio::select!` or `tokio::spawn`. Dropping a future cancels it, which is convenient \
              and also the thing to be careful about.",
        points: &[
            "Don't hold a lock across an await.",
            "Make sure that every branch of a select is cancel-safe.",
            "Move CPU-heavy work to a blocking thread.",
            "Bound every channel.",
        ],
    },
    Subject {
        keys: &["tonic"],
        title: "tonic",
        what: "tonic is the most widely used gRPC library for Rust. It is built on hyper and tower, \
               generates code with prost, and supports all four kinds of calls.",
        why: "It fits into the tokio ecosystem, and its services are tower services, so middleware \
              for timeouts, limits and tracing can be put around them.",
        how: "A build script turns proto files into a trait; you implement the trait and serve it. A \
              streaming method returns any type that implements `Stream`.",
        points: &[
            "Return the response stream before awaiting the first request message.",
            "Set limits for message sizes and for streams on a connection.",
            "Remember that its timeout ends at the response headers.",
        ],
    },
    Subject {
        keys: &["rust"],
        title: "Rust",
        what: "Rust is a systems programming language that guarantees memory safety without a \
               garbage collector. It is known for its borrow checker, its expressive types and for \
               binaries that start at once.",
        why: "Teams choose it for services that must be fast, predictable and hard to crash: there \
              are no pauses for collection, data races do not compile, and errors are values that \
              have to be dealt with.",
        how: "Start with the book, write a small command-line program, and let the compiler teach \
              you. `cargo` builds, tests and documents everything; `clippy` explains what could be \
              said better.",
        points: &[
            "Memory safety without a garbage collector.",
            "Enums and pattern matching that make illegal states impossible to write down.",
            "Fearless concurrency: data races are compile errors.",
            "Cargo, one tool for building, testing and documentation.",
            "Zero-cost abstractions: iterators compile to plain loops.",
        ],
    },
    Subject {
        keys: &[
            "converse api",
            "conversestream",
            "converse stream",
            "converse",
        ],
        title: "the Converse API",
        what: "Converse is Bedrock's uniform interface to chat models: the same request works for \
               models of Anthropic, Amazon, Meta, Mistral and others. ConverseStream is its \
               streaming form and sends the answer as a series of events.",
        why: "It hides how each provider spells messages, tools and token limits, so changing the \
              model is mostly a matter of changing its id.",
        how: "You send messages with content blocks, optionally a system prompt, inference settings \
              and tools. The stream begins with `messageStart`, brings deltas for each block, and \
              ends with `messageStop` and `metadata`, which holds the token counts.",
        points: &[
            "Roles must alternate and the user begins.",
            "Each tool call needs its result in the next user message.",
            "Usage comes last, in the metadata event.",
            "Errors can arrive before the stream and in the middle of it.",
        ],
    },
    Subject {
        keys: &["bedrock", "amazon bedrock", "aws bedrock"],
        title: "Amazon Bedrock",
        what: "Amazon Bedrock is a managed service of AWS for foundation models. It offers models of \
               several providers behind one API, with IAM for access, guardrails for content and \
               billing by token.",
        why: "Companies use it to keep prompts inside their AWS account and region, to choose among \
              models without signing several contracts, and to control access as they do for \
              everything else in AWS.",
        how: "You enable a model, give your role the permission to invoke it, and call Converse or \
              ConverseStream with the model's id or an inference profile. The SDK signs the request \
              and decodes the event stream.",
        points: &[
            "Converse and ConverseStream for chat, the same for all models.",
            "Inference profiles that spread load over regions.",
            "Guardrails for harmful content and personal data.",
            "Prompt caching for long, repeated prefixes.",
            "Service tiers that trade price for latency.",
        ],
    },
    Subject {
        keys: &["guardrail"],
        title: "guardrails",
        what: "A guardrail checks what goes into a model and what comes out of it: denied topics, \
               harmful content, particular words, personal data and answers without ground.",
        why: "They are kept apart from the prompt, so that a clever user cannot talk the model out \
              of them, and the same rules hold for every model.",
        how: "Name the guardrail and its version in the request. When it steps in, the stop reason is \
              `guardrail_intervened` and the trace says which policy matched.",
        points: &[
            "In sync mode text is held back until it is checked; in async mode it is not.",
            "Switch the trace on while you tune the policies.",
            "Test with prompts that should pass as well.",
        ],
    },
    Subject {
        keys: &["throttling", "throttled", "rate limit", "quota"],
        title: "throttling",
        what: "Throttling is how a service protects itself from more work than it can do. Bedrock \
               answers with ThrottlingException when an account's requests or tokens per minute are \
               used up.",
        why: "Capacity for large models is scarce, and a limit for each account keeps one customer \
              from slowing down all others.",
        how: "Wait and try again, twice as long each time and with some randomness, within the \
              caller's deadline. Never retry once part of the answer was shown.",
        points: &[
            "Retry with exponential backoff and jitter.",
            "Tell the caller when to come back.",
            "Use cross-region inference profiles to spread load.",
        ],
    },
    Subject {
        keys: &["tool use", "tool call", "function calling", "tool"],
        title: "tool use",
        what: "With tool use a model can ask for a function to be run: it names the tool and gives \
               the input as JSON, and the program around it runs the tool and sends back the result.",
        why: "A model alone knows only what it was trained on. With tools it can look things up, \
              calculate exactly and act.",
        how: "Declare each tool with a name, a description and a JSON Schema. When the stop reason is \
              `tool_use`, run the calls, put the results into a user message and ask again.",
        points: &[
            "Validate the input before you run anything.",
            "Ask for consent before actions that cannot be undone.",
            "Give every call a stable key, so that a retry does not act twice.",
            "Report failures to the model; it often finds another way.",
        ],
    },
    Subject {
        keys: &["agent", "ai agent", "llm agent"],
        title: "agents",
        what: "An agent is a language model in a loop: it reads a request, decides whether to answer \
               or to call a tool, sees the result and goes on until it is done.",
        why: "Many tasks take several steps that nobody can write down beforehand. The loop lets the \
              model choose the next step from what it has just learned.",
        how: "Give it a system prompt, a set of tools and limits: how many steps, how many tokens, \
              how much time. Keep the history in a form that can always be sent again.",
        points: &[
            "Limit steps, tokens and time.",
            "Write down every tool call before it is run.",
            "Let the user interrupt at any point.",
            "Log decisions, not secrets.",
        ],
    },
    Subject {
        keys: &["token", "tokens", "context window"],
        title: "tokens",
        what: "A token is the unit in which a language model reads and writes, about four characters \
               of English. The context window is how many of them it can take into account at once.",
        why: "Price, speed and limits are all counted in tokens, so a shorter prompt is cheaper and \
              faster.",
        how: "Count them with CountTokens before you send, limit the answer with `maxTokens`, and \
              read what was really used in the usage of the response.",
        points: &[
            "Output tokens usually cost several times as much as input tokens.",
            "Cached prefixes cost a fraction.",
            "An answer that hits the limit ends with `max_tokens`, in mid-sentence if need be.",
        ],
    },
    Subject {
        keys: &["prompt caching", "cache point", "caching"],
        title: "prompt caching",
        what: "Prompt caching keeps the processed form of a prompt's beginning, so that the next \
               request with the same beginning need not process it again.",
        why: "Long system prompts and documents are sent with every turn; reading them from the cache \
              makes the first token come sooner and costs much less.",
        how: "Put a cache point behind the part that does not change. Usage then shows how many \
              tokens were written to and read from the cache.",
        points: &[
            "Put what never changes first.",
            "Entries live for five minutes, or an hour where the model allows it.",
            "Watch cacheReadInputTokens to see whether it works.",
        ],
    },
    Subject {
        keys: &["websocket", "server-sent events", "sse"],
        title: "WebSockets and server-sent events",
        what: "Server-sent events are a one-way stream of text over plain HTTP; WebSockets are a \
               two-way stream of messages after an upgrade. Browsers speak both.",
        why: "They are the usual way to bring a model's answer into a browser, where plain gRPC is \
              not available.",
        how: "For one answer at a time, server-sent events are enough. When the user can interrupt or \
              send tool results in between, use a WebSocket, or gRPC behind a gateway.",
        points: &[
            "Server-sent events reconnect by themselves and can resume from an id.",
            "WebSockets have no status and no deadline; you have to bring your own.",
            "Proxies may buffer; switch that off.",
        ],
    },
    Subject {
        keys: &[
            "observability",
            "tracing",
            "opentelemetry",
            "metrics",
            "monitoring",
        ],
        title: "observability",
        what: "Observability is being able to say from the outside what a system is doing: metrics \
               for how much and how fast, traces for where the time went, logs for what happened.",
        why: "A streaming service can look healthy by its status codes while its users wait. Time to \
              first token and gaps between tokens tell the truth.",
        how: "Carry the trace context with each call, measure at the places where users wait, and \
              alert on what they feel.",
        points: &[
            "Time to first token, as a histogram.",
            "Outcome of each turn, by reason.",
            "Tokens by direction and by tenant.",
            "Never log prompts or credentials.",
        ],
    },
];
