"""fastinst-rt: real-time instance segmentation of video with FastInst (He et al., CVPR 2023).

The public names are imported on first use, so that `import fastinst_rt` costs nothing and the command line can answer
`--help` without loading torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fastinst_rt.models.zoo import create_model, list_models
    from fastinst_rt.results import Frame, Instances, Timings
    from fastinst_rt.segmenter import Segmenter
    from fastinst_rt.weights.official import load_official_checkpoint

_HOMES = {
    "Segmenter": "fastinst_rt.segmenter",
    "create_model": "fastinst_rt.models.zoo",
    "list_models": "fastinst_rt.models.zoo",
    "load_official_checkpoint": "fastinst_rt.weights.official",
    "Frame": "fastinst_rt.results",
    "Instances": "fastinst_rt.results",
    "Timings": "fastinst_rt.results",
}

__all__ = [
    "Frame",
    "Instances",
    "Segmenter",
    "Timings",
    "__version__",
    "create_model",
    "list_models",
    "load_official_checkpoint",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fastinst_rt' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
