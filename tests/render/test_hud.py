"""The head-up display."""

import numpy as np
import pytest

from fastinst_rt.render.hud import draw_hud


@pytest.mark.parametrize("level", [0, 128, 255])
def test_letters_are_readable_on_any_picture(level: int) -> None:
    image = np.full((720, 1280, 3), level, np.uint8)
    draw_hud(image, ["24.9 FPS", "engine 31.2 ms"])
    panel = image[:50, :150].astype(float).mean(axis=2)
    assert panel.max() - np.median(panel) > 100
    assert (image[300:] == level).all()


def test_panel_grows_with_the_picture_and_never_leaves_it() -> None:
    small, large = np.full((20, 40, 3), 200, np.uint8), np.full((1080, 1920, 3), 200, np.uint8)
    lines = ["a long line of text that is wider than the small picture", "second", "third", "fourth"]
    assert draw_hud(small, lines).shape == (20, 40, 3)
    draw_hud(large, lines)
    assert (large != 200).any(axis=2).sum() > 40 * 20


def test_no_lines_draw_nothing() -> None:
    image = np.full((20, 40, 3), 200, np.uint8)
    assert (draw_hud(image, []) == 200).all()
