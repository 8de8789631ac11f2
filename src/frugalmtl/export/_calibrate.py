"""Networks of frugalmtl, timed on this machine with onnxruntime and NumPy alone.

    python calibrate.py --out latency.json

Beside this file lie the networks and ``kit.json``, which says what they are. The file that it writes tells a training
on another machine how long networks take here (``latency: latency.json`` in its config).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

Record = dict[str, Any]

KIT = "kit.json"
FORMAT = 1
SECONDS = 60.0
"""Time that the rounds may take."""
FEWEST, MOST = 20, 300
"""Rounds."""
WARM_UP = 3


def open_session(path: Path, threads: int) -> Any:
    """A network in onnxruntime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Threads that go on waiting actively after a run would slow down whoever comes next in the round.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def example(session: Any) -> dict[str, Any]:
    """Noise as input of a network, one image at a time."""
    generator = np.random.default_rng(0)
    inputs: dict[str, Any] = {}
    for one in session.get_inputs():
        shape = [length if isinstance(length, int) else 1 for length in one.shape]
        inputs[one.name] = generator.random(shape, dtype=np.float32)
    return inputs


def timed_rounds(sessions: list[Any], rounds: int, warm_up: int = WARM_UP) -> list[list[float]]:
    """Milliseconds of each network in every round; each round runs each network once, and who begins rotates.

    What else the machine does so falls on all networks alike.
    """
    inputs = [example(session) for session in sessions]
    times: list[list[float]] = [[] for _ in sessions]
    for number in range(-warm_up, rounds):
        for step in range(len(sessions)):
            place = (step + number) % len(sessions)
            started = time.perf_counter()
            sessions[place].run(None, inputs[place])
            if number >= 0:
                times[place].append((time.perf_counter() - started) * 1000.0)
    return times


def processors() -> int:
    """Processors that this program may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(threads: int) -> Record:
    """What the times depend on beside the networks."""
    import onnxruntime

    lines: list[str] = []
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    vectors = [name for name, flag in (("AVX512", "avx512f"), ("AVX2", "avx2")) if flag in flags]
    return {
        "device": "cpu",
        "name": names[0] if names else platform.processor() or platform.machine() or "unknown processor",
        "instructions": vectors[0] if vectors else "DEFAULT",
        "threads": threads,
        "dtype": "float32",
        "runtime": "onnxruntime",
        "versions": {
            "onnxruntime": onnxruntime.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def measure(folder: Path, threads: int, seconds: float = SECONDS) -> Record:
    """The networks of a kit, timed against each other: medians over the rounds.

    Raises:
        ValueError: the kit is damaged, or of another version of this file.
    """
    kit = _kit(folder)
    medians, rounds = _medians(folder, [network["file"] for network in kit["networks"]], threads, seconds)
    networks = [{**network, "milliseconds": medians[network["file"]]} for network in kit["networks"]]
    files = [file for layer in kit["layers"] for file in layer["files"]]
    by_file = _medians(folder, files, threads, seconds)[0] if files else {}
    timings = [
        {
            "layer": layer["layer"],
            "widths": layer["widths"],
            "milliseconds": [by_file[file] for file in layer["files"]],
        }
        for layer in kit["layers"]
    ]
    return {
        "format": FORMAT,
        "machine": machine(threads),
        "network": kit["network"],
        "rounds": rounds,
        "networks": networks,
        "batch": 1,
        "timings": timings,
    }


def _medians(folder: Path, files: list[str], threads: int, seconds: float) -> tuple[dict[str, float], int]:
    """Median milliseconds of files that are timed against each other, and the number of rounds."""
    sessions = []
    for file in files:
        try:
            sessions.append(open_session(folder / file, threads))
        except Exception as error:  # onnxruntime has a class of its own for each of its refusals
            raise ValueError(f"{folder / file} cannot be loaded: {str(error).splitlines()[0]}") from None
    once = sum(times[0] for times in timed_rounds(sessions, 1, 1)) / 1000.0
    rounds = int(max(FEWEST, min(MOST, seconds / max(once, 1e-6))))
    times = timed_rounds(sessions, rounds)
    return {file: float(np.median(values)) for file, values in zip(files, times, strict=True)}, rounds


def _kit(folder: Path) -> Record:
    path = folder / KIT
    try:
        kit = json.loads(path.read_text(encoding="utf-8"))
        known = kit["format"] == FORMAT
        listed = [one["file"] for one in kit["networks"]] + [file for one in kit["layers"] for file in one["files"]]
        complete = known and all(isinstance(file, str) for file in listed) and "network" in kit
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is missing or damaged ({error}): copy the whole folder of the kit") from None
    if not complete:
        raise ValueError(f"{path} is not of format {FORMAT}: copy it together with the calibrate.py beside it")
    return dict(kit)


def lines(result: Record) -> list[str]:
    """What was measured, to be read."""
    place = result["machine"]
    words = [f"{place['name']}, {place['threads']} threads, onnxruntime; medians of {result['rounds']} rounds"]
    for one in result["networks"]:
        words.append(f"{one['milliseconds']:9.2f} ms in onnxruntime {one['macs'] / 1e9:9.3f} GMAC  {one['words']}")
    return words


def main() -> None:
    """Read the arguments, time the networks, write the file."""
    folder = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=folder / "latency.json", help="the file (default: beside this one)")
    parser.add_argument("--threads", type=int, default=processors(), help="CPU threads (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of the rounds (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.threads < 1 or not arguments.seconds > 0:
        sys.exit("--threads and --seconds must be above 0")
    try:
        result = measure(folder, arguments.threads, arguments.seconds)
        unfinished = arguments.out.with_name(f"{arguments.out.name}.part")
        unfinished.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(arguments.out)
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    print("\n".join(lines(result)))
    print(arguments.out)


if __name__ == "__main__":
    main()
