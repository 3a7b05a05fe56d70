"""URLs as FFmpeg takes them, and as people may see them."""

import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

_SCHEME = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]+:/")
_SECRET = re.compile(r"pass|pwd|token|secret|auth|sig|key|user|cred", re.IGNORECASE)


def is_url(text: str) -> bool:
    """Whether a source's name is a URL (`http://`, `rtsp://`, `hls+http://`, ...), not a path."""
    return bool(_SCHEME.match(text))


def redact(text: str) -> str:
    """A URL with user, password and secret query values replaced by `***`; other text unchanged.

    >>> redact("rtsp://admin:1234@cam.local:554/live?token=abc&ch=1")
    'rtsp://***@cam.local:554/live?token=***&ch=1'
    """
    if not is_url(text):
        return text
    parts = urlsplit(text)
    host = parts.netloc.rpartition("@")[2]
    netloc = f"***@{host}" if "@" in parts.netloc else host
    query = parts.query
    if query:
        pairs = parse_qsl(query, keep_blank_values=True)
        query = urlencode([(k, "***" if _SECRET.search(k) else v) for k, v in pairs], safe="*/:")
    return urlunsplit((parts.scheme, netloc, parts.path, query, parts.fragment))


def redact_within(message: str, url: str) -> str:
    """A message that may quote `url` (FFmpeg's do), with the redacted form in its place."""
    message = message.replace(url, redact(url))
    credentials = urlsplit(url).netloc.rpartition("@")[0] if is_url(url) else ""
    return message.replace(credentials, "***") if credentials else message
