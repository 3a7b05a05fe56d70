"""ImageNet weights for a ResNet backbone, the start of a training: the common files, read safely and strictly."""

from pathlib import Path

from torch import nn

from fastinst_rt.errors import WeightsError
from fastinst_rt.models.resnet import ResNet
from fastinst_rt.weights.official import published_to_ours
from fastinst_rt.weights.pickles import read_tensors
from fastinst_rt.weights.store import spec_of
from fastinst_rt.weights.strict import load_strict

_PREFIX = "backbone."
_CLASSIFIER = ("stem.fc.", "fc.", "num_batches_tracked")


def load_resnet_backbone(net: nn.Module, path: Path | str) -> None:
    """Load ImageNet weights into the ResNet backbone of `net`, strictly.

    Files whose tensors fit: torchvision's `resnet50`/`resnet101` and detectron2's conversion of them (`R-50.pkl`) for
    `r50`/`r101`; timm's `resnet50d` for `r50dcn`. All of them expect the normalisation that the models have. The
    classifier is left out; the offsets of deformable convolutions, which ImageNet networks do not have, stay.

    Raises:
        WeightsError: the file is missing, damaged or of another network; nothing is changed then.
    """
    path = Path(path)
    backbone, kind = net.backbone, spec_of(net).backbone
    if not isinstance(backbone, ResNet):
        raise WeightsError(
            f"The backbone of {spec_of(net).name} is no ResNet.", "Give the weights of its own backbone."
        )
    names: dict[str, str] = {}
    tensors = {}
    for name, tensor in read_tensors(path).items():
        bare = name.removeprefix(_PREFIX)
        if bare.startswith(_CLASSIFIER[:2]) or bare.endswith(_CLASSIFIER[2]):
            continue
        ours = published_to_ours(_PREFIX + _as_published(bare, kind), kind) or name
        ours = ours.removeprefix(_PREFIX)
        names[ours] = name
        tensors[ours] = tensor
    for name, tensor in backbone.state_dict().items():
        if ".offset." in name:
            tensors.setdefault(name, tensor)
    load_strict(
        backbone,
        tensors,
        path,
        spell=lambda name: names.get(name, name),
        remedy=f"Give ImageNet weights of the backbone {kind}: torchvision's or detectron2's ResNet, timm's resnet50d.",
    )


def _as_published(name: str, kind: str) -> str:
    """torchvision's name of a tensor as detectron2 calls it; timm's, which were published as they are, stay."""
    if kind == "r50dcn" or not name.startswith(("conv1.", "bn1.", "layer")):
        return name
    if name.startswith("conv1."):
        return "stem." + name
    if name.startswith("bn1."):
        return name.replace("bn1.", "stem.conv1.norm.")
    stage, block, part, *rest = name.removeprefix("layer").split(".")
    if part == "downsample":
        part, rest = "shortcut", (["norm"] if rest[0] == "1" else []) + rest[1:]
    elif part.startswith("bn"):
        part, rest = f"conv{part[2:]}", ["norm", *rest]
    return ".".join([f"res{int(stage) + 1}", block, part, *rest])
