"""onnxruntime sessions: which device, how many threads, opened when first needed, from checked files."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from arae_transfer.errors import AraeError, quoted
from arae_transfer.export_config import FP16, FP32, INT8, Variant
from arae_transfer.language_model.compact import CompactLanguageModel
from arae_transfer.packing import SUFFIX, unpack
from arae_transfer.runtime.buckets import Bucket
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.parallel import run_in_parallel
from arae_transfer.runtime.session_pool import SessionPool

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
# Names and contents.
Files = list[tuple[str, bytes]]

VARIANTS = ("auto", FP32, FP16, INT8)
# The variant that is preferred on a device, if the export found its answers close enough to the trained model's.
_PREFERRED = {"cpu": INT8, "cuda": FP16}

# So many batches are run before threads get sessions of their own: a model that rewrites a few lines stays small.
_SETTLED = 32

# "Fatal": what goes wrong is said by exceptions too, and onnxruntime's own lines on stderr help no user.
_SILENT = 4
_CUDA_REMEDY = (
    "check `nvidia-smi`, install the CUDA libraries with `pip install 'arae-transfer[gpu]'`, or use --device cpu."
)


@dataclass(frozen=True)
class Device:
    """Where a model runs.

    Attributes:
        kind: ``"cpu"`` or ``"cuda"``.
        index: The number of the CUDA device.
    """

    kind: str
    index: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind == "cpu" else f"{self.kind}:{self.index}"


CPU = Device("cpu")


def default_threads() -> int:
    """Return the number of processors that this process may use.

    onnxruntime's own default pins threads to every processor of the machine, which fails or stalls inside
    containers and batch systems that allow only some of them.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_device(wish: str) -> tuple[Device, str | None]:
    """Return the device to use and, when ``auto`` has to fall back to the CPU, why.

    Args:
        wish: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.

    Raises:
        AraeError: The wish is none of these, or CUDA is asked for and this onnxruntime has no CUDA in it.
    """
    match = re.fullmatch(r"(auto|cpu|cuda)(?::([0-9]+))?", wish)
    if match is None or (match[2] and match[1] != "cuda"):
        raise AraeError(f"unknown device {wish!r}", "use auto, cpu, cuda or cuda:N.")
    if match[1] == "cpu" or (match[1] == "auto" and not _gpu_visible()):
        return CPU, None
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        if match[1] == "auto":
            return CPU, "there is a GPU, but this onnxruntime is built without CUDA"
        raise AraeError(
            "this onnxruntime is built without CUDA",
            "pip uninstall onnxruntime && pip install --force-reinstall onnxruntime-gpu, or --device cpu.",
        )
    return Device("cuda", int(match[2] or 0)), None


def _gpu_visible() -> bool:
    """Tell whether a CUDA driver is there, without the seconds that asking CUDA itself would take."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    if sys.platform == "win32":
        return Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "nvcuda.dll").exists()
    return any(Path(place).exists() for place in ("/dev/nvidiactl", "/dev/dxg"))


class Sessions:
    """The encoder and the decoders of one model, opened when first needed.

    Attributes:
        folder: The model.
        wishes: The device, the number of threads and the variant that were asked for.
        threads: The number of threads.
        device: Where it runs; with ``auto``, known for certain once the encoder is open.
        fallback: Why ``auto`` did not take the GPU that is there, or None.
    """

    def __init__(
        self, folder: ModelFolder, device: str = "auto", threads: int | None = None, variant: str = "auto"
    ) -> None:
        """Choose the device and the arithmetic.

        Args:
            folder: The model.
            device: As ``choose_device`` takes it.
            threads: The number of CPU threads; None: the processors that this process may use.
            variant: ``"fp32"``, ``"fp16"``, ``"int8"`` or ``"auto"``: on the CPU int8 and on a GPU fp16, if the export
                found that its answers are close enough to the trained model's, otherwise fp32. int8 runs on the CPU
                alone; fp16 is for GPUs, and a CPU computes it in fp32.

        Raises:
            AraeError: There is no such device or variant, or fewer threads than one are wished for.
        """
        if threads is not None and threads < 1:
            raise AraeError(f"{threads} threads cannot work", "use --threads 1 or more.")
        onnxruntime.set_default_logger_severity(_SILENT)
        self.folder = folder
        self.wishes = (device, threads, variant)
        self._wish = variant
        _check_variant(folder, variant, device)
        if variant == INT8 or set(folder.variants) == {INT8}:
            device = CPU.kind
        self.threads = threads or default_threads()
        self._automatic = device == "auto"
        self.device, self.fallback = choose_device(device)
        folder.fetch(self.variant)
        if self.device.kind == "cuda":
            _load_cuda_libraries()
        self._contents: dict[str, bytes] = {}
        self._encoder: SessionPool | None = None
        self._decoders: dict[str, SessionPool] = {}
        self._quality: SessionPool | None = None
        self._batches = 0
        self._others: dict[str, onnxruntime.InferenceSession] = {}
        self._language_models: dict[str, CompactLanguageModel] = {}
        self._lock = threading.Lock()
        self._language_lock = threading.Lock()
        self._others_lock = threading.Lock()

    @property
    def variant(self) -> str:
        """Return the arithmetic, one of ``VARIANTS``; with ``auto``, known once the device is."""
        if self._wish != "auto":
            return self._wish
        preferred = _PREFERRED[self.device.kind]
        found = self.folder.variants.get(preferred)
        return preferred if found is not None and (found.accepted or FP32 not in self.folder.variants) else FP32

    @property
    def in_buckets(self) -> bool:
        """Whether batches are filled up to a few sizes, see ``buckets``: a GPU plans for each size that it meets."""
        return self.device.kind == "cuda"

    def open(
        self, class_name: str, *, searching: bool = False
    ) -> tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession]:
        """Return the sessions of the encoder and of a class's decoder, opening both at once when neither is.

        Args:
            class_name: The class.
            searching: Whether the decoder is the one that writes several candidates.

        Raises:
            AraeError: A file is missing or damaged, the device cannot be used, or the model writes no candidates.
        """
        encoder, decoder = self._pools(class_name, searching=searching)
        return encoder.first, decoder.first

    def _pools(self, class_name: str, *, searching: bool) -> tuple[SessionPool, SessionPool]:
        self.folder.require_decoders()
        with self._lock:
            encoder = self._encoder
            if encoder is None and self._automatic and self.device.kind == "cuda":
                # Settles the device, and with it the variant, before the decoder is opened.
                tried = self.variant
                variant = self.folder.variants[tried]
                encoder = self._open_first(variant.encoder, self._shared(*variant.encoder_weights))
                if self.variant != tried:
                    encoder = None
            variant = self.folder.variants[self.variant]
            name = self._decoder_file(variant, class_name, searching=searching)
            decoder = self._decoders.get(name)
            pending: list[Callable[[], SessionPool]] = []
            if encoder is None:
                encoder_files = self._shared(*variant.encoder_weights)
                pending.append(lambda: self._open_first(variant.encoder, encoder_files))
            if decoder is None:
                searching = searching and not self.folder.edits
                files = self._shared(*variant.decoder_weights(class_name, searching=searching))
                pending.append(lambda: self._open_first(name, files))
            opened = run_in_parallel(pending, len(pending))
            decoder = opened.pop() if decoder is None else decoder
            encoder = opened.pop() if encoder is None else encoder
            self._encoder, self._decoders[name] = encoder, decoder
        return encoder, decoder

    def _decoder_file(self, variant: Variant, class_name: str, *, searching: bool) -> str:
        """Return the name of a class's decoder; one that edits is searched by calling it."""
        if not searching or self.folder.edits:
            return variant.decoders[class_name]
        if variant.candidates is None:
            raise AraeError(
                f"the model {self.folder.name} writes no candidates: it was exported before exports could",
                f"export its run again: arae export RUN -o {quoted(self.folder.root)}",
            )
        return variant.candidates[class_name]

    @contextlib.contextmanager
    def borrow(
        self, class_name: str, *, searching: bool
    ) -> Iterator[tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession]]:
        """Lend an encoder and a decoder session; once many batches were run, for exclusive use by this thread."""
        encoders, decoders = self._pools(class_name, searching=searching)
        self._batches += 1  # about: two threads may count one batch
        grow = self._batches > _SETTLED
        with encoders.borrow(grow=grow) as encoder, decoders.borrow(grow=grow) as decoder:
            yield encoder, decoder

    @property
    def searches(self) -> bool:
        """Whether the model writes candidates and scores their style."""
        if self.folder.scorer is None:
            return False
        return self.folder.edits or self.folder.variants[self.variant].candidates is not None

    def language_models(self) -> dict[str, CompactLanguageModel]:
        """Return the language model of each class's text, read when first asked for; none where the export has none.

        Raises:
            AraeError: A file is missing or damaged.
        """
        with self._language_lock:
            for class_name, name in (self.folder.language_models or {}).items():
                if class_name in self._language_models:
                    continue
                content = self.folder.read_file(name)
                try:
                    self._language_models[class_name] = CompactLanguageModel(content)
                except ValueError as error:
                    raise AraeError(
                        f"{self.folder.root / name} is no language model: {_first_line(error)}",
                        "export the model again.",
                    ) from error
            return self._language_models

    def open_scorer(self) -> onnxruntime.InferenceSession:
        """Return the session of the style scorer.

        Raises:
            AraeError: The model has none, its file is missing or damaged, or the device cannot be used.
        """
        return self._open_file(self._scorer_file())

    def _scorer_file(self) -> str:
        if self.folder.scorer is None:
            raise AraeError(
                f"the model {self.folder.name} has no style scorer, which candidates and --from auto need: it "
                "was exported before exports held one",
                f"export its run again: arae export RUN -o {quoted(self.folder.root)}",
            )
        return self.folder.scorer

    def open_early(self, class_name: str, *, searching: bool = False) -> None:
        """Begin to open what rewriting to a class needs, beside whatever the caller does next.

        A failure shows when ``open`` is called.
        """

        def models() -> None:
            with contextlib.suppress(Exception):
                self.open_scorer()
                self.language_models()

        def work() -> None:
            with contextlib.suppress(Exception):
                self.open(class_name, searching=searching)

        threading.Thread(target=work).start()
        if searching:
            threading.Thread(target=models).start()

    @property
    def batches_at_once(self) -> int:
        """How many batches run side by side: one for each thread; a GPU takes one after the other."""
        return self.threads if self.device.kind == "cpu" else 1

    def run(self, tokens: Int64, lengths: Int64, class_name: str, maximum_length: int) -> Int64:
        """Rewrite a padded batch; the code stays on the device between the encoder and the decoder.

        Args:
            tokens: Padded ids, each row ended by the end id, of shape (batch, time).
            lengths: The number of ids of each row, of shape (batch,).
            class_name: The class to rewrite to.
            maximum_length: The most ids that the decoder may write.

        Returns:
            Ids of shape (batch, steps), padded after each row's end id.

        Raises:
            AraeError: onnxruntime fails, for want of memory for example.
        """
        with self.borrow(class_name, searching=False) as sessions:
            bucket = self._bucket(tokens)
            inputs = {"maximum_length": np.array(bucket.time(maximum_length), dtype=np.int64)}
            tokens, lengths = bucket.fill(tokens, lengths)
            (answers,) = self._rewrite(sessions, tokens, lengths, "", inputs, ["tokens"])
        return bucket.own(answers[:, :maximum_length])

    def search(
        self,
        tokens: Int64,
        lengths: Int64,
        class_name: str,
        limits: Int64,
        width: int,
        temperature: float = 0.0,
        uniforms: Float32 | None = None,
    ) -> tuple[Int64, Int64, Float32, Int64]:
        """Write several candidates for each line of a padded batch, see ``export.candidates_graph``.

        Args:
            tokens: As in ``run``.
            lengths: As in ``run``.
            class_name: The class to rewrite to.
            limits: The most ids of each line's candidates, of shape (batch,).
            width: The candidates of a line.
            temperature: 0: beam search; more: draws by ``uniforms``.
            uniforms: Numbers in [0, 1) of shape (greatest limit, batch x width).

        Returns:
            What ``decoding.backtrack_hypotheses`` takes.

        Raises:
            AraeError: The model writes no candidates, or onnxruntime fails.
        """
        with self.borrow(class_name, searching=True) as sessions:
            bucket = self._bucket(tokens)
            inputs: dict[str, npt.NDArray[Any]] = {
                # No candidate is longer than its line's limit, so that steps beyond the greatest are not begun.
                "maximum_length": np.array(bucket.time(int(limits.max())), dtype=np.int64),
                "limits": bucket.fill_rows(limits),
                "width": np.array(width, dtype=np.int64),
                "temperature": np.array(temperature, dtype=np.float32),
                "uniforms": (
                    np.zeros((0, 0), np.float32) if uniforms is None else bucket.fill_candidates(uniforms, width)
                ),
            }
            tokens, lengths = bucket.fill(tokens, lengths)
            outputs = ["tokens", "parents", "totals", "counts"]
            written, parents, totals, counts = self._rewrite(sessions, tokens, lengths, "line.", inputs, outputs)
        written, parents = (bucket.own(each, width, axis=1) for each in (written, parents))
        totals, counts = (bucket.own(each, width) for each in (totals, counts))
        return written, parents, totals, counts

    def _bucket(self, tokens: Int64) -> Bucket:
        """Return what a padded batch is filled up to, once the device is known."""
        return Bucket.of(*tokens.shape) if self.in_buckets else Bucket.exactly(*tokens.shape)

    def score(self, tokens: Int64, mask: Float32) -> Float32:
        """Return the log-probability of each class for each row, of shape (batch, classes).

        Args:
            tokens: Padded ids of shape (batch, time).
            mask: 1 at real ids, the end id not among them, of shape (batch, time).

        Raises:
            AraeError: The model has no style scorer, or onnxruntime fails.
        """
        self.open_scorer()
        bucket = self._bucket(tokens)
        feed = {"tokens": bucket.fill_all(tokens), "mask": bucket.fill_all(mask)}
        scores: Float32 = self.run_file(self._scorer_file(), ["log_probabilities"], feed)[0]
        return bucket.own(scores)

    def run_quality(self, feed: Mapping[str, Int64]) -> Float32:
        """Run the quality estimator, see ``export.quality_graph``: the log-odds of each candidate, (rows,).

        Raises:
            AraeError: The model has none or is damaged, or onnxruntime fails.
        """
        assert self.folder.quality is not None
        with self._others_lock:
            pool = self._quality
            if pool is None:
                variant = self.folder.variants[INT8]
                files = self._shared(*variant.encoder_weights)
                pool = self._quality = self._open_first(self.folder.quality, files)
        with pool.borrow(grow=self._batches > _SETTLED) as session:
            found: Float32 = self.run_graph(session, ["log_odds"], dict(feed))[0]
        return found

    def _rewrite(
        self,
        sessions: tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession],
        tokens: Int64,
        lengths: Int64,
        prefix: str,
        inputs: Mapping[str, npt.NDArray[Any]],
        outputs: Sequence[str],
    ) -> list[npt.NDArray[Any]]:
        """Run an encoder and a decoder, whose names of the code begin with a prefix; return the decoder's outputs."""
        encoder, decoder = sessions
        kind, index = self.device.kind, self.device.index
        try:
            encoding = encoder.io_binding()
            encoding.bind_cpu_input("tokens", tokens)
            encoding.bind_cpu_input("lengths", lengths)
            encoding.bind_output("code", kind, index)
            encoding.bind_output("code_mask", kind, index)
            encoder.run_with_iobinding(encoding)
            code, mask = encoding.get_outputs()
            decoding = decoder.io_binding()
            decoding.bind_ortvalue_input(f"{prefix}code", code)
            decoding.bind_ortvalue_input(f"{prefix}code_mask", mask)
            if any(each.name == f"{prefix}source" for each in decoder.get_inputs()):
                # What may be written depends on what is rewritten.
                inputs = {**inputs, f"{prefix}source": tokens}
            for name, values in inputs.items():
                decoding.bind_cpu_input(name, values)
            for name in outputs:
                decoding.bind_output(name, "cpu")
            decoder.run_with_iobinding(decoding)
            return [found.numpy() for found in decoding.get_outputs()]
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            raise self._failed(error) from error

    def run_graph(
        self, session: onnxruntime.InferenceSession, outputs: list[str], feed: Mapping[str, Any]
    ) -> list[Any]:
        """Run a borrowed graph.

        Raises:
            AraeError: onnxruntime fails.
        """
        try:
            found: list[Any] = session.run(outputs, feed)
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            raise self._failed(error) from error
        return found

    def run_file(self, name: str, outputs: list[str], feed: dict[str, Any]) -> list[Any]:
        """Run one of the model's further graphs, which holds its own weights; it is opened when it is first run.

        Args:
            name: The file.
            outputs: The names of the wished outputs.
            feed: The inputs by name.

        Raises:
            AraeError: The file is missing or damaged, or onnxruntime fails.
        """
        return self.run_graph(self._open_file(name), outputs, feed)

    def _open_file(self, name: str) -> onnxruntime.InferenceSession:
        with self._others_lock:
            session = self._others.get(name)
            if session is None:
                session = self._others[name] = self._open(name, [], alone=True)
        return session

    def _failed(self, error: Exception) -> AraeError:
        return AraeError(
            f"onnxruntime failed on {self.device}: {_first_line(error)}",
            "if memory is short, use a smaller --batch-size; otherwise try --device cpu.",
        )

    def _shared(self, *names: str | None) -> Files:
        """Return files that hold weights of several graphs; they are read once."""
        for name in names:
            if name is not None and name not in self._contents:
                content = self.folder.read_file(name)
                self._contents[name] = unpack(content) if name.endswith(SUFFIX) else content
        return [(name, self._contents[name]) for name in names if name is not None]

    def _open_first(self, name: str, files: Files) -> SessionPool:
        return SessionPool(self._open(name, files), partial(self._open, name, files), self.batches_at_once)

    def _open(self, name: str, files: Files, *, alone: bool = False) -> onnxruntime.InferenceSession:
        content = self.folder.read_file(name)
        session = self._create(name, content, files, self.device, alone=alone)
        if self.device.kind == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
            # Asked for CUDA, onnxruntime answers with a session on the CPU and no error.
            if not self._automatic:
                raise AraeError(f"onnxruntime cannot use {self.device} on this machine", _CUDA_REMEDY)
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
        # Encoder and decoders take one thread: their steps are too small to share, so that whole batches run side by
        # side. What is run by run_file has the threads to itself.
        options.intra_op_num_threads = self.threads if alone else 1
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
            if device.kind == "cuda" and self._automatic:
                self.fallback = f"there is a GPU, but onnxruntime cannot use it ({_first_line(error)})"
                self.device = CPU
                return self._create(name, content, files, CPU, alone=alone)
            if device.kind == "cuda":
                raise AraeError(f"onnxruntime cannot use {device}: {_first_line(error)}", _CUDA_REMEDY) from error
            what = f"onnxruntime {onnxruntime.__version__} cannot open {self.folder.root / name}"
            if self._wish == FP16:
                raise AraeError(
                    f"{what} on a CPU: {_first_line(error)}", "fp16 is for GPUs: use --variant fp32, or --device cuda."
                ) from error
            raise AraeError(
                f"{what}: {_first_line(error)}", "upgrade onnxruntime, or export the model again."
            ) from error
        return session


def _check_variant(folder: ModelFolder, variant: str, device: str) -> None:
    """Raise an AraeError for a variant that there is not, or not there."""
    if variant not in VARIANTS:
        raise AraeError(f"unknown variant {variant!r}", f"use {', '.join(VARIANTS)}.")
    if variant not in ("auto", *folder.variants):
        again = "export it again with this arae" + (" and --weights fp16" if variant == FP16 else "")
        if FP32 not in folder.variants:
            raise AraeError(
                f"the model {folder.name} has no {variant} variant",
                f"use --variant {' or '.join(folder.variants)}, or export its run again with --weights fp16.",
            )
        raise AraeError(f"the model {folder.name} has no {variant} variant", f"use --variant fp32, or {again}.")
    if device.startswith("cuda") and (variant == INT8 or set(folder.variants) == {INT8}):
        other = ", or --variant fp32" if FP32 in folder.variants else ""
        raise AraeError("int8 runs on the CPU alone", f"use --device cpu{other}.")


def _load_cuda_libraries() -> None:
    """Load CUDA and cuDNN from their Python packages; what is missing shows when a session is created."""
    # Its failures are printed on stdout, among the answers.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
        onnxruntime.preload_dlls()


def _first_line(error: BaseException) -> str:
    """Return the first line of an exception's text, or its type when it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
