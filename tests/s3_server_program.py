"""A store that speaks like S3, for one test: prints its URL and runs until it is ended."""

from __future__ import annotations

import threading

from moto.server import ThreadedMotoServer

if __name__ == "__main__":
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)
    threading.Event().wait()
