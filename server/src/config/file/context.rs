//! When an agent leaves older messages out.

use std::num::{NonZeroU32, NonZeroU64};

use serde::Deserialize;
use taiwa_core::context::{Policy, Settings, Summary};
use toml::Spanned;

use super::{
    Context, FileError,
    values::{ModelId, Prompt},
};

/// Most tokens of a summary, where the file does not say.
///
/// The most that every model generates: Llama 3 stops there.
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-meta.html>
const SUMMARY_TOKENS: u32 = 2_048;

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContextTable {
    policy: PolicyWord,
    trigger_tokens: NonZeroU64,
    target_tokens: Option<Spanned<NonZeroU64>>,
    summary_model: Option<Spanned<ModelId>>,
    summary_instructions: Option<Spanned<Prompt>>,
    summary_max_tokens: Option<Spanned<NonZeroU32>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PolicyWord {
    Sliding,
    Summarize,
}

impl Context<'_> {
    pub(super) fn context(&self, table: Spanned<ContextTable>) -> Result<Settings, FileError> {
        let place = table.span().start;
        let table = table.into_inner();
        let trigger_tokens = table.trigger_tokens;
        let (place, target) = match &table.target_tokens {
            Some(target) => (target.span().start, target.get_ref().get()),
            None => (place, trigger_tokens.get() / 2),
        };
        let target_tokens = NonZeroU64::new(target).filter(|target| *target < trigger_tokens);
        let Some(target_tokens) = target_tokens else {
            let problem = "must be at least 1 and below trigger_tokens";
            return Err(self.fault("target_tokens", place, problem));
        };
        let policy = match table.policy {
            PolicyWord::Sliding => {
                self.refuse_summary(&table)?;
                Policy::Sliding
            }
            PolicyWord::Summarize => Policy::Summarize(Summary {
                max_tokens: self.summary_tokens(table.summary_max_tokens, target_tokens)?,
                model_id: table.summary_model.map(|id| id.into_inner().into()),
                instructions: table
                    .summary_instructions
                    .map(|text| text.into_inner().into()),
            }),
        };
        Ok(Settings {
            trigger_tokens,
            target_tokens,
            policy,
        })
    }

    /// A setting of a summary that is never made would be one of nothing, in silence.
    fn refuse_summary(&self, table: &ContextTable) -> Result<(), FileError> {
        let places = [
            (
                "summary_model",
                table.summary_model.as_ref().map(Spanned::span),
            ),
            (
                "summary_instructions",
                table.summary_instructions.as_ref().map(Spanned::span),
            ),
            (
                "summary_max_tokens",
                table.summary_max_tokens.as_ref().map(Spanned::span),
            ),
        ];
        for (key, place) in places {
            if let Some(place) = place {
                return Err(self.fault(key, place.start, "needs policy = \"summarize\""));
            }
        }
        Ok(())
    }

    fn summary_tokens(
        &self,
        given: Option<Spanned<NonZeroU32>>,
        target_tokens: NonZeroU64,
    ) -> Result<NonZeroU32, FileError> {
        let Some(given) = given else {
            let half = u32::try_from(target_tokens.get() / 2).unwrap_or(u32::MAX);
            return Ok(NonZeroU32::new(half.min(SUMMARY_TOKENS)).unwrap_or(NonZeroU32::MIN));
        };
        if u64::from(given.get_ref().get()) >= target_tokens.get() {
            let problem = "must be below target_tokens, for the summary to fit";
            return Err(self.fault("summary_max_tokens", given.span().start, problem));
        }
        Ok(given.into_inner())
    }
}
