"""Reads a turn to its end, over as many connections as that takes."""

import asyncio
import random

import grpc

# How often in a row a connection may be lost before another event comes, and the bounds of the
# pauses in seconds; together they are about 20 s.
MOST_FAILURES = 8
SHORTEST_PAUSE = 0.2
LONGEST_PAUSE = 5


async def follow(taiwa, request, cursor):
    """Gives the events of a turn up to its end, each once.

    `cursor`, a ResumeStreamRequest, moves with them: with it another call, even of another
    process, goes on where this one was left. `request` has a request_id, so that asking again is
    not asking twice, and continues when it is disconnected.
    """
    failures = 0
    while True:
        # Until the turn is known it is asked for, and then for what comes after the cursor.
        call = taiwa.ResumeStream(cursor) if cursor.session_id else taiwa.InvokeStream(request)
        try:
            async for event in call:
                if event.sequence:  # Events of the stream alone, such as stream_resumed, have none.
                    failures = 0
                    cursor.turn_id, cursor.after_sequence = event.turn_id, event.sequence
                if event.HasField("turn_started"):
                    cursor.session_id = event.turn_started.session_id
                yield event
                if event.HasField("turn_ended"):
                    # A turn that failed has said why, so the status behind it is not needed.
                    return
            raise EOFError("the stream ended before its turn")
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE or failures == MOST_FAILURES:
                raise
        finally:
            call.cancel()
        pause = min(SHORTEST_PAUSE * 2**failures, LONGEST_PAUSE)
        await asyncio.sleep(random.uniform(pause / 2, pause))
        failures += 1
