//! Programs that the persona can show.

use super::prompt::Reading;

/// An answer with a code block.
pub(super) fn answer(reading: &Reading) -> String {
    let wants = |words: &[&str]| words.iter().any(|word| reading.lower.contains(word));
    let python = reading.has_word("python");
    let javascript = wants(&["javascript", "typescript", "node.js"]);
    let (intro, language, code, notes) = if wants(&["proto", "protobuf"]) {
        (
            "A small service with one streaming method, as a proto file:",
            "proto",
            PROTO,
            "The `stream` keyword before the response makes it a server-streaming call. Put it before \
          the request as well and both sides can talk at once.",
        )
    } else if wants(&["grpc", "tonic", "stream"]) && !python && !javascript {
        (
            "A server-streaming method with tonic looks like this:",
            "rust",
            TONIC,
            "The channel is bounded, so a client that reads slowly slows the producer down. When the \
          client goes away the receiver is dropped, `send` fails, and the task ends by itself.",
        )
    } else if wants(&["bedrock", "converse"]) {
        if python { BOTO3 } else { BEDROCK }
    } else if wants(&["fizzbuzz", "fizz buzz"]) {
        if python {
            FIZZBUZZ_PYTHON
        } else {
            FIZZBUZZ_RUST
        }
    } else if wants(&["fibonacci"]) {
        if python {
            FIBONACCI_PYTHON
        } else {
            FIBONACCI_RUST
        }
    } else if wants(&["reverse", "palindrome"]) {
        if python { REVERSE_PYTHON } else { REVERSE_RUST }
    } else if python {
        GREETING_PYTHON
    } else if javascript {
        GREETING_JAVASCRIPT
    } else {
        GREETING_RUST
    };
    format!("{intro}\n\n```{language}\n{code}\n```\n\n{notes}")
}

type Snippet = (&'static str, &'static str, &'static str, &'static str);

const PROTO: &str = "syntax = \"proto3\";

package chat.v1;

service ChatService {
  rpc Ask(AskRequest) returns (stream AskResponse);
}

message AskRequest {
  string prompt = 1;
}

message AskResponse {
  string text = 1;
}";

const TONIC: &str = "async fn ask(
    &self,
    request: Request<AskRequest>,
) -> Result<Response<Self::AskStream>, Status> {
    let prompt = request.into_inner().prompt;
    let (tx, rx) = mpsc::channel(16);
    tokio::spawn(async move {
        for word in answer(&prompt) {
            if tx.send(Ok(AskResponse { text: word })).await.is_err() {
                return; // the client has gone
            }
        }
    });
    Ok(Response::new(ReceiverStream::new(rx)))
}";

const BOTO3: Snippet = (
    "With boto3 a streamed answer takes a few lines:",
    "python",
    "import boto3

client = boto3.client(\"bedrock-runtime\")
response = client.converse_stream(
    modelId=\"amazon.nova-lite-v1:0\",
    messages=[{\"role\": \"user\", \"content\": [{\"text\": \"Hello!\"}]}],
)
for event in response[\"stream\"]:
    if \"contentBlockDelta\" in event:
        print(event[\"contentBlockDelta\"][\"delta\"].get(\"text\", \"\"), end=\"\", flush=True)",
    "Set `AWS_ENDPOINT_URL_BEDROCK_RUNTIME` to run the same program against this simulator.",
);

const BEDROCK: Snippet = (
    "With the AWS SDK for Rust a streamed answer looks like this:",
    "rust",
    "let config = aws_config::load_from_env().await;
let client = aws_sdk_bedrockruntime::Client::new(&config);
let mut stream = client
    .converse_stream()
    .model_id(\"amazon.nova-lite-v1:0\")
    .messages(message)
    .send()
    .await?
    .stream;
while let Some(event) = stream.recv().await? {
    if let ConverseStreamOutput::ContentBlockDelta(delta) = event
        && let Some(ContentBlockDelta::Text(text)) = delta.delta
    {
        print!(\"{text}\");
    }
}",
    "Set `AWS_ENDPOINT_URL_BEDROCK_RUNTIME` to run the same program against this simulator.",
);

const FIZZBUZZ_RUST: Snippet = (
    "FizzBuzz in Rust, with a match on both remainders:",
    "rust",
    "fn main() {
    for n in 1..=100 {
        match (n % 3, n % 5) {
            (0, 0) => println!(\"FizzBuzz\"),
            (0, _) => println!(\"Fizz\"),
            (_, 0) => println!(\"Buzz\"),
            _ => println!(\"{n}\"),
        }
    }
}",
    "The tuple makes the four cases explicit, and the compiler checks that none is missing.",
);

const FIZZBUZZ_PYTHON: Snippet = (
    "FizzBuzz in Python:",
    "python",
    "for n in range(1, 101):
    print(\"Fizz\" * (n % 3 == 0) + \"Buzz\" * (n % 5 == 0) or n)",
    "A string times `False` is empty, and an empty string is false, so the number is printed then.",
);

const FIBONACCI_RUST: Snippet = (
    "An iterator over the Fibonacci numbers in Rust:",
    "rust",
    "fn fibonacci() -> impl Iterator<Item = u64> {
    std::iter::successors(Some((0_u64, 1_u64)), |&(a, b)| Some((b, a.checked_add(b)?)))
        .map(|(a, _)| a)
}

fn main() {
    println!(\"{:?}\", fibonacci().take(10).collect::<Vec<_>>());
}",
    "It ends by itself when the next number no longer fits into 64 bits, instead of overflowing.",
);

const FIBONACCI_PYTHON: Snippet = (
    "A generator of Fibonacci numbers in Python:",
    "python",
    "from itertools import islice

def fibonacci():
    a, b = 0, 1
    while True:
        yield a
        a, b = b, a + b

print(list(islice(fibonacci(), 10)))",
    "It makes numbers only as they are asked for, so the endless loop does no harm.",
);

const REVERSE_RUST: Snippet = (
    "Reversing a string in Rust:",
    "rust",
    "fn reverse(text: &str) -> String {
    text.chars().rev().collect()
}

fn is_palindrome(text: &str) -> bool {
    let letters = text.chars().filter(|it| it.is_alphanumeric()).flat_map(char::to_lowercase);
    let letters: Vec<char> = letters.collect();
    letters.iter().eq(letters.iter().rev())
}",
    "It goes by characters, not bytes, so umlauts survive; combining marks would need a library for \
     grapheme clusters.",
);

const REVERSE_PYTHON: Snippet = (
    "Reversing a string in Python:",
    "python",
    "def reverse(text: str) -> str:
    return text[::-1]

def is_palindrome(text: str) -> bool:
    letters = [it.lower() for it in text if it.isalnum()]
    return letters == letters[::-1]",
    "The slice with step −1 walks the string backwards and makes a copy.",
);

const GREETING_PYTHON: Snippet = (
    "Here is a small Python program to start from:",
    "python",
    "import sys

def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else \"world\"
    print(f\"Hello, {name}!\")

if __name__ == \"__main__\":
    main()",
    "I am a simulator with a short list of programs, so I can't write this one to measure; I know \
     FizzBuzz, Fibonacci numbers, palindromes and how to call Bedrock.",
);

const GREETING_JAVASCRIPT: Snippet = (
    "Here is a small JavaScript program to start from:",
    "javascript",
    "const name = process.argv[2] ?? \"world\";
console.log(`Hello, ${name}!`);",
    "I am a simulator with a short list of programs, so I can't write this one to measure. Ask me \
     for Rust or Python and I know a few more.",
);

const GREETING_RUST: Snippet = (
    "Here is a small Rust program to start from:",
    "rust",
    "fn main() {
    let name = std::env::args().nth(1).unwrap_or_else(|| \"world\".to_owned());
    println!(\"Hello, {name}!\");
}",
    "I am a simulator with a short list of programs, so I can't write this one to measure; I know \
     FizzBuzz, Fibonacci numbers, palindromes, a gRPC stream and how to call Bedrock.",
);
