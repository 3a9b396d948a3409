//! What guardrails found.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the SDK's enums grow, and a finding of an unknown kind is told as one"
)]

mod assessment;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use aws_sdk_bedrockruntime::types as bedrock;
use bedrock::GuardrailAutomatedReasoningFinding as Reasoned;
use taiwa_core::guardrail::{
    GuardrailFinding, GuardrailOutcome, GuardrailPolicy, GuardrailSubject,
};

/// Makes an outcome of each assessment, input first, then by guardrail.
///
/// The provider's reason and the model's own output, which the guardrail replaced, are told once
/// for a whole trace; the output goes with the last assessment, which is the output's where there
/// is one.
pub(super) fn outcomes(
    trace: bedrock::GuardrailTraceAssessment,
    asked_for_trace: bool,
) -> Vec<GuardrailOutcome> {
    let input = sorted(trace.input_assessment)
        .map(|(id, assessment)| (GuardrailSubject::Input, id, assessment));
    let output = sorted(trace.output_assessments)
        .flat_map(|(id, list)| list.into_iter().map(move |one| (id.clone(), one)))
        .map(|(id, assessment)| (GuardrailSubject::Output, id, assessment));
    let mut assessments: Vec<_> = input.chain(output).collect();
    let model_output = trace.model_output.unwrap_or_default();
    let action_reason = trace.action_reason.unwrap_or_default();
    if assessments.is_empty() && !(model_output.is_empty() && action_reason.is_empty()) {
        let nothing = bedrock::GuardrailAssessment::builder().build();
        assessments.push((GuardrailSubject::Output, String::new(), nothing));
    }
    let last = assessments.len().saturating_sub(1);
    let assessments = assessments.into_iter().enumerate();
    assessments
        .map(|(position, (subject, id, assessment))| {
            let model_output: &[String] = if position == last { &model_output } else { &[] };
            let assessment_json = if asked_for_trace {
                assessment::json(&assessment, model_output).to_string()
            } else {
                String::new()
            };
            let outcome = outcome(subject, id, assessment);
            GuardrailOutcome {
                action_reason: action_reason.clone(),
                assessment_json,
                ..outcome
            }
        })
        .collect()
}

fn sorted<T>(assessments: Option<HashMap<String, T>>) -> impl Iterator<Item = (String, T)> {
    BTreeMap::from_iter(assessments.into_iter().flatten()).into_iter()
}

fn outcome(
    subject: GuardrailSubject,
    id: String,
    assessment: bedrock::GuardrailAssessment,
) -> GuardrailOutcome {
    let mut findings = Findings::default();
    findings.policies(&assessment);
    let findings = findings.list;
    let (latency, usage) = assessment
        .invocation_metrics
        .map(|metrics| (metrics.guardrail_processing_latency, metrics.usage))
        .unwrap_or_default();
    let (applied_id, version) = assessment
        .applied_guardrail_details
        .map(|details| (details.guardrail_id, details.guardrail_version))
        .unwrap_or_default();
    GuardrailOutcome {
        subject,
        intervened: findings
            .iter()
            .any(|finding| !matches!(&*finding.action, "" | "NONE")),
        action_reason: String::new(),
        guardrail_id: applied_id.unwrap_or(id),
        version: version.unwrap_or_default(),
        findings,
        latency: latency
            .and_then(|ms| ms.try_into().ok())
            .map(Duration::from_millis),
        usage_units: usage.map(|usage| usage_units(&usage)).unwrap_or_default(),
        assessment_json: String::new(),
    }
}

/// Units by the provider's name for them; those of policies that were not applied are left out.
fn usage_units(usage: &bedrock::GuardrailUsage) -> BTreeMap<String, i32> {
    let units = assessment::usage_members(usage);
    let units = units
        .into_iter()
        .filter_map(|(name, units)| Some((name, units?)));
    units
        .filter(|(_, units)| *units != 0)
        .map(|(name, units)| (name.to_owned(), units))
        .collect()
}

/// Findings of an assessment, policy by policy.
#[derive(Default)]
struct Findings {
    list: Vec<GuardrailFinding>,
}

impl Findings {
    fn policies(&mut self, assessment: &bedrock::GuardrailAssessment) {
        for topic in assessment
            .topic_policy
            .iter()
            .flat_map(|policy| &policy.topics)
        {
            let action = topic.action.as_str();
            self.add(GuardrailPolicy::Topic, &topic.name, action, topic.detected);
        }
        for filter in assessment
            .content_policy
            .iter()
            .flat_map(|policy| &policy.filters)
        {
            let (name, action) = (filter.r#type.as_str(), filter.action.as_str());
            self.add(GuardrailPolicy::Content, name, action, filter.detected)
                .confidence = filter.confidence.as_str().to_owned();
        }
        if let Some(policy) = &assessment.word_policy {
            self.words(policy);
        }
        if let Some(policy) = &assessment.sensitive_information_policy {
            self.sensitive_information(policy);
        }
        let grounding = assessment.contextual_grounding_policy.iter();
        for filter in grounding
            .filter_map(|policy| policy.filters.as_ref())
            .flatten()
        {
            let (name, action) = (filter.r#type.as_str(), filter.action.as_str());
            let finding = self.add(
                GuardrailPolicy::ContextualGrounding,
                name,
                action,
                filter.detected,
            );
            finding.score = Some(filter.score);
            finding.threshold = Some(filter.threshold);
        }
        let reasoning = assessment.automated_reasoning_policy.iter();
        for finding in reasoning
            .filter_map(|policy| policy.findings.as_ref())
            .flatten()
        {
            self.reasoned(finding);
        }
    }

    fn words(&mut self, policy: &bedrock::GuardrailWordPolicyAssessment) {
        for word in &policy.custom_words {
            let action = word.action.as_str();
            self.add(GuardrailPolicy::Word, &word.r#match, action, word.detected)
                .matched = word.r#match.clone();
        }
        for word in &policy.managed_word_lists {
            let (name, action) = (word.r#type.as_str(), word.action.as_str());
            self.add(GuardrailPolicy::Word, name, action, word.detected)
                .matched = word.r#match.clone();
        }
    }

    fn sensitive_information(
        &mut self,
        policy: &bedrock::GuardrailSensitiveInformationPolicyAssessment,
    ) {
        for entity in &policy.pii_entities {
            let (name, action) = (entity.r#type.as_str(), entity.action.as_str());
            self.add(
                GuardrailPolicy::SensitiveInformation,
                name,
                action,
                entity.detected,
            )
            .matched = entity.r#match.clone();
        }
        for pattern in &policy.regexes {
            let name = pattern
                .name
                .as_deref()
                .or(pattern.regex.as_deref())
                .unwrap_or_default();
            let action = pattern.action.as_str();
            self.add(
                GuardrailPolicy::SensitiveInformation,
                name,
                action,
                pattern.detected,
            )
            .matched = pattern.r#match.clone().unwrap_or_default();
        }
    }

    /// Automated reasoning only tells: it takes no action, and matches rules, not text.
    fn reasoned(&mut self, finding: &Reasoned) {
        let (translation, rules) = match finding {
            Reasoned::Valid(found) => (found.translation.as_ref(), found.supporting_rules()),
            Reasoned::Invalid(found) => (found.translation.as_ref(), found.contradicting_rules()),
            Reasoned::Impossible(found) => {
                (found.translation.as_ref(), found.contradicting_rules())
            }
            Reasoned::Satisfiable(found) => (found.translation.as_ref(), &[][..]),
            _ => (None, &[][..]),
        };
        let rules: Vec<_> = rules
            .iter()
            .filter_map(|rule| rule.identifier.as_deref())
            .collect();
        let name = assessment::reasoned_name(finding);
        let finding = self.add(GuardrailPolicy::AutomatedReasoning, name, "", None);
        finding.matched = rules.join(", ");
        finding.score = translation.and_then(|translation| translation.confidence);
    }

    fn add(
        &mut self,
        policy: GuardrailPolicy,
        name: &str,
        action: &str,
        detected: Option<bool>,
    ) -> &mut GuardrailFinding {
        self.list.push(GuardrailFinding {
            policy,
            name: name.to_owned(),
            action: action.to_owned(),
            matched: String::new(),
            confidence: String::new(),
            score: None,
            threshold: None,
            // Left out where only what was found is listed.
            detected: detected.unwrap_or(true),
        });
        let newest = self.list.len() - 1;
        &mut self.list[newest]
    }
}
