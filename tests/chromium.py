"""Drive Debian's Chromium over its debugging protocol: enough to open pages and ask them questions.

``python -m tests.chromium HTML_FOLDER OUT_FOLDER [WIDTH]`` saves a picture of every page.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from tornado.websocket import WebSocketClientConnection, websocket_connect

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    # The pages must not need the network: every host but this one is unknown.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
START_TIMEOUT_S = 60.0
PAGE_TIMEOUT_S = 60.0


def find_chromium() -> str | None:
    """Path of an installed Chromium, or None; the environment variable CHROMIUM comes first."""
    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    return next((found for name in names if name and (found := shutil.which(name))), None)


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: the test says what is missing."""


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve `folder` on this machine while the block runs; gives the address."""
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class Chromium:
    """One tab. Use as a context manager.

    ``messages`` holds what the present page wrote to the console as an error, the exceptions it did
    not catch, and the requests that failed.
    """

    def __init__(self, program: str):
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._loop = asyncio.new_event_loop()
        self._number = 0
        self.messages: list[str] = []
        self._loaded = False
        try:
            self._socket: WebSocketClientConnection = self._loop.run_until_complete(self._connect())
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._loop.close()
        self._profile.cleanup()

    async def _connect(self) -> WebSocketClientConnection:
        port_file = Path(self._profile.name) / "DevToolsActivePort"
        give_up = time.monotonic() + START_TIMEOUT_S
        while not (port_file.exists() and port_file.read_text().count("\n")):
            if time.monotonic() > give_up or self._process.poll() is not None:
                raise RuntimeError("Chromium did not start: run it by hand with --headless --no-sandbox.")
            await asyncio.sleep(0.05)
        port = port_file.read_text().splitlines()[0]
        with urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            tab = next(target for target in json.load(answer) if target["type"] == "page")
        return await websocket_connect(tab["webSocketDebuggerUrl"], max_message_size=2**28)

    def call(self, method: str, **params: object) -> dict:
        """Send one command of the protocol and return its result."""
        return self._loop.run_until_complete(asyncio.wait_for(self._call(method, params), PAGE_TIMEOUT_S))

    async def _call(self, method: str, params: dict) -> dict:
        self._number += 1
        await self._socket.write_message(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = await self._receive()
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]

    async def _receive(self) -> dict:
        text = await self._socket.read_message()
        if text is None:
            raise RuntimeError("Chromium closed the connection.")
        message = json.loads(text)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event: str, params: dict) -> None:
        if event == "Page.loadEventFired":
            self._loaded = True
        elif event == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.messages.append(details.get("exception", {}).get("description", details["text"]))
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.messages.append(" ".join(str(arg.get("value", arg)) for arg in params["args"]))
        elif event == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.messages.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif event == "Network.loadingFailed" and not params.get("canceled"):
            self.messages.append(f"a request failed: {params.get('errorText')} ({params.get('type')})")

    def open(self, address: str) -> None:
        """Open a page, and wait until it is loaded and its equations are set."""
        self.messages, self._loaded = [], False
        self.call("Page.navigate", url=address)
        self._loop.run_until_complete(asyncio.wait_for(self._until_loaded(), PAGE_TIMEOUT_S))
        self.ask("window.MathJax?.startup?.promise?.then(() => true) ?? true")

    async def _until_loaded(self) -> None:
        while not self._loaded:
            await self._receive()

    def ask(self, expression: str) -> object:
        """The JSON value of a JavaScript expression on the present page; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(
                answer["exceptionDetails"]["exception"].get("description", "JavaScript failed")
            )
        return answer["result"].get("value")

    def resize(self, width: int) -> None:
        """Show pages `width` pixels wide from now on; a narrow one as on a phone."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def picture(self) -> bytes:
        """The whole present page as PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])


def pages(folder: Path) -> list[str]:
    """The pages of a built book: what was written, without the index and the search."""
    return sorted(
        file.relative_to(folder).as_posix()
        for part in ("book", "notebooks")
        for file in (folder / part).glob("*.html")
    )


def main() -> int:
    """Save a picture of every page."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    width = int(sys.argv[3]) if len(sys.argv) > 3 else 1280
    program = find_chromium()
    if program is None:
        sys.exit("No Chromium was found: install it, or name it in the environment variable CHROMIUM.")
    out.mkdir(parents=True, exist_ok=True)
    with serve(folder) as address, Chromium(program) as browser:
        browser.resize(width)
        for page in pages(folder):
            browser.open(f"{address}/{page}")
            target = out / f"{Path(page).stem}_{width}.png"
            target.write_bytes(browser.picture())
            print(target, *browser.messages)
    return 0


if __name__ == "__main__":
    sys.exit(main())
