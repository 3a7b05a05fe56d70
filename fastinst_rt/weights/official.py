"""Released checkpoints: from their published names to ours, strictly.

A released file is `{"model": {name: tensor}, ...}` or the state dict alone; backbones are named as in detectron2
(ResNet) or timm (ResNet-D), the rest as in the authors' code.
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from torch import nn

from fastinst_rt.models.spec import ModelSpec
from fastinst_rt.models.zoo import get_spec, list_models
from fastinst_rt.weights.pickles import read_tensors
from fastinst_rt.weights.store import spec_of
from fastinst_rt.weights.strict import load_strict

# Rows of (published name, our name). A field in braces stands for the same piece of the name on both sides; {n+1} for a
# number that is one more there than here; {rest} for all that is left.
_RESNET = (
    ("backbone.stem.conv1.weight", "backbone.stem.0.conv.weight"),
    ("backbone.stem.conv1.norm.{tensor}", "backbone.stem.0.norm.{tensor}"),
    ("backbone.res{stage+2}.{block}.{conv}.weight", "backbone.stages.{stage}.{block}.{conv}.conv.weight"),
    ("backbone.res{stage+2}.{block}.{conv}.norm.{tensor}", "backbone.stages.{stage}.{block}.{conv}.norm.{tensor}"),
)
_RESNET_D = (
    ("backbone.conv1.0.weight", "backbone.stem.0.conv.weight"),
    ("backbone.conv1.1.{tensor}", "backbone.stem.0.norm.{tensor}"),
    ("backbone.conv1.3.weight", "backbone.stem.1.conv.weight"),
    ("backbone.conv1.4.{tensor}", "backbone.stem.1.norm.{tensor}"),
    ("backbone.conv1.6.weight", "backbone.stem.2.conv.weight"),
    ("backbone.bn1.{tensor}", "backbone.stem.2.norm.{tensor}"),
    *(
        (f"backbone.layer{{stage+1}}.{{block}}.{published}", f"backbone.stages.{{stage}}.{{block}}.{ours}")
        for published, ours in (
            ("conv2_offset.{tensor}", "conv2.conv.offset.{tensor}"),
            ("conv{n}.weight", "conv{n}.conv.weight"),
            ("bn{n}.{tensor}", "conv{n}.norm.{tensor}"),
            ("downsample.1.weight", "shortcut.conv.weight"),
            ("downsample.2.{tensor}", "shortcut.norm.{tensor}"),
        )
    ),
)
_PIXEL_DECODER = tuple(
    (f"sem_seg_head.pixel_decoder.{published}", f"pixel_decoder.{ours}")
    for published, ours in (
        ("adapter_{level+1}.weight", "laterals.{level}.conv.weight"),
        ("adapter_{level+1}.norm.{tensor}", "laterals.{level}.norm.{tensor}"),
        ("layer_{level+1}.weight", "outputs.{level}.conv.weight"),
        ("layer_{level+1}.norm.{tensor}", "outputs.{level}.norm.{tensor}"),
        ("ppm.stages.{grid}.1.{tensor}", "pyramid.branches.{grid}.{tensor}"),
        ("ppm.bottleneck.{tensor}", "pyramid.merge.{tensor}"),
    )
)
_PREDICTOR = "sem_seg_head.predictor."
_DECODER = tuple(
    (_PREDICTOR + published, ours)
    for published, ours in (
        ("meta_pos_embed", "positions.map"),
        ("empty_query_features.weight", "auxiliary.features"),
        ("empty_query_pos_embed.weight", "auxiliary.positions"),
        ("query_proposal.conv_proposal_cls_logits.0.{tensor}", "queries.hidden.{tensor}"),
        ("query_proposal.conv_proposal_cls_logits.2.{tensor}", "queries.classes.{tensor}"),
        ("decoder_query_norm_layers.{head}.{tensor}", "decoder.heads.{head}.norm.{tensor}"),
        ("class_embed_layers.{head}.{rest}", "decoder.heads.{head}.classes.{rest}"),
        ("mask_embed_layers.{head}.{rest}", "decoder.heads.{head}.masks.{rest}"),
        ("mask_features_layers.{head}.{tensor}", "decoder.heads.{head}.pixels.{tensor}"),
        *(
            (f"transformer_{layer}_layers.{{layer}}.{part}.{{rest}}", f"decoder.layers.{{layer}}.{ours}.{{rest}}")
            for layer, part, ours in (
                ("query_cross_attention", "multihead_attn", "query_cross_attention.attention"),
                ("query_cross_attention", "norm", "query_cross_attention.norm"),
                ("query_self_attention", "self_attn", "query_self_attention.attention"),
                ("query_self_attention", "norm", "query_self_attention.norm"),
                ("query_ffn", "linear1", "query_feedforward.linear1"),
                ("query_ffn", "linear2", "query_feedforward.linear2"),
                ("query_ffn", "norm", "query_feedforward.norm"),
                ("mask_cross_attention", "multihead_attn", "pixel_cross_attention.attention"),
                ("mask_cross_attention", "norm", "pixel_cross_attention.norm"),
                ("mask_ffn", "linear1", "pixel_feedforward.linear1"),
                ("mask_ffn", "linear2", "pixel_feedforward.linear2"),
                ("mask_ffn", "norm", "pixel_feedforward.norm"),
            )
        ),
    )
)
_BACKBONES = {"r50": _RESNET, "r101": _RESNET, "r50dcn": _RESNET_D}

TRAINING_ONLY = frozenset({"criterion.empty_weight", _PREDICTOR + "criterion.empty_weight"})
"""Published entries that belong to the loss and carry no weights of the network."""


def published_to_ours(name: str, backbone: str) -> str | None:
    """Our name of a published tensor, None for one that is not in the table.

    Args:
        name: as published.
        backbone: of the model's `spec`; the two families of backbones were published under names of their own.
    """
    return _first(name, ((published, ours) for published, ours in _rows(backbone)))


def ours_to_published(name: str, backbone: str) -> str | None:
    """The published name of one of our tensors, None for one of a kind that was never published."""
    return _first(name, ((ours, published) for published, ours in _rows(backbone)))


def load_official_checkpoint(net: nn.Module, path: Path | str) -> str:
    """Load a released checkpoint into a network of `create_model`, strictly; returns where the weights come from.

    Nothing that the file asks for is run: it is read by `pickles.read_tensors`.

    Raises:
        WeightsError: the file is missing or damaged, or a tensor of it is missing, unknown or of another shape; the
            names are the published ones.
    """
    path = Path(path)
    spec = spec_of(net)
    published = {name: tensor for name, tensor in read_tensors(path).items() if name not in TRAINING_ONLY}
    tensors = {published_to_ours(name, spec.backbone) or name: tensor for name, tensor in published.items()}
    load_strict(
        net,
        tensors,
        path,
        spell=lambda name: ours_to_published(name, spec.backbone) or name,
        remedy=_remedy(published, spec),
    )
    return f"released checkpoint {path.name}"


def released_model(published: Iterable[str]) -> str | None:
    """The released model whose backbone and depth these published names have; None if there is none."""
    names = set(published)
    layers = {match[1] for name in names if (match := re.search(r"transformer_query_ffn_layers\.(\d+)\.", name))}
    if any(name.startswith("backbone.layer1.") for name in names):
        backbone = "r50dcn"
    else:
        backbone = "r101" if any(name.startswith("backbone.res4.22.") for name in names) else "r50"
    for spec in map(get_spec, list_models()):
        if spec.checkpoint and (spec.backbone, spec.decoder_layers) == (backbone, len(layers)):
            return spec.name
    return None


def _remedy(published: Iterable[str], asked: ModelSpec) -> str:
    found = released_model(published)
    if found is None:
        return f"Give a released checkpoint of {asked.name}."
    if found == asked.name:
        return "Give a checkpoint with the same classes and switches as this model, or fetch it again."
    return f"It has the parts of {found}: give --model {found}, or the checkpoint of {asked.name}."


def _rows(backbone: str) -> tuple[tuple[str, str], ...]:
    return (*_BACKBONES.get(backbone, ()), *_PIXEL_DECODER, *_DECODER)


def _first(name: str, rows: Iterable[tuple[str, str]]) -> str | None:
    return next((found for source, target in rows if (found := _translate(name, source, target))), None)


_FIELD = re.compile(r"\{(\w+)(?:\+(\d+))?\}")


def _translate(name: str, source: str, target: str) -> str | None:
    """`name` rewritten from one template of a row to the other, or None if it is none of `source`."""
    match = _pattern(source).fullmatch(name)
    if match is None:
        return None
    shifts = {field: int(shift or 0) for field, shift in _FIELD.findall(source)}

    def value(field: re.Match[str]) -> str:
        text, shift = match[field[1]], int(field[2] or 0) - shifts[field[1]]
        return str(int(text) + shift) if shift else text

    return _FIELD.sub(value, target)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    shifted = {field for field, shift in _FIELD.findall(template) if shift}

    def group(field: str) -> str:
        return f"(?P<{field}>{'.+' if field == 'rest' else '[0-9]+' if field in shifted else '[^.]+'})"

    pieces = _FIELD.split(template)  # text, field, shift, text, field, shift, ..., text
    texts, fields = pieces[::3], pieces[1::3]
    return re.compile(
        "".join(re.escape(t) + group(f) for t, f in zip(texts, fields, strict=False)) + re.escape(texts[-1])
    )
