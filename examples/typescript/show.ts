// Prints events and errors.
import type { ConnectError } from "@connectrpc/connect";
import { CodeSchema } from "./gen/google/rpc/code_pb.js";
import { BadRequestSchema, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import type { Event } from "./gen/taiwa/v1/event_pb.js";
import { TurnStatusSchema } from "./gen/taiwa/v1/turn_pb.js";

// Prints text as it comes; there are more kinds of events, and there may be new ones.
export function show({ payload }: Event) {
  if (payload.case === "textDelta") {
    process.stdout.write(payload.value.text);
  } else if (payload.case === "toolCall") {
    console.log(`[${payload.value.toolName} ${payload.value.inputJson}]`);
  } else if (payload.case === "turnEnded") {
    console.log(`\n[${TurnStatusSchema.value[payload.value.status]?.name}]`);
  }
}

export const showCode = (error: ConnectError) => console.log(CodeSchema.value[error.code]?.name);

// Prints the code, the reason and the fields at fault, which programs branch on.
export function showError(error: ConnectError) {
  const [info] = error.findDetails(ErrorInfoSchema);
  const [request] = error.findDetails(BadRequestSchema);
  const fields = request?.fieldViolations.map((violation) => violation.field) ?? [];
  console.log(CodeSchema.value[error.code]?.name, info?.reason, ...fields);
}
