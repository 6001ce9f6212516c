"""A headless Chromium that tests drive by its DevTools protocol, over pipes: no package is needed, and no port."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--disable-gpu",
)
# Its ends of the pipes have to be files 3 and 4.
BEGIN = "import os, sys; _, a, b, *more = sys.argv; os.dup2(int(a), 3); os.dup2(int(b), 4); os.execvp(more[0], more)"


def found():
    """The program, or None."""
    return os.environ.get("SPARSEPROP_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """A browser with one page; a context manager.

    Parameters
    ----------
    width, height : int
        Of the page, in CSS pixels.
    scale : float
        Pixels of the screen for one of CSS.
    is_touch : bool
    """

    def __init__(self, width=1280, height=800, scale=1.0, is_touch=False):
        self._folder = tempfile.mkdtemp()
        self._read, theirs_out = os.pipe()
        theirs_in, self._write = os.pipe()
        far = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (theirs_in, theirs_out)]
        arguments = [found(), *FLAGS, f"--user-data-dir={self._folder}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", BEGIN, *map(str, far), *arguments],
            pass_fds=far,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for fd in (theirs_in, theirs_out, *far):
            os.close(fd)
        self._buffer, self._number, self._session, self._page, self.said = b"", 0, None, "", []
        targets = self("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        self._session = self("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")
        self.size(width, height, scale, is_touch)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError, TimeoutError):
            self._session = None
            self("Browser.close")
        for fd in (self._read, self._write):
            os.close(fd)
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __call__(self, method, **parameters):
        """Call a method of the protocol, and wait for its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.said.append(answer)

    def _next(self, timeout=60.0):
        end = time.monotonic() + timeout
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(end - time.monotonic(), 0.0))
            if not ready:
                raise TimeoutError("the browser does not answer")
            data = os.read(self._read, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def size(self, width, height, scale=1.0, is_touch=False):
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": is_touch}
        self("Emulation.setDeviceMetricsOverride", **metrics)
        self("Emulation.setTouchEmulationEnabled", enabled=is_touch)

    def scheme(self, name):
        """Whether pages are to be "light" or "dark"."""
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def value(self, expression):
        """What JavaScript in the page gives; promises are waited for."""
        result = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def open(self, path, ready):
        """Open a file, and wait until an expression holds in it."""
        self.said.clear()
        self._page = path.as_uri()
        self("Page.navigate", url=self._page)
        self.until(ready)

    def until(self, condition, timeout=60.0):
        end = time.monotonic() + timeout
        while not self.value(f"document.readyState === 'complete' && Boolean({condition})"):
            assert time.monotonic() < end, f"{condition} has not come to be"
            time.sleep(0.02)

    def mouse(self, what, x, y, **more):
        """What the mouse does at a place: "moved", "pressed", "released" or "wheel"."""
        kind = "mouseWheel" if what == "wheel" else f"mouse{what.capitalize()}"
        self("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def drag(self, begin, end, steps=10, modifiers=0):
        """With the left button, from a place to another one."""
        self.mouse("pressed", *begin, button="left", clickCount=1, buttons=1, modifiers=modifiers)
        for k in range(1, steps + 1):
            x, y = (a + (b - a) * k / steps for a, b in zip(begin, end, strict=True))
            self.mouse("moved", x, y, button="left", buttons=1, modifiers=modifiers)
        self.mouse("released", *end, button="left", clickCount=1, modifiers=modifiers)

    def touch(self, what, *places):
        """Fingers: "Start", "Move", "End"."""
        points = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(places)]
        self("Input.dispatchTouchEvent", type=f"touch{what}", touchPoints=points)

    def key(self, name, text=None):
        more = {"text": text} if text else {}
        self("Input.dispatchKeyEvent", type="keyDown", key=name, **more)
        self("Input.dispatchKeyEvent", type="keyUp", key=name)

    def picture(self, path):
        """A screenshot."""
        path.write_bytes(base64.b64decode(self("Page.captureScreenshot", format="png")["data"]))

    def errors(self):
        """What went wrong in the page, and what it asked the network for."""
        wrong = {"Runtime.exceptionThrown", "Log.entryAdded", "Network.requestWillBeSent"}
        said = [event for event in self.said if event["method"] in wrong]
        asked = [event["params"].get("request", {}).get("url", "") for event in said]
        return [
            event for event, url in zip(said, asked, strict=True) if not url.startswith("data:") and url != self._page
        ]
