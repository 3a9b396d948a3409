"""boto3 against the simulator: Converse, ConverseStream, CountTokens, errors, tools, reasoning."""

import boto3
from botocore.config import Config
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import ClientError, EventStreamError

MODEL = "us.anthropic.claude-sonnet-4-20250514-v1:0"
client = boto3.client("bedrock-runtime", config=Config(retries={"max_attempts": 0}))


def user(text):
    return {"role": "user", "content": [{"text": text}]}


def converse(prompt, **more):
    return client.converse(modelId=MODEL, messages=[user(prompt)], **more)


def stream(prompt, **more):
    return client.converse_stream(modelId=MODEL, messages=[user(prompt)], **more)["stream"]


def texts(events):
    deltas = (event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event)
    return [delta["text"] for delta in deltas if "text" in delta]


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def check_text():
    answer = converse("chunks")
    assert answer["output"]["message"] == {"role": "assistant", "content": [{"text": "Hello wörld"}]}
    assert answer["stopReason"] == "end_turn"
    assert answer["usage"] == {
        "inputTokens": 3, "outputTokens": 5, "totalTokens": 15, "cacheReadInputTokens": 7,
    }
    assert answer["metrics"] == {"latencyMs": 321}
    assert answer["ResponseMetadata"]["RequestId"]

    events = list(stream("chunks"))
    assert texts(events) == ["Hel", "lo ", "wörld"], events
    assert [next(iter(event)) for event in events] == (
        ["messageStart"] + ["contentBlockDelta"] * 3 + ["contentBlockStop", "messageStop", "metadata"]
    )
    assert events[0]["messageStart"]["role"] == "assistant"
    assert events[-1]["metadata"]["usage"]["cacheReadInputTokens"] == 7
    assert texts(stream("one byte a write")) == ["slow", "ly"]


def check_reasoning():
    content = converse("reason")["output"]["message"]["content"]
    assert content == [
        {"reasoningContent": {"reasoningText": {"text": "Let me think.", "signature": "c2lnbmF0dXJl"}}},
        {"reasoningContent": {"redactedContent": b"secret"}},
        {"text": "Done."},
    ], content
    deltas = [
        event["contentBlockDelta"]["delta"].get("reasoningContent")
        for event in stream("reason") if "contentBlockDelta" in event
    ]
    assert deltas == [
        {"text": "Let me "}, {"text": "think."}, {"signature": "c2lnbmF0dXJl"},
        {"redactedContent": b"secret"}, None,
    ], deltas


def check_tools():
    tools = {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object"}}}}]}
    answer = converse("tool", toolConfig=tools)
    assert answer["stopReason"] == "tool_use"
    call = answer["output"]["message"]["content"][1]["toolUse"]
    assert call == {"toolUseId": "call_1", "name": "weather", "input": {"city": "Kyoto", "days": [1, 2]}}

    events = list(stream("tool", toolConfig=tools))
    starts = [event["contentBlockStart"] for event in events if "contentBlockStart" in event]
    assert starts == [
        {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "call_1", "name": "weather"}}}
    ], starts
    pieces = [
        event["contentBlockDelta"]["delta"]["toolUse"]["input"]
        for event in events if "toolUse" in event.get("contentBlockDelta", {}).get("delta", {})
    ]
    assert "".join(pieces) == '{"city": "Kyoto", "days": [1, 2]}' and len(pieces) == 5, pieces

    result = {"toolResult": {"toolUseId": "call_1", "content": [{"json": {"sky": "clear"}}]}}
    messages = [user("tool"), answer["output"]["message"], {"role": "user", "content": [result]}]
    answer = client.converse(modelId=MODEL, messages=messages, toolConfig=tools)
    assert answer["output"]["message"]["content"] == [{"text": "It is sunny."}]
    error = raises(
        client.exceptions.ValidationException,
        lambda: client.converse(modelId=MODEL, messages=messages[:2] + [user("well?")], toolConfig=tools),
    )
    assert "Expected toolResult blocks at messages.2.content" in str(error), error


def check_citations_and_guardrails():
    content = converse("cite")["output"]["message"]["content"][0]["citationsContent"]
    assert content["citations"][0]["location"] == {"documentPage": {"documentIndex": 0, "start": 3, "end": 4}}
    deltas = [event["contentBlockDelta"]["delta"] for event in stream("cite") if "contentBlockDelta" in event]
    assert deltas[1]["citation"]["sourceContent"] == [{"text": "100"}], deltas

    answer = converse("guardrail")
    assert answer["stopReason"] == "guardrail_intervened"
    topics = answer["trace"]["guardrail"]["inputAssessment"]["gr1"]["topicPolicy"]["topics"]
    assert topics == [{"name": "secrets", "type": "DENY", "action": "BLOCKED"}], topics
    assert list(stream("guardrail"))[-1]["metadata"]["trace"]["guardrail"]["actionReason"]


def check_exceptions():
    for call in (converse, stream):
        error = raises(client.exceptions.ThrottlingException, lambda: call("throttle"))
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 429
        raises(client.exceptions.AccessDeniedException, lambda: call("deny"))
        error = raises(client.exceptions.ModelErrorException, lambda: call("model error"))
        assert error.response["originalStatusCode"] == 500 and error.response["resourceName"] == "model"

    seen = []
    error = raises(EventStreamError, lambda: seen.extend(stream("stream throttle")) or None)
    assert "throttlingException" in str(error) and "Enough." in str(error), error
    events = stream("stream throttle")
    seen = []
    raises(EventStreamError, lambda: [seen.append(event) for event in events])
    assert texts(seen) == ["a", "b"], seen
    error = raises(EventStreamError, lambda: list(stream("stream error")))
    assert error.response["Error"]["Code"] == "modelStreamErrorException", error.response

    raises(ChecksumMismatch, lambda: list(stream("bad checksum")))
    raises(Exception, lambda: list(stream("cut")))


def check_refusals():
    error = raises(ClientError, lambda: client.converse(modelId="gpt-4", messages=[user("x")]))
    assert error.response["Error"] == {
        "Code": "ValidationException", "Message": "The provided model identifier is invalid.",
    }, error.response
    error = raises(ClientError, lambda: converse(" "))
    assert "is blank" in str(error), error
    error = raises(ClientError, lambda: converse("x", inferenceConfig={"temperature": 1.5}))
    assert "'inferenceConfig.temperature' failed to satisfy constraint" in str(error), error
    twice = [user("a"), user("b")]
    error = raises(ClientError, lambda: client.converse(modelId=MODEL, messages=twice))
    assert "must alternate" in str(error), error


def check_tokens_and_persona():
    counted = client.count_tokens(modelId=MODEL, input={"converse": {"messages": [user("abcdefgh")]}})
    assert counted["inputTokens"] == 6, counted
    answer = converse("What is gRPC?", inferenceConfig={"maxTokens": 8})
    assert answer["stopReason"] == "max_tokens" and answer["usage"]["outputTokens"] <= 8
    told = "".join(texts(stream("Who are you?")))
    assert "simulator" in told, told


for check in (
    check_text, check_reasoning, check_tools, check_citations_and_guardrails, check_exceptions,
    check_refusals, check_tokens_and_persona,
):
    check()
    print(f"boto3 {boto3.__version__}: {check.__name__} ok")
