"""Pictures people really have: turned, grey, transparent, 16-bit, CMYK, broken."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastinst_rt.errors import OutputError, SourceOpenError, UsageError
from fastinst_rt.pictures import find_pictures, output_paths, read_picture, write_picture


def gradient(height: int = 20, width: int = 30) -> np.ndarray:
    """uint8 [H, W, 3] RGB, another value in every direction and channel."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 8 % 256, columns * 8 % 256, (rows + columns) * 4 % 256], -1).astype(np.uint8)


def test_rgb_comes_back_as_bgr(tmp_path: Path) -> None:
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png")[..., ::-1], gradient())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int) -> None:
    turned = {1: 0, 2: None, 3: 2, 4: None, 5: None, 6: -1, 7: None, 8: 1}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(gradient()).save(tmp_path / "a.png", exif=exif)
    image = read_picture(tmp_path / "a.png")[..., ::-1]
    assert image.shape[:2] == ((20, 30) if orientation <= 4 else (30, 20))
    if turned is not None:
        np.testing.assert_array_equal(image, np.rot90(gradient(), turned))


def test_grey_rgba_16_bit_and_palette(tmp_path: Path) -> None:
    grey = gradient()[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(np.dstack([gradient(), np.full((20, 30), 128, np.uint8)])).save(tmp_path / "rgba.png")
    Image.fromarray(gradient()).convert("P").save(tmp_path / "palette.gif")
    for name in ("grey.png", "deep.png"):
        np.testing.assert_array_equal(read_picture(tmp_path / name), np.dstack([grey] * 3))
    np.testing.assert_array_equal(read_picture(tmp_path / "rgba.png")[..., ::-1], gradient())
    assert read_picture(tmp_path / "palette.gif").shape == (20, 30, 3)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    flat = np.full((16, 16, 3), (200, 30, 60), np.uint8)
    Image.fromarray(flat).convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    difference = np.abs(read_picture(tmp_path / "print.jpg")[..., ::-1].astype(int) - flat)
    assert difference.max() < 12


def test_one_pixel_and_a_long_strip(tmp_path: Path) -> None:
    for width, height in ((1, 1), (8000, 30)):
        Image.new("RGB", (width, height)).save(tmp_path / "a.png")
        assert read_picture(tmp_path / "a.png").shape == (height, width, 3)


def test_what_is_no_picture_is_said_in_two_sentences(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    Image.fromarray(gradient(200, 300)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:300])
    for name in ("empty.jpg", "text.jpg", "cut.png", "missing.jpg"):
        with pytest.raises(SourceOpenError, match=name) as error:
            read_picture(tmp_path / name)
        assert error.value.remedy
    with pytest.raises(SourceOpenError, match="folder"):
        read_picture(tmp_path)


def test_write_is_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "schön 写真.png"
    write_picture(target, gradient())
    np.testing.assert_array_equal(read_picture(target), gradient())
    with pytest.raises(OutputError, match="cannot be written"):
        write_picture(tmp_path / "nowhere" / "a.png", gradient())
    with pytest.raises(OutputError, match=r"\.xyz"):
        write_picture(tmp_path / "a.xyz", gradient())
    assert [p.name for p in tmp_path.iterdir()] == [target.name]


def test_find_pictures(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [p.name for p in find_pictures([str(tmp_path)])] == ["a.png", "b.jpg"]
    assert [p.name for p in find_pictures([str(tmp_path / "*.jpg"), str(tmp_path)])] == ["b.jpg", "a.png"]
    with pytest.raises(SourceOpenError, match="Nothing matches"):
        find_pictures([str(tmp_path / "*.webp")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceOpenError, match="no picture"):
        find_pictures([str(tmp_path / "empty")])


def test_output_paths(tmp_path: Path) -> None:
    one, two = tmp_path / "a.png", tmp_path / "sub" / "a.png"
    two.parent.mkdir()
    for path in (one, two):
        path.touch()
    out = tmp_path / "out"
    assert output_paths([one], out) == [out / "a.png"]
    assert output_paths([one], tmp_path / "x.jpg") == [tmp_path / "x.jpg"]
    with pytest.raises(UsageError, match="Two inputs"):
        output_paths([one, two], out)
    with pytest.raises(UsageError, match="input itself"):
        output_paths([one], tmp_path)
    with pytest.raises(UsageError, match="one file"):
        output_paths([one, two], tmp_path / "x.jpg")
    with pytest.raises(OutputError, match="cannot be made"):
        output_paths([one], one / "below")
