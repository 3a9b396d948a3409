//! Tools that the client runs for the model.

use std::{collections::BTreeMap, fmt, pin::Pin, sync::Arc};

use futures_util::future::join_all;
use serde_json::Value;

use crate::pb;

/// Tools that the client declares, each with the function that runs it.
///
/// A result is text for the model to read; a failure is text too, marked as one.
///
/// ```
/// use serde_json::{Value, json};
/// use taiwa_client::Tools;
///
/// let schema = json!({
///     "type": "object",
///     "properties": { "city": { "type": "string" } },
///     "required": ["city"],
/// });
/// let tools = Tools::new().add("weather", "Tells the weather in a city.", &schema, |input| async move {
///     match input["city"].as_str() {
///         Some(city) => Ok(format!("Sunny in {city}.")),
///         None => Err("which city?"),
///     }
/// });
/// # let _ = tools;
/// ```
#[derive(Clone, Default)]
pub struct Tools {
    tools: BTreeMap<String, Tool>,
}

#[derive(Clone)]
struct Tool {
    spec: pb::ToolSpec,
    run: Arc<dyn Fn(Value) -> Running + Send + Sync>,
}

type Running = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

impl Tools {
    /// Begins with no tools.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tool by name, what it does and when to use it, the JSON Schema of
    /// its input, and the function that runs it.
    #[must_use]
    pub fn add<F, Fut, E>(self, name: &str, description: &str, schema: &Value, run: F) -> Self
    where
        F: Fn(Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: fmt::Display,
    {
        let spec = pb::ToolSpec {
            name: name.to_owned(),
            description: description.to_owned(),
            input: Some(pb::tool_spec::Input::InputSchemaJson(schema.to_string())),
            ..Default::default()
        };
        self.add_spec(spec, run)
    }

    /// Adds a tool by its whole specification.
    #[must_use]
    pub fn add_spec<F, Fut, E>(mut self, spec: pb::ToolSpec, run: F) -> Self
    where
        F: Fn(Value) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: fmt::Display,
    {
        let run = Arc::new(move |input| -> Running {
            let running = run(input);
            Box::pin(async move { running.await.map_err(|error| error.to_string()) })
        });
        self.tools.insert(spec.name.clone(), Tool { spec, run });
        self
    }

    /// The specifications, as requests declare them in
    /// [`pb::TurnOptions::client_tools`].
    #[must_use]
    pub fn specs(&self) -> Vec<pb::ToolSpec> {
        self.tools.values().map(|tool| tool.spec.clone()).collect()
    }

    /// Runs one call; whatever becomes of it is a result for the model, also a
    /// tool that is not here and input that is not JSON.
    pub fn run(
        &self,
        call: &pb::ToolCall,
    ) -> impl Future<Output = pb::ToolResult> + Send + use<> + 'static {
        let tool_call_id = call.tool_call_id.clone();
        let running = self.start(call);
        async move {
            let outcome = match running {
                Ok(running) => running.await,
                Err(refused) => Err(refused),
            };
            let is_error = outcome.is_err();
            let (Ok(text) | Err(text)) = outcome;
            pb::ToolResult {
                tool_call_id,
                text,
                is_error,
                ..Default::default()
            }
        }
    }

    /// Runs the calls side by side and gives their results in order.
    pub fn run_all(
        &self,
        calls: &[pb::ToolCall],
    ) -> impl Future<Output = Vec<pb::ToolResult>> + Send + use<> + 'static {
        join_all(calls.iter().map(|call| self.run(call)).collect::<Vec<_>>())
    }

    fn start(&self, call: &pb::ToolCall) -> Result<Running, String> {
        let Some(tool) = self.tools.get(&call.tool_name) else {
            return Err(format!("there is no tool named {:?}", call.tool_name));
        };
        match serde_json::from_str(&call.input_json) {
            Ok(input) => Ok((tool.run)(input)),
            Err(error) => Err(format!("the input is not JSON: {error}")),
        }
    }
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tools.keys()).finish()
    }
}
