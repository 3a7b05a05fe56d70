"""Made-up pictures: coloured shapes on textured ground, and tiny networks that learn them in seconds."""

import json
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

CATEGORIES = [{"id": 1, "name": "disc"}, {"id": 2, "name": "box"}, {"id": 5, "name": "triangle"}]
COLOURS = ((220, 60, 50), (50, 200, 80), (60, 90, 230))


def draw_scene(seed: int, size: tuple[int, int] = (96, 128)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RGB picture, class ids [n] and visible masks [n, H, W] of two or three shapes that do not touch."""
    rng = np.random.default_rng(seed)
    height, width = size
    ground = cv2.resize(rng.integers(70, 150, (6, 8, 3), dtype=np.uint8), (width, height))
    image = ground.copy()
    class_ids, masks = [], []
    taken = np.zeros(size, np.uint8)
    while len(masks) < 2 + seed % 2:
        radius = int(rng.integers(12, 20) * min(size) / 96)
        x, y = int(rng.integers(radius, width - radius)), int(rng.integers(radius, height - radius))
        kind = int(rng.integers(3))
        mask = np.zeros(size, np.uint8)
        if kind == 0:
            cv2.circle(mask, (x, y), radius, 1, -1)
        elif kind == 1:
            cv2.rectangle(mask, (x - radius, y - radius), (x + radius, y + radius), 1, -1)
        else:
            corners = [[x - radius, y + radius], [x + radius, y + radius], [x, y - radius]]
            cv2.fillPoly(mask, [np.array(corners, np.int32)], 1)
        if (cv2.dilate(mask, np.ones((3, 3), np.uint8)) & taken).any():
            continue
        taken |= mask
        image[mask > 0] = np.array(COLOURS[kind]) + rng.integers(-20, 21, 3)
        class_ids.append(kind)
        masks.append(mask > 0)
    return image, np.array(class_ids), np.stack(masks)


def write_coco(folder: Path, count: int, size: tuple[int, int] = (96, 128)) -> Path:
    """`count` scenes as PNG and a COCO instances file (RLE); returns the json."""
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for i in range(count):
        image, class_ids, masks = draw_scene(i, size)
        cv2.imwrite(str(folder / f"{i}.png"), image[:, :, ::-1])
        images.append({"id": i, "file_name": f"{i}.png", "height": size[0], "width": size[1]})
        for class_id, mask in zip(class_ids, masks, strict=True):
            rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            box = [float(v) for v in coco_mask.toBbox(rle)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": CATEGORIES[class_id]["id"],
                    "iscrowd": 0,
                    "area": int(mask.sum()),
                    "bbox": box,
                    "segmentation": {"size": list(size), "counts": rle["counts"].decode("ascii")},
                }
            )
    path = folder / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}))
    return path
