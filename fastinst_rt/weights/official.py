"""The published checkpoints' names and ours."""

import re

_DECODER = r"sem_seg_head\.predictor\."
_PIXELS = r"sem_seg_head\.pixel_decoder\."

# Published name -> ours; the first pattern that matches whole wins.
_RENAMES: tuple[tuple[str, str], ...] = (
    # ResNet-50 / 101
    (r"backbone\.stem\.conv1\.weight", r"backbone.stem.0.conv.weight"),
    (r"backbone\.stem\.conv1\.norm\.(\w+)", r"backbone.stem.0.norm.\1"),
    (r"backbone\.res(\d)\.(\d+)\.(conv\d|shortcut)\.weight", r"backbone.stages.{1-2}.\2.\3.conv.weight"),
    (r"backbone\.res(\d)\.(\d+)\.(conv\d|shortcut)\.norm\.(\w+)", r"backbone.stages.{1-2}.\2.\3.norm.\4"),
    # ResNet-50-d with deformable convolutions
    (r"backbone\.conv1\.0\.weight", r"backbone.stem.0.conv.weight"),
    (r"backbone\.conv1\.1\.(\w+)", r"backbone.stem.0.norm.\1"),
    (r"backbone\.conv1\.3\.weight", r"backbone.stem.1.conv.weight"),
    (r"backbone\.conv1\.4\.(\w+)", r"backbone.stem.1.norm.\1"),
    (r"backbone\.conv1\.6\.weight", r"backbone.stem.2.conv.weight"),
    (r"backbone\.bn1\.(\w+)", r"backbone.stem.2.norm.\1"),
    (r"backbone\.layer(\d)\.(\d+)\.conv2_offset\.(\w+)", r"backbone.stages.{1-1}.\2.conv2.conv.offset.\3"),
    (r"backbone\.layer(\d)\.(\d+)\.(conv\d)\.weight", r"backbone.stages.{1-1}.\2.\3.conv.weight"),
    (r"backbone\.layer(\d)\.(\d+)\.bn(\d)\.(\w+)", r"backbone.stages.{1-1}.\2.conv\3.norm.\4"),
    (r"backbone\.layer(\d)\.(\d+)\.downsample\.1\.weight", r"backbone.stages.{1-1}.\2.shortcut.conv.weight"),
    (r"backbone\.layer(\d)\.(\d+)\.downsample\.2\.(\w+)", r"backbone.stages.{1-1}.\2.shortcut.norm.\3"),
    # PPM-FPN
    (_PIXELS + r"adapter_(\d)\.weight", r"pixel_decoder.laterals.{1-1}.conv.weight"),
    (_PIXELS + r"adapter_(\d)\.norm\.(\w+)", r"pixel_decoder.laterals.{1-1}.norm.\2"),
    (_PIXELS + r"layer_(\d)\.weight", r"pixel_decoder.outputs.{1-1}.conv.weight"),
    (_PIXELS + r"layer_(\d)\.norm\.(\w+)", r"pixel_decoder.outputs.{1-1}.norm.\2"),
    (_PIXELS + r"ppm\.stages\.(\d)\.1\.(\w+)", r"pixel_decoder.pyramid.branches.\1.\2"),
    (_PIXELS + r"ppm\.bottleneck\.(\w+)", r"pixel_decoder.pyramid.merge.\1"),
    # queries
    (_DECODER + r"meta_pos_embed", r"positions.map"),
    (_DECODER + r"empty_query_features\.weight", r"auxiliary.features"),
    (_DECODER + r"empty_query_pos_embed\.weight", r"auxiliary.positions"),
    (_DECODER + r"query_proposal\.conv_proposal_cls_logits\.0\.(\w+)", r"queries.hidden.\1"),
    (_DECODER + r"query_proposal\.conv_proposal_cls_logits\.2\.(\w+)", r"queries.classes.\1"),
    # dual-path decoder
    (
        _DECODER + r"transformer_query_(self|cross)_attention_layers\.(\d+)\.(?:self_attn|multihead_attn)\.(.+)",
        r"decoder.layers.\2.query_\1_attention.attention.\3",
    ),
    (
        _DECODER + r"transformer_query_(self|cross)_attention_layers\.(\d+)\.norm\.(\w+)",
        r"decoder.layers.\2.query_\1_attention.norm.\3",
    ),
    (
        _DECODER + r"transformer_mask_cross_attention_layers\.(\d+)\.multihead_attn\.(.+)",
        r"decoder.layers.\1.pixel_cross_attention.attention.\2",
    ),
    (
        _DECODER + r"transformer_mask_cross_attention_layers\.(\d+)\.norm\.(\w+)",
        r"decoder.layers.\1.pixel_cross_attention.norm.\2",
    ),
    (_DECODER + r"transformer_query_ffn_layers\.(\d+)\.(.+)", r"decoder.layers.\1.query_feedforward.\2"),
    (_DECODER + r"transformer_mask_ffn_layers\.(\d+)\.(.+)", r"decoder.layers.\1.pixel_feedforward.\2"),
    # heads
    (_DECODER + r"decoder_query_norm_layers\.(\d+)\.(\w+)", r"decoder.heads.\1.norm.\2"),
    (_DECODER + r"class_embed_layers\.(\d+)\.(.+)", r"decoder.heads.\1.classes.\2"),
    (_DECODER + r"mask_embed_layers\.(\d+)\.(.+)", r"decoder.heads.\1.masks.\2"),
    (_DECODER + r"mask_features_layers\.(\d+)\.(\w+)", r"decoder.heads.\1.pixels.\2"),
)


def published_to_ours(name: str) -> str | None:
    """Our name of a published tensor, None for one that our networks have no use for.

    `{1-2}` in a template is the number of the first group, less two.
    """
    for pattern, template in _RENAMES:
        match = re.fullmatch(pattern, name)
        if match:
            shifted = re.sub(r"\{1-(\d)\}", lambda m: str(int(match[1]) - int(m[1])), template)  # noqa: B023
            return match.expand(shifted)
    return None
