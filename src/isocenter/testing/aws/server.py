"""`python -m isocenter.testing.aws.server PORT`: AWS there, and on the next port HTTP APIs and the harness's doors."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterable
from typing import Any

os.environ["MOTO_PORT"] = sys.argv[1] if len(sys.argv) > 1 else "5000"  # moto reads it as it is loaded

from moto.dynamodb.responses import DynamoHandler
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from isocenter.testing.aws import front
from isocenter.testing.aws.gate import Environ, Gate, Wsgi
from isocenter.testing.aws.host import Host
from isocenter.testing.aws.patches import buckets, functions, machines, queues, watching
from isocenter.testing.aws.state import SEEN
from isocenter.testing.aws_server_process import mend


class _Quiet(MotoRequestHandler):
    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Says nothing."""


def _failing_fast(behind: Wsgi) -> Wsgi:
    """What moto does not know, or fails at, is answered by 400: on 500 Terraform would try for minutes."""

    def application(environ: Environ, start: Any) -> Iterable[bytes]:
        try:
            return behind(environ, start)
        except Exception as error:  # noqa: BLE001 - whatever moto fails at
            told = environ.get("HTTP_X_AMZ_TARGET") or f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
            SEEN.lack(f"{told}: {type(error).__name__}: {error}")
            traceback.print_exc()
            body = json.dumps({"__type": "UnsupportedOperation", "message": f"{told}: {error}"}).encode()
            headers = [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-errortype", "UnsupportedOperation")]
            start("400 Bad Request", [*headers, ("Content-Length", str(len(body)))])
            return [body]

    return application


def main() -> None:
    """Serve until SIGTERM."""
    port = int(sys.argv[1])
    endpoint = f"http://127.0.0.1:{port}"
    machines.patch(endpoint)
    host = Host()
    functions.patch(host, endpoint)
    queues.patch()
    buckets.patch()
    watching.patch()
    mend(DynamoHandler)  # one at a time in DynamoDB alone: a function that is waited for calls back
    threading.excepthook = lambda told: SEEN.error(f"{told.exc_type.__name__}: {told.exc_value}")
    behind: Any = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", port, Gate(_failing_fast(behind)), threaded=True, request_handler=_Quiet)
    front.serve(port + 1)

    def end(*_: Any) -> None:
        raise SystemExit(0)  # so that the functions' processes end with it

    signal.signal(signal.SIGTERM, end)
    try:
        server.serve_forever()
    finally:
        host.close()


if __name__ == "__main__":
    main()
