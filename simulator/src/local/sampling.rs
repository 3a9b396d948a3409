//! Which token comes next.

use llama_cpp_2::{
    context::LlamaContext,
    model::LlamaModel,
    sampling::LlamaSampler,
    token::{LlamaToken, data::LlamaTokenData, data_array::LlamaTokenDataArray},
};
use serde_json::Value;

/// Tokens back over which repetition is made less likely, and by how much: small models
/// fall into loops without it.
const PENALTY_WINDOW: i32 = 64;
const PENALTY: f32 = 1.1;

/// How the request wants tokens to be chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Taste {
    /// 0 takes the likeliest token each time.
    temperature: f32,
    /// The share of likelihood that the choice is among.
    top_p: f32,
}

impl Taste {
    /// Without a temperature the likeliest is taken, but where `topP` asks for a choice.
    pub(super) fn of(inference: &Value) -> Self {
        let number = |name: &str| inference[name].as_f64().map(|it| it as f32);
        let top_p = number("topP");
        let otherwise = if top_p.is_some() { 1.0 } else { 0.0 };
        Self {
            temperature: number("temperature").unwrap_or(otherwise),
            top_p: top_p.unwrap_or(1.0),
        }
    }
}

/// Chooses tokens, within a grammar if there is one.
pub(super) struct Picker {
    chain: LlamaSampler,
    grammar: Option<LlamaSampler>,
}

impl Picker {
    /// Chooses by `taste`; `free` text is kept from repeating itself, JSON is not, since it must.
    pub(super) fn new(
        model: &LlamaModel,
        taste: Taste,
        free: bool,
        grammar: Option<&str>,
    ) -> Result<Self, llama_cpp_2::GrammarError> {
        let grammar = grammar.map(|text| LlamaSampler::grammar(model, text, "root"));
        let mut chain = Vec::new();
        if free {
            let penalties =
                LlamaSampler::penalties(model.n_vocab(), PENALTY_WINDOW, PENALTY, 0.0, 0.0);
            chain.push(penalties);
        }
        if taste.temperature > 0.0 {
            chain.push(LlamaSampler::top_p(taste.top_p, 1));
            chain.push(LlamaSampler::temp(taste.temperature));
            chain.push(LlamaSampler::dist(rand::random()));
        } else {
            chain.push(LlamaSampler::greedy());
        }
        Ok(Self {
            chain: LlamaSampler::chain_simple(chain),
            grammar: grammar.transpose()?,
        })
    }

    /// The next token; none where the grammar lets nothing follow.
    pub(super) fn pick(&mut self, context: &LlamaContext<'_>, at: i32) -> Option<LlamaToken> {
        let mut all = context.token_data_array_ith(at);
        self.chain.apply(&mut all);
        let mut token = all.selected_token()?;
        if let Some(grammar) = &mut self.grammar {
            // To ask for one token is much cheaper than for all, and mostly enough.
            if !allows(grammar, token) {
                let mut allowed = context.token_data_array_ith(at);
                grammar.apply(&mut allowed);
                allowed.data.retain(|token| token.logit().is_finite());
                self.chain.apply(&mut allowed);
                token = allowed.selected_token()?;
            }
            grammar.try_accept(token).ok()?;
        }
        self.chain.try_accept(token).ok()?;
        Some(token)
    }
}

fn allows(grammar: &mut LlamaSampler, token: LlamaToken) -> bool {
    let one = vec![LlamaTokenData::new(token, 1.0, 0.0)];
    let mut one = LlamaTokenDataArray::new(one, false);
    grammar.apply(&mut one);
    one.data.first().is_some_and(|it| it.logit().is_finite())
}
