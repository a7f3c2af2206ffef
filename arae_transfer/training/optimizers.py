"""One optimizer per network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from arae_transfer.model.arae import ARAE
from arae_transfer.recipe import Recipe
from arae_transfer.training.sparse_gradients import has_sparse_gradients


@dataclass
class Optimizers:
    """One optimizer per network."""

    autoencoder: torch.optim.Optimizer
    generator: torch.optim.Optimizer
    critic: torch.optim.Optimizer
    classifier: torch.optim.Optimizer
    scorer: torch.optim.Optimizer
    quality: torch.optim.Optimizer | None = None

    @classmethod
    def build(cls, model: ARAE, recipe: Recipe) -> Optimizers:
        """Build the optimizers of a recipe."""
        training, adversary = recipe.training, recipe.adversary
        autoencoder: torch.optim.Optimizer
        if training.optimizer == "sgd":
            # The fused one takes no sparse gradients.
            fused = not has_sparse_gradients(model)
            autoencoder = torch.optim.SGD(_learning_groups(model, recipe), lr=training.learning_rate, fused=fused)
        else:
            autoencoder = torch.optim.Adam(
                _learning_groups(model, recipe), lr=training.learning_rate, betas=(0.9, 0.98), fused=True
            )
        betas = (adversary.beta1, 0.999)
        return cls(
            autoencoder,
            torch.optim.Adam(model.generator.parameters(), lr=adversary.learning_rate, betas=betas, fused=True),
            torch.optim.Adam(model.critic.parameters(), lr=adversary.learning_rate, betas=betas, fused=True),
            torch.optim.Adam(model.classifier.parameters(), lr=recipe.attribute.learning_rate, fused=True),
            torch.optim.Adam(model.scorer.parameters(), lr=1e-3, fused=True),
            _quality_optimizer(model, recipe),
        )

    def scheduled(self) -> list[torch.optim.Optimizer]:
        """Return the optimizers that follow ``training.learning_rate``, with a factor per parameter group."""
        return [self.autoencoder, *([self.quality] if self.quality else [])]

    def by_name(self) -> dict[str, torch.optim.Optimizer]:
        """Return the optimizers by their names in checkpoints."""
        own = {} if self.quality is None else {"quality": self.quality}
        return {
            "autoencoder": self.autoencoder,
            "generator": self.generator,
            "critic": self.critic,
            "classifier": self.classifier,
            "scorer": self.scorer,
            **own,
        }


def _quality_optimizer(model: ARAE, recipe: Recipe) -> torch.optim.Optimizer | None:
    """Return the optimizer of the quality estimator, whose layers use the encoder's learning rate."""
    if model.quality is None:
        return None
    layers = list(model.quality.layers.parameters())
    own = {id(each) for each in layers}
    others = [each for each in model.quality.parameters() if id(each) not in own]
    groups = [{"params": layers, "share": recipe.editing.encoder_rate}, {"params": others, "share": 1.0}]
    return torch.optim.AdamW(groups, lr=recipe.training.learning_rate, weight_decay=0.01, fused=True)


def _learning_groups(model: ARAE, recipe: Recipe) -> list[dict[str, Any]]:
    """Return the trainable parameters of encoder and decoders in groups, each with its learning-rate factor."""
    learning = [each for each in model.autoencoder_parameters() if each.requires_grad]
    share = recipe.editing.encoder_rate
    if share == 1.0:
        return [{"params": learning, "share": 1.0}]
    own = {id(each) for each in model.encoder.parameters()}
    return [
        {"params": [each for each in learning if id(each) in own], "share": share},
        {"params": [each for each in learning if id(each) not in own], "share": 1.0},
    ]
