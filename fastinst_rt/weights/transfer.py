"""One file over HTTP onto the disk: streaming, resumable, and known to be complete."""

import base64
import errno
import http.client
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import fastinst_rt
from fastinst_rt.errors import UsageError, WeightsError

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes there will be (None where the server does not say)."""

TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as gone."""

_CHUNK = 1 << 18
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class _Kept(NamedTuple):
    """What an earlier attempt left: how many bytes, and the validator that the server gave them."""

    size: int
    validator: str


def join_url(base: str, name: str) -> str:
    """`base`/`name`, keeping a query string of the base where it is.

    Raises:
        UsageError: the base is no http or https URL.
    """
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"The download address {printable(base)} is no http or https URL.", "Give one like https://host/folder."
        )
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}"))


def printable(url: str) -> str:
    """A URL without what may be secret: user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def fetch(url: str, partial: Path, *, remedy: str, progress: Progress | None = None) -> None:
    """Download `url` into `partial`; on return every byte that the server announced is there.

    What an earlier attempt left in `partial` is gone on from if the server still has the same file (its validator lies
    beside it in `NAME.json` and is sent as If-Range); otherwise the file starts anew.

    Args:
        url: http or https; user and password in it are sent as basic authentication and never shown.
        partial: the file to write.
        remedy: what a user can do if the server cannot be reached or has no such file.
        progress: called as the bytes come.

    Raises:
        WeightsError: the server cannot be reached, refuses, answers with a web page, or the transfer breaks off.
    """
    shown, state = printable(url), partial.with_name(partial.name + ".json")
    kept = _kept(shown, partial, state)
    try:
        with _open(url, kept) as response:
            _refuse_web_page(response, shown)
            start = _start_of(response, kept)
            length = response.headers.get("Content-Length")
            total = None if length is None else start + int(length)
            _refuse_small_disk(partial.parent, total, start, shown)
            if start == 0:
                partial.unlink(missing_ok=True)  # first: old bytes must never stand beside a new validator
                state.write_text(json.dumps({"url": shown, "validator": _validator(response)}))
            _stream(response, partial, start, total, shown, progress)
    except urllib.error.HTTPError as error:
        if error.code == 416 and kept is not None:  # what is kept is all there is, or no part of what the server has
            state.unlink()
            fetch(url, partial, remedy=remedy, progress=progress)
            return
        raise WeightsError(
            f"The server refused {shown}: {error.code} {error.reason}.",
            remedy if error.code == 404 else "Check that you may read from this address, or try again later.",
        ) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _explain(error, shown, remedy) from error
    state.unlink()


def _open(url: str, kept: _Kept | None) -> Any:
    parts = urlsplit(url)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    request = urllib.request.Request(bare, headers={"User-Agent": f"fastinst-rt/{fastinst_rt.__version__}"})
    if kept is not None:
        request.add_header("Range", f"bytes={kept.size}-")
        request.add_header("If-Range", kept.validator)
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        # unredirected: a redirect to another host must not carry the password along
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode("ascii"))
    return urllib.request.urlopen(request, timeout=TIMEOUT)


def _kept(shown: str, partial: Path, state: Path) -> _Kept | None:
    """What can be gone on from: a state that cannot be read, is of another address or names no validator is nothing."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(state.read_text())
        size = partial.stat().st_size
        if content["url"] == shown and content["validator"] and size > 0:
            return _Kept(size, content["validator"])
    return None


def _validator(response: Any) -> str:
    etag: str = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):  # a weak tag does not promise the same bytes
        return etag
    return str(response.headers.get("Last-Modified", ""))


def _start_of(response: Any, kept: _Kept | None) -> int:
    """Where the body begins in the file: 206 must begin where we asked, anything else is the whole file."""
    if response.status != 206 or kept is None:
        return 0
    stated = response.headers.get("Content-Range", "")
    if not stated.startswith(f"bytes {kept.size}-"):
        raise http.client.HTTPException(f"asked for the bytes from {kept.size} on, it sent {stated or 'others'}")
    return kept.size


def _refuse_web_page(response: Any, shown: str) -> None:
    if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise WeightsError(
            f"The server answered {shown} with a web page, not with a checkpoint.",
            "Check the address; a proxy or a log-in page may stand in between.",
        )


def _refuse_small_disk(folder: Path, total: int | None, start: int, shown: str) -> None:
    free = shutil.disk_usage(folder).free
    if total is not None and total - start > free:
        raise WeightsError(
            f"The download of {shown} needs {_megabytes(total - start)}, but {folder} has {_megabytes(free)} left.",
            "Make room, or choose another folder with --cache-dir.",
        )


def _stream(response: Any, partial: Path, start: int, total: int | None, shown: str, progress: Progress | None) -> None:
    here = start
    with partial.open("r+b" if start else "wb") as file:
        file.seek(start)
        while True:
            if progress:
                progress(here, total)
            try:
                chunk = response.read(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise _broke_off(shown, here, total) from error
            if not chunk:
                break
            file.write(chunk)
            here += len(chunk)
    if total is not None and here != total:
        raise _broke_off(shown, here, total)


def _broke_off(shown: str, here: int, total: int | None) -> WeightsError:
    of_total = "" if total is None else f" of {_megabytes(total)}"
    return WeightsError(
        f"The download of {shown} broke off after {_megabytes(here)}{of_total}.",
        "Run the same command again: it goes on where it stopped.",
    )


def _explain(error: Exception, shown: str, remedy: str) -> WeightsError:
    cause = getattr(error, "reason", None) or error  # urllib wraps the cause in a URLError
    text = (cause.strerror if isinstance(cause, OSError) else None) or str(cause) or type(cause).__name__
    if isinstance(cause, OSError) and (cause.filename is not None or cause.errno in _DISK_ERRORS):
        return WeightsError(f"The download of {shown} cannot be written: {text}.", "Choose another --cache-dir.")
    return WeightsError(f"The server of {shown} cannot be reached: {text}.", remedy)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
