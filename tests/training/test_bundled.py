"""The weights that ship with the package: there, small, loadable, with a card that says what they are."""

from fastinst_rt.models.zoo import create_model, get_spec
from fastinst_rt.weights.locate import bundled_weights, load_network
from fastinst_rt.weights.store import load_weights


def test_nano_ships_with_weights_and_a_model_card() -> None:
    path = bundled_weights("fastinst-nano")
    assert path is not None
    assert path.stat().st_size < 16_000_000
    net = create_model("fastinst-nano")
    before = net.decoder.head(0).pixels.weight.clone()
    metadata = load_weights(net, path)
    assert metadata.spec.name == "fastinst-nano"
    assert not before.equal(net.decoder.head(0).pixels.weight)
    card = path.with_suffix(".md").read_text()
    for part in ("## Accuracy", "## Data", "## Training", "## What it cannot do"):
        assert part in card


def test_the_bundled_network_is_the_one_of_the_zoo() -> None:
    net, _, _ = load_network("fastinst-nano")
    assert net.spec == get_spec("fastinst-nano")
