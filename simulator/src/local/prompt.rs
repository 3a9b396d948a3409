//! The model's own chat template, and a conversation written by it.

use std::io;

use llama_cpp_2::model::LlamaModel;
use minijinja::{
    Environment, Error, ErrorKind, Value, context, syntax::SyntaxConfig, value::Serde,
};
use serde::Serialize;
use serde_json::{Serializer, ser::Formatter};

use super::conversation::{Call, Conversation, Tool, Turn};

/// What models that bring no template are mostly trained with.
const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n\
    {{ message.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

const NAME: &str = "chat";

/// A model's chat template, compiled.
#[derive(Debug)]
pub(super) struct Template {
    environment: Environment<'static>,
    /// Whether it has a place for tools.
    has_tools: bool,
    bos: String,
    eos: String,
    /// What the model is told about itself where the request has no system prompt.
    identity: String,
}

impl Template {
    /// # Errors
    ///
    /// What the template has that is not understood.
    pub(super) fn of(model: &LlamaModel, name: &str) -> Result<Self, Error> {
        let source = model
            .chat_template(None)
            .ok()
            .and_then(|template| template.to_string().ok())
            .unwrap_or_else(|| CHATML.to_owned());
        let vocab = model.vocab();
        let piece = |token| String::from_utf8(vocab.token_to_piece(token, true, None));
        Self::new(
            source,
            name,
            piece(vocab.bos()).unwrap_or_default(),
            piece(vocab.eos()).unwrap_or_default(),
        )
    }

    fn new(source: String, name: &str, bos: String, eos: String) -> Result<Self, Error> {
        let has_tools = source.contains("tools");
        let mut environment = Environment::new();
        // As transformers' apply_chat_template sets them:
        // <https://huggingface.co/docs/transformers/chat_templating_writing>
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?;
        environment.set_syntax(syntax);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", python_json);
        environment.add_function("raise_exception", |message: String| -> Result<(), Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned(NAME, source)?;
        let identity = format!(
            "You are {name}, a small language model that runs on this machine. Answer briefly."
        );
        Ok(Self {
            environment,
            has_tools,
            bos,
            eos,
            identity,
        })
    }

    /// The conversation as the model was trained to read it, up to where it speaks.
    ///
    /// # Errors
    ///
    /// What the template has against the conversation, in its own words.
    pub(super) fn render(
        &self,
        conversation: &Conversation,
        tools: &[Tool],
        schema: Option<&serde_json::Value>,
    ) -> Result<String, Error> {
        let mut system = conversation.system.clone();
        if system.trim().is_empty() {
            system.clone_from(&self.identity);
        }
        if !self.has_tools && !tools.is_empty() {
            system.push_str(&described(tools));
        }
        if let Some(schema) = schema {
            system.push_str("\n\nAnswer with JSON alone, which fits this JSON Schema:\n");
            system.push_str(&schema.to_string());
        }
        let mut messages = vec![context! { role => "system", content => system }];
        for turn in &conversation.turns {
            self.write(turn, &mut messages);
        }
        let functions: Vec<Value> = tools.iter().map(function).collect();
        let functions = if self.has_tools && !tools.is_empty() {
            Value::from(functions)
        } else {
            Value::from(())
        };
        self.environment.get_template(NAME)?.render(context! {
            messages => messages,
            tools => functions,
            add_generation_prompt => true,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
        })
    }

    /// Whether the text has the beginning that the tokenizer would add.
    pub(super) fn begins(&self, prompt: &str) -> bool {
        !self.bos.is_empty() && prompt.starts_with(&self.bos)
    }

    fn write(&self, turn: &Turn, messages: &mut Vec<Value>) {
        match turn {
            Turn::User(text) => messages.push(context! { role => "user", content => text }),
            Turn::Assistant { text, calls } if self.has_tools && !calls.is_empty() => {
                let calls: Vec<Value> = calls.iter().map(tool_call).collect();
                messages.push(context! {
                    role => "assistant", content => text, tool_calls => calls,
                });
            }
            Turn::Assistant { text, calls } => {
                let mut parts: Vec<String> = vec![text.clone()];
                parts.extend(calls.iter().map(|call| {
                    serde_json::json!({"name": call.name, "arguments": call.input}).to_string()
                }));
                parts.retain(|part| !part.is_empty());
                let content = parts.join("\n");
                messages.push(context! { role => "assistant", content => content });
            }
            Turn::Results(outcomes) if self.has_tools => {
                for outcome in outcomes {
                    messages.push(context! {
                        role => "tool", name => outcome.name.as_str(), content => outcome.text.as_str(),
                    });
                }
            }
            Turn::Results(outcomes) => {
                let told = outcomes
                    .iter()
                    .map(|it| format!("{} returned {}.", it.name, it.text));
                let content = told.collect::<Vec<_>>().join("\n");
                messages.push(context! { role => "user", content => content });
            }
        }
    }
}

/// Tools in words, for a template that has no place for them.
fn described(tools: &[Tool]) -> String {
    let mut text = "\n\nYou can call these functions:\n".to_owned();
    for tool in tools {
        let line = serde_json::json!({
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.schema,
        });
        text.push_str(&format!("{line}\n"));
    }
    text.push_str(
        "To call one, answer with nothing but {\"name\": its name, \"arguments\": its arguments}.",
    );
    text
}

fn function(tool: &Tool) -> Value {
    Value::from(Serde(serde_json::json!({
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.schema,
        },
    })))
}

fn tool_call(call: &Call) -> Value {
    Value::from(Serde(serde_json::json!({
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.input},
    })))
}

/// JSON as Python writes it, which is what the model saw in training.
fn python_json(value: Value) -> Result<Value, Error> {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, Spaced);
    let bad = |error: String| Error::new(ErrorKind::BadSerialization, error);
    value
        .serialize(&mut serializer)
        .map_err(|error| bad(error.to_string()))?;
    let text = String::from_utf8(text).map_err(|error| bad(error.to_string()))?;
    Ok(Value::from_safe_string(text))
}

/// A space behind each comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::conversation::Outcome, *};

    /// Whitespace control, tests, namespaces and JSON, as templates of Qwen2.5's kind have them.
    const WITH_TOOLS: &str = "\
{%- if tools %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '\\n<tools>' }}
    {%- for tool in tools %}
        {{- \"\\n\" }}{{- tool | tojson }}
    {%- endfor %}
    {{- '\\n</tools><|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\n' + messages[0].content.strip() + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(calls=0) %}
{%- for message in messages[1:] %}
    {%- if message.role == 'assistant' and message.tool_calls %}
        {%- for call in message.tool_calls %}
            {%- set ns.calls = ns.calls + 1 %}
            {{- call.function.name + ' ' }}{{- call.function.arguments | tojson }}{{- '\\n' }}
        {%- endfor %}
    {%- elif message.role == 'tool' %}
        {{- '<tool_response>' + message.content + '</tool_response>\\n' }}
    {%- else %}
        {{- message.role + ': ' + message.content + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant ' ~ ns.calls }}{%- endif %}";

    fn template(source: &str) -> Template {
        Template::new(
            source.to_owned(),
            "Tiny",
            "<s>".to_owned(),
            "</s>".to_owned(),
        )
        .unwrap()
    }

    fn conversation() -> Conversation {
        Conversation {
            system: String::new(),
            turns: vec![
                Turn::User("Weather in Rome?".to_owned()),
                Turn::Assistant {
                    text: String::new(),
                    calls: vec![Call {
                        id: "a".to_owned(),
                        name: "weather".to_owned(),
                        input: json!({"city": "<Rome>", "days": [1, 2]}),
                    }],
                },
                Turn::Results(vec![Outcome {
                    name: "weather".to_owned(),
                    text: "sunny".to_owned(),
                    has_failed: false,
                }]),
            ],
        }
    }

    fn tools() -> Vec<Tool> {
        vec![Tool {
            name: "weather".to_owned(),
            description: "Tells it".to_owned(),
            schema: json!({"type": "object"}),
        }]
    }

    #[test]
    fn a_template_with_tools_gets_them_and_writes_json_as_python_does() {
        let text = template(WITH_TOOLS).render(&conversation(), &tools(), None);
        let expected = r#"<|im_start|>system
You are Tiny, a small language model that runs on this machine. Answer briefly.
<tools>
{"type": "function", "function": {"name": "weather", "description": "Tells it", "parameters": {"type": "object"}}}
</tools><|im_end|>
user: Weather in Rome?
weather {"city": "<Rome>", "days": [1, 2]}
<tool_response>sunny</tool_response>
<|im_start|>assistant 1"#;
        assert_eq!(text.unwrap(), expected);
    }

    #[test]
    fn a_template_without_tools_gets_them_in_words() {
        let text = template(CHATML)
            .render(&conversation(), &tools(), None)
            .unwrap();
        assert!(
            text.contains("You can call these functions:\n{\"name\":\"weather\""),
            "{text}"
        );
        assert!(
            text.contains("<|im_start|>user\nweather returned sunny.<|im_end|>"),
            "{text}"
        );
        assert!(text.ends_with("<|im_start|>assistant\n"), "{text}");
    }

    #[test]
    fn results_are_retold_by_the_user() {
        let told = conversation().retold();
        let expected = "Weather in Rome?\n\nweather returned sunny.\nUse this to answer my \
                        question in one or two sentences.";
        assert_eq!(told.turns, [Turn::User(expected.to_owned())]);
    }

    #[test]
    fn what_a_template_refuses_is_told_in_its_words() {
        let strict = "{{ raise_exception('roles must alternate') }}";
        let error = template(strict)
            .render(&conversation(), &[], None)
            .unwrap_err();
        assert!(
            error.to_string().contains("roles must alternate"),
            "{error}"
        );
    }
}
