"""An MCP server over stdio that does what it is told, good or bad.

Every message that it reads goes to the file of the variable JOURNAL, one a line.
"""

import json
import os
import signal
import subprocess
import sys
import time

MODES = set(sys.argv[1:])
EXTRA = []
PENDING = {}


def tool(name, schema=None, **annotations):
    schema = {"type": "object"} if schema is None else schema
    return {"name": name, "description": f"does {name}", "inputSchema": schema, "annotations": annotations}


TOOLS = [
    tool("echo", {"type": "object", "properties": {"text": {"type": "string"}}}),
    tool("die"),
    tool("die_reading", readOnlyHint=True),
    tool("die_again", idempotentHint=True),
    tool("hang"),
    tool("large"),
    tool("progress"),
    tool("junk"),
    tool("change"),
    tool("ask"),
    tool("deaf"),
    tool("complain"),
    tool("fail"),
    tool("refuse"),
    tool("environment"),
    tool("family"),
    tool("odd name/ü"),
    tool("untyped", {"properties": {"text": {"type": "string"}}}),
    tool("of_text", {"type": "string"}),
    tool("of_nothing", {"type": "object", "properties": 7}),
]


def write(raw):
    sys.stdout.buffer.write(raw + b"\n")
    sys.stdout.buffer.flush()


def send(**message):
    write(json.dumps({"jsonrpc": "2.0", **message}).encode())


def answer(request, text, **more):
    send(id=request["id"], result={"content": [{"type": "text", "text": text}], **more})


def refuse(request, code, message):
    send(id=request["id"], error={"code": code, "message": message})


def call(request):
    params = request["params"]
    name, arguments, meta = params["name"], params.get("arguments", {}), params.get("_meta", {})
    if name == "echo":
        answer(request, arguments.get("text", ""), structuredContent={"meta": meta})
    elif name.startswith("die"):
        os._exit(3)
    elif name == "hang":
        pass
    elif name == "large":
        answer(request, "x" * arguments["bytes"])
    elif name == "progress":
        for step in (1, 2, 3):
            progress = {"progressToken": meta["progressToken"], "progress": step, "total": 3}
            send(method="notifications/progress", params={**progress, "message": f"step {step}"})
            time.sleep(0.02)
        answer(request, "done")
    elif name == "junk":
        write(b"Listening on port 3000")
        write(b"\xff\xfe\xfd")
        write(b'{"jsonrpc": "2.0"')
        write(b'{"jsonrpc": "2.0", "id": 99999, "result": {}}')
        write(b"")
        answer(request, "after junk")
    elif name == "change":
        EXTRA.append(tool("added"))
        told = {"params": {"_meta": PENDING["subscription"]}} if "modern" in MODES else {}
        send(method="notifications/tools/list_changed", **told)
        answer(request, "changed")
    elif name == "ask":
        PENDING["request"], PENDING["answers"] = request, {}
        message = {"role": "user", "content": {"type": "text", "text": "hello"}}
        send(id="sampling", method="sampling/createMessage", params={"messages": [message], "maxTokens": 5})
        send(id="roots", method="roots/list")
        form = {"message": "who?", "requestedSchema": {"type": "object", "properties": {}}}
        send(id="elicitation", method="elicitation/create", params=form)
    elif name == "deaf":
        # Each is answered, and no answer is read.
        for number in range(100_000):
            send(id=f"ping {number}", method="ping")
        time.sleep(600)
    elif name == "complain":
        sys.stderr.write("complaint: " + "y" * 100_000 + "\n")
        sys.stderr.buffer.write(b"\xff broken\n")
        sys.stderr.flush()
        answer(request, "complained")
    elif name == "fail":
        answer(request, "no such city", isError=True)
    elif name == "refuse":
        refuse(request, -32602, "text is missing")
    elif name == "environment":
        answer(request, "", structuredContent=dict(os.environ))
    elif name == "family":
        child = subprocess.Popen(["sleep", "600"])
        answer(request, f"{os.getpid()} {child.pid}")
    else:
        answer(request, f"called {name}")


def handle(message):
    method = message.get("method")
    if "modern" in MODES and method == "server/discover":
        result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {"listChanged": True}}}
        send(id=message["id"], result={"resultType": "complete", "ttlMs": 0, "cacheScope": "private", **result})
    elif "modern" in MODES and method == "subscriptions/listen":
        PENDING["subscription"] = {"io.modelcontextprotocol/subscriptionId": message["id"]}
        accepted = {"_meta": PENDING["subscription"], "notifications": message["params"]["notifications"]}
        send(method="notifications/subscriptions/acknowledged", params=accepted)
    elif "modern" in MODES and method == "initialize":
        refuse(message, -32601, "no such method")
    elif method == "initialize":
        if "silent" in MODES:
            return
        version = message["params"]["protocolVersion"]
        info = {"name": "scripted", "version": "1"}
        capabilities = {"tools": {"listChanged": True}}
        send(id=message["id"], result={"protocolVersion": version, "capabilities": capabilities, "serverInfo": info})
    elif method == "tools/list":
        tools = TOOLS + EXTRA
        start = int((message.get("params") or {}).get("cursor") or 0)
        page = {"tools": tools[start : start + 5]}
        if start + 5 < len(tools) or "endless" in MODES:
            page["nextCursor"] = str(start + 5)
        send(id=message["id"], result=page)
    elif method == "tools/call":
        call(message)
    elif method is None:
        answers = PENDING["answers"]
        answers[message["id"]] = message.get("error", {}).get("code")
        if len(answers) == 3:
            answer(PENDING["request"], "", structuredContent=answers)
    elif "id" in message and "silent" not in MODES:
        refuse(message, -32601, "no such method")


def main():
    if "stubborn" in MODES:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    journal = open(os.environ["JOURNAL"], "a", encoding="utf-8", buffering=1)
    journal.write(json.dumps({"started": os.getpid()}) + "\n")
    if "broken" in MODES:
        sys.exit("cannot find my settings")
    for line in sys.stdin:
        message = json.loads(line)
        journal.write(json.dumps(message) + "\n")
        handle(message)
    while "stubborn" in MODES:
        time.sleep(1)


main()
