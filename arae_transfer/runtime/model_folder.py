"""The folder of an exported model: its description, and files that are verified when read.

This module needs the standard library alone, so that listing models and completing class names costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from arae_transfer.errors import AraeError, quoted
from arae_transfer.export_config import (
    EDITING,
    GENERATION,
    RESTORE,
    ExportConfig,
    FileRecord,
    ImageShape,
    Variant,
)
from arae_transfer.folders import find_model, hub_address, list_models, nearest
from arae_transfer.layout import ExportLayout

if TYPE_CHECKING:
    from arae_transfer.runtime.options import Ranking

Kind = Literal["text", "image", "any"]


@dataclass(frozen=True)
class ModelFolder:
    """An exported model.

    Attributes:
        root: The folder.
        config: The content of its ``config.json``.
        hub: The address on the Hub, with the commit, of a model whose files are downloaded when needed; None: all files
            are local.
    """

    root: Path
    config: ExportConfig
    hub: str | None = None

    @classmethod
    def find(cls, wish: str | Path | None = None, kind: Kind = "text") -> ModelFolder:
        """Find a model by name or path and read its description.

        Args:
            wish: As ``folders.find_model`` takes it, or ``hf://owner/name[@revision]``.
            kind: The kind that the model must have: ``"text"``, ``"image"``, or ``"any"``.

        Raises:
            AraeError: There is no such model, its description is damaged or too new, or it is of another kind.
        """
        address = hub_address(wish)
        folder = cls.read(find_model(wish)) if address is None else cls._find_on_hub(address)
        if kind == "text" and folder.image is not None:
            raise AraeError(
                f"{folder.name} is a model of images, not of text",
                "`arae sample`, `arae interpolate` and `arae evaluate` work with it; otherwise give a model of text.",
            )
        if kind == "image" and folder.image is None:
            raise AraeError(
                f"{folder.name} is a model of text, not of images", "give a model of images, exported from a run."
            )
        return folder

    @classmethod
    def _find_on_hub(cls, address: str) -> ModelFolder:
        from arae_transfer.runtime.hub import find_on_hub

        root, pinned = find_on_hub(address)
        return replace(cls.read(root), hub=pinned)

    @property
    def address(self) -> str:
        """Return the address by which ``find`` finds this model from any folder."""
        return self.hub or str(self.root.absolute())

    def fetch(self, variant: str) -> None:
        """Download the files that one variant needs, if the model is on the Hub.

        Raises:
            AraeError: A file cannot be downloaded, or differs from the exported one.
        """
        if self.hub is not None:
            from arae_transfer.runtime.hub import fetch

            fetch(self.hub, self.files, self._files_of(variant))

    def _files_of(self, name: str) -> list[str]:
        """Return the files that one variant needs."""
        variant = self.variants[name]
        files = [self.tokenizer, self.scorer, self.words, self.quality, self.classifier]
        files += (self.language_models or {}).values()
        files += [file for each in (variant, variant.source) if each is not None for file in each.file_names]
        return [file for file in files if file]

    @classmethod
    def read(cls, root: Path) -> ModelFolder:
        """Read the description of the model in a folder.

        Raises:
            AraeError: The description is missing, damaged, incomplete or of a newer format.
        """
        return cls(root, ExportConfig.read(ExportLayout(root).config))

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that it can rewrite to, in order."""
        return self.config.classes

    @property
    def maximum_tokens(self) -> int:
        """The longest input that it was trained for, in tokens, the end id included."""
        return self.config.maximum_tokens

    @property
    def variants(self) -> Mapping[str, Variant]:
        """The graphs in each precision, by its name."""
        return self.config.variants

    @property
    def tokenizer(self) -> str:
        """The file name of the SentencePiece model; empty: a model of images."""
        return self.config.tokenizer

    @property
    def files(self) -> Mapping[str, FileRecord]:
        """The size and SHA-256 of each file."""
        return self.config.files

    @property
    def form(self) -> Mapping[str, Any]:
        """The settings of the corpus's text format."""
        return self.config.form

    @property
    def scorer(self) -> str | None:
        """The file name of the style scorer's graph; None: the export has none."""
        return self.config.scorer

    @property
    def quality(self) -> str | None:
        """The file name of the quality estimator's graph; None: the export has none."""
        return self.config.quality

    @property
    def ranking(self) -> Ranking:
        """The default weights for ranking hypotheses."""
        from arae_transfer.runtime.options import Ranking

        return Ranking() if self.config.ranking is None else Ranking.of(self.config.ranking)

    @property
    def language_models(self) -> Mapping[str, str] | None:
        """The file name of each class's language model; None: the export has none."""
        return self.config.language_models

    @property
    def words(self) -> str | None:
        """The file name of the word list of the corpus; None: the export has none."""
        return self.config.words

    @property
    def beam(self) -> int:
        """The default beam; 1: greedy decoding."""
        return self.config.beam

    @property
    def edits(self) -> bool:
        """Whether it rewrites by edits."""
        return self.config.task == EDITING

    @property
    def copy_above(self) -> float:
        """The probability that nothing is to change above which an editing model copies its source."""
        return self.config.copy_above

    @property
    def classifier(self) -> str | None:
        """The file name of the graph from codes to classes; None: the model has decoders in its place."""
        return None if self.config.classifier is None else self.config.classifier.file

    @property
    def pairs(self) -> bool:
        """Whether it classifies pairs of sentences."""
        return self.config.classifier is not None and self.config.classifier.pairs

    @property
    def generates(self) -> bool:
        """Whether it has a single class, whose text it generates."""
        return self.config.task == GENERATION

    @property
    def image(self) -> ImageShape | None:
        """The size and levels of its images; None: a model of text."""
        return self.config.image

    @property
    def encoder(self) -> str:
        """The file name of the encoder's graph, in fp32 where there is one."""
        return self.config.main.encoder

    @property
    def decoders(self) -> Mapping[str, str]:
        """The file name of each class's decoder, in fp32 where there is one."""
        return self.config.main.decoders

    def read_file(self, name: str) -> bytes:
        """Return the content of one of the model's files, checked against its size and SHA-256.

        Raises:
            AraeError: The file is missing, unreadable, or differs from the exported one.
        """
        import hashlib  # here, because it loads OpenSSL, which listing and completing do without

        path = self.root / name
        record = self.files[name]
        if self.hub is not None and not path.is_file():
            from arae_transfer.runtime.hub import fetch

            fetch(self.hub, self.files, [name])
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise AraeError(f"the model {self.name} is incomplete: {path} is missing", RESTORE) from error
        except OSError as error:
            from arae_transfer.atomic import explain_read_failure

            raise explain_read_failure(path, error) from error
        if len(content) != record.size:
            raise AraeError(f"{path} is damaged: it has {len(content):,} of {record.size:,} bytes", RESTORE)
        if hashlib.sha256(content).hexdigest() != record.sha256:
            raise AraeError(f"{path} is damaged: its SHA-256 is not the exported one", RESTORE)
        return content

    def require_classifier(self) -> None:
        """Raise an error for a model that cannot classify.

        Raises:
            AraeError: It has neither a classifier of codes nor a style scorer.
        """
        if self.generates:
            raise self._only_generates()
        if self.classifier is None and self.scorer is None:
            raise AraeError(
                f"the model {self.name} cannot classify: it was exported before exports held a style scorer",
                "export it again with this arae, or train a classifier: arae train snli-classification",
            )

    def require_decoders(self) -> None:
        """Raise an error for a model that writes no text.

        Raises:
            AraeError: It classifies and has no decoders.
        """
        if self.classifier is not None:
            raise AraeError(
                f"the model {self.name} classifies text and writes none",
                f"arae classify --model {quoted(self.hub or self.root)}, or choose another model.",
            )

    def require_codes(self) -> None:
        """Raise an error for a model that cannot decode a code.

        Raises:
            AraeError: It edits lines.
        """
        if self.edits:
            names = _models_with_codes()
            raise AraeError(
                f"the model {self.name} edits lines: it writes none from a code alone",
                f"choose a model with a code space: --model {' or '.join(map(quoted, names))}."
                if names
                else "choose a model with a code space, such as one trained with the recipe yelp-sentiment.",
            )

    def require_rewriting(self) -> None:
        """Raise an error for a model that cannot rewrite.

        Raises:
            AraeError: It classifies, or has a single class.
        """
        self.require_decoders()
        if self.generates:
            raise self._only_generates()

    def _only_generates(self) -> AraeError:
        return AraeError(
            f"the model {self.name} has a single class: there is no other to rewrite to, or to tell it from",
            f"arae sample --model {quoted(self.hub or self.root)}, or choose another model.",
        )

    def match_class(self, wish: str) -> str:
        """Return the target class that a user means, see ``find_class``.

        Raises:
            AraeError: No class or several classes match, or the model writes no text.
        """
        self.require_decoders()
        return self.find_class(wish)

    def find_class(self, wish: str) -> str:
        """Return the class that a user means: its name, or the start of one, in upper or lower case.

        Raises:
            AraeError: No class or several classes match.
        """
        if wish in self.classes:
            return wish
        folded = wish.casefold()
        whole = [name for name in self.classes if name.casefold() == folded]
        starting = [name for name in self.classes if name.casefold().startswith(folded)]
        matches = whole or starting
        if len(matches) == 1:
            return matches[0]
        known = ", ".join(self.classes)
        if matches:
            raise AraeError(
                f"{wish!r} may mean {' or '.join(matches)}",
                f"write more of it; classes of {self.name}: {known}.",
            )
        likely = nearest(wish, self.classes)
        question = f"did you mean {likely}? " if likely else ""
        raise AraeError(f"the model {self.name} has no class {wish!r}", f"{question}classes of {self.name}: {known}.")


def _models_with_codes() -> list[str]:
    """Return the names of the installed models that write text from codes."""
    names = []
    for name, root in list_models().items():
        try:
            folder = ModelFolder.find(root)
        except AraeError:
            continue
        if not folder.edits and folder.classifier is None:
            names.append(name)
    return names
