"""Encoder and decoder of images: perceptrons between pixels and a single code (the paper's binarised MNIST model)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from arae_transfer.model.arae import ARAE, Autoencoder
from arae_transfer.model.code_space import perceptron
from arae_transfer.model.encoder import Encoder
from arae_transfer.recipe import Image, Model


class ImageEncoder(nn.Module):
    """Encoder from pixels to a code on the unit sphere (paper, Section 2: enc_phi; 800 and 400 units in the paper).

    Attributes:
        single: True: an image has one code vector.
        pads: False: images have no padding, and their normalisation needs a batch as it is.
    """

    pads = False

    def __init__(self, image: Image, model: Model) -> None:
        super().__init__()
        self.single = True
        self.levels = image.levels
        sizes = [image.height * image.width, *image.encoder_layers]
        self.layers = perceptron(sizes, nn.ReLU, batch_norm=True)
        self.last = nn.Linear(sizes[-1], model.code_size)

    def forward(self, pixels: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a batch.

        Args:
            pixels: (batch, pixels) levels.
            lengths: (batch,) numbers of pixels, all the same; what text has instead of equal sizes.

        Returns:
            The code (batch, 1, code_size) of unit norm, and its mask (batch, 1), true everywhere.
        """
        # Symmetric around zero: of binary images half of the weights would otherwise see nothing.
        read = pixels.to(self.last.weight.dtype) * (2.0 / (self.levels - 1)) - 1.0  # (batch, pixels)
        code = functional.normalize(self.last(self.layers(read)), dim=1)[:, None, :]  # (batch, 1, code_size)
        return code, torch.ones_like(lengths, dtype=torch.bool)[:, None]


class ImageDecoder(nn.Module):
    """Decoder from a code to independent pixel levels (paper, Section 2: p_psi(x | c))."""

    def __init__(self, image: Image, model: Model) -> None:
        super().__init__()
        self.levels = image.levels
        sizes = [model.code_size, *image.decoder_layers]
        self.layers = perceptron(sizes, nn.ReLU, batch_norm=True)
        self.last = nn.Linear(sizes[-1], image.height * image.width * image.levels)

    def logits(self, code: Tensor) -> Tensor:
        """Return the logits of every level of every pixel: (batch, 1, code_size) to (batch, pixels, levels)."""
        logits: Tensor = self.last(self.layers(code[:, 0])).unflatten(1, (-1, self.levels))
        return logits

    def forward(
        self,
        targets: Tensor,
        code: Tensor,
        mask: Tensor,
        word_dropout: float = 0.0,
        token_subset: Tensor | None = None,
        offsets: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return logits of given images; the interface is ``Decoder.forward``, without use of the last four arguments.

        Args:
            targets: (batch, pixels) levels.
            code: (batch, 1, code_size).
            mask: (batch, 1), true everywhere.
            word_dropout: 0.
            token_subset: None.
            offsets: None.

        Returns:
            Logits (batch x pixels, levels) and targets (batch x pixels,): a pixel is what a token is in text.
        """
        return self.logits(code).flatten(0, 1), targets.flatten()

    @torch.no_grad()
    def expected(self, code: Tensor) -> Tensor:
        """Return the expected level of each pixel: (batch, 1, code_size) to (batch, pixels)."""
        shares = self.logits(code).softmax(2)  # (batch, pixels, levels)
        levels = torch.arange(self.levels, dtype=shares.dtype, device=shares.device)
        expected: Tensor = shares @ levels
        return expected


def image_autoencoder(image: Image, model: Model, decoders: int) -> Autoencoder:
    """Build an encoder of images and some decoders."""
    # Both kinds of encoder are called alike; their own parts are asked for only by what is for text, or images, alone.
    encoder = cast(Encoder, ImageEncoder(image, model))
    return Autoencoder(encoder, [ImageDecoder(image, model) for _ in range(decoders)])


def image_decoder(model: ARAE, index: int) -> ImageDecoder:
    """Return the decoder of a class by its index."""
    decoder = model.decoders[index]
    assert isinstance(decoder, ImageDecoder)
    return decoder
