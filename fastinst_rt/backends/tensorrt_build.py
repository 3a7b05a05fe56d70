"""The process that compiles: an exported program in, a TensorRT plan out.

    python -m fastinst_rt.backends.tensorrt_build FOLDER

reads `program.pt2` and `request.json` from FOLDER, writes `engine.plan`, and says how it goes in JSON lines on standard
output. A process of its own, because a compiler that crashes must not take the video with it. It ends when its standard
input closes, so that no compiler outlives the program that wanted it.
"""

import inspect
import json
import logging
import operator
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from fastinst_rt.backends.tensorrt_inspection import inspect_plan
from fastinst_rt.errors import EngineError

PROGRAM, REQUEST, PLAN = "program.pt2", "request.json", "engine.plan"
OTHER_BACKEND = "Use --backend inductor or eager for this model, and report the operator."

Report = Callable[[Mapping[str, Any]], None]


def compiler_settings(precision: str, scratch: Path, release: str) -> dict[str, Any]:
    """What torch-tensorrt of that release is told; the precision itself is in the program, never a setting.

    `use_explicit_typing` makes TensorRT keep the program's types. It exists up to torch-tensorrt 2.12; later releases
    always do, and have no such setting (see `checked_settings`).
    """
    return {
        "require_full_compilation": True,  # one engine or none
        "truncate_double": True,
        "attn_bias_is_causal": False,  # the default, True, silently turns our attention mask into another one
        "use_explicit_typing": True,
        "disable_tf32": precision == "fp32",  # TF32 has the 10 bits of FP16: an engine called fp32 must not use it
        # 2.11 turns attention into `_scaled_dot_product_flash_attention_for_cpu`, which it has no converter for, unless
        # attention is taken apart. Later releases convert it whole, into TensorRT's own attention layer.
        "decompose_attention": release.startswith("2.11."),
        "immutable_weights": True,
        "cache_built_engines": False,  # the library's cache leaves weights and versions out of its key
        "reuse_cached_engines": False,
        "timing_cache_path": str(scratch / "timing.cache"),
    }


def checked_settings(
    settings: Mapping[str, Any],
    known: set[str],
    accepted: set[str],
    gone: frozenset[str] = frozenset({"use_explicit_typing"}),
) -> dict[str, Any]:
    """The settings that this release of torch-tensorrt has; it would swallow any other without a word.

    Args:
        settings: what is to be set.
        known: fields of `CompilationSettings`.
        accepted: named parameters of the function that is called.
        gone: settings that later releases no longer have, because they always do what it asked for.

    Raises:
        EngineError: for a setting that the release does not know.
    """
    if unknown := sorted(name for name in settings if name not in known & accepted and name not in gone):
        raise EngineError(
            f"This release of torch-tensorrt has no setting {', '.join(unknown)}.",
            "Install torch-tensorrt 2.11, 2.12 or 2.13, or use --backend inductor.",
        )
    return {name: value for name, value in settings.items() if name in known & accepted}


def compile_program(program: torch.export.ExportedProgram, precision: str, scratch: Path, report: Report) -> bytes:
    """The plan of a whole program.

    Raises:
        EngineError: if there is no converter for an operator (named, with its source line), or the compiler fails.
    """
    import torch_tensorrt
    from torch_tensorrt.dynamo import CompilationSettings, Debugger, convert_exported_program_to_serialized_trt_engine
    from torch_tensorrt.dynamo.conversion._TRTInterpreter import TRT_INTERPRETER_CALL_PRE_OBSERVER

    convert = convert_exported_program_to_serialized_trt_engine
    settings = checked_settings(
        compiler_settings(precision, scratch, torch_tensorrt.__version__),
        {field.name for field in fields(CompilationSettings)},
        set(inspect.signature(convert).parameters),
    )
    missing: list[str] = []

    def look_at(lowered: torch.fx.GraphModule) -> None:
        missing.extend(unsupported_operators(lowered))
        operators = sum(node.op == "call_function" for node in lowered.graph.nodes)
        report({"step": f"compiling {operators} operators with TensorRT"})

    example = tuple(node.meta["val"] for node in _user_inputs(program))
    inputs = [torch.zeros(tuple(value.shape), dtype=value.dtype) for value in example]
    # With a debugger the plan keeps the details of its layers, which is what the precision is read back from.
    details = Debugger("error", save_engine_profile=True, engine_builder_monitor=False, logging_dir=str(scratch))
    with TRT_INTERPRETER_CALL_PRE_OBSERVER.add(look_at), details, _first_error() as complaints:
        try:
            plan: bytes = convert(program, arg_inputs=inputs, **settings)
        except Exception as error:
            raise _explain(error, missing, complaints) from error
    return plan


def _user_inputs(program: torch.export.ExportedProgram) -> Iterator[torch.fx.Node]:
    names = set(program.graph_signature.user_inputs)
    return (node for node in program.graph.nodes if node.op == "placeholder" and node.name in names)


def unsupported_operators(lowered: torch.fx.GraphModule) -> list[str]:
    """`operator at file:line: code` of every operator that TensorRT has no converter for, each once."""
    from torch_tensorrt.dynamo.conversion._ConverterRegistry import DYNAMO_CONVERTERS

    nodes = (node for node in lowered.graph.nodes if node.op == "call_function" and node.target is not operator.getitem)
    missing = (node for node in nodes if DYNAMO_CONVERTERS.get(node) is None)
    return list(dict.fromkeys(f"{node.target} {source_line(node.meta.get('stack_trace', ''))}" for node in missing))


def source_line(stack_trace: str) -> str:
    """`at file:line: code` of the innermost frame in a traceback's text (torch keeps frames of `forward` only)."""
    frames = re.findall(r'File "([^"]+)", line (\d+), in [^\n]+\n\s*([^\n]*)', stack_trace)
    if not frames:
        return "(source unknown)"
    file, line, code = frames[-1]
    return f"at {'/'.join(Path(file).parts[-3:])}:{line}: `{code.strip()}`"


def _explain(error: Exception, missing: list[str], complaints: list[str]) -> EngineError:
    if missing:
        return EngineError(f"TensorRT has no converter for {'; '.join(missing)}.", OTHER_BACKEND)
    where = source_line(str(error)) if "Original traceback" in str(error) else ""
    reason = (complaints or str(error).splitlines() or [type(error).__name__])[0]
    return EngineError(f"TensorRT could not compile the network {where}: {reason}", OTHER_BACKEND)


@contextmanager
def _first_error() -> Iterator[list[str]]:
    """Collects what TensorRT itself logs as an error: exceptions of the converters only show what came of it."""
    complaints: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "TensorRT Conversion Context" in record.name:
                complaints.append(record.getMessage())

    handler = Collector(logging.ERROR)
    logging.getLogger().addHandler(handler)
    try:
        yield complaints
    finally:
        logging.getLogger().removeHandler(handler)


def _end_with_parent() -> None:
    """Leave when standard input closes: the program that asked for the engine is gone."""
    while os.read(0, 1024):  # not sys.stdin: its lock, held at exit, would abort the interpreter
        pass
    os._exit(1)


def main(folder: Path) -> int:
    """Compile what is in `folder`; returns the exit code."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the compiler's own chatter on standard output goes to the log

    def report(line: Mapping[str, Any]) -> None:
        channel.write(json.dumps(line) + "\n")
        channel.flush()

    threading.Thread(target=_end_with_parent, daemon=True).start()
    request = json.loads((folder / REQUEST).read_text())
    try:
        report({"step": "reading the exported network"})
        if torch.cuda.is_available():
            torch.cuda.set_device(request["device_index"])
        program = torch.export.load(folder / PROGRAM)
        report({"step": "lowering the network"})
        plan = compile_program(program, request["precision"], folder, report)
        (folder / PLAN).write_bytes(plan)
        report({"step": "reading the engine back"})
        report({"inspection": inspect_plan(plan, program.state_dict.values())})
    except EngineError as error:
        report({"problem": error.problem, "remedy": error.remedy})
        return error.exit_code
    except Exception as error:
        report({"problem": f"The TensorRT build failed: {type(error).__name__}: {error}", "remedy": OTHER_BACKEND})
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
