"""onnxruntime sessions of one model, opened when first needed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from arae_transfer.errors import AraeError, quoted
from arae_transfer.export_config import FP16, INT8, Variant
from arae_transfer.language_model.compact import CompactLanguageModel
from arae_transfer.runtime.binding import run_bound
from arae_transfer.runtime.buckets import Bucket
from arae_transfer.runtime.device import CPU, Device, choose_device, default_threads, load_cuda_libraries
from arae_transfer.runtime.graph_opener import Files, GraphOpener, first_line
from arae_transfer.runtime.language_models import LanguageModels
from arae_transfer.runtime.model_folder import ModelFolder
from arae_transfer.runtime.session_pool import SessionPool
from arae_transfer.runtime.threads import run_in_parallel
from arae_transfer.runtime.variants import check_variant, preferred_variant

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

# So many batches are run before threads get sessions of their own: a model that rewrites a few lines stays small.
_SETTLED = 32

# "Fatal": what goes wrong is said by exceptions too, and onnxruntime's own lines on stderr help no user.
_SILENT = 4


class Sessions:
    """The sessions of one model: encoder, decoders, style scorer and further graphs.

    Attributes:
        folder: The model.
        wishes: The requested device, number of threads and variant.
        threads: The number of threads.
    """

    def __init__(
        self, folder: ModelFolder, device: str = "auto", threads: int | None = None, variant: str = "auto"
    ) -> None:
        """Choose the device and the precision.

        Args:
            folder: The model.
            device: As ``choose_device`` takes it.
            threads: The number of CPU threads; None: the processors that this process may use.
            variant: ``"fp32"``, ``"fp16"``, ``"int8"`` or ``"auto"``: on the CPU int8 and on a GPU fp16, if the export
                found that its answers are close enough to the trained model's, otherwise fp32. int8 runs on the CPU
                alone; fp16 is for GPUs, and a CPU computes it in fp32.

        Raises:
            AraeError: There is no such device or variant, or ``threads`` is less than 1.
        """
        if threads is not None and threads < 1:
            raise AraeError(f"{threads} threads cannot work", "use --threads 1 or more.")
        onnxruntime.set_default_logger_severity(_SILENT)
        self.folder = folder
        self.wishes = (device, threads, variant)
        self._wish = variant
        check_variant(folder, variant, device)
        if device == "auto" and (variant == INT8 or set(folder.variants) == {INT8}):
            device = CPU.kind
        self.threads = threads or default_threads()
        chosen, fallback = choose_device(device)
        self._opener = GraphOpener(
            folder,
            chosen,
            self.threads,
            automatic=device == "auto",
            asked_for_fp16=variant == FP16,
            fallback=fallback,
        )
        folder.fetch(self.variant)
        if chosen.kind == "cuda":
            load_cuda_libraries()
        self._encoder: SessionPool | None = None
        self._decoders: dict[str, SessionPool] = {}
        self._quality: SessionPool | None = None
        self._batches = 0
        self._others: dict[str, onnxruntime.InferenceSession] = {}
        self._language_models = LanguageModels(folder)
        self._lock = threading.Lock()
        self._others_lock = threading.Lock()

    @property
    def device(self) -> Device:
        """Where it runs; with ``auto`` it is final once the encoder is open."""
        return self._opener.device

    @property
    def fallback(self) -> str | None:
        """Why ``auto`` does not use an existing GPU, or None."""
        return self._opener.fallback

    @property
    def variant(self) -> str:
        """The precision; with ``auto`` it is final once the device is."""
        if self._wish != "auto":
            return self._wish
        return preferred_variant(self.folder, self.device.kind)

    @property
    def in_buckets(self) -> bool:
        """Whether batches are padded to a few sizes, see ``buckets``: a GPU chooses kernels for each new size."""
        return self.device.kind == "cuda"

    def open(
        self, class_name: str, *, searching: bool = False
    ) -> tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession]:
        """Return the sessions of the encoder and of a class's decoder; both are opened at once.

        Args:
            class_name: The class.
            searching: Whether to use the decoder that writes several hypotheses.

        Raises:
            AraeError: A file is missing or damaged, the device cannot be used, or the model cannot search.
        """
        encoder, decoder = self._pools(class_name, searching=searching)
        return encoder.first, decoder.first

    def _pools(self, class_name: str, *, searching: bool) -> tuple[SessionPool, SessionPool]:
        self.folder.require_decoders()
        with self._lock:
            encoder = self._encoder
            if encoder is None and self._opener.automatic and self.device.kind == "cuda":
                # Settles the device, and with it the variant, before the decoder is opened.
                tried = self.variant
                variant = self.folder.variants[tried]
                encoder = self._open_first(variant.encoder, self._opener.read_weights(*variant.encoder_weights))
                if self.variant != tried:
                    encoder = None
            variant = self.folder.variants[self.variant]
            name = self._decoder_file(variant, class_name, searching=searching)
            decoder = self._decoders.get(name)
            pending: list[Callable[[], SessionPool]] = []
            if encoder is None:
                encoder_files = self._opener.read_weights(*variant.encoder_weights)
                pending.append(lambda: self._open_first(variant.encoder, encoder_files))
            if decoder is None:
                searching = searching and not self.folder.edits
                files = self._opener.read_weights(*variant.decoder_weights(class_name, searching=searching))
                pending.append(lambda: self._open_first(name, files))
            opened = run_in_parallel(pending, len(pending))
            decoder = opened.pop() if decoder is None else decoder
            encoder = opened.pop() if encoder is None else encoder
            self._encoder, self._decoders[name] = encoder, decoder
        return encoder, decoder

    def _decoder_file(self, variant: Variant, class_name: str, *, searching: bool) -> str:
        """Return the file of a class's decoder; a model that edits has one graph for greedy decoding and search."""
        if not searching or self.folder.edits:
            return variant.decoders[class_name]
        if variant.candidates is None:
            raise AraeError(
                f"the model {self.folder.name} cannot search or sample: it was exported before exports could",
                f"export its run again: arae export RUN -o {quoted(self.folder.root)}",
            )
        return variant.candidates[class_name]

    @contextlib.contextmanager
    def borrow(
        self, class_name: str, *, searching: bool
    ) -> Iterator[tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession]]:
        """Lend an encoder and a decoder session; after many batches they are for this thread alone."""
        encoders, decoders = self._pools(class_name, searching=searching)
        self._batches += 1  # about: two threads may count one batch
        grow = self._batches > _SETTLED
        with encoders.borrow(grow=grow) as encoder, decoders.borrow(grow=grow) as decoder:
            yield encoder, decoder

    @property
    def searches(self) -> bool:
        """Whether the model can write several hypotheses and score their style."""
        if self.folder.scorer is None:
            return False
        return self.folder.edits or self.folder.variants[self.variant].candidates is not None

    def language_models(self) -> dict[str, CompactLanguageModel]:
        """Return the language model of each class's text, read when first asked for; none if the export has none.

        Raises:
            AraeError: A file is missing or damaged.
        """
        return self._language_models.read()

    def open_scorer(self) -> onnxruntime.InferenceSession:
        """Return the session of the style scorer.

        Raises:
            AraeError: The model has none, its file is missing or damaged, or the device cannot be used.
        """
        return self._open_file(self._scorer_file())

    def _scorer_file(self) -> str:
        if self.folder.scorer is None:
            raise AraeError(
                f"the model {self.folder.name} has no style scorer, which --beam, --sample and --from auto "
                "need: it was exported before exports held one",
                f"export its run again: arae export RUN -o {quoted(self.folder.root)}",
            )
        return self.folder.scorer

    def open_early(self, class_name: str, *, searching: bool = False) -> None:
        """Start opening the graphs for rewriting to a class in background threads.

        ``open`` reports failures.
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
        """How many batches run at once: one per thread on a CPU, one on a GPU."""
        return self.threads if self.device.kind == "cpu" else 1

    def run(self, tokens: Int64, lengths: Int64, class_name: str, maximum_length: int) -> Int64:
        """Decode a padded batch greedily; the code stays on the device between encoder and decoder.

        Args:
            tokens: Padded ids, each row ended by the end id, of shape (batch, time).
            lengths: The number of ids of each row, of shape (batch,).
            class_name: The class to rewrite to.
            maximum_length: The length limit of an answer in ids.

        Returns:
            Ids of shape (batch, steps), padded after each row's end id.

        Raises:
            AraeError: onnxruntime fails, for example for lack of memory.
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
        """Write several hypotheses for each row of a padded batch, see ``export.candidates_graph``.

        Args:
            tokens: As in ``run``.
            lengths: As in ``run``.
            class_name: The class to rewrite to.
            limits: The length limit of each row's hypotheses in ids, of shape (batch,).
            width: The hypotheses of a row.
            temperature: 0: beam search; above 0: sampling with ``uniforms``.
            uniforms: Numbers in [0, 1) of shape (greatest limit, batch x width).

        Returns:
            The arguments of ``decoding.backtrack_hypotheses``: tokens, parents, totals and counts.

        Raises:
            AraeError: The model cannot search, or onnxruntime fails.
        """
        with self.borrow(class_name, searching=True) as sessions:
            bucket = self._bucket(tokens)
            inputs: dict[str, npt.NDArray[Any]] = {
                # No hypothesis is longer than its row's limit, so that steps beyond the greatest are not begun.
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
        """Return the size that a batch is padded to."""
        return Bucket.of(*tokens.shape) if self.in_buckets else Bucket.exactly(*tokens.shape)

    def score(self, tokens: Int64, mask: Float32) -> Float32:
        """Return the log-probability of each class for each row, of shape (batch, classes).

        Args:
            tokens: Padded ids of shape (batch, time).
            mask: 1 at real ids but not at the end id, of shape (batch, time).

        Raises:
            AraeError: The model has no style scorer, or onnxruntime fails.
        """
        self.open_scorer()
        bucket = self._bucket(tokens)
        feed = {"tokens": bucket.fill_all(tokens), "mask": bucket.fill_all(mask)}
        scores: Float32 = self.run_file(self._scorer_file(), ["log_probabilities"], feed)[0]
        return bucket.own(scores)

    def run_quality(self, feed: Mapping[str, Int64]) -> Float32:
        """Run the quality estimator, see ``export.quality_graph``: the log-odds of each rewrite, (rows,).

        Raises:
            AraeError: The model has none or is damaged, or onnxruntime fails.
        """
        assert self.folder.quality is not None
        with self._others_lock:
            pool = self._quality
            if pool is None:
                variant = self.folder.variants[INT8]
                files = self._opener.read_weights(*variant.encoder_weights)
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
        """Run an encoder and a decoder; return the decoder's outputs. Arguments are those of ``run_bound``."""
        try:
            return run_bound(*sessions, self.device, tokens, lengths, prefix, inputs, outputs)
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
        """Run another graph of the model that holds its own weights; it is opened at the first call.

        Args:
            name: The file.
            outputs: The names of the outputs to return.
            feed: The inputs by name.

        Raises:
            AraeError: The file is missing or damaged, or onnxruntime fails.
        """
        return self.run_graph(self._open_file(name), outputs, feed)

    def _open_file(self, name: str) -> onnxruntime.InferenceSession:
        with self._others_lock:
            session = self._others.get(name)
            if session is None:
                session = self._others[name] = self._opener.open(name, [], alone=True)
        return session

    def _failed(self, error: Exception) -> AraeError:
        return AraeError(
            f"onnxruntime failed on {self.device}: {first_line(error)}",
            "if memory is short, use a smaller --batch-size; otherwise try --device cpu.",
        )

    def _open_first(self, name: str, files: Files) -> SessionPool:
        first = self._opener.open(name, files)
        return SessionPool(first, partial(self._opener.open, name, files), self.batches_at_once)
