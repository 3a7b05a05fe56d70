"""`fastinst-rt weights`: what a user sees and the exit codes."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from fastinst_rt.cli.app import app
from fastinst_rt.models.zoo import create_model, get_spec
from fastinst_rt.weights.official import ours_to_published
from fastinst_rt.weights.store import read_metadata, save_weights

MODEL = "fastinst-d1-r50"
CHECKPOINT = str(get_spec(MODEL).checkpoint)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint in the form of the released one."""
    folder = tmp_path_factory.mktemp("release")
    places = create_model(MODEL).state_dict()
    torch.save({"model": {ours_to_published(k, "r50"): v for k, v in places.items()}}, folder / CHECKPOINT)
    return folder


@pytest.fixture
def mirror(released: Path) -> Any:
    """Its address on a web server of this machine."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(released)))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["weights", *map(str, arguments)])


def test_pull_verify_convert_list(tmp_path: Path, mirror: str) -> None:
    cache = ("--cache-dir", tmp_path / "cache[a]")
    assert "not here" in run("list", *cache).output
    pulled = run("pull", MODEL, "--url", mirror, *cache)
    assert pulled.exit_code == 0
    assert pulled.stdout == f"{tmp_path / 'cache[a]' / CHECKPOINT}\n"
    assert MODEL in pulled.stderr  # the progress bar
    assert run("pull", MODEL, "--url", mirror, "--quiet", *cache).stderr == ""
    verified = run("verify", *cache)
    assert verified.exit_code == 0
    assert f"{CHECKPOINT}: whole; {MODEL}" in verified.output
    output = tmp_path / "d1.safetensors"
    converted = run("convert", MODEL, "-o", output, "--half", *cache)
    assert converted.exit_code == 0, converted.output
    assert "80 classes" in converted.output
    assert f"released checkpoint {CHECKPOINT}, sha256 " in read_metadata(output).provenance
    assert run("verify", output).exit_code == 0
    listed = run("list", *cache).output
    assert "cached" in listed
    assert "cache[a]" in "".join(listed.split())  # long paths are folded


def test_pull_refuses_another_models_checkpoint(tmp_path: Path, mirror: str, released: Path) -> None:
    other = released / str(get_spec("fastinst-d3-r50").checkpoint)
    other.write_bytes((released / CHECKPOINT).read_bytes())
    result = run("pull", "fastinst-d3-r50", "--url", mirror, "--cache-dir", tmp_path)
    other.unlink()
    assert result.exit_code == 7
    assert "is a checkpoint of another model" in result.stderr


def test_the_model_of_a_file_is_found_from_its_tensors(tmp_path: Path, released: Path) -> None:
    assert run("convert", released / CHECKPOINT, "-o", tmp_path / "a.safetensors").exit_code == 0
    assert read_metadata(tmp_path / "a.safetensors").spec.name == MODEL
    wrong = run("convert", released / CHECKPOINT, "--model", "fastinst-d3-r50", "-o", tmp_path / "b.safetensors")
    assert wrong.exit_code == 7
    assert "does not fit fastinst-d3-r50" in wrong.stderr
    assert f"give --model {MODEL}" in wrong.stderr
    assert not (tmp_path / "b.safetensors").exists()


def test_verify_goes_through_all_and_fails_if_one_does(tmp_path: Path, released: Path) -> None:
    broken = tmp_path / "broken.pth"
    broken.write_bytes((released / CHECKPOINT).read_bytes()[:100_000])
    result = run("verify", broken, released / CHECKPOINT)
    assert result.exit_code == 7
    assert "is damaged" in result.stderr
    assert "whole" in result.stdout


def test_a_file_of_ours_says_its_model(tmp_path: Path) -> None:
    save_weights(create_model("fastinst-d3-r50"), tmp_path / "a.safetensors", {"provenance": "mine"})
    assert "whole; fastinst-d3-r50; mine" in run("verify", tmp_path / "a.safetensors").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("pull", "fastinst"), 2, "There is no model named 'fastinst'"),
        (("pull", "mask2former-light-r50"), 7, "no release of mask2former-light-r50"),
        (("pull", MODEL, "--url", "folder"), 2, "is no http or https URL"),
        (("pull", MODEL, "--url", "http://127.0.0.1:9"), 7, "cannot be reached"),
        (("convert", MODEL, "-o", "a.bin"), 2, "does not end in .safetensors"),
        (("convert", MODEL, "-o", "a.safetensors"), 7, f"weights pull {MODEL}"),
        (("verify", "nothing"), 7, "neither a model nor a checkpoint file named nothing"),
    ],
)
def test_mistakes_are_sentences(tmp_path: Path, arguments: tuple[str, ...], code: int, text: str) -> None:
    result = run(*arguments, "--cache-dir", tmp_path)
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert "Traceback" not in result.output


def test_nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastinst_rt.weights import catalogue

    monkeypatch.setattr(catalogue, "bundled_weights", lambda _: None)
    assert run("verify", "--cache-dir", tmp_path).output == "No weights are on this machine.\n"


@pytest.mark.parametrize("command", ["list", "pull", "convert", "verify"])
def test_every_command_shows_an_example(command: str) -> None:
    assert f"fastinst-rt weights {command}" in run(command, "--help").stdout
