//! Functions that go wrong, and that are counted while they run.

use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use taiwa_tools::{Error, Fixed, Function, Output, Source, Tool};

/// What `flood` gives, in bytes.
pub(crate) const FLOOD_BYTES: usize = 16 << 20;

const SCHEMA: &str = r#"{"type":"object"}"#;

/// The functions, and how many of them run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hands {
    running: Arc<AtomicUsize>,
}

/// Counts a call until it is dropped.
struct Running(Arc<AtomicUsize>);

impl Hands {
    /// Number of calls that run.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    pub(crate) fn source(&self) -> Arc<dyn Source> {
        Arc::new(Fixed::new(vec![
            self.tool("hang", async || future::pending().await),
            self.tool("panic", async || panic!("a tool that panics")),
            self.tool("flood", async || Ok(Output::text("x".repeat(FLOOD_BYTES)))),
            self.tool("fail", async || Err(Error::Failed("no such city".into()))),
            self.tool("unsure", async || {
                Err(Error::Unknown("the line went dead".into()))
            }),
        ]))
    }

    fn tool<F>(
        &self,
        name: &str,
        body: impl Fn() -> F + Send + Sync + Copy + 'static,
    ) -> Arc<dyn Tool>
    where
        F: Future<Output = Result<Output, Error>> + Send + 'static,
    {
        let hands = self.clone();
        let counted = move |_| {
            let running = hands.begin();
            async move {
                let _running = running;
                body().await
            }
        };
        Arc::new(Function::new(name, "Goes wrong.", SCHEMA, counted).expect("a schema"))
    }

    fn begin(&self) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        Running(Arc::clone(&self.running))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
