"""Makes the throw-away environment in which real TensorRT engines are built without a GPU.

    python tests/tensorrt_build/make_env.py FOLDER

The compiler is TensorRT-RTX (TensorRT for GeForce RTX cards, the same API): it compiles ahead of time without a driver,
and its libraries come inside a wheel on PyPI. Only Torch-TensorRT, the bindings and those libraries are installed;
torch and the project's other dependencies are seen through from the environment that runs this script. Prints the path
of the new environment's Python. A folder that is already complete is left as it is.
"""

import hashlib
import importlib.metadata
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

WHEELS = (
    "torch-tensorrt-rtx==2.13.0",
    "tensorrt-rtx-cu13-bindings==1.5.0.114",
    "onnxruntime-ep-nv-tensorrt-rtx-cu13==0.3.0",  # for libtensorrt_rtx.so and libtensorrt_onnxparser_rtx.so alone
)
HELPERS = ("dllist==2.0.0", "psutil>=6", "packaging>=23")
TORCH = "2.13."  # the release that torch-tensorrt-rtx 2.13 was made for

# NVIDIA's `tensorrt_rtx` package is not on PyPI; this stands in for it: load the libraries, re-export the bindings.
TENSORRT_RTX = '''"""Stand-in for NVIDIA's tensorrt_rtx package: libraries from another wheel, bindings as they are."""

import ctypes
from pathlib import Path

import onnxruntime_ep_nv_tensorrt_rtx as _wheel

for _name in ("libtensorrt_rtx.so.1.5.0", "libtensorrt_onnxparser_rtx.so.1.5.0"):
    ctypes.CDLL(str(Path(_wheel.__file__).with_name(_name)), mode=ctypes.RTLD_GLOBAL)

from tensorrt_rtx_bindings import *
from tensorrt_rtx_bindings import __version__, tensorrt_rtx
'''
METADATA = "Metadata-Version: 2.1\nName: tensorrt_rtx\nVersion: 1.5.0.114\n"
PTH = "import os; os.environ.get('FASTINST_PRETEND_GPU') and __import__('pretend_gpu')\n"


def make(folder: Path) -> Path:
    """Make the environment in `folder` unless it is there, complete and of this recipe; returns its Python."""
    python = folder / "bin" / "python"
    recipe = hashlib.sha256(b"".join(p.read_bytes() for p in _recipe_files()) + sys.prefix.encode()).hexdigest()
    stamp = folder / "recipe.sha256"
    if stamp.is_file() and stamp.read_text() == recipe:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    if importlib.metadata.version("torch").startswith(TORCH):
        (site / "parent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    else:
        _pip(python, f"torch=={TORCH}*", "numpy", "safetensors", "filelock", "platformdirs")
    _pip(python, "--no-deps", *WHEELS, *HELPERS)
    (site / "torch_tensorrt" / "lib").rename(site / "torch_tensorrt" / "lib.hidden")  # links CUDA builds of torch
    _write(site / "tensorrt_rtx" / "__init__.py", TENSORRT_RTX)
    _write(site / "tensorrt_rtx-1.5.0.114.dist-info" / "METADATA", METADATA)
    shutil.copy(Path(__file__).with_name("pretend_gpu.py"), site)
    (site / "pretend_gpu.pth").write_text(PTH)
    stamp.write_text(recipe)
    return python


def _recipe_files() -> tuple[Path, ...]:
    return Path(__file__), Path(__file__).with_name("pretend_gpu.py")


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, stdout=sys.stderr)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_env.py FOLDER")
    print(make(Path(sys.argv[1]).resolve()))
