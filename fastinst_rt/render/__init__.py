"""Drawing: colours, the mask overlay, labels and the head-up display."""

from fastinst_rt.render.hud import draw_hud
from fastinst_rt.render.overlay import Layers, Overlay

__all__ = ["Layers", "Overlay", "draw_hud"]
