"""ONNX in onnxruntime as a module, so that whatever times or compares modules takes it as well."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.core.budget import HERE
from frugalmtl.core.checks import UserError
from frugalmtl.core.terminal import tracked
from frugalmtl.deployment import Stopwatch
from frugalmtl.evaluation.cost import decides
from frugalmtl.export.onnx import Onnx
from frugalmtl.model import MultiTaskModel


def require_onnxruntime(*packages: str) -> None:
    """Refuse where what times ONNX is not installed.

    Raises:
        UserError: onnxruntime or one of the other packages is missing.
    """
    if missing := [package for package in (*packages, "onnxruntime") if find_spec(package) is None]:
        raise UserError(f'runtime onnxruntime needs {", ".join(missing)}: run pip install "frugalmtl[onnx]"')


def open_session(content: bytes) -> Any:
    """An ``onnxruntime.InferenceSession`` of an ONNX file's bytes, on the CPU with torch's number of threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    # Threads that go on waiting actively after a run would slow down whoever comes next in the round.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class OnnxSession(nn.Module):
    """The ONNX file of a network in onnxruntime, on the CPU in float32, with torch's number of threads.

    Args:
        content: bytes of the file, with an input ``image`` and an output per task.

    Raises:
        UserError: onnxruntime is not installed.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__()
        require_onnxruntime()
        self.session = open_session(content)
        self.names = tuple(output.name for output in self.session.get_outputs())

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Image ``[B, 3, H, W]`` -> ``{task: raw prediction}``."""
        outputs = self.session.run(self.names, {"image": image.numpy()})
        return {name: torch.from_numpy(output) for name, output in zip(self.names, outputs, strict=True)}


def in_onnxruntime(deployed: nn.Module, image_size: tuple[int, int]) -> OnnxSession:
    """A deployed network in onnxruntime, for any batch of images of one size; its file is checked, and not kept.

    Args:
        deployed: image ``[B, 3, H, W]`` -> ``{task: raw prediction}``; not changed.
        image_size: height and width.

    Raises:
        UserError: packages are missing, the network chooses for each image what it runs, or ONNX has no form of it.
    """
    require_onnxruntime()
    if decides(deployed):
        raise UserError("runtime onnxruntime runs fixed graphs, but this network chooses for each image what it runs")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        Onnx()(deployed, path, image_size)
        return OnnxSession(path.read_bytes())


def sessions_where_possible(
    networks: Mapping[str, nn.Module], image_size: tuple[int, int], *, progress: bool = False
) -> tuple[dict[str, OnnxSession], dict[str, str]]:
    """Deployed networks in onnxruntime, see :func:`in_onnxruntime`, and of those that cannot run there the reason.

    Args:
        networks: by name.
        image_size: height and width.
        progress: show a bar.
    """
    sessions: dict[str, OnnxSession] = {}
    reasons: dict[str, str] = {}
    for name, network in tracked(networks.items(), "writing ONNX files to be timed", shown=progress):
        try:
            sessions[name] = in_onnxruntime(network, image_size)
        except UserError as error:
            reasons[name] = str(error)
    return sessions, reasons


def stopwatch_of(
    model: MultiTaskModel, image_size: tuple[int, int], images: Sequence[Tensor] | None = None
) -> Stopwatch:
    """A :class:`~frugalmtl.deployment.Stopwatch` in the runtime that the encoder's budget of time is for."""
    runtime = model.encoder.target_runtime
    prepare = partial(in_onnxruntime, image_size=image_size) if runtime == "onnxruntime" else None
    return Stopwatch(model, image_size, images, prepare, HERE[runtime])
