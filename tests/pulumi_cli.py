"""As much of the Pulumi CLI as ``pulumi up`` of an inline program needs: it runs the program and prints its error.

The Automation API starts it as ``pulumi`` and serves the program on ``--client``; engine and resource monitor, which the
program speaks to, are in this process and keep nothing.
"""

# ruff: noqa: N802, T201 - the names are those of Pulumi's services, and a command prints
from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import (
    engine_pb2_grpc,
    language_pb2,
    language_pb2_grpc,
    resource_pb2,
    resource_pb2_grpc,
)

CONFIG = Path("config.json")  # the folder is the workspace's own


class Engine(engine_pb2_grpc.EngineServicer):
    def Log(self, request: object, context: object) -> empty_pb2.Empty:
        return empty_pb2.Empty()


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    def SupportsFeature(self, request: object, context: object) -> resource_pb2.SupportsFeatureResponse:
        return resource_pb2.SupportsFeatureResponse(hasSupport=False)

    def RegisterResource(
        self, request: resource_pb2.RegisterResourceRequest, context: object
    ) -> resource_pb2.RegisterResourceResponse:
        return resource_pb2.RegisterResourceResponse(urn=f"urn:{request.name}", object=request.object)

    def RegisterResourceOutputs(self, request: object, context: object) -> empty_pb2.Empty:
        return empty_pb2.Empty()


def up(program: str) -> int:
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    engine_pb2_grpc.add_EngineServicer_to_server(Engine(), server)
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(Monitor(), server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    with grpc.insecure_channel(program) as channel:
        answer = language_pb2_grpc.LanguageRuntimeStub(channel).Run(
            language_pb2.RunRequest(
                project="spillway", stack="s", config=json.loads(CONFIG.read_text()), parallel=1,
                monitor_address=address, args=[address],
            )
        )  # fmt: skip
    server.stop(None).wait()
    print(f"error: {answer.error}" if answer.error else "updated", file=sys.stderr)
    return 255 if answer.error else 0


def main(words: list[str]) -> int:
    match [word for word in words if not word.startswith("-")]:
        case ["version"]:
            print("v3.200.0")
        case ["config", "set", key, _] if "--secret" in words:
            CONFIG.write_text(json.dumps({key: sys.stdin.read()}))
        case ["stack", "export", *_]:
            print('{"version": 3, "deployment": {}}')
        case ["up", *_]:
            return up(next(w for w in words if w.startswith("--client=")).removeprefix("--client="))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
