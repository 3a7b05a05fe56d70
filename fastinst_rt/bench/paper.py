"""The paper's published figures, as data: tables I to V of its supplement and the table of released models."""

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def paper_tables() -> dict[str, Any]:
    """`paper_tables.json`: AP in per cent, parameters in millions, speed in pictures a second on one V100, batch 1."""
    text = (files("fastinst_rt.bench") / "paper_tables.json").read_text(encoding="utf-8")
    tables: dict[str, Any] = json.loads(text)
    return tables
