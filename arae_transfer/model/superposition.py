"""Holographic codes: bind vectors to their positions by permutations, sum them into one vector, and unbind them.

Where a vector stood decides how its dimensions are permuted before the sum (binding by permutation: Plate 1995,
"Holographic Reduced Representations"; Recchia et al. 2015). Read at its own place, a vector comes back with the others
as noise, which many dimensions make small: of n vectors in d dimensions each is found beside noise of about the square
root of n / d. So one code vector on the unit sphere carries a sentence word by word from the first step of training on,
where the last state of an LSTM must learn to.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

# The permutations are part of the architecture: every model of one size has the same.
_SEED = 1706
# What a vector read back is multiplied by before anything is learnt: about the root of the number of words, because
# their sum was divided by its norm.
_READ_SCALE = 3.0


class Superposition(nn.Module):
    """Binds vectors to their positions in one code vector, and unbinds each of them.

    Besides its place, each vector is added unpermuted, divided by the root of their number, so that the sum unpermuted
    is a summary of the sentence.

    Attributes:
        places: The most vectors in a code.
        spread: From the size of a vector to that of the code.
        read: Back.
    """

    permutations: Tensor
    inverse_permutations: Tensor

    def __init__(self, size: int, code_size: int, places: int) -> None:
        """Initialize with orthogonal matrices if the code is at least as large as a vector.

        Args:
            size: The dimensions of a vector.
            code_size: The dimensions of the code.
            places: The most vectors in a code.
        """
        super().__init__()
        self.places = places
        self.spread = nn.Linear(size, code_size, bias=False)
        self.read = nn.Linear(code_size, size, bias=False)
        generator = np.random.default_rng([_SEED, code_size])
        orders = np.stack([generator.permutation(code_size) for _ in range(places)])
        # (places, code_size): dimension i of a bound vector is dimension permutations[place, i] of the vector.
        self.register_buffer("permutations", torch.from_numpy(orders), persistent=False)
        self.register_buffer("inverse_permutations", torch.from_numpy(orders.argsort(axis=1)), persistent=False)

    def start(self) -> None:
        """Initialize the matrices, so that unbinding returns the bound vectors plus noise."""
        with torch.no_grad():
            nn.init.orthogonal_(self.spread.weight)
            self.read.weight.copy_(_READ_SCALE * self.spread.weight.T)

    def bind(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Bind vectors to their positions and add them up.

        Args:
            vectors: (batch, time, size); those beyond ``places`` are left out.
            mask: (batch, time), true at real vectors.

        Returns:
            (batch, 1, code_size) of unit norm.
        """
        vectors, mask = vectors[:, : self.places], mask[:, : self.places]
        wide = self.spread(vectors).float() * mask[:, :, None]  # (batch, time, code)
        turned = wide.gather(2, self.permutations[: vectors.size(1)].expand(len(wide), -1, -1)).sum(1)  # (batch, code)
        summary = wide.sum(1) / mask.sum(1, keepdim=True).to(wide.dtype).sqrt()
        return functional.normalize(turned + summary, dim=1)[:, None]

    def unbind(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Unbind the vectors of a code.

        Args:
            code: (batch, 1, code_size).

        Returns:
            (batch, size) the summary, and (batch, places, size) what stands at each place.
        """
        flat = code[:, 0]  # (batch, code)
        back = flat[:, self.inverse_permutations.flatten()].view(len(flat), self.places, -1)  # (batch, places, code)
        return self.read(flat), self.read(back)
