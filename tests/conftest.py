"""Fixtures that every room's tests share."""

from pathlib import Path

import pytest

_SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development data pack beside the checkout; a test that needs it is skipped where it is absent."""
    folder = _SHARED / "data"
    if not folder.is_dir():
        pytest.skip("the development data pack (../shared/data) is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def oracle() -> Path:
    """Reference outputs of the published model, copied into tests/data."""
    return Path(__file__).parent / "data" / "oracle"
