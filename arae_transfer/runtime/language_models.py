"""The language models of an export, read when they are first used."""

from __future__ import annotations

import threading

from arae_transfer.errors import AraeError
from arae_transfer.language_model.compact import CompactLanguageModel
from arae_transfer.runtime.graph_opener import first_line
from arae_transfer.runtime.model_folder import ModelFolder


class LanguageModels:
    """The language model of each class's text; threads may share them."""

    def __init__(self, folder: ModelFolder) -> None:
        self._folder = folder
        self._models: dict[str, CompactLanguageModel] = {}
        self._lock = threading.Lock()

    def read(self) -> dict[str, CompactLanguageModel]:
        """Return them by class; none if the export has none.

        Raises:
            AraeError: A file is missing or damaged.
        """
        with self._lock:
            for class_name, name in (self._folder.language_models or {}).items():
                if class_name in self._models:
                    continue
                content = self._folder.read_file(name)
                try:
                    self._models[class_name] = CompactLanguageModel(content)
                except ValueError as error:
                    raise AraeError(
                        f"{self._folder.root / name} is no language model: {first_line(error)}",
                        "export the model again.",
                    ) from error
            return self._models
