"""Opens exported graphs as onnxruntime sessions, from checked files, on a usable device."""

from __future__ import annotations

from typing import Any

import onnxruntime

from arae_transfer.errors import AraeError
from arae_transfer.packing import read_weights
from arae_transfer.runtime.device import CPU, Device
from arae_transfer.runtime.model_folder import ModelFolder

# Names and contents.
Files = list[tuple[str, bytes]]

CUDA_REMEDY = (
    "check `nvidia-smi`, install the CUDA libraries with `pip install 'arae-transfer[gpu]'`, or use --device cpu."
)


class GraphOpener:
    """Opens the graphs of one model.

    Attributes:
        device: Where they run; with ``auto`` it is final once a graph is open.
        fallback: Why an existing GPU is not used, or None.
    """

    def __init__(
        self,
        folder: ModelFolder,
        device: Device,
        threads: int,
        *,
        automatic: bool,
        asked_for_fp16: bool,
        fallback: str | None,
    ) -> None:
        """Choose a device.

        Args:
            folder: The model.
            device: The device.
            threads: The number of threads of a graph that runs alone.
            automatic: Whether to fall back to the CPU if the device cannot be used.
            asked_for_fp16: Whether a user asked for fp16; the error of a graph that cannot run then names it.
            fallback: Why this device was chosen instead of an existing GPU, or None.
        """
        self.device = device
        self.fallback = fallback
        self.automatic = automatic
        self._folder = folder
        self._threads = threads
        self._asked_for_fp16 = asked_for_fp16
        self._contents: dict[str, bytes] = {}

    def read_weights(self, *names: str | None) -> Files:
        """Return the names and contents of weight files; each file is read once, even if several graphs share it."""
        for name in names:
            if name is not None and name not in self._contents:
                self._contents[name] = read_weights(name, self._folder.read_file(name))
        return [(name, self._contents[name]) for name in names if name is not None]

    def open(self, name: str, weights: Files, *, alone: bool = False) -> onnxruntime.InferenceSession:
        """Open a graph.

        Args:
            name: Its file.
            weights: The files of its weights, as ``read_weights`` gives them.
            alone: Whether it uses all threads; otherwise it uses one, and batches run in parallel.

        Raises:
            AraeError: The file is missing or damaged, or onnxruntime cannot open it on the device.
        """
        content = self._folder.read_file(name)
        session = self._create(name, content, weights, self.device, alone=alone)
        if self.device.kind == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
            # Asked for CUDA, onnxruntime answers with a session on the CPU and no error.
            if not self.automatic:
                raise AraeError(f"onnxruntime cannot use {self.device} on this machine", CUDA_REMEDY)
            self.fallback = "there is a GPU, but onnxruntime cannot use it"
            self.device = CPU
        return session

    def _create(
        self, name: str, content: bytes, files: Files, device: Device, *, alone: bool
    ) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        if files:
            names, contents = [file for file, _ in files], [shared for _, shared in files]
            options.add_external_initializers_from_files_in_memory(names, contents, list(map(len, contents)))
        # Steps of encoder and decoders are too small to share.
        options.intra_op_num_threads = self._threads if alone else 1
        options.inter_op_num_threads = 1
        if device.kind == "cpu":
            # The graphs are exported as they should run: further levels change neither answers nor speed, and take as
            # long as everything else about opening a session.
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        # Patterns are remembered for each new shape of a batch: memory that grows in a stream of lines.
        options.enable_mem_pattern = False
        # Threads that spin between two batches take the processor from all that is not onnxruntime.
        options.add_session_config_entry("session.intra_op.spin_duration_us", "50")
        providers: list[Any] = ["CPUExecutionProvider"]
        if device.kind == "cuda":
            # TensorFloat-32 rounds differently with the size of the batch.
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index, "use_tf32": 0}))
        try:
            session = onnxruntime.InferenceSession(content, options, providers=providers)
        except Exception as error:  # as above
            if device.kind == "cuda" and self.automatic:
                self.fallback = f"there is a GPU, but onnxruntime cannot use it ({first_line(error)})"
                self.device = CPU
                return self._create(name, content, files, CPU, alone=alone)
            if device.kind == "cuda":
                raise AraeError(f"onnxruntime cannot use {device}: {first_line(error)}", CUDA_REMEDY) from error
            what = f"onnxruntime {onnxruntime.__version__} cannot open {self._folder.root / name}"
            if self._asked_for_fp16:
                raise AraeError(
                    f"{what} on a CPU: {first_line(error)}", "fp16 is for GPUs: use --variant fp32, or --device cuda."
                ) from error
            raise AraeError(
                f"{what}: {first_line(error)}", "upgrade onnxruntime, or export the model again."
            ) from error
        return session


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's text, or its type when it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
