"""Whether a window can be opened. OpenCV's Qt aborts the whole process where it cannot, so this is asked first."""

import ctypes
import os
import sys
from pathlib import Path

from fastinst_rt.errors import OutputError

_REMEDY = "Run with --no-window, or watch in a browser with --serve 8080."


def require_display() -> None:
    """Makes sure that OpenCV can open a window here.

    Raises:
        OutputError: there is no display, it cannot be reached, or OpenCV lacks what it needs for windows.
    """
    if not sys.platform.startswith("linux") or os.environ.get("QT_QPA_PLATFORM", "xcb") != "xcb":
        return  # elsewhere a window needs no server, and who names another platform knows why
    name = os.environ.get("DISPLAY")
    if not name:
        hint = " (OpenCV's windows need XWayland)" if os.environ.get("WAYLAND_DISPLAY") else ""
        raise OutputError(f"There is no display to open a window on: DISPLAY is not set{hint}.", _REMEDY)
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError as error:
        raise OutputError(f"A window cannot be opened: {error}.", _REMEDY) from error
    if not _answers(xcb, name):
        raise OutputError(f"The display {name} cannot be reached.", _REMEDY)
    _require_plugin()


def _answers(xcb: ctypes.CDLL, name: str) -> bool:
    """Whether the X server of that name takes our connection (it runs, and our authority is good)."""
    xcb.xcb_connect.restype = ctypes.c_void_p
    xcb.xcb_connect.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    xcb.xcb_connection_has_error.argtypes = xcb.xcb_disconnect.argtypes = [ctypes.c_void_p]
    connection = xcb.xcb_connect(name.encode(), None)
    failed = bool(xcb.xcb_connection_has_error(connection))
    xcb.xcb_disconnect(connection)
    return not failed


def _require_plugin() -> None:
    """Loads the Qt plugin that OpenCV's wheel brings: a library it misses is then named here and not in an abort."""
    import cv2

    gui = next((line for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI:")), "")
    if "NONE" in gui:
        raise OutputError("This OpenCV was built without windows.", "Install opencv-python, not its headless variant.")
    plugin = Path(cv2.__file__).parent / "qt" / "plugins" / "platforms" / "libqxcb.so"
    if not plugin.exists():
        return  # not the wheel: the system's own toolkit
    try:
        ctypes.CDLL(str(plugin))
    except OSError as error:
        raise OutputError(f"OpenCV cannot open windows here: {error}.", _REMEDY) from error
