"""A headless Chromium, driven through its DevTools protocol over a pipe: no port, no driver."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import Any

__all__ = ["Browser", "Page", "find", "opened"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MACOS = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-quic", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip

_SECONDS = 60.0


def find() -> str:
    """The browser's program; a sentence on what to install where there is none."""
    for name in (os.environ.get("CHROMIUM", ""), *_NAMES, str(_MACOS)):
        found = shutil.which(name) if name else None
        if found:
            return found
    raise FileNotFoundError(
        "no Chromium: these tests open the page of a report in one. Install Debian's package "
        "chromium or Google Chrome, or name the program in CHROMIUM."
    )


class Browser:
    """One process; commands go to its fd 3 and answers come from its fd 4, each ended by a NUL."""

    def __init__(self, profile: Path, width: int, height: int) -> None:
        ends = [
            fcntl.fcntl(end, fcntl.F_DUPFD, 10) for pair in (os.pipe(), os.pipe()) for end in pair
        ]
        theirs_in, self._out, self._in, theirs_out = ends
        command = [find(), *_FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        script = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, *command],
            pass_fds=(theirs_in, theirs_out), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._rest, self._number = b"", 0
        self.events: list[dict[str, Any]] = []

    def ask(self, method: str, session: str = "", **given: Any) -> dict[str, Any]:
        """What a command answers; events that come before it are kept."""
        self._number += 1
        asked: dict[str, Any] = {"id": self._number, "method": method, "params": given}
        if session:
            asked["sessionId"] = session
        os.write(self._out, json.dumps(asked).encode() + b"\0")
        found: list[dict[str, Any]] = []

        def answered(told: dict[str, Any]) -> bool:
            if told.get("id") == asked["id"]:
                found.append(told)
            return bool(found)

        self.wait(answered)
        if "error" in found[0]:
            raise RuntimeError(f"{method}: {found[0]['error']}")
        answer: dict[str, Any] = found[0]["result"]
        return answer

    def wait(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Take messages until one is wanted."""
        end = time.monotonic() + _SECONDS
        while True:
            *whole, self._rest = self._rest.split(b"\0")
            messages = [json.loads(message) for message in whole]
            self.events += [message for message in messages if "method" in message]
            if any(wanted(message) for message in messages):
                return
            if not select([self._in], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError(f"the browser did not answer within {_SECONDS:.0f} s")
            read = os.read(self._in, 1 << 20)
            if not read:
                raise RuntimeError("the browser ended")
            self._rest += read

    def close(self) -> None:
        """End it and all of its processes."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._in)
        os.close(self._out)


class Page:
    """One page that was opened from a file."""

    def __init__(self, browser: Browser, path: Path) -> None:
        self._browser = browser
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Log", "Runtime", "Network"):
            self._ask(f"{domain}.enable")
        browser.events.clear()
        self._ask("Page.navigate", url=path.as_uri())
        if not any(event["method"] == "Page.loadEventFired" for event in browser.events):
            browser.wait(lambda told: told.get("method") == "Page.loadEventFired")

    def __call__(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        given = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self._ask("Runtime.evaluate", **given)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    @property
    def troubles(self) -> list[dict[str, Any]]:
        """Errors, warnings and whatever was written to the console."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [event for event in self._browser.events if event["method"] in kinds]

    @property
    def requests(self) -> set[str]:
        """Schemes of everything that was asked for."""
        sent = [e for e in self._browser.events if e["method"] == "Network.requestWillBeSent"]
        return {event["params"]["request"]["url"].partition(":")[0] for event in sent}

    def printed(self) -> bytes:
        """The page as a PDF file."""
        return base64.b64decode(self._ask("Page.printToPDF")["data"])

    def _ask(self, method: str, **given: Any) -> dict[str, Any]:
        return self._browser.ask(method, self._session, **given)


@contextmanager
def opened(path: Path, profile: Path, width: int = 1120, height: int = 900) -> Iterator[Page]:
    """A page in a browser of its own."""
    browser = Browser(profile, width, height)
    try:
        yield Page(browser, path)
    finally:
        browser.close()
