"""Makes the calls that ../README.md lists, and prints what comes of them."""

import asyncio
import os

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

from taiwa.v1.agent_service_pb2 import InvokeRequest
from taiwa.v1.agent_service_pb2_grpc import AgentServiceStub
from taiwa.v1.content_pb2 import ToolResult
from taiwa.v1.converse_pb2 import INPUT_POLICY_INTERRUPT, ConverseRequest, SessionSetup
from taiwa.v1.delivery_pb2 import DISCONNECT_POLICY_CONTINUE, ResumeStreamRequest, StreamOptions
from taiwa.v1.tool_pb2 import ToolSpec
from taiwa.v1.turn_pb2 import TURN_STATUS_INTERRUPTED, TurnOptions, TurnStatus

SCHEMA = '{"type": "object", "properties": {"city": {"type": "string"}}}'
WEATHER = ToolSpec(name="get_weather", description="Tells the weather.", input_schema_json=SCHEMA)


def show(event):
    """Prints text as it comes; there are more kinds of events, and there may be new ones."""
    match event.WhichOneof("payload"):
        case "text_delta":
            print(event.text_delta.text, end="", flush=True)
        case "tool_call":
            print(f"[{event.tool_call.tool_name} {event.tool_call.input_json}]")
        case "turn_ended":
            print(f"\n[{TurnStatus.Name(event.turn_ended.status)}]")


async def converse(taiwa):
    call = taiwa.Converse()
    options = TurnOptions(client_tools=[WEATHER])
    setup = SessionSetup(input_policy=INPUT_POLICY_INTERRUPT, options=options)
    await call.write(ConverseRequest(setup=setup))
    await call.write(ConverseRequest(prompt="Tell me of the tides."))
    pieces = 0
    async for event in call:
        show(event)
        match event.WhichOneof("payload"):
            case "text_delta":
                pieces += 1
                if pieces == 3:  # In the middle of the answer: what is said now interrupts it.
                    await call.write(ConverseRequest(prompt="Stop! What is the weather in Oslo?"))
            case "tool_call":
                result = ToolResult(tool_call_id=event.tool_call.tool_call_id, text="7 degrees")
                await call.write(ConverseRequest(tool_result=result))
            case "turn_ended" if event.turn_ended.status != TURN_STATUS_INTERRUPTED:
                await call.done_writing()


async def errors(taiwa):
    try:
        await taiwa.Invoke(InvokeRequest(prompt="Hi!", options=TurnOptions(max_tokens=-1)))
    except grpc.aio.AioRpcError as error:
        info, request = ErrorInfo(), BadRequest()
        for detail in rpc_status.from_call(error).details:
            detail.Unpack(info) or detail.Unpack(request)
        print(error.code().name, info.reason, *(at.field for at in request.field_violations))
    try:  # Told by this side or by the server, whichever is first; the code is the same.
        await taiwa.Invoke(InvokeRequest(prompt="Think for ever."), timeout=0.5)
    except grpc.aio.AioRpcError as error:
        print(error.code().name)


async def resume(taiwa):
    stream = StreamOptions(on_disconnect=DISCONNECT_POLICY_CONTINUE)
    call = taiwa.InvokeStream(InvokeRequest(prompt="Tell me of rivers.", stream=stream))
    before = [await call.read() for _ in range(6)]
    call.cancel()
    cursor = ResumeStreamRequest(turn_id=before[0].turn_id, after_sequence=before[-1].sequence)
    cursor.session_id = before[0].turn_started.session_id
    # Events of the stream alone, such as stream_resumed, have no number.
    after = [event async for event in taiwa.ResumeStream(cursor) if event.sequence]
    for event in before + after:
        show(event)
    print(*(event.sequence for event in before), "cut", *(event.sequence for event in after))


async def main():
    endpoint = os.environ.get("TAIWA_ENDPOINT", "127.0.0.1:50051")
    async with grpc.aio.insecure_channel(endpoint) as channel:
        taiwa = AgentServiceStub(channel)
        print("== Invoke")
        print((await taiwa.Invoke(InvokeRequest(prompt="What is a stream?"))).text)
        print("== InvokeStream")
        async for event in taiwa.InvokeStream(InvokeRequest(prompt="What is a stream?")):
            show(event)
        print("== Converse")
        await converse(taiwa)
        print("== Errors")
        await errors(taiwa)
        print("== ResumeStream")
        await resume(taiwa)


asyncio.run(main())
