"""The paper that goes with every stored engine: what it is, how it was proven, and a seal over it all."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from fastinst_rt.backends.base import EngineKey
from fastinst_rt.errors import EngineRefusedError

MANIFEST_NAME = "manifest.json"
FORMAT = 1
"""Raised when manifests of older versions must no longer be read."""


@dataclass(frozen=True)
class Manifest:
    """What is written down about an engine.

    Attributes:
        key: everything that must match for the engine to be used.
        files: name -> {"sha256": hex digest, "bytes": size} of every file of the artefact.
        precision_found: the precision read back from the artefact.
        verified: whether the parity gate was passed.
        parity: the report of the parity gate.
        inspection: what the artefact shows of itself.
        build: when, how long, with which version of this program, on which machine; a latency sample.
    """

    key: EngineKey
    files: Mapping[str, Mapping[str, Any]]
    precision_found: str
    verified: bool
    parity: Mapping[str, Any]
    inspection: Mapping[str, Any] = field(default_factory=dict)
    build: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, seal included."""
        content: dict[str, Any] = {"format": FORMAT, "key": key_to_json(self.key)}
        content |= {f.name: getattr(self, f.name) for f in fields(self) if f.name != "key"}
        content = json.loads(json.dumps(content))  # tuples and mappings as they will read back
        return content | {"seal": _seal(content)}

    @classmethod
    def from_json(cls, content: Any) -> "Manifest":
        """Raises ValueError, one clause, for anything that `to_json` did not write."""
        if not isinstance(content, dict):
            raise ValueError("is not a JSON object")
        body = {name: value for name, value in content.items() if name != "seal"}
        if body.get("format") != FORMAT:
            raise ValueError(f"has format {body.get('format')!r}, this version reads {FORMAT}")
        if content.get("seal") != _seal(body):
            raise ValueError("was changed after it was written (its seal does not fit)")
        del body["format"]
        return cls(key=key_from_json(body.pop("key")), **body)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json`; the last file of a build to be written."""
    text = json.dumps(manifest.to_json(), indent=2)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path, remedy: str) -> Manifest:
    """Read and check the manifest of the engine in `folder`.

    Raises:
        EngineRefusedError: if there is none, or it is damaged, or was edited; it carries `remedy`.
    """
    try:
        return Manifest.from_json(json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8")))
    except OSError as error:
        raise EngineRefusedError(f"Engine {folder.name} has no readable manifest ({error.strerror}).", remedy) from None
    except ValueError as error:
        reason = "is not valid JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else str(error)
        raise EngineRefusedError(f"The manifest of engine {folder.name} {reason}.", remedy) from None


def key_to_json(key: EngineKey) -> dict[str, Any]:
    """The key's fields as JSON values."""
    values = {f.name: getattr(key, f.name) for f in fields(key)}
    return values | {
        "resized": list(key.resized),
        "padded": list(key.padded),
        "libraries": dict(sorted(key.libraries.items())),
    }


def key_from_json(values: Mapping[str, Any]) -> EngineKey:
    """The inverse of `key_to_json`."""
    (height, width), (padded_height, padded_width) = values["resized"], values["padded"]
    return EngineKey(**{**values, "resized": (height, width), "padded": (padded_height, padded_width)})


def digest(key: EngineKey) -> str:
    """Hex digest over every field of the key."""
    return _seal(key_to_json(key))


def _seal(content: Mapping[str, Any]) -> str:
    """sha256 over the canonical JSON. It tells an edited manifest, not a forged one: who can write here, can seal."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def differences(found: EngineKey, wanted: EngineKey) -> list[str]:
    """Why an engine of key `found` cannot serve `wanted`, one clause a field; empty if it can."""
    clauses = []
    for name, say in _CLAUSES.items():
        have, want = getattr(found, name), getattr(wanted, name)
        if name == "libraries":
            clauses += _library_clauses(dict(have), dict(want))
        elif have != want:
            clauses.append(say.format(have=_short(name, have), want=_short(name, want)))
    return clauses


_CLAUSES = {
    "model": "it holds the model {have}, not {want}",
    "weights_sha256": "it was built from other weights ({have}, not {want})",
    "backend": "it is an engine for {have}, not {want}",
    "precision": "it runs in {have}, not {want}",
    "batch": "it takes batches of {have}, not {want}",
    "resized": "it takes pictures of {have}, not {want}",
    "padded": "its network sees {have}, not {want}",
    "device": "it runs on {have}, not on {want}",
    "hardware": "it was compiled for {have}, this machine is {want}",
    "libraries": "",
    "architecture": "its network was built with other switches ({have}, not {want})",
}


def _short(name: str, value: Any) -> str:
    if name == "weights_sha256":
        return str(value)[:12]
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _library_clauses(have: dict[str, str], want: dict[str, str]) -> list[str]:
    return [
        f"it was built with {name} {have.get(name, '(none)')}, installed is {want.get(name, '(none)')}"
        for name in sorted(have.keys() | want.keys())
        if have.get(name) != want.get(name)
    ]
