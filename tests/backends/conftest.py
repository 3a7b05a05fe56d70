"""Machines that are not there."""

import pytest
import torch


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """As if there were two GPUs of different kinds; their hardware names, in order."""
    names = {"cuda": "NVIDIA H100", "cuda:0": "NVIDIA H100", "cuda:1": "NVIDIA L4"}
    capabilities = {"NVIDIA H100": (9, 0), "NVIDIA L4": (8, 9)}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: names[device])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capabilities[names[device]])
    return ["NVIDIA H100, compute capability 9.0", "NVIDIA L4, compute capability 8.9"]
