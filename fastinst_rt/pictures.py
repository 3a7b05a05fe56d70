"""Pictures on disk: read whatever people have (EXIF-turned, grey, RGBA, 16-bit, CMYK); write whole or not at all."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from fastinst_rt.errors import OutputError, SourceOpenError, UsageError

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"})
"""Files of these endings are taken from a folder."""

_JPEG_QUALITY = 95


def read_picture(path: Path) -> npt.NDArray[np.uint8]:
    """Read a picture upright.

    EXIF rotation is applied; transparency is dropped, as the published code does; 16-bit grey is scaled to 8 bits;
    of an animation the first frame is taken.

    Returns:
        uint8 [H, W, 3], BGR.

    Raises:
        SourceOpenError: for a file that is missing, no picture, damaged, or too large to be meant.
    """
    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture)
            rgb = np.asarray(_eight_bits(upright).convert("RGB"))
    except FileNotFoundError:
        raise SourceOpenError(f"There is no file {path}.", "Check the path.") from None
    except IsADirectoryError:
        raise SourceOpenError(
            f"{path} is a folder, not a picture.", "Give the pictures in it, or the folder alone."
        ) from None
    except UnidentifiedImageError:
        raise SourceOpenError(
            f"{path} is not a picture (no known format).", "Give a JPEG, PNG, WebP, TIFF, BMP, GIF or PPM file."
        ) from None
    except Image.DecompressionBombError as error:
        raise SourceOpenError(
            f"{path} is too large to be read safely ({error}).", "Shrink the picture first."
        ) from None
    except (OSError, SyntaxError, ValueError) as error:  # what PIL's decoders raise for damaged files
        raise SourceOpenError(f"{path} is damaged: {error}.", "Get the file again.") from None
    if rgb.shape[0] == 0 or rgb.shape[1] == 0:
        raise SourceOpenError(f"{path} has no pixels.", "Give a picture of at least 1x1 pixel.")
    bgr: npt.NDArray[np.uint8] = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return bgr


def _eight_bits(picture: Image.Image) -> Image.Image:
    """16-bit grey to 8 bits by its high byte; PIL alone would clip at 255."""
    if picture.mode.startswith("I;16") or picture.mode == "I":
        values = np.asarray(picture).astype(np.int64)
        shift = 8 if values.max(initial=0) > 255 else 0
        return Image.fromarray(np.clip(values >> shift, 0, 255).astype(np.uint8))
    return picture


def write_picture(path: Path, image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> None:
    """Write a picture in the format of its ending, beside its final name first, then moved into place.

    Args:
        image: uint8 [H, W, 3] BGR, or uint8/uint16 [H, W] (PNG).

    Raises:
        OutputError: if it cannot be written; a file that was there before stays as it was.
    """
    parameters = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if path.suffix.lower() in {".jpg", ".jpeg"} else []
    try:
        done, encoded = cv2.imencode(path.suffix, image, parameters)
    except cv2.error:
        done, encoded = False, None
    if not done or encoded is None:
        raise OutputError(
            f"A picture cannot be written as {path.name}.", "End the name in .png, .jpg, .webp, .tif or .bmp."
        )
    write_bytes(path, encoded.tobytes())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all.

    Raises:
        OutputError: if the folder is missing, not writable or full.
    """
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.stem}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
        temporary.chmod(0o666 & ~_umask())  # temporary files are made for their owner's eyes only
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise OutputError(
            f"{path} cannot be written: {error.strerror}.", "Check the folder and its free space."
        ) from None


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def find_pictures(inputs: Iterable[str]) -> list[Path]:
    """Files, folders and globs to picture files, in the order given, names sorted inside each.

    Raises:
        SourceOpenError: for an input that names nothing.
    """
    found: list[Path] = []
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            matches = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
            if not matches:
                raise SourceOpenError(
                    f"There is no picture in the folder {path}.", "Give a folder that holds pictures."
                )
        elif path.exists() or not _is_glob(text):
            matches = [path]
        else:
            anchor = Path(path.anchor) if path.anchor else Path()
            matches = sorted(anchor.glob(str(path.relative_to(path.anchor) if path.anchor else path)))
            if not matches:
                raise SourceOpenError(
                    f"Nothing matches {text}.", "Check the pattern; quote it so that the shell leaves it alone."
                )
        found += [p for p in matches if p not in found]
    return found


def output_paths(inputs: list[Path], output: Path) -> list[Path]:
    """Where each input's picture goes: `output` itself where it names the picture of a single input, else a folder.

    Raises:
        UsageError: if two inputs would get one name, or an output would overwrite its input.
        OutputError: if the folder cannot be made.
    """
    if len(inputs) == 1 and output.suffix.lower() in PICTURE_SUFFIXES and not output.is_dir():
        targets = [output]
    else:
        if output.suffix.lower() in PICTURE_SUFFIXES and not output.is_dir():
            raise UsageError(f"{len(inputs)} pictures cannot go into one file {output}.", "Give a folder with -o.")
        targets = [output / (p.name if p.suffix.lower() not in {".gif", ".pgm"} else f"{p.stem}.png") for p in inputs]
    if len(set(targets)) < len(targets):
        double = next(t for t in targets if targets.count(t) > 1)
        raise UsageError(f"Two inputs would both be written to {double}.", "Run them apart, into two folders.")
    for source, target in zip(inputs, targets, strict=True):
        if target.exists() and source.exists() and target.samefile(source):
            raise UsageError(f"The output {target} is the input itself.", "Give another folder or name with -o.")
    make_folder(targets[0].parent)
    return targets


def make_folder(folder: Path) -> None:
    """Make a folder where there is none.

    Raises:
        OutputError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be made: {error.strerror}.", "Give a folder that you can write to."
        ) from None


def _is_glob(text: str) -> bool:
    return any(c in text for c in "*?[")
