"""Class tables: the names a network's class index stands for, and the ids data sets use for them."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Categories:
    """The classes of a network, in the order of its class logits.

    Attributes:
        names: one name a class.
        dataset_ids: the id each class carries in its data set's annotation files.
        is_thing: True where a class is counted in instances, False for stuff (sky, road).
    """

    names: tuple[str, ...]
    dataset_ids: tuple[int, ...]
    is_thing: tuple[bool, ...]

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.dataset_ids) == len(self.is_thing):
            raise ValueError("names, dataset_ids and is_thing must have one entry a class")

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def index_of(self) -> dict[str, int]:
        """Class index by name."""
        return {name: index for index, name in enumerate(self.names)}

    @classmethod
    def numbered(cls, count: int) -> "Categories":
        """Placeholder table for a network of unknown classes: `class 0`, `class 1`, ..."""
        return cls(tuple(f"class {i}" for i in range(count)), tuple(range(count)), (True,) * count)


# COCO's 80 instance classes; ids 12, 26, 29, 30, 45, 66, 68, 69, 71, 83 were never released, hence the gaps.
_COCO = (
    (1, "person"), (2, "bicycle"), (3, "car"), (4, "motorcycle"), (5, "airplane"), (6, "bus"), (7, "train"),
    (8, "truck"), (9, "boat"), (10, "traffic light"), (11, "fire hydrant"), (13, "stop sign"),
    (14, "parking meter"), (15, "bench"), (16, "bird"), (17, "cat"), (18, "dog"), (19, "horse"), (20, "sheep"),
    (21, "cow"), (22, "elephant"), (23, "bear"), (24, "zebra"), (25, "giraffe"), (27, "backpack"),
    (28, "umbrella"), (31, "handbag"), (32, "tie"), (33, "suitcase"), (34, "frisbee"), (35, "skis"),
    (36, "snowboard"), (37, "sports ball"), (38, "kite"), (39, "baseball bat"), (40, "baseball glove"),
    (41, "skateboard"), (42, "surfboard"), (43, "tennis racket"), (44, "bottle"), (46, "wine glass"),
    (47, "cup"), (48, "fork"), (49, "knife"), (50, "spoon"), (51, "bowl"), (52, "banana"), (53, "apple"),
    (54, "sandwich"), (55, "orange"), (56, "broccoli"), (57, "carrot"), (58, "hot dog"), (59, "pizza"),
    (60, "donut"), (61, "cake"), (62, "chair"), (63, "couch"), (64, "potted plant"), (65, "bed"),
    (67, "dining table"), (70, "toilet"), (72, "tv"), (73, "laptop"), (74, "mouse"), (75, "remote"),
    (76, "keyboard"), (77, "cell phone"), (78, "microwave"), (79, "oven"), (80, "toaster"), (81, "sink"),
    (82, "refrigerator"), (84, "book"), (85, "clock"), (86, "vase"), (87, "scissors"), (88, "teddy bear"),
    (89, "hair drier"), (90, "toothbrush"),
)  # fmt: skip

# Cityscapes' 19 evaluation classes with their label ids; the last eight are things.
_CITYSCAPES = (
    (7, "road"), (8, "sidewalk"), (11, "building"), (12, "wall"), (13, "fence"), (17, "pole"),
    (19, "traffic light"), (20, "traffic sign"), (21, "vegetation"), (22, "terrain"), (23, "sky"),
    (24, "person"), (25, "rider"), (26, "car"), (27, "truck"), (28, "bus"), (31, "train"), (32, "motorcycle"),
    (33, "bicycle"),
)  # fmt: skip

COCO = Categories(tuple(n for _, n in _COCO), tuple(i for i, _ in _COCO), (True,) * len(_COCO))
CITYSCAPES = Categories(
    tuple(n for _, n in _CITYSCAPES), tuple(i for i, _ in _CITYSCAPES), tuple(i >= 24 for i, _ in _CITYSCAPES)
)
CITYSCAPES_THINGS = Categories(
    tuple(n for i, n in _CITYSCAPES if i >= 24), tuple(i for i, _ in _CITYSCAPES if i >= 24), (True,) * 8
)
