"""The named models: sizes, parameters, the switches of the ablations."""

from typing import Any

import pytest
import torch

from fastinst_rt.errors import UsageError
from fastinst_rt.models.zoo import create_model, get_spec, list_models

PARAMETERS = {
    "fastinst-d1-r50": 29_658_035,
    "fastinst-d3-r50": 34_176_597,
    "fastinst-d3-r101": 53_116_501,
    "fastinst-d1-r50dcn": 30_174_965,
    "fastinst-d3-r50dcn": 34_693_527,
}
A, B, E = "dual_path", "activation_guided_queries", "learnable_positions_and_auxiliary"


def parameters(net: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_parameter_counts_are_exact(name: str, count: int) -> None:
    with torch.device("meta"):
        assert parameters(create_model(name)) == count


@pytest.mark.parametrize(
    ("on", "millions"), [((), 40.9), ((B,), 41.4), ((A,), 33.5), ((A, B), 34.1), ((A, B, E), 34.2)]
)
def test_parameter_counts_of_table_1(on: tuple[str, ...], millions: float) -> None:
    """The nine columns are five networks; C (mask-guided learning) changes the training alone."""
    with torch.device("meta"):
        net = create_model("mask2former-light-r50", **dict.fromkeys(on, True))
    assert round(parameters(net) / 1e6, 1) == millions


@pytest.mark.parametrize("on", [(B,), (A,), (A, B)])
@torch.inference_mode()
def test_networks_of_table_1_run(on: tuple[str, ...]) -> None:
    net = create_model("mask2former-light-r50", decoder_layers=2, **dict.fromkeys(on, True))
    logits, masks = net(torch.rand(1, 3, 96, 128) * 255)
    queries = 48 if B in on else 100  # E4 has 6 x 8 places for IA-guided ones
    assert logits.shape == (1, queries, 81)
    assert masks.shape == (1, queries, 12, 16)


def test_fastinst_d3_is_the_last_column_of_table_1() -> None:
    with torch.device("meta"):
        last = create_model("mask2former-light-r50", **dict.fromkeys((A, B, E), True))
        named = create_model("fastinst-d3-r50")
    assert {k: v.shape for k, v in last.state_dict().items()} == {k: v.shape for k, v in named.state_dict().items()}


def test_fastinst_without_a_b_e_is_the_baseline() -> None:
    with torch.device("meta"):
        plain = create_model("fastinst-d3-r50", **dict.fromkeys((A, B, E), False))
        named = create_model("mask2former-light-r50")
    assert {k: v.shape for k, v in plain.state_dict().items()} == {k: v.shape for k, v in named.state_dict().items()}


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({"num_queries": 10}, (10, 81)),
        ({"num_queries": 100, "local_maximum_first": False}, (100, 81)),
        ({"num_classes": 19}, (50, 20)),
        ({"num_auxiliary_queries": 0}, (50, 81)),
        ({"decoder_layers": 2}, (50, 81)),
    ],
)
@torch.inference_mode()
def test_switches(switches: dict[str, Any], expected: tuple[int, int]) -> None:
    net = create_model("fastinst-nano", **switches)
    logits, masks = net(torch.rand(1, 3, 160, 192) * 255)
    assert logits.shape == (1, *expected)
    assert masks.shape == (1, expected[0], 40, 48)
    for key, value in switches.items():
        assert getattr(net.spec, key) == value
    assert net.spec.ap_val is None, "published figures belong to the published model alone"
    assert net.spec.checkpoint is None


def test_position_map_has_about_as_many_cells_as_there_are_queries() -> None:
    sides = [create_model("fastinst-nano", num_queries=n).positions.map.shape[-1] for n in (10, 50, 100)]
    assert sides == [3, 7, 10]


def test_spec_of_an_unchanged_model_is_that_of_the_zoo() -> None:
    assert create_model("fastinst-nano", num_classes=80, decoder_layers=1).spec == get_spec("fastinst-nano")


@pytest.mark.parametrize(
    "switches",
    [
        {"num_queries": 0},
        {"num_classes": 0},
        {"decoder_layers": 0},
        {"num_auxiliary_queries": -1},
        {"learnable_positions_and_auxiliary": False, "num_auxiliary_queries": 8},
    ],
)
def test_impossible_numbers_are_usage_errors(switches: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        create_model("fastinst-nano", **switches)


def test_unknown_name_is_a_usage_error_that_lists_the_names() -> None:
    with pytest.raises(UsageError, match="fastinst-d1-r50") as caught:
        create_model("fastinst-d2-r50")
    assert all(name in caught.value.remedy for name in list_models())
