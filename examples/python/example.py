"""Makes the calls that ../README.md lists, and prints what comes of them."""

import asyncio
import os
import uuid
from contextlib import aclosing
from urllib.parse import urlsplit

import grpc

from deadlines import Deadlines
from follow import follow
from show import show, show_error
from taiwa.v1.agent_service_pb2 import InvokeRequest
from taiwa.v1.agent_service_pb2_grpc import AgentServiceStub
from taiwa.v1.content_pb2 import ToolResult
from taiwa.v1.converse_pb2 import INPUT_POLICY_INTERRUPT, ConverseRequest, SessionSetup
from taiwa.v1.delivery_pb2 import DISCONNECT_POLICY_CONTINUE, ResumeStreamRequest, StreamOptions
from taiwa.v1.tool_pb2 import ToolSpec
from taiwa.v1.turn_pb2 import TURN_STATUS_INTERRUPTED, TurnOptions

SCHEMA = '{"type": "object", "properties": {"city": {"type": "string"}}}'
WEATHER = ToolSpec(name="get_weather", description="Tells the weather.", input_schema_json=SCHEMA)


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
        show_error(error)
    try:  # Told by this side or by the server, whichever is first; the code is the same.
        await taiwa.Invoke(InvokeRequest(prompt="Think for ever."), timeout=0.5)
    except grpc.aio.AioRpcError as error:
        print(error.code().name)


async def resume(taiwa):
    stream = StreamOptions(on_disconnect=DISCONNECT_POLICY_CONTINUE)
    request = InvokeRequest(prompt="Tell me of rivers.", request_id=str(uuid.uuid4()), stream=stream)
    cursor = ResumeStreamRequest()
    seen = []
    for last in 6, None:  # It is left after its sixth event, and taken up again from there.
        async with aclosing(follow(taiwa, request, cursor)) as events:
            async for event in events:
                if event.sequence:
                    show(event)
                    seen.append(event.sequence)
                if event.sequence == last:
                    seen.append("cut")
                    break
    print(*seen)


async def main():
    endpoint = urlsplit(os.environ.get("TAIWA_ENDPOINT", "http://127.0.0.1:50051"))
    # A peer that went without a word is noticed by its silence.
    options = [("grpc.keepalive_time_ms", 30_000)]
    async with grpc.aio.insecure_channel(endpoint.netloc, options, interceptors=[Deadlines()]) as channel:
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
