// Makes the calls that ../README.md lists, and prints what comes of them.
import { randomUUID } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { createWritableIterable } from "@connectrpc/connect/protocol";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AgentService } from "./gen/taiwa/v1/agent_service_pb.js";
import { type ConverseRequestSchema, InputPolicy } from "./gen/taiwa/v1/converse_pb.js";
import { DisconnectPolicy } from "./gen/taiwa/v1/delivery_pb.js";
import { TurnStatus } from "./gen/taiwa/v1/turn_pb.js";
import { type Cursor, follow } from "./follow.js";
import { show, showCode, showError } from "./show.js";

type Taiwa = Client<typeof AgentService>;
type Request = MessageInitShape<typeof ConverseRequestSchema>;
const schema = '{"type": "object", "properties": {"city": {"type": "string"}}}';
const weather = {
  name: "get_weather",
  description: "Tells the weather.",
  input: { case: "inputSchemaJson" as const, value: schema },
};

async function converse(taiwa: Taiwa) {
  const frames = createWritableIterable<Request>();
  const events = taiwa.converse(frames, { timeoutMs: 0 });
  // Waits until the call has taken the frame, and fails when the call did.
  const send = (frame: Request["frame"]) => frames.write({ frame });
  const options = { clientTools: [weather] };
  await send({ case: "setup", value: { inputPolicy: InputPolicy.INTERRUPT, options } });
  await send({ case: "prompt", value: "Tell me of the tides." });
  let pieces = 0;
  for await (const event of events) {
    show(event);
    const { case: kind, value } = event.payload;
    if (kind === "textDelta" && ++pieces === 3) {
      // In the middle of the answer: what is said now interrupts it.
      await send({ case: "prompt", value: "Stop! What is the weather in Oslo?" });
    } else if (kind === "toolCall") {
      await send({ case: "toolResult", value: { toolCallId: value.toolCallId, text: "7 degrees" } });
    } else if (kind === "turnEnded" && value.status !== TurnStatus.INTERRUPTED) {
      frames.close();
    }
  }
}

async function resume(taiwa: Taiwa) {
  const stream = { onDisconnect: DisconnectPolicy.CONTINUE };
  const request = { prompt: "Tell me of rivers.", requestId: randomUUID(), stream };
  const cursor: Cursor = { sessionId: "", turnId: "", afterSequence: 0n };
  const seen: unknown[] = [];
  // It is left after its sixth event, and taken up again from there.
  for (const last of [6n, undefined]) {
    for await (const event of follow(taiwa, request, cursor)) {
      if (event.sequence === 0n) continue;
      show(event);
      seen.push(event.sequence);
      if (event.sequence === last) break;
    }
    if (last) seen.push("cut");
  }
  console.log(seen.join(" "));
}

const baseUrl = process.env.TAIWA_ENDPOINT ?? "http://127.0.0.1:50051";
// A call that names no time of its own has a minute; of a stream `timeoutMs: 0` says that it may last.
// A peer that went without a word is noticed by its silence.
const settings = { defaultTimeoutMs: 60_000, pingIntervalMs: 30_000 };
const transport = createGrpcTransport({ baseUrl, ...settings });
const taiwa = createClient(AgentService, transport);
console.log("== Invoke");
console.log((await taiwa.invoke({ prompt: "What is a stream?" })).text);
console.log("== InvokeStream");
const answer = taiwa.invokeStream({ prompt: "What is a stream?" }, { timeoutMs: 0 });
for await (const event of answer) show(event);
console.log("== Converse");
await converse(taiwa);
console.log("== Errors");
await taiwa.invoke({ prompt: "Hi!", options: { maxTokens: -1 } }).catch(showError);
// Told by this side or by the server, whichever is first; the code is the same.
await taiwa.invoke({ prompt: "Think for ever." }, { timeoutMs: 500 }).catch(showCode);
console.log("== ResumeStream");
await resume(taiwa);
