"""What a picture should give: the instances of one training picture, and what its labels leave unsaid."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Target:
    """The labels of one picture, at the size of the padded network input.

    Partial labels: a data set may label some classes of a picture only, and mosaics put pictures of different label
    sets side by side. `labelled` says for each region which classes its labels speak about; a class that is not
    labelled there takes no part in the loss there, neither as a class nor as background.

    Attributes:
        class_ids: int64 [N], 0..K-1.
        masks: bool [N, H, W].
        labelled: bool [R, K], one row a region, or None where every class is labelled everywhere.
        regions: uint8 [H, W], the region of each pixel, or None where the picture is one region.
    """

    class_ids: Tensor
    masks: Tensor
    labelled: Tensor | None = None
    regions: Tensor | None = None

    def __len__(self) -> int:
        return len(self.class_ids)

    @cached_property
    def coverage(self) -> Tensor:
        """float32 [N, H, W]: the masks as 0 and 1, made once for all that look at them in a step."""
        return self.masks.float()

    def to(self, device: torch.device | str) -> "Target":
        """The same labels on another device."""
        return Target(
            self.class_ids.to(device),
            self.masks.to(device),
            None if self.labelled is None else self.labelled.to(device),
            None if self.regions is None else self.regions.to(device),
        )

    def labelled_at(self, locations: Tensor | None) -> Tensor | None:
        """Which classes are labelled at each place.

        Args:
            locations: float [P, 2], (x, y) in 0..1 of the padded picture, or None for "anywhere": then only what is
                labelled in every region counts.

        Returns:
            bool [P, K] ([1, K] for None), or None where every class is labelled everywhere.
        """
        if self.labelled is None:
            return None
        if locations is None:
            return self.labelled.all(0, keepdim=True)
        if self.regions is None:
            return self.labelled[:1].expand(len(locations), -1)
        height, width = self.regions.shape
        x = (locations[:, 0] * width).long().clamp(0, width - 1)
        y = (locations[:, 1] * height).long().clamp(0, height - 1)
        return self.labelled[self.regions[y, x].long()]
