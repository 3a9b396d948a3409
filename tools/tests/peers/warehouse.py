#!/usr/bin/env python3
"""A warehouse behind gRPC, on Google's own Python stack.

Prints `listening on 127.0.0.1:PORT` when it can be called, and each call with
its metadata to standard error. With --journal FILE it writes what happened as
lines of JSON, each with `t`, seconds of the monotonic clock:

  {"event": "call", "id": 1, "method": "Reserve", "metadata": {...}, "request": {...}}
  {"event": "effect", "id": 1, "method": "Reserve", "key": "..."}
  {"event": "repeat", "id": 2, "method": "Reserve", "key": "..."}
  {"event": "cancelled", "id": 3, "method": "Pack"}
  {"event": "end", "id": 1, "method": "Reserve", "code": "OK"}

A call that changes the stock takes effect once for each `idempotency-key`: the
same key again is a `repeat`, and is answered as the first time.

Needs the packages of requirements.txt.
"""

import argparse
import copy
import importlib
import itertools
import json
import pathlib
import sys
import tempfile
import threading
import time
from concurrent import futures
from datetime import datetime, timedelta, timezone

import grpc
import grpc_tools
from google.protobuf import any_pb2, duration_pb2, empty_pb2, json_format, struct_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status
from grpc_tools import protoc

HERE = pathlib.Path(__file__).resolve().parent
SECRET = {"authorization", "cookie", "x-api-key"}


def compile_proto(folder, descriptor_set):
    """Compiles warehouse.proto, and gives its two modules."""
    include = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    arguments = [
        "protoc",
        f"-I{HERE}",
        f"-I{include}",
        f"--python_out={folder}",
        f"--grpc_python_out={folder}",
    ]
    if descriptor_set:
        arguments += ["--include_imports", "--include_source_info", f"--descriptor_set_out={descriptor_set}"]
    if protoc.main([*arguments, "warehouse.proto"]) != 0:
        sys.exit("warehouse.proto does not compile")
    sys.path.insert(0, str(folder))
    return importlib.import_module("warehouse_pb2"), importlib.import_module("warehouse_pb2_grpc")


class Journal:
    """What happened, in lines of JSON."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8") if path else None
        self.lock = threading.Lock()

    def write(self, event, **fields):
        if self.file is None:
            return
        line = json.dumps({"event": event, **fields, "t": time.monotonic()})
        with self.lock:
            self.file.write(line + "\n")
            self.file.flush()


class Call:
    """One call: what it came with, and whether its caller is still there."""

    ids = itertools.count(1)

    def __init__(self, method, request, context, journal):
        self.id = next(self.ids)
        self.method = method
        self.context = context
        self.journal = journal
        self.is_over = threading.Event()
        self.code = None
        metadata = {name: text(value) for name, value in context.invocation_metadata()}
        self.key = metadata.get("idempotency-key", "")
        left = context.time_remaining()
        journal.write(
            "call",
            id=self.id,
            method=method,
            metadata=metadata,
            request=json_format.MessageToDict(request),
            seconds_left=left,
        )
        shown = {name: "***" if name in SECRET else value for name, value in metadata.items()}
        print(f"{method} #{self.id} {json.dumps(shown)}", file=sys.stderr, flush=True)
        # Called when the call is over, however it ends.
        if not context.add_callback(self.over):
            self.over()

    def over(self):
        if self.code is None:
            self.journal.write("cancelled", id=self.id, method=self.method)
        self.is_over.set()

    def end(self, code="OK"):
        self.code = code
        self.journal.write("end", id=self.id, method=self.method, code=code)

    def effect(self):
        self.journal.write("effect", id=self.id, method=self.method, key=self.key)

    def refuse(self, code, message, *details):
        """Ends the call with a status and its details."""
        self.end(code.name)
        packed = []
        for detail in details:
            packed.append(any_pb2.Any())
            packed[-1].Pack(detail)
        number = code_pb2.Code.Value(code.name)
        status = status_pb2.Status(code=number, message=message, details=packed)
        self.context.abort_with_status(rpc_status.to_status(status))

    def wait(self, seconds):
        """Waits, but not for a caller who is gone; says whether it is still there."""
        return not self.is_over.wait(seconds)


def text(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def bad_request(field, description):
    violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
    return error_details_pb2.BadRequest(field_violations=[violation])


class Warehouse:
    def __init__(self, pb, journal):
        self.pb = pb
        self.journal = journal
        self.lock = threading.Lock()
        self.items = {item.sku: item for item in first_items(pb)}
        self.reservations = {}
        self.answers = {}
        self.ids = itertools.count(1)

    def GetItem(self, request, context):
        call = Call("GetItem", request, context, self.journal)
        with self.lock:
            item = copy.deepcopy(self.item(call, request.sku))
        if request.fields.paths:
            part = self.pb.Item()
            request.fields.MergeMessage(item, part)
            item = part
        call.end()
        return item

    def FindItems(self, request, context):
        call = Call("FindItems", request, context, self.journal)
        with self.lock:
            items = [copy.deepcopy(item) for item in self.items.values()]
        found = [item for item in items if matches(item, request)]
        call.end()
        return self.pb.FindItemsResponse(items=sorted(found, key=lambda item: item.sku))

    def PutItem(self, request, context):
        call = Call("PutItem", request, context, self.journal)
        if not request.sku:
            call.refuse(grpc.StatusCode.INVALID_ARGUMENT, "an item needs a number", bad_request("sku", "is empty"))
        with self.lock:
            return self.once(call, lambda: self.put(request))

    def Reserve(self, request, context):
        call = Call("Reserve", request, context, self.journal)
        if request.count < 1:
            call.refuse(
                grpc.StatusCode.INVALID_ARGUMENT,
                "nothing to reserve",
                bad_request("count", "must be 1 or more"),
            )
        with self.lock:
            return self.once(call, lambda: self.reserve(call, request))

    def Release(self, request, context):
        call = Call("Release", request, context, self.journal)
        with self.lock:
            return self.once(call, lambda: self.release(request))

    def Pack(self, request, context):
        call = Call("Pack", request, context, self.journal)
        takes = min(request.takes.ToTimedelta().total_seconds(), 60)
        if not call.wait(takes):
            # Nothing was packed: its caller no longer wants it.
            return self.pb.Parcel()
        with self.lock:
            return self.once(call, lambda: self.pack(call, request))

    def CountStock(self, request, context):
        call = Call("CountStock", request, context, self.journal)
        counts = {}
        with self.lock:
            for item in self.items.values():
                name = self.pb.Temperature.Name(item.temperature)
                counts[name] = counts.get(name, 0) + item.count
        answer = struct_pb2.Struct()
        answer.update(counts)
        call.end()
        return answer

    def WatchStock(self, request, context):
        call = Call("WatchStock", request, context, self.journal)
        every = request.every.ToTimedelta().total_seconds()
        for number in range(min(request.changes, 1000)):
            if number > 0 and not call.wait(every):
                return
            with self.lock:
                count = self.item(call, request.sku).count
            why = struct_pb2.Value(string_value="sold") if number % 2 else struct_pb2.Value(null_value=0)
            yield self.pb.StockChange(sku=request.sku, count=count - number, why=why)
        call.end()

    def once(self, call, act):
        """Acts, unless a call with the same key did; under the lock."""
        answer = self.answers.get((call.method, call.key)) if call.key else None
        if answer is not None:
            self.journal.write("repeat", id=call.id, method=call.method, key=call.key)
        else:
            answer = act()
            call.effect()
            if call.key:
                self.answers[call.method, call.key] = answer
        call.end()
        return answer

    def item(self, call, sku):
        item = self.items.get(sku)
        if item is None:
            call.refuse(
                grpc.StatusCode.NOT_FOUND,
                f"there is no item {sku!r}",
                error_details_pb2.ErrorInfo(reason="NO_SUCH_ITEM", domain="warehouse.example", metadata={"sku": sku}),
                error_details_pb2.ResourceInfo(resource_type="item", resource_name=sku, description="not in stock"),
            )
        return item

    def put(self, request):
        self.items[request.sku] = copy.deepcopy(request)
        return request

    def reserve(self, call, request):
        item = self.item(call, request.sku)
        if item.count < request.count:
            call.refuse(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"only {item.count} are left",
                error_details_pb2.ErrorInfo(reason="SOLD_OUT", domain="warehouse.example"),
                error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=3600)),
            )
        item.count -= request.count
        reservation = self.pb.Reservation(id=f"r-{next(self.ids)}", sku=request.sku, count=request.count)
        if request.HasField("until"):
            reservation.until.CopyFrom(request.until)
        else:
            reservation.until.FromDatetime(datetime.now(timezone.utc) + timedelta(days=1))
        self.reservations[reservation.id] = reservation
        return reservation

    def release(self, request):
        reservation = self.reservations.pop(request.reservation_id, None)
        if reservation is not None and reservation.sku in self.items:
            self.items[reservation.sku].count += reservation.count
        return empty_pb2.Empty()

    def pack(self, call, request):
        item = self.item(call, request.sku)
        item.count -= request.count
        return self.pb.Parcel(id=f"p-{next(self.ids)}", count=request.count)


def matches(item, request):
    return (
        request.text.lower() in item.name.lower()
        and (not request.temperatures or item.temperature in request.temperatures)
        and all(item.labels.get(name) == value for name, value in request.labels.items())
        and (not request.HasField("max_price_cents") or item.price_cents <= request.max_price_cents.value)
        and (
            not request.HasField("best_before_after")
            or item.best_before.ToDatetime() > request.best_before_after.ToDatetime()
        )
    )


def first_items(pb):
    tea = pb.Item(
        sku="tea-7",
        name="Green tea",
        count=40,
        temperature=pb.TEMPERATURE_AMBIENT,
        price_cents=450,
        weight_kg=0.1,
        labels={"origin": "Uji", "grade": "A"},
        loose="a tin",
    )
    tea.places[3].level = 2
    peas = pb.Item(
        sku="peas-1",
        name="Peas",
        count=9_007_199_254_740_993,
        temperature=pb.TEMPERATURE_FROZEN,
        price_cents=120,
        box=pb.Item.Box(width=20.5, height=10),
    )
    milk = pb.Item(sku="milk-2", name="Milk", temperature=pb.TEMPERATURE_CHILLED, price_cents=99)
    milk.best_before.FromJsonString("2026-12-01T00:00:00Z")
    return [tea, peas, milk]


def main():
    parser = argparse.ArgumentParser(description="A warehouse behind gRPC, to call from tools.")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; default: any that is free")
    parser.add_argument("--journal", help="file to which each call, effect and cancellation is appended")
    parser.add_argument("--descriptor-set", help="file to write the service's descriptors to, with comments")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        pb, pb_grpc = compile_proto(folder, arguments.descriptor_set)
    name = pb.DESCRIPTOR.services_by_name["Warehouse"].full_name
    # Without port reuse, a port that somebody has is an error.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32), options=[("grpc.so_reuseport", 0)])
    pb_grpc.add_WarehouseServicer_to_server(Warehouse(pb, Journal(arguments.journal)), server)
    checks = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection([name, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    port = server.add_insecure_port(f"127.0.0.1:{arguments.port}")
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(grace=1).wait()


if __name__ == "__main__":
    main()
