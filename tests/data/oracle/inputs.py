"""Deterministic images (uint8 RGB, HxWx3) and training samples. numpy + scipy only."""

import numpy as np
from scipy.ndimage import gaussian_filter


def make_image(seed, h, w):
    g = np.random.Generator(np.random.PCG64(seed))
    img = np.zeros((h, w, 3), np.float64)
    for s, a in ((32, 60), (8, 45), (2, 25)):
        n = g.standard_normal((h, w, 3))
        n = np.stack([gaussian_filter(n[..., c], s, mode="reflect") for c in range(3)], -1)
        img += a * n / n.std()
    img += 118
    yy, xx = np.mgrid[0:h, 0:w]
    for i in range(14):
        cy, cx = g.uniform(0, h), g.uniform(0, w)
        ry, rx = g.uniform(0.04, 0.22) * h, g.uniform(0.04, 0.22) * w
        col = g.uniform(0, 255, 3)
        alpha = g.uniform(0.5, 1.0)
        th = g.uniform(0, np.pi)
        u = (xx - cx) * np.cos(th) + (yy - cy) * np.sin(th)
        v = -(xx - cx) * np.sin(th) + (yy - cy) * np.cos(th)
        m = (u / rx) ** 2 + (v / ry) ** 2 <= 1 if i % 2 else (np.abs(u) <= rx) & (np.abs(v) <= ry)
        stripe = 25 * np.sign(np.sin(u / g.uniform(2, 12))) if i % 3 == 0 else np.zeros((h, w))
        img[m] = img[m] * (1 - alpha) + alpha * (col + stripe[m][:, None])
    return np.clip(np.round(img), 0, 255).astype(np.uint8)


def make_instances(seed, h, w, n):
    """n boolean masks [n,h,w] (ellipses / rotated boxes, may overlap, none empty) and classes [n] in 0..79"""
    g = np.random.Generator(np.random.PCG64(seed))
    yy, xx = np.mgrid[0:h, 0:w]
    masks = np.zeros((n, h, w), bool)
    cls = np.zeros((n,), np.int64)
    for i in range(n):
        cy, cx = g.uniform(0.15, 0.85) * h, g.uniform(0.15, 0.85) * w
        ry, rx = g.uniform(0.08, 0.25) * h, g.uniform(0.08, 0.25) * w
        th = g.uniform(0, np.pi)
        u = (xx - cx) * np.cos(th) + (yy - cy) * np.sin(th)
        v = -(xx - cx) * np.sin(th) + (yy - cy) * np.cos(th)
        masks[i] = ((u / rx) ** 2 + (v / ry) ** 2 <= 1) if i % 2 else ((np.abs(u) <= rx) & (np.abs(v) <= ry))
        cls[i] = int(g.integers(0, 80))
    return masks, cls


EVAL_IMAGES = {"a": (107, 480, 640), "b": (211, 333, 500)}  # name: (seed, h, w)
