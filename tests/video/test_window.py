"""The live window on a virtual display, steered by keys that a program sends; and what is said without a display."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from fastinst_rt.errors import OutputError
from fastinst_rt.video.display import require_display

SLEEPING_CLI = Path(__file__).parent.parent / "cli" / "sleeping_cli.py"


@pytest.fixture
def display() -> Iterator[str]:
    """An X server of our own."""
    missing = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed")
    receiver, sender = os.pipe()
    server = subprocess.Popen(
        # Without -noreset the server starts anew whenever its last client leaves, which each xdotool below may be,
        # and throws out whoever connects meanwhile: a run that was just opening its window.
        ["Xvfb", "-displayfd", str(sender), "-noreset", "-screen", "0", "1280x800x24", "-nolisten", "tcp"],
        pass_fds=[sender], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(sender)
    with os.fdopen(receiver) as number:
        name = f":{number.readline().strip()}"
    yield name
    server.terminate()
    server.wait(5)


def live(arguments: list[str], display: str | None, folder: Path) -> subprocess.Popen[str]:
    """`fastinst-rt live` with a sleeping network in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    if display is not None:
        environment["DISPLAY"] = display
    command = [sys.executable, str(SLEEPING_CLI), "0.01", "-1", "live", *arguments]
    return subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.PIPE, text=True)


class Keyboard:
    """Sends keys to the window of a run."""

    def __init__(self, process: subprocess.Popen[str], display: str) -> None:
        self._environment = {**os.environ, "DISPLAY": display}
        deadline = time.monotonic() + 60
        while not (found := self._call("search", "--name", "^fastinst-rt")):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"no window came up; the run said: {process.communicate()[1]}")
            time.sleep(0.1)
        self._window = found.split()[-1]
        time.sleep(0.5)

    def press(self, *keys: str, wait: float = 0.3) -> None:
        for key in keys:
            self._call("key", "--window", self._window, key)
            time.sleep(wait)

    def close_window(self) -> None:
        self._call("windowclose", self._window)

    def _call(self, *arguments: str) -> str:
        done = subprocess.run(
            ["xdotool", *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        return done.stdout


@pytest.mark.display
def test_keys(display: str, tmp_path: Path) -> None:
    process = live(["test:320x240@30"], display, tmp_path)
    keyboard = Keyboard(process, display)
    keyboard.press("r", wait=1.5)
    keyboard.press("r", "s", "m", "h", "plus", "minus", "space", "m", "space")
    assert process.poll() is None
    keyboard.press("q")
    _, told = process.communicate(timeout=20)
    assert process.returncode == 0, told
    assert "ended test:320x240@30" in told
    assert len(list(tmp_path.glob("screenshot-*.png"))) == 1
    (recording,) = tmp_path.glob("recording-*.mp4")
    with av.open(str(recording)) as container:
        assert sum(1 for _ in container.decode(video=0)) > 5


@pytest.mark.display
def test_escape_ends_the_run_and_finishes_the_recording(display: str, tmp_path: Path) -> None:
    process = live(["test:320x240@30", "--record", "all.mp4"], display, tmp_path)
    Keyboard(process, display).press("Escape")
    _, told = process.communicate(timeout=20)
    assert process.returncode == 0, told
    with av.open(str(tmp_path / "all.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) > 5


@pytest.mark.parametrize(("name", "says"), [(None, "no display"), (":987", ":987 cannot be reached")])
def test_without_a_display_it_says_so(name: str | None, says: str, tmp_path: Path) -> None:
    process = live(["test:320x240@30"], name, tmp_path)
    _, told = process.communicate(timeout=60)
    assert process.returncode == OutputError.exit_code
    assert says in told
    assert "--no-window" in told
    assert "Traceback" not in told


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("windows need no server here")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)

    def refuse(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", refuse)
    with pytest.raises(OutputError, match=r"libxcb\.so\.1: cannot open"):
        require_display()
