"""Deterministic weight fill: every tensor depends only on (name, shape).

n = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)   (float64, C order)
All arithmetic in float64, cast to dtype at the very end.  First rule that matches wins:

 1 *num_batches_tracked                 -> 0 (int64)            [never occurs: every backbone norm is FrozenBN]
 2 *criterion.empty_weight              -> ones, last = 0.1     [real value, no random numbers]
 3 *running_mean                        -> 0.05*n
 4 *running_var                         -> 1 + 0.2*|n|
 5 *meta_pos_embed / *empty_query_*     -> 0.5*n
 6 *conv2_offset.weight -> 0.2*n ; *conv2_offset.bias -> 0.5*n   (0.02 gave offsets of only 0.08 px; now about 1 px)
 7 1-D "*.weight" (all norm layers)     -> 1 + 0.1*n
   1-D "*.bias" whose module is a norm  -> 0.05*n
   every other 1-D tensor (biases)      -> 0.02*n
 8 N-D weights:
     if 4-D with 3x3 kernel and not a stem conv:  n -= 0.85 * n.mean(over the 3x3 taps, keepdims) (high-pass)
     if prod(shape[1:]) >= 64 and not a stem conv: n -= n.mean(all dims but the first, keepdims)  (zero-sum filters)
     value = GAIN(name) * 0.7 * sqrt(2/prod(shape[1:])) * n
   (zero-sum / high-pass filters keep a random ReLU net from collapsing to one constant feature vector)
"""

import re
import zlib

import numpy as np

_NORM_BIAS = re.compile(
    r"(\.norm\.bias$)"  # detectron2 Conv2d.norm, transformer LayerNorm .norm
    r"|(\.bn\d\.bias$)"  # timm bn1/bn2/bn3
    r"|(\.conv1\.[14]\.bias$)"  # timm deep stem BN (conv1.1, conv1.4)
    r"|(\.downsample\.2\.bias$)"  # timm avg-down BN
    r"|(decoder_query_norm_layers\.\d+\.bias$)"
)

# extra gain of N-D weights, first match wins
_STEM = re.compile(r"^backbone\.(stem\.)?conv1\.")  # stem convs keep their DC response
GAINS = [
    (re.compile(r"in_proj_weight$"), 1.2),
    (re.compile(r"out_proj\.weight$"), 0.5),
    (re.compile(r"linear2\.weight$"), 0.5),
    (re.compile(r"mask_embed_layers\.\d+\.layers\.2\.weight$"), 0.5),
    (re.compile(r"class_embed_layers\.\d+\.layers\.2\.weight$"), 3.0),
    (re.compile(r"conv_proposal_cls_logits\.2\.weight$"), 3.0),
    (re.compile(r"^backbone\..*\.conv3\.weight$"), 0.5),  # keeps the residual sum of 33 blocks tame
]


def gain(name):
    for r, g in GAINS:
        if r.search(name):
            return g
    return 1.0


def fill(name, shape, dtype="float32"):
    shape = tuple(int(s) for s in shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    if name.endswith("criterion.empty_weight"):
        v = np.ones(shape, dtype=np.float32)
        v[-1] = 0.1
        return v
    n = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)
    if name.endswith("running_mean"):
        v = 0.05 * n
    elif name.endswith("running_var"):
        v = 1.0 + 0.2 * np.abs(n)
    elif name.endswith("meta_pos_embed") or "empty_query_" in name:
        v = 0.5 * n
    elif name.endswith("conv2_offset.weight"):
        v = 0.2 * n
    elif name.endswith("conv2_offset.bias"):
        v = 0.5 * n
    elif len(shape) == 1:
        if name.endswith(".weight"):
            v = 1.0 + 0.1 * n
        elif _NORM_BIAS.search(name):
            v = 0.05 * n
        else:
            v = 0.02 * n
    else:
        if len(shape) == 4 and shape[2] == 3 and not _STEM.search(name):
            n = n - 0.85 * n.mean(axis=(2, 3), keepdims=True)
        if np.prod(shape[1:]) >= 64 and not _STEM.search(name):
            n = n - n.mean(axis=tuple(range(1, n.ndim)), keepdims=True)
        v = gain(name) * 0.7 * np.sqrt(2.0 / np.prod(shape[1:])) * n
    return v.astype(dtype)


def fill_state_dict(sd):
    """torch helper: same keys/order/dtypes as sd"""
    import torch

    out = type(sd)() if not isinstance(sd, dict) else {}
    for k, v in sd.items():
        a = fill(k, v.shape, str(v.dtype).replace("torch.", ""))
        out[k] = torch.from_numpy(np.ascontiguousarray(a)).reshape(v.shape).to(v.dtype)
    return out
