"""The suites run, and what they print is what they must show: every row, its level, its shape, its checks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from fastinst_rt.backends.base import Engine
from fastinst_rt.bench.flops import multiply_adds, parameters
from fastinst_rt.bench.paper import paper_tables
from fastinst_rt.bench.plots import write_plots
from fastinst_rt.bench.protocol import Protocol
from fastinst_rt.bench.report import Report, Row, read_json, write_json
from fastinst_rt.bench.suites import ablation, common, e2e, paper, run_suite, stages
from fastinst_rt.bench.suites.media import pictures, write_clip
from fastinst_rt.cli import app
from fastinst_rt.errors import UsageError
from fastinst_rt.models.zoo import create_model, get_spec

from .builders import measurement

MODEL = "fastinst-nano"
TINY = Protocol(samples=4, seconds=0.4, least_samples=3, least_seconds=0, warm_up=0, warm_up_limit=0.1, blocks=3)


def settings(**changes: object) -> common.Settings:
    """A suite's settings with a small picture, on the eager backend."""
    return common.Settings(**{"protocol": TINY, "backend": "eager", "short_side": 64, "max_side": 96, **changes})  # type: ignore[arg-type]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", pictures(None, (72, 128), 12))


def by_id(report: Report) -> dict[str, Row]:
    return {row.subject.id: row for row in report.rows}


def test_an_unknown_suite_is_refused() -> None:
    with pytest.raises(UsageError, match="paper"):
        run_suite("papr", settings())


def test_paper_has_every_row_and_says_why_one_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    published = [{"model": MODEL, "ap_val": 20.0, "params_m": 3, "gflops": 1.0, "fps_v100": 100.0}]
    monkeypatch.setattr(paper, "_published", lambda: published)
    monkeypatch.setattr(paper, "_CITYSCAPES", (64, 128))
    real = paper.network

    def network(name: str, *args: object, **switches: object) -> object:
        if name.startswith("mask2former"):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        return real(MODEL, *args, **switches)  # type: ignore[arg-type]

    monkeypatch.setattr(paper, "network", network)
    report = run_suite("paper", settings())
    rows = by_id(report)
    assert list(rows) == [
        f"{MODEL}/engine/latency",
        f"{MODEL}/model/latency",
        "mask2former-light-r50@cityscapes/engine/latency",
        "fastinst-d3-r50@cityscapes/engine/latency",
        "fastinst-d3-r50@cityscapes/model/latency",
    ]
    assert (
        rows["mask2former-light-r50@cityscapes/engine/latency"].skipped
        == "The memory of this machine does not hold it."
    )
    assert "quick" in (rows["fastinst-d3-r50@cityscapes/model/latency"].skipped or "")
    first = rows[f"{MODEL}/engine/latency"]
    assert first.subject.padded == (96, 96) or first.subject.padded == (64, 96)
    assert first.facts["x V100"] == pytest.approx(first.fps / 100)
    assert first.facts["params M"]["ours"] == pytest.approx(parameters(create_model(MODEL)) / 1e6)
    assert report.yardstick is not None
    write_json(report, tmp_path / "a.json")
    assert by_id(read_json(tmp_path / "a.json")).keys() == rows.keys()
    written = write_plots(report, tmp_path / "plots")
    assert {p.name for p in written} == {f"paper-{n}.{s}" for n in ("tradeoff", "latency") for s in ("png", "svg")}


def test_the_published_table_is_the_whole_one() -> None:
    names = [row["model"] for row in paper._published()]
    assert len(names) == 6
    assert all(get_spec(name) for name in names)
    assert paper._published()[-1]["fps_v100"] == 25.3


def test_the_ablation_has_nine_columns_and_six_rows() -> None:
    table = ablation.columns()
    assert [c.key for c in table[:9]] == ["I/none", "I/B", "I/C", "I/BC", "I/A", "I/AB", "I/AC", "I/ABC", "I/ABCE"]
    assert len(table) == 15
    assert {c.key: c.same_as for c in table if c.same_as} == {
        "I/C": "I/none", "I/BC": "I/B", "I/AC": "I/A", "I/ABC": "I/AB",
    }  # fmt: skip
    published = [c["params_m"] for c in paper_tables()["table_I"]["columns"]]
    assert [c.params_m for c in table[:9]] == published


def test_ablation_shares_what_is_the_same_and_compares_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    few = [c for c in ablation.columns() if c.key in ("I/none", "I/C", "I/A", "III/100-local", "III/100-plain")]
    monkeypatch.setattr(ablation, "columns", lambda: few)
    report = run_suite("ablation", settings())
    rows = by_id(report)
    assert len(rows) == 5
    assert rows["I/C/engine/latency"].measurement is rows["I/none/engine/latency"].measurement
    statements = " ".join(check.statement for check in report.checks)
    assert "Table I" in statements
    assert "Nine layers" in statements
    assert "under 2 %" in statements


def test_an_order_that_contradicts_the_papers_does_not_hold() -> None:
    ours = (c for c in ablation.columns() if c.key in ("I/A", "I/none"))
    slow, quick = sorted(ours, key=lambda column: column.fps_v100)
    paper = {slow.key: measurement(0.2, 1), quick.key: measurement(0.1, 2)}
    other = {slow.key: measurement(0.1, 1), quick.key: measurement(0.2, 2)}
    few = {key: measurement(0.1, 3, blocks=3) for key in paper}
    holds = [ablation.orders([slow, quick], samples)[0].holds for samples in (paper, other, few)]
    assert holds == [True, False, None]


def test_the_stages_add_up(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "SIZES", {"small": (72, 128)})
    report = run_suite("stages", settings(model=MODEL, clip=clip))
    labels = [row.subject.id for row in report.rows]
    assert labels == [
        f"small/{s}" for s in ("decode", "resize", "engine", "select", "enlarge", "model", "overlay", "encode")
    ]
    whole = by_id(report)["small/model"].measurement.samples
    parts = sum(by_id(report)[f"small/{part}"].measurement.samples for part in stages.PARTS)
    assert np.all(parts <= whole)
    assert np.median(parts / whole) > 0.95
    shares = [float(r.facts["share"].rstrip("%")) for r in report.rows if "share" in r.facts]
    assert sum(shares) == pytest.approx(100, abs=0.5)


def test_a_clip_is_measured_from_end_to_end(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(e2e, "_affordable", lambda *_: 1000)
    report = run_suite("e2e", settings(model=MODEL, clip=clip))
    rows = by_id(report)
    assert list(rows) == ["e2e/latency", "e2e/throughput"]
    assert all(row.subject.level == "e2e" for row in report.rows)
    assert rows["e2e/throughput"].facts["waiting ms"] >= 0
    assert [row.facts["frames"] for row in rows.values()] == [12, 12]  # the clip has no more
    assert rows["e2e/latency"].measurement.warm_up.calls == 2 * 12
    assert next(check for check in report.checks if "lost" in check.statement).holds


def test_the_published_way_is_laid_beside_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastinst_rt.bench.suites import baseline

    monkeypatch.setattr(baseline, "FRAME", (180, 320))
    rows = by_id(run_suite("baseline", settings(model=MODEL)))
    assert list(rows) == ["published/model/latency", "ours-eager/model/latency"]
    assert rows["ours-eager/model/latency"].facts["times quicker"] > 0


def test_every_backend_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastinst_rt.bench.suites import backends

    monkeypatch.setattr(backends, "FRAME", (72, 128))
    monkeypatch.setattr(backends, "BACKENDS", {})
    rows = by_id(run_suite("backends", settings(model="fastinst-d1-r50", device="cpu")))
    assert rows["eager fp32/engine/latency"].facts["gate"] == "passed"
    assert rows["eager fp32/engine/latency"].facts["x eager"] == 1.0


@pytest.mark.parametrize("frame", [(272, 640), (720, 1280), (480, 640), (640, 427), (850, 1280)])
def test_a_suites_segmenter_feeds_its_engine_the_shape_it_was_opened_for(frame: tuple[int, int]) -> None:
    net, weights, sha256 = common.network(MODEL, None)
    for sides in ((320, 448), (576, 777)):
        wanted = settings(short_side=sides[0], max_side=sides[1])
        shape = common.shape_for(net.spec, wanted, frame)
        engine = common.engine_for(net, sha256, shape, settings())
        given: list[tuple[int, ...]] = []

        def noting(images: object, engine: Engine = engine, given: list[tuple[int, ...]] = given) -> object:
            given.append(tuple(images.shape[-3:-1]))  # type: ignore[attr-defined]
            return engine(images)  # type: ignore[arg-type]

        noting.info = engine.info  # type: ignore[attr-defined]
        common.segmenter_on(noting, net, weights, wanted)(np.zeros((*frame, 3), np.uint8))  # type: ignore[arg-type]
        assert given == [shape.resized]


def test_multiply_adds_are_counted_once() -> None:
    layer = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
    assert multiply_adds(lambda: torch.nn.Conv2d(3, 8, 3, padding=1, bias=False), (32, 64)) * 1e9 == 3 * 8 * 9 * 32 * 64
    assert parameters(layer) == 3 * 8 * 9


def test_the_papers_gflops_are_met() -> None:
    """49.6 G at the paper's own mix of shapes; 576x768 is a little larger than its mean."""
    counted = multiply_adds(lambda: create_model("fastinst-d1-r50"), (576, 768))
    assert counted == pytest.approx(49.6, rel=0.02)


def test_the_command_writes_and_compares(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fastinst_rt.bench.protocol as protocol

    monkeypatch.setattr(protocol, "QUICK", TINY)
    a, page = tmp_path / "a.json", tmp_path / "a.md"
    arguments = ["--suite", "e2e", "--quick", "--clip", str(clip), "--model", MODEL, "--backend", "eager"]
    arguments += ["--short-side", "64", "--max-side", "96", "--json", str(a), "--markdown", str(page)]
    result = CliRunner().invoke(app, ["bench", *arguments])
    assert result.exit_code == 0, result.output
    assert "From file to annotated file" in result.stdout
    assert "e2e, throughput" in page.read_text()
    result = CliRunner().invoke(app, ["bench", "compare", str(a), str(a)])
    assert result.exit_code == 0, result.output
    assert "no difference" in result.stdout
    result = CliRunner().invoke(app, ["bench", "compare", str(a), str(page)])
    assert result.exit_code == 2
