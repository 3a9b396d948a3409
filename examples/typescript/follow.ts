// Reads a turn to its end, over as many connections as that takes.
import { setTimeout as pause } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import type { AgentService, InvokeRequestSchema } from "./gen/taiwa/v1/agent_service_pb.js";
import type { Event } from "./gen/taiwa/v1/event_pb.js";

// How often in a row a connection may be lost before another event comes, and the bounds of the
// pauses in milliseconds; together they are about 20 s.
const mostFailures = 8;
const shortestPause = 200;
const longestPause = 5000;

export type Cursor = { sessionId: string; turnId: string; afterSequence: bigint };

// Gives the events of a turn up to its end, each once.
//
// The cursor, at first that of the beginning, moves with them: with it another call, even of
// another process, goes on where this one was left. The request has a requestId, so that asking
// again is not asking twice, and continues when it is disconnected.
export async function* follow(
  taiwa: Client<typeof AgentService>,
  request: MessageInitShape<typeof InvokeRequestSchema>,
  cursor: Cursor,
): AsyncGenerator<Event, void, undefined> {
  // Leaving the loop closes the stream.
  const left = new AbortController();
  const options = { signal: left.signal, timeoutMs: 0 };
  try {
    for (let failures = 0; ; failures++) {
      try {
        // Until the turn is known it is asked for, and then for what comes after the cursor.
        const stream = cursor.sessionId
          ? taiwa.resumeStream(cursor, options)
          : taiwa.invokeStream(request, options);
        for await (const event of stream) {
          // Events of the stream alone, such as stream_resumed, have no number.
          if (event.sequence > 0n) {
            failures = 0;
            cursor.turnId = event.turnId;
            cursor.afterSequence = event.sequence;
          }
          if (event.payload.case === "turnStarted") cursor.sessionId = event.payload.value.sessionId;
          yield event;
          // A turn that failed says why in its end, so the status behind it is not needed.
          if (event.payload.case === "turnEnded") return;
        }
        throw new ConnectError("the stream ended before its turn", Code.DataLoss);
      } catch (error) {
        if (!isLost(error) || failures === mostFailures) throw error;
      }
      const most = Math.min(shortestPause * 2 ** failures, longestPause);
      await pause(most * (0.5 + Math.random() / 2));
    }
  } finally {
    left.abort();
  }
}

// Whether the connection was lost, or the server has stopped. Where a connection breaks, Connect
// itself says "canceled" or "aborted"; with the server's own words there are details.
function isLost(error: unknown) {
  if (!(error instanceof ConnectError)) return false;
  if (error.code === Code.Unavailable) return true;
  const broken = error.code === Code.Canceled || error.code === Code.Aborted;
  return broken && error.details.length === 0;
}
