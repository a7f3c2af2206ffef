"""Model card of a model of images."""

from __future__ import annotations

import shlex

from arae_transfer.export.card_parts import (
    Card,
    data_section,
    evaluation_section,
    figure,
    markdown_table,
    paragraph,
    size_table,
    training_facts,
)

_IMAGE_SCORES = {
    "nll": "negative log-likelihood of reconstruction, nats per image",
    "pixels": "% of pixels whose most probable level is correct",
    "code_distance": "Fréchet distance between held-out and generated codes, from 0 (best) to 4",
    "score": "geometric mean of `pixels` and the closeness of the codes; it selected the checkpoint",
}


class ImageCard(Card):
    """Model card of a model of images."""

    pipeline = "unconditional-image-generation"

    def sections(self) -> list[str]:
        """Return the sections on use, model and training."""
        config = self.config
        assert config.image is not None
        image, sizes, parity = config.image, config.sizes, config.parity
        name = shlex.quote(config.name)
        use = [f"$ arae sample --model {name} -n 64 -o grid.png"] if config.generator is not None else []
        use.append(f"$ arae interpolate --model {name} FILE:0 FILE:1 -o path.png")
        scores = [
            (key, figure(value), _IMAGE_SCORES.get(key, ""))
            for key, value in config.scores.items()
            if isinstance(value, int | float)
        ]
        layers = f"{sizes['encoder_layers']} units to the code, {sizes['decoder_layers']} back"
        return [
            paragraph(
                f"An adversarially regularized autoencoder (Zhao et al., 2018) of images of {image.height} x "
                f"{image.width} pixels in {image.levels} levels of brightness. The graphs run in onnxruntime and need "
                "no PyTorch."
            ),
            "## Use\n\n```console\n$ pip install arae-transfer\n" + "\n".join(use) + "\n```\n",
            data_section(self),
            "## Sizes\n",
            paragraph(
                f"{sizes['parameters']:,} parameters in encoder and decoders; {layers}; a code of {sizes['code_size']} "
                "dimensions. Weights and arithmetic are fp32."
            ),
            size_table(config),
            "## Training\n",
            paragraph(f"{training_facts(config.training)}. The resolved recipe is in `config.json`."),
            markdown_table(("score", "value", "meaning"), scores),
            evaluation_section(self.evaluation),
            "## Parity\n",
            paragraph(
                f"Before this folder was written, {parity['images']:,} images went through these files (onnxruntime "
                f"{parity['onnxruntime']}, CPU) and through the trained model (torch {parity['torch']}); codes and "
                f"probabilities differ by at most {parity['difference']:.1g}."
            ),
        ]
