"""Prints events and errors."""

from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

from taiwa.v1.turn_pb2 import TurnStatus


def show(event):
    """Prints text as it comes; there are more kinds of events, and there may be new ones."""
    match event.WhichOneof("payload"):
        case "text_delta":
            print(event.text_delta.text, end="", flush=True)
        case "tool_call":
            print(f"[{event.tool_call.tool_name} {event.tool_call.input_json}]")
        case "turn_ended":
            print(f"\n[{TurnStatus.Name(event.turn_ended.status)}]")


def show_error(error):
    """Prints the code, the reason and the fields at fault, which programs branch on."""
    info, request = ErrorInfo(), BadRequest()
    for detail in rpc_status.from_call(error).details:
        if detail.Is(ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(BadRequest.DESCRIPTOR):
            detail.Unpack(request)
    print(error.code().name, info.reason, *(at.field for at in request.field_violations))
