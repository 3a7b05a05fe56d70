"""URLs as FFmpeg takes them, and as people may see them."""

import hashlib
import re

_SCHEME = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]+:/")

_CREDENTIALS = re.compile(r"(?<=:/)(/*)(.*)@", re.DOTALL)
"""All up to the last `@`, wherever it stands: passwords are typed unescaped, with `#`, `/`, `?`, `@` or `[` in them."""

_SECRET_VALUE = re.compile(
    r"(?<=[?&#])([^=&?#]*(?:pass|pwd|token|secret|auth|sig|key|user|cred)[^=&?#]*=)[^&]*", re.IGNORECASE
)

_QUOTED = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/+(?:.*@)?[^\s'\"]*")
"""A URL in a line of text; before an `@` it may hold anything."""


def is_url(text: str) -> bool:
    """Whether a source's name is a URL (`http://`, `rtsp://`, `hls+http://`, ...), not a path."""
    return bool(_SCHEME.match(text))


def redact(text: str) -> str:
    """A URL with user, password and secret query values replaced by `***`; other text unchanged.

    An `@` in the path is taken for the end of a password: rather too much is hidden than too little.

    >>> redact("rtsp://admin:1234@cam.local:554/live?token=abc&ch=1")
    'rtsp://***@cam.local:554/live?token=***&ch=1'
    """
    if not is_url(text):
        return text
    return _SECRET_VALUE.sub(r"\1***", _CREDENTIALS.sub(r"\1***@", text, count=1))


def redact_within(message: str, url: str) -> str:
    """A message that may quote `url` (FFmpeg's do), with the redacted form in its place."""
    message = message.replace(url, redact(url))
    credentials = _CREDENTIALS.search(url) if is_url(url) else None
    return message.replace(credentials[2], "***") if credentials and credentials[2] else message


def redact_all(text: str) -> str:
    """A text that may quote any URLs (tracebacks do), each of them redacted."""
    return _QUOTED.sub(lambda quoted: redact(quoted[0]), text)


def bare(text: str) -> str:
    """A URL without credentials and query, with a digest in the query's place; other text unchanged.

    The digest keeps two streams of one host apart. It is one of the redacted query: a stream keeps its name when its
    token changes, and the name tells nothing about the token.

    >>> bare("rtsp://admin:1234@cam.local:554/live?token=abc&ch=1")
    'rtsp://cam.local:554/live-f66b487f'
    """
    if not is_url(text):
        return text
    address, *query = re.split(r"[?#]", _CREDENTIALS.sub(r"\1", redact(text), count=1), maxsplit=1)
    return "-".join([address, *(hashlib.sha256(part.encode()).hexdigest()[:8] for part in query)])
