//! A tool that is a function in Rust.

use std::{fmt, future::Future, sync::Arc};

use futures_util::{FutureExt as _, future::BoxFuture};
use taiwa_core::tool::{Schema, SchemaError};

use crate::{Call, Definition, Error, Output, Tool};

type Body = dyn Fn(Call) -> BoxFuture<'static, Result<Output, Error>> + Send + Sync;

/// A tool made of an async function.
#[derive(Clone)]
pub struct Function {
    definition: Definition,
    body: Arc<Body>,
}

impl Function {
    /// Makes a tool of a name, a description, the JSON Schema of its input, and what it does.
    ///
    /// ```
    /// use taiwa_tools::{Function, Output};
    ///
    /// let schema = r#"{
    ///     "type": "object",
    ///     "properties": { "article": { "type": "string" } },
    ///     "required": ["article"]
    /// }"#;
    /// let stock = Function::new("get_stock", "Counts an article.", schema, |call| async move {
    ///     match call.input["article"].as_str() {
    ///         Some("spoon") => Ok(Output::text("12")),
    ///         Some(other) => Err(format!("there is no article {other}").into()),
    ///         None => Err("which article?".into()),
    ///     }
    /// })?;
    /// # let _ = stock;
    /// # Ok::<_, taiwa_core::tool::SchemaError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the schema is none.
    pub fn new<F>(
        name: impl Into<String>,
        description: impl Into<String>,
        schema: &str,
        body: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Result<Self, SchemaError>
    where
        F: Future<Output = Result<Output, Error>> + Send + 'static,
    {
        Ok(Self {
            definition: Definition {
                name: name.into(),
                description: description.into(),
                schema: Schema::parse(schema)?,
            },
            body: Arc::new(move |call| body(call).boxed()),
        })
    }
}

impl Tool for Function {
    fn definition(&self) -> &Definition {
        &self.definition
    }

    fn call(&self, call: Call) -> BoxFuture<'static, Result<Output, Error>> {
        (self.body)(call)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("name", &self.definition.name)
            .finish_non_exhaustive()
    }
}
