"""Drive a real Chromium over its debugging pipe: open a page, wait until it shows something, take a picture.

python tests/browser.py results/evaluation/report.html docs/images/report.png
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page:
    """A page in a headless browser."""

    def __init__(self, to: int, back: int):
        self._to, self._back, self._number, self._rest = to, back, 0, b""
        target = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session = None
        self._session = self._call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        self.complaints: list[dict[str, Any]] = []
        """What the page said on its console and what it failed at, since it was opened."""
        for domain in ("Runtime", "Log"):
            self._call(f"{domain}.enable", {})

    def prefer(self, scheme: str) -> None:
        """Be a browser of a person who likes `light` or `dark` pages."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", {"features": features})

    def open(self, url: str) -> None:
        """Go to an address."""
        self._call("Page.navigate", {"url": url})

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        return self._call("Runtime.evaluate", {"expression": expression, "returnByValue": True})["result"].get(
            "value"
        )

    def until(self, expression: str, seconds: float = 600) -> None:
        """Wait until an expression holds; it fails the test when it does not."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < deadline, f"{expression}\n{self.evaluate('document.body.innerText')}"
            time.sleep(0.3)

    def picture(self, path: Path, size: tuple[int, int] | None = None) -> None:
        """Write what is seen as a PNG, in a window of another size when one is given."""
        if size:
            metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
            self._call("Emulation.setDeviceMetricsOverride", metrics)
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", {"format": "png"})["data"]))

    def _call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        session = getattr(self, "_session", None)
        os.write(self._to, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        deadline = time.monotonic() + 600
        while True:
            while b"\0" not in self._rest:
                left = max(0.0, deadline - time.monotonic())
                assert select.select([self._back], [], [], left)[0], f"the browser does not answer to {method}"
                read = os.read(self._back, 1 << 20)
                assert read, f"the browser has ended, at {method}"
                self._rest += read
            answer, _, self._rest = self._rest.partition(b"\0")
            told = json.loads(answer)
            if told.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(told["params"])
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]


@contextlib.contextmanager
def page(folder: Path) -> Iterator[Page]:
    """A page in a browser of its own, with its profile in `folder`."""
    (read_to, to), (back, write_back) = os.pipe(), os.pipe()
    # Chromium reads commands from descriptor 3 and answers on 4.
    command = f'exec "$0" "$@" 3<&{read_to} 4>&{write_back}'
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--window-size=1400,900"]
    process = subprocess.Popen(
        ["bash", "-c", command, str(BROWSER), *options, f"--user-data-dir={folder}"],
        pass_fds=(read_to, write_back),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(read_to)
    os.close(write_back)
    try:
        yield Page(to, back)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # all of its processes; it has nothing to save
        process.wait(60)
        os.close(to)
        os.close(back)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as profile, page(Path(profile)) as shown:
        shown.prefer("light")
        shown.open(Path(sys.argv[1]).resolve().as_uri())
        shown.until("document.readyState == 'complete' && document.title")
        shown.picture(Path(sys.argv[2]), (1000, 1560))
