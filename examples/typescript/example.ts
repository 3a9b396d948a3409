// Makes the calls that ../README.md lists, and prints what comes of them.
import { PassThrough } from "node:stream";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, type ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { CodeSchema } from "./gen/google/rpc/code_pb.js";
import { BadRequestSchema, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { AgentService } from "./gen/taiwa/v1/agent_service_pb.js";
import { type ConverseRequestSchema, InputPolicy } from "./gen/taiwa/v1/converse_pb.js";
import { DisconnectPolicy } from "./gen/taiwa/v1/delivery_pb.js";
import type { Event } from "./gen/taiwa/v1/event_pb.js";
import { TurnStatus, TurnStatusSchema } from "./gen/taiwa/v1/turn_pb.js";

type Taiwa = Client<typeof AgentService>;
type Frame = MessageInitShape<typeof ConverseRequestSchema>["frame"];
const schema = '{"type": "object", "properties": {"city": {"type": "string"}}}';
const weather = {
  name: "get_weather",
  description: "Tells the weather.",
  input: { case: "inputSchemaJson" as const, value: schema },
};

// Prints text as it comes; there are more kinds of events, and there may be new ones.
function show({ payload }: Event) {
  if (payload.case === "textDelta") {
    process.stdout.write(payload.value.text);
  } else if (payload.case === "toolCall") {
    console.log(`[${payload.value.toolName} ${payload.value.inputJson}]`);
  } else if (payload.case === "turnEnded") {
    console.log(`\n[${TurnStatusSchema.value[payload.value.status]?.name}]`);
  }
}

const showCode = (error: ConnectError) => console.log(CodeSchema.value[error.code]?.name);

function showError(error: ConnectError) {
  const [info] = error.findDetails(ErrorInfoSchema);
  const [request] = error.findDetails(BadRequestSchema);
  const fields = request?.fieldViolations.map((violation) => violation.field) ?? [];
  console.log(CodeSchema.value[error.code]?.name, info?.reason, ...fields);
}

async function converse(taiwa: Taiwa) {
  const frames = new PassThrough({ objectMode: true });
  const send = (frame: Frame) => frames.write({ frame });
  const options = { clientTools: [weather] };
  send({ case: "setup", value: { inputPolicy: InputPolicy.INTERRUPT, options } });
  send({ case: "prompt", value: "Tell me of the tides." });
  let pieces = 0;
  for await (const event of taiwa.converse(frames)) {
    show(event);
    const { case: kind, value } = event.payload;
    if (kind === "textDelta" && ++pieces === 3) {
      // In the middle of the answer: what is said now interrupts it.
      send({ case: "prompt", value: "Stop! What is the weather in Oslo?" });
    } else if (kind === "toolCall") {
      send({ case: "toolResult", value: { toolCallId: value.toolCallId, text: "7 degrees" } });
    } else if (kind === "turnEnded" && value.status !== TurnStatus.INTERRUPTED) {
      frames.end();
    }
  }
}

async function resume(taiwa: Taiwa) {
  const stream = { onDisconnect: DisconnectPolicy.CONTINUE };
  const request = { prompt: "Tell me of rivers.", stream };
  const connection = new AbortController();
  const before: Event[] = [];
  for await (const event of taiwa.invokeStream(request, { signal: connection.signal })) {
    if (before.push(event) === 6) break;
  }
  connection.abort();
  const { turnId, payload } = before[0];
  const sessionId = payload.case === "turnStarted" ? payload.value.sessionId : "";
  const cursor = { sessionId, turnId, afterSequence: before[5].sequence };
  const after: Event[] = [];
  for await (const event of taiwa.resumeStream(cursor)) {
    // Events of the stream alone, such as stream_resumed, have no number.
    if (event.sequence > 0n) after.push(event);
  }
  [...before, ...after].forEach(show);
  const numbers = (events: Event[]) => events.map((event) => event.sequence).join(" ");
  console.log(numbers(before), "cut", numbers(after));
}

const endpoint = process.env.TAIWA_ENDPOINT ?? "127.0.0.1:50051";
const taiwa = createClient(AgentService, createGrpcTransport({ baseUrl: `http://${endpoint}` }));
console.log("== Invoke");
console.log((await taiwa.invoke({ prompt: "What is a stream?" })).text);
console.log("== InvokeStream");
for await (const event of taiwa.invokeStream({ prompt: "What is a stream?" })) show(event);
console.log("== Converse");
await converse(taiwa);
console.log("== Errors");
await taiwa.invoke({ prompt: "Hi!", options: { maxTokens: -1 } }).catch(showError);
// Told by this side or by the server, whichever is first; the code is the same.
await taiwa.invoke({ prompt: "Think for ever." }, { timeoutMs: 500 }).catch(showCode);
console.log("== ResumeStream");
await resume(taiwa);
