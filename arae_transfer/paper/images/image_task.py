"""Task on images: binarised MNIST, as in the paper's Sections 2 and 5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from arae_transfer.errors import AraeError
from arae_transfer.tasks.task import DataSource, ExportRequest, PreparedData, Reading, RunSetting, Task

if TYPE_CHECKING:
    from arae_transfer.corpus.reading import LabelledLines
    from arae_transfer.layout import RunLayout
    from arae_transfer.model.arae import Autoencoder
    from arae_transfer.paper.images.image_data import ImageData
    from arae_transfer.recipe import Recipe
    from arae_transfer.tokenizer import Tokenizer

# What says nothing of images must be what it would be if images had it: one code vector, nothing dropped or rewritten.
_TEXT_KEYS: dict[str, object] = {
    "data.writing": "corpus",
    "data.adapt": False,
    "model.code": "single",
    "model.dropout": 0.0,
    "model.word_dropout": 0.0,
    "noise.drop": 0.0,
    "noise.shuffle": 0.0,
    "noise.style_share": 0.0,
    "parallel.sentences": 0,
    "self_training.rewrites": 0,
    "cycle.weight": 0.0,
    "cycle.delete": 0.0,
    "training.sampled_softmax": 0,
    "training.tokens_at_once": 16_384,
    "tokenizer.model": "",
    "training.initialization": "scaled",
}


class ImageTask(Task):
    """Learn images of some classes, and generate them."""

    description = "for images"
    several_devices = False
    learns_style = False

    def check(self, recipe: Recipe, source: str) -> None:
        """Refuse keys of text."""
        if recipe.task != "rewriting":
            raise AraeError(
                f"{source}: task = {recipe.task!r} is not possible with data.kind = image", "set task=rewriting."
            )
        for key, wanted in _TEXT_KEYS.items():
            section, _, name = key.partition(".")
            value = getattr(getattr(recipe, section), name)
            if value != wanted:
                raise AraeError(
                    f"{source}: {key} = {value!r} has no effect with data.kind = image", f"set {key}={wanted}."
                )

    def require_rewriting(self, what: str) -> None:
        """Raise an error."""
        raise AraeError(f"{what} is a run on images", "export it with `arae export`, and evaluate the export.")

    def require_sentences(self, what: str) -> None:
        """Raise an error."""
        raise AraeError(f"{what} is a run on images; diagnosis needs text", "give a run of text.")

    def use_command(self, model: str, classes: Sequence[str]) -> str:
        """Return the command that writes a grid of images."""
        return f"arae sample --model {model} -n 64 -o grid.png"

    def read(self, recipe: Recipe, sources: list[str], reading: Reading) -> ImageData:
        """Read training and held-out images.

        Raises:
            AraeError: There are none, or they cannot be used.
        """
        from arae_transfer.paper.images.image_data import ImageData
        from arae_transfer.paper.images.image_files import image_sources, read_split

        if not sources:
            raise AraeError(
                f"the recipe {recipe.name} needs images",
                "give --data FOLDER with train-images-idx3-ubyte.gz, or --data CLASS=FOLDER for each class.",
            )
        found = image_sources(sources)
        train, valid = (
            {source.name: read_split(source, split, recipe.image)[0] for source in found}
            for split in ("train", "valid")
        )
        # Relative folders would not be found when the run is continued from elsewhere.
        return ImageData(train, valid, tuple(f"{source.name}={source.folder.absolute()}" for source in found))

    def read_part(self, recipe: Recipe, sources: list[str], part: str, classes: Sequence[str]) -> LabelledLines:
        """Raise an error: images are not lines."""
        raise AraeError(f"{recipe.name} is a recipe for images, not for text", "give a recipe for text.")

    def prepare(self, recipe: Recipe, data: DataSource, setting: RunSetting) -> PreparedData:
        """Keep the images as they are."""
        from arae_transfer.paper.images.image_data import ImageData, PreparedImages

        assert isinstance(data, ImageData)
        return PreparedImages(recipe, data)

    def build_autoencoder(
        self, recipe: Recipe, classes: Sequence[str], vocabulary_size: int, maximum_vectors: int
    ) -> Autoencoder:
        """Build perceptrons between pixels and codes."""
        from arae_transfer.paper.images.image_networks import image_autoencoder

        return image_autoencoder(recipe.image, recipe.model, len(classes))

    def load_vocabulary(self, recipe: Recipe, layout: RunLayout) -> tuple[Tokenizer | None, int]:
        """Return no tokenizer, and the number of pixel levels."""
        return None, recipe.image.levels

    def export(self, request: ExportRequest) -> list[str]:
        """Export graphs of encoder, decoders and generator."""
        from arae_transfer.paper.images.image_export import export_image_model
        from arae_transfer.training.run_data import sources_of_run

        loaded, held_out = request.loaded, None
        try:
            data = self.read(loaded.recipe, sources_of_run(request.run), Reading())
            held_out = next(iter(data.valid.values()))
        except AraeError as error:
            request.notice(f"cannot read the run's held-out images: {error.message}", "checking with random ones.")
        exported = export_image_model(
            loaded.model,
            loaded.recipe,
            request.folder,
            held_out=held_out,
            **request.facts("images"),
        )
        return exported.describe()
