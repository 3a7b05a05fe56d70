"""From the network's logits to instances, panoptic segments or a semantic map."""

from fastinst_rt.postprocess.instances import instances
from fastinst_rt.postprocess.segments import PanopticSegments, Segment, panoptic, semantic

__all__ = ["PanopticSegments", "Segment", "instances", "panoptic", "semantic"]
