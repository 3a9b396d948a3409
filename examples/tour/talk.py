"""Talks with an agent both ways, and rolls a die when it asks for one: step 10 of docs/tour.md."""

import os
import queue
from urllib.parse import urlsplit

import grpc
from taiwa.v1 import agent_service_pb2_grpc, content_pb2, converse_pb2, tool_pb2, turn_pb2

frames = queue.SimpleQueue()  # what we say; None ends our half


def say(**frame):
    frames.put(converse_pb2.ConverseRequest(**frame))


roll = tool_pb2.ToolSpec(name="roll", description="Rolls a die.", input_schema_json='{"type":"object"}')
say(setup=converse_pb2.SessionSetup(options=turn_pb2.TurnOptions(client_tools=[roll])))
say(prompt="Use roll.")
endpoint = urlsplit(os.environ.get("TAIWA_ENDPOINT", "http://127.0.0.1:50051"))
with grpc.insecure_channel(endpoint.netloc) as channel:
    for event in agent_service_pb2_grpc.AgentServiceStub(channel).Converse(iter(frames.get, None)):
        match event.WhichOneof("payload"):
            case "text_delta":
                print(event.text_delta.text, end="")
            case "tool_call":
                print(f"\n[we are asked to {event.tool_call.tool_name}]")
                say(tool_result=content_pb2.ToolResult(tool_call_id=event.tool_call.tool_call_id, text="a four"))
            case "turn_ended":
                print(f"\n[{turn_pb2.TurnStatus.Name(event.turn_ended.status)}]")
                frames.put(None)
