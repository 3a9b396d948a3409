//! An assessment as JSON, in the provider's own shape.
//!
//! The SDK's types cannot be serialised, so that each member is written here once.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the SDK's enums grow, and a finding of an unknown kind is told as one"
)]

use aws_sdk_bedrockruntime::types as bedrock;
use bedrock::GuardrailAutomatedReasoningFinding as Reasoned;
use serde_json::{Map, Value};

/// The assessment, with the model's own output beside it where there is one.
pub(super) fn json(assessment: &bedrock::GuardrailAssessment, model_output: &[String]) -> Value {
    let model_output = (!model_output.is_empty()).then(|| model_output.into());
    object([
        (
            "topicPolicy",
            assessment.topic_policy.as_ref().map(topic_policy),
        ),
        (
            "contentPolicy",
            assessment.content_policy.as_ref().map(content_policy),
        ),
        (
            "wordPolicy",
            assessment.word_policy.as_ref().map(word_policy),
        ),
        (
            "sensitiveInformationPolicy",
            assessment
                .sensitive_information_policy
                .as_ref()
                .map(sensitive_information_policy),
        ),
        (
            "contextualGroundingPolicy",
            assessment
                .contextual_grounding_policy
                .as_ref()
                .map(contextual_grounding_policy),
        ),
        (
            "automatedReasoningPolicy",
            assessment
                .automated_reasoning_policy
                .as_ref()
                .map(automated_reasoning_policy),
        ),
        (
            "invocationMetrics",
            assessment
                .invocation_metrics
                .as_ref()
                .map(invocation_metrics),
        ),
        (
            "appliedGuardrailDetails",
            assessment
                .applied_guardrail_details
                .as_ref()
                .map(applied_guardrail_details),
        ),
        ("modelOutput", model_output),
    ])
}

/// The units used, by the provider's names.
pub(super) fn usage_members(usage: &bedrock::GuardrailUsage) -> [(&'static str, Option<i32>); 9] {
    [
        ("topicPolicyUnits", Some(usage.topic_policy_units)),
        ("contentPolicyUnits", Some(usage.content_policy_units)),
        ("wordPolicyUnits", Some(usage.word_policy_units)),
        (
            "sensitiveInformationPolicyUnits",
            Some(usage.sensitive_information_policy_units),
        ),
        (
            "sensitiveInformationPolicyFreeUnits",
            Some(usage.sensitive_information_policy_free_units),
        ),
        (
            "contextualGroundingPolicyUnits",
            Some(usage.contextual_grounding_policy_units),
        ),
        ("contentPolicyImageUnits", usage.content_policy_image_units),
        (
            "automatedReasoningPolicyUnits",
            usage.automated_reasoning_policy_units,
        ),
        (
            "automatedReasoningPolicies",
            usage.automated_reasoning_policies,
        ),
    ]
}

/// The provider's name for a kind of automated-reasoning finding.
pub(super) fn reasoned_name(finding: &Reasoned) -> &'static str {
    match finding {
        Reasoned::Valid(_) => "valid",
        Reasoned::Invalid(_) => "invalid",
        Reasoned::Satisfiable(_) => "satisfiable",
        Reasoned::Impossible(_) => "impossible",
        Reasoned::TranslationAmbiguous(_) => "translationAmbiguous",
        Reasoned::TooComplex(_) => "tooComplex",
        Reasoned::NoTranslations(_) => "noTranslations",
        _ => "unknown",
    }
}

fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let members = members
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(members.collect::<Map<_, _>>())
}

fn list<T>(items: &[T], item: impl Fn(&T) -> Value) -> Option<Value> {
    (!items.is_empty()).then(|| items.iter().map(item).collect())
}

fn text(text: &Option<String>) -> Option<Value> {
    text.as_deref().map(Value::from)
}

fn topic_policy(policy: &bedrock::GuardrailTopicPolicyAssessment) -> Value {
    let topic = |topic: &bedrock::GuardrailTopic| {
        object([
            ("name", Some(topic.name.as_str().into())),
            ("type", Some(topic.r#type.as_str().into())),
            ("action", Some(topic.action.as_str().into())),
            ("detected", topic.detected.map(Value::from)),
        ])
    };
    object([("topics", list(&policy.topics, topic))])
}

fn content_policy(policy: &bedrock::GuardrailContentPolicyAssessment) -> Value {
    let filter = |filter: &bedrock::GuardrailContentFilter| {
        object([
            ("type", Some(filter.r#type.as_str().into())),
            ("confidence", Some(filter.confidence.as_str().into())),
            (
                "filterStrength",
                filter
                    .filter_strength
                    .as_ref()
                    .map(|strength| strength.as_str().into()),
            ),
            ("action", Some(filter.action.as_str().into())),
            ("detected", filter.detected.map(Value::from)),
        ])
    };
    object([("filters", list(&policy.filters, filter))])
}

fn word_policy(policy: &bedrock::GuardrailWordPolicyAssessment) -> Value {
    let custom = |word: &bedrock::GuardrailCustomWord| {
        object([
            ("match", Some(word.r#match.as_str().into())),
            ("action", Some(word.action.as_str().into())),
            ("detected", word.detected.map(Value::from)),
        ])
    };
    let managed = |word: &bedrock::GuardrailManagedWord| {
        object([
            ("match", Some(word.r#match.as_str().into())),
            ("type", Some(word.r#type.as_str().into())),
            ("action", Some(word.action.as_str().into())),
            ("detected", word.detected.map(Value::from)),
        ])
    };
    object([
        ("customWords", list(&policy.custom_words, custom)),
        (
            "managedWordLists",
            list(&policy.managed_word_lists, managed),
        ),
    ])
}

fn sensitive_information_policy(
    policy: &bedrock::GuardrailSensitiveInformationPolicyAssessment,
) -> Value {
    let entity = |entity: &bedrock::GuardrailPiiEntityFilter| {
        object([
            ("match", Some(entity.r#match.as_str().into())),
            ("type", Some(entity.r#type.as_str().into())),
            ("action", Some(entity.action.as_str().into())),
            ("detected", entity.detected.map(Value::from)),
        ])
    };
    let pattern = |pattern: &bedrock::GuardrailRegexFilter| {
        object([
            ("name", text(&pattern.name)),
            ("match", text(&pattern.r#match)),
            ("regex", text(&pattern.regex)),
            ("action", Some(pattern.action.as_str().into())),
            ("detected", pattern.detected.map(Value::from)),
        ])
    };
    object([
        ("piiEntities", list(&policy.pii_entities, entity)),
        ("regexes", list(&policy.regexes, pattern)),
    ])
}

fn contextual_grounding_policy(
    policy: &bedrock::GuardrailContextualGroundingPolicyAssessment,
) -> Value {
    let filter = |filter: &bedrock::GuardrailContextualGroundingFilter| {
        object([
            ("type", Some(filter.r#type.as_str().into())),
            ("threshold", Some(filter.threshold.into())),
            ("score", Some(filter.score.into())),
            ("action", Some(filter.action.as_str().into())),
            ("detected", filter.detected.map(Value::from)),
        ])
    };
    object([("filters", list(policy.filters(), filter))])
}

fn invocation_metrics(metrics: &bedrock::GuardrailInvocationMetrics) -> Value {
    let usage = |usage: &bedrock::GuardrailUsage| {
        object(usage_members(usage).map(|(name, units)| (name, units.map(Value::from))))
    };
    let coverage = |coverage: &bedrock::GuardrailCoverage| {
        let covered = |guarded: Option<i32>, total: Option<i32>| {
            object([
                ("guarded", guarded.map(Value::from)),
                ("total", total.map(Value::from)),
            ])
        };
        let text = coverage.text_characters.as_ref();
        let images = coverage.images.as_ref();
        object([
            (
                "textCharacters",
                text.map(|text| covered(text.guarded, text.total)),
            ),
            (
                "images",
                images.map(|images| covered(images.guarded, images.total)),
            ),
        ])
    };
    object([
        (
            "guardrailProcessingLatency",
            metrics.guardrail_processing_latency.map(Value::from),
        ),
        ("usage", metrics.usage.as_ref().map(usage)),
        (
            "guardrailCoverage",
            metrics.guardrail_coverage.as_ref().map(coverage),
        ),
    ])
}

fn applied_guardrail_details(details: &bedrock::AppliedGuardrailDetails) -> Value {
    let ownership = details.guardrail_ownership.as_ref();
    object([
        ("guardrailId", text(&details.guardrail_id)),
        ("guardrailVersion", text(&details.guardrail_version)),
        ("guardrailArn", text(&details.guardrail_arn)),
        (
            "guardrailOrigin",
            list(details.guardrail_origin(), |origin| origin.as_str().into()),
        ),
        (
            "guardrailOwnership",
            ownership.map(|ownership| ownership.as_str().into()),
        ),
    ])
}

fn automated_reasoning_policy(
    policy: &bedrock::GuardrailAutomatedReasoningPolicyAssessment,
) -> Value {
    object([("findings", list(policy.findings(), reasoned))])
}

fn reasoned(finding: &Reasoned) -> Value {
    let members = match finding {
        Reasoned::Valid(found) => object([
            ("translation", found.translation.as_ref().map(translation)),
            (
                "claimsTrueScenario",
                found.claims_true_scenario.as_ref().map(scenario),
            ),
            ("supportingRules", list(found.supporting_rules(), rule)),
            (
                "logicWarning",
                found.logic_warning.as_ref().map(logic_warning),
            ),
        ]),
        Reasoned::Invalid(found) => object([
            ("translation", found.translation.as_ref().map(translation)),
            (
                "contradictingRules",
                list(found.contradicting_rules(), rule),
            ),
            (
                "logicWarning",
                found.logic_warning.as_ref().map(logic_warning),
            ),
        ]),
        Reasoned::Satisfiable(found) => object([
            ("translation", found.translation.as_ref().map(translation)),
            (
                "claimsTrueScenario",
                found.claims_true_scenario.as_ref().map(scenario),
            ),
            (
                "claimsFalseScenario",
                found.claims_false_scenario.as_ref().map(scenario),
            ),
            (
                "logicWarning",
                found.logic_warning.as_ref().map(logic_warning),
            ),
        ]),
        Reasoned::Impossible(found) => object([
            ("translation", found.translation.as_ref().map(translation)),
            (
                "contradictingRules",
                list(found.contradicting_rules(), rule),
            ),
            (
                "logicWarning",
                found.logic_warning.as_ref().map(logic_warning),
            ),
        ]),
        Reasoned::TranslationAmbiguous(found) => {
            let option = |option: &bedrock::GuardrailAutomatedReasoningTranslationOption| {
                object([("translations", list(option.translations(), translation))])
            };
            object([
                ("options", list(found.options(), option)),
                (
                    "differenceScenarios",
                    list(found.difference_scenarios(), scenario),
                ),
            ])
        }
        _ => object([]),
    };
    object([(reasoned_name(finding), Some(members))])
}

fn translation(translation: &bedrock::GuardrailAutomatedReasoningTranslation) -> Value {
    let reference = |reference: &bedrock::GuardrailAutomatedReasoningInputTextReference| {
        object([("text", text(&reference.text))])
    };
    object([
        ("premises", list(translation.premises(), statement)),
        ("claims", list(translation.claims(), statement)),
        (
            "untranslatedPremises",
            list(translation.untranslated_premises(), reference),
        ),
        (
            "untranslatedClaims",
            list(translation.untranslated_claims(), reference),
        ),
        ("confidence", translation.confidence.map(Value::from)),
    ])
}

fn scenario(scenario: &bedrock::GuardrailAutomatedReasoningScenario) -> Value {
    object([("statements", list(scenario.statements(), statement))])
}

fn logic_warning(warning: &bedrock::GuardrailAutomatedReasoningLogicWarning) -> Value {
    object([
        (
            "type",
            warning.r#type.as_ref().map(|kind| kind.as_str().into()),
        ),
        ("premises", list(warning.premises(), statement)),
        ("claims", list(warning.claims(), statement)),
    ])
}

fn rule(rule: &bedrock::GuardrailAutomatedReasoningRule) -> Value {
    object([
        ("identifier", text(&rule.identifier)),
        ("policyVersionArn", text(&rule.policy_version_arn)),
    ])
}

fn statement(statement: &bedrock::GuardrailAutomatedReasoningStatement) -> Value {
    object([
        ("logic", text(&statement.logic)),
        ("naturalLanguage", text(&statement.natural_language)),
    ])
}
