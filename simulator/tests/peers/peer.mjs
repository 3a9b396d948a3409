// The AWS SDK for JavaScript against the simulator: Converse, ConverseStream, CountTokens,
// errors, tools, reasoning.

import assert from "node:assert/strict";
import {
  BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  CountTokensCommand,
} from "@aws-sdk/client-bedrock-runtime";
import { NodeHttpHandler } from "@smithy/node-http-handler";

const modelId = "us.anthropic.claude-sonnet-4-20250514-v1:0";
// Without a handler of its own this client speaks HTTP/2 with prior knowledge.
const clients = {
  "http/2": new BedrockRuntimeClient({ maxAttempts: 1 }),
  "http/1.1": new BedrockRuntimeClient({ maxAttempts: 1, requestHandler: new NodeHttpHandler() }),
};
let protocol;
let client;

const user = (text) => ({ role: "user", content: [{ text }] });
const converse = (prompt, more) =>
  client.send(new ConverseCommand({ modelId, messages: [user(prompt)], ...more }));
const stream = async (prompt, more) =>
  (await client.send(new ConverseStreamCommand({ modelId, messages: [user(prompt)], ...more }))).stream;

async function collect(events, into = []) {
  for await (const event of await events) into.push(event);
  return into;
}

const deltas = (events) =>
  events.filter((event) => event.contentBlockDelta).map((event) => event.contentBlockDelta.delta);
const texts = (events) => deltas(events).map((delta) => delta.text).filter((text) => text !== undefined);

const checks = {
  async text() {
    const answer = await converse("chunks");
    assert.deepEqual(answer.output.message, { role: "assistant", content: [{ text: "Hello wörld" }] });
    assert.equal(answer.usage.totalTokens, 15);
    const events = await collect(stream("chunks"));
    assert.deepEqual(texts(events), ["Hel", "lo ", "wörld"]);
    assert.equal(events.at(-2).messageStop.stopReason, "end_turn");
    assert.equal(events.at(-1).metadata.metrics.latencyMs, 321);
    assert.deepEqual(texts(await collect(stream("one byte a write"))), ["slow", "ly"]);
  },

  async reasoning() {
    const { content } = (await converse("reason")).output.message;
    assert.equal(content[0].reasoningContent.reasoningText.signature, "c2lnbmF0dXJl");
    assert.equal(Buffer.from(content[1].reasoningContent.redactedContent).toString(), "secret");
    const thoughts = deltas(await collect(stream("reason"))).map((delta) => delta.reasoningContent);
    assert.deepEqual(thoughts.slice(0, 3), [
      { text: "Let me " }, { text: "think." }, { signature: "c2lnbmF0dXJl" },
    ]);
  },

  async tools() {
    const toolConfig = {
      tools: [{ toolSpec: { name: "weather", inputSchema: { json: { type: "object" } } } }],
    };
    const answer = await converse("tool", { toolConfig });
    assert.equal(answer.stopReason, "tool_use");
    assert.deepEqual(answer.output.message.content[1].toolUse.input, { city: "Kyoto", days: [1, 2] });
    const events = await collect(stream("tool", { toolConfig }));
    const input = deltas(events).map((delta) => delta.toolUse?.input ?? "").join("");
    assert.deepEqual(JSON.parse(input), { city: "Kyoto", days: [1, 2] });
    const toolResult = { toolUseId: "call_1", content: [{ text: "clear" }] };
    const messages = [user("tool"), answer.output.message, { role: "user", content: [{ toolResult }] }];
    const last = await client.send(new ConverseCommand({ modelId, messages, toolConfig }));
    assert.deepEqual(last.output.message.content, [{ text: "It is sunny." }]);
    await assert.rejects(client.send(new ConverseCommand({ modelId, messages })), {
      name: "ValidationException",
      message: "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
    });
  },

  async citationsAndGuardrails() {
    const cited = deltas(await collect(stream("cite")));
    assert.equal(cited[1].citation.location.documentPage.start, 3);
    const answer = await converse("guardrail");
    assert.equal(answer.stopReason, "guardrail_intervened");
    assert.equal(answer.trace.guardrail.inputAssessment.gr1.topicPolicy.topics[0].name, "secrets");
  },

  async exceptions() {
    for (const call of [converse, stream]) {
      await assert.rejects(call("throttle"), { name: "ThrottlingException" });
      await assert.rejects(call("deny"), { name: "AccessDeniedException" });
      await assert.rejects(call("model error"), {
        name: "ModelErrorException", originalStatusCode: 500, resourceName: "model",
      });
    }
    const seen = [];
    await assert.rejects(collect(stream("stream throttle"), seen), { name: "ThrottlingException" });
    assert.deepEqual(texts(seen), ["a", "b"]);
    await assert.rejects(collect(stream("stream error")), {
      name: "ModelStreamErrorException", originalStatusCode: 503, originalMessage: "inner",
    });
    await assert.rejects(collect(stream("bad checksum")), /checksum|CRC/i);
    // Node ends an HTTP/2 stream without an error when its connection is closed.
    const cut = [];
    const ended = collect(stream("cut"), cut);
    await (protocol === "http/2" ? ended : assert.rejects(ended));
    assert.deepEqual(texts(cut), ["a"]);
    assert.ok(!cut.some((event) => event.messageStop));
  },

  async refusals() {
    const unknown = new ConverseCommand({ modelId: "gpt-4", messages: [user("x")] });
    await assert.rejects(client.send(unknown), {
      name: "ValidationException", message: "The provided model identifier is invalid.",
    });
    await assert.rejects(converse(" "), /is blank/);
    await assert.rejects(converse("x", { inferenceConfig: { maxTokens: 0 } }), /inferenceConfig.maxTokens/);
  },

  async tokensAndPersona() {
    const input = { converse: { messages: [user("abcdefgh")] } };
    const counted = await client.send(new CountTokensCommand({ modelId, input }));
    assert.equal(counted.inputTokens, 6);
    const told = texts(await collect(stream("Who are you?"))).join("");
    assert.match(told, /simulator/);
  },
};

for ([protocol, client] of Object.entries(clients)) {
  for (const [name, check] of Object.entries(checks)) {
    await check();
    console.log(`AWS SDK for JavaScript over ${protocol}: ${name} ok`);
  }
  client.destroy();
}
