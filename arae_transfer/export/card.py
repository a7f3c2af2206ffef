"""Model cards of exported models of text, as Markdown with YAML front matter."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from arae_transfer.export.card_parts import (
    TAGS,
    Card,
    data_section,
    evaluation_section,
    figure,
    markdown_table,
    paragraph,
    size_table,
    training_facts,
)
from arae_transfer.export_config import ExportConfig

_SCORES = {
    "score": "geometric mean of `style` and `self_bleu`; it chose the checkpoint",
    "style": "% of rewrites that the training's own scorer takes for the target class",
    "self_bleu": "BLEU of rewrites to their sources: how much of the text is kept",
    "copies": "% of rewrites that are the source, word for word",
    "exact": "% of sentences that their own class's decoder gives back exactly",
    "nll": "negative log-likelihood of reconstruction, nats per token",
    "reverse_perplexity": "perplexity of held-out sentences under a 5-gram model of generated ones",
    "distinct": "% of generated sentences that differ",
}
# What model.code of a recipe means.
_CODES = {
    "single": "one vector",
    "superposed": "one vector, the sum of those of all tokens, each permuted by its position",
    "sequence": "one vector per token, which the decoders attend to",
}
_NEEDS = "The graphs run in onnxruntime and need no PyTorch."
_EDITING_SCORES = {
    **_SCORES,
    "score": "100 times the geometric mean probability of the choices that make held-out examples; where there are no "
    "examples, the geometric mean of `style` and `self_bleu`; it chose the checkpoint",
    "nll": "negative log-likelihood of held-out examples, nats per choice",
}
# Of a model of one kind of text.
_GENERATION_SCORES = {**_SCORES, "score": "1,000 over `reverse_perplexity`; it chose the checkpoint"}


class RewritingCard(Card):
    """The card of a model that rewrites."""

    pipeline = "text-generation"
    tags = ("text-style-transfer", *TAGS)

    def sections(self) -> list[str]:
        """Return its sections: use, classes, data, sizes, training, evaluation, parity, limits."""
        config = self.config
        return [
            paragraph(
                "An adversarially regularized autoencoder (Zhao et al., 2018) that rewrites a line of text to one of "
                "the classes below and keeps what the line is about. It learned from unpaired text. " + _NEEDS
            ),
            _usage(config),
            _classes(config),
            data_section(self),
            _sizes(self),
            _training(
                config,
                "Validation scores, on held-out sentences while training. The training's own classifier judges style, "
                "so read them as optimistic:",
                _SCORES,
            ),
            evaluation_section(self.evaluation),
            _parity(config),
            _limits(config),
        ]


class EditingCard(Card):
    """The card of a model that rewrites by edits."""

    pipeline = "text-generation"
    tags = ("text-style-transfer", *TAGS)

    def sections(self) -> list[str]:
        """Return its sections: use, classes, data, sizes, training, evaluation, parity, limits."""
        config = self.config
        return [
            paragraph(
                "A model that rewrites a line of text to one of the classes below by edits: a Transformer reads the "
                "line, and a decoder chooses which spans of it to replace and writes what stands there instead. "
                "Everything else stays as it was typed. " + _NEEDS
            ),
            _usage(config),
            f"## Classes\n\n{markdown_table(('class (`--to`)',), [(label,) for label in config.classes])}",
            data_section(self),
            _editing_sizes(config),
            _quality(config),
            _training(
                config,
                "Validation scores, on held-out sentences and examples while training. The training's own classifier "
                "judges style, so read them as optimistic:",
                _EDITING_SCORES,
            ),
            evaluation_section(self.evaluation),
            _parity(config),
            _limits(config),
        ]


class GenerationCard(Card):
    """The card of a model that generates text of a single class."""

    pipeline = "text-generation"

    def sections(self) -> list[str]:
        """Return its sections: use, data, sizes, training, evaluation, parity."""
        config = self.config
        return [
            paragraph(
                "An adversarially regularized autoencoder (Zhao et al., 2018) of one kind of text: its generator makes "
                "codes out of noise, its decoder writes them as sentences, its encoder finds the code of a sentence. "
                + _NEEDS
            ),
            _generation_usage(config),
            data_section(self),
            _sizes(self),
            _training(config, "Validation scores, on held-out sentences while training:", _GENERATION_SCORES),
            evaluation_section(self.evaluation),
            _parity(config),
        ]


def _quality(config: ExportConfig) -> str:
    """Return the section on the quality estimator; nothing if the export has none."""
    if config.quality is None:
        return ""
    weights = ", ".join(f"{name} {weight:g}" for name, weight in (config.ranking or {}).items())
    return "## Quality estimator\n\n" + paragraph(
        "A small network reads a sentence and a candidate and estimates the probability that a reader accepts the "
        "candidate. It learned from example rewrites, from the same made worse, and from ratings where the training "
        f"had some. It ranks the candidates of a beam (weights: {weights}), and `--min-confidence P` leaves a sentence "
        "unchanged if no candidate has a probability of P."
    )


def _usage(config: ExportConfig) -> str:
    name, target = config.name, config.classes[-1]
    return f"""## Use

```console
$ pip install arae-transfer
$ echo "a sentence" | arae transfer --model {shlex.quote(name)} --to {shlex.quote(target)}
```

`--model` takes the name of a folder in `exported/`, or a path to this folder. From Python:

```python
from arae_transfer.runtime.rewriter import Rewriter

rewriter = Rewriter.load({_literal(name)})
print(list(rewriter.transfer(["a sentence"], to={_literal(target)})))
```
"""


def _generation_usage(config: ExportConfig) -> str:
    name = shlex.quote(config.name)
    sample = f"$ arae sample --model {name} -n 20\n" if config.generator is not None else ""
    return f"""## Use

```console
$ pip install arae-transfer
{sample}$ arae interpolate --model {name} "a sentence ." "another one ."
```

`--model` takes the name of a folder in `exported/`, or a path to this folder.
"""


def _classes(config: ExportConfig) -> str:
    rows = [(label, config.fp32.decoders[label]) for label in config.classes]
    return f"## Classes\n\n{markdown_table(('class (`--to`)', 'decoder'), rows)}"


# What the graphs in other precisions are, and where they run.
_PRECISIONS = (
    ("int8", "hold the same model with matrix products in 8-bit integers", "CPU"),
    ("fp16", "are graphs for the same weights with matrix products in fp16, measured on a CPU that rounds so", "GPU"),
)


def _sizes(card: Card) -> str:
    config = card.config
    sizes = config.sizes
    text = [
        f"{sizes['parameters']:,} parameters in encoder and decoders; {sizes['vocabulary']:,} tokens; embeddings of "
        f"{sizes['embedding']}, LSTM states of {sizes['hidden']}; {_number(sizes['encoder_layers'], 'encoder layer')}, "
        f"reading in {'both directions' if sizes['bidirectional'] else 'one direction'}; "
        f"{_number(sizes['decoder_layers'], 'layer')} in each decoder. The code is {_CODES[sizes['code']]}, of "
        f"{sizes['code_size']} dimensions. Matrices are stored as {config.fp32.storage}; arithmetic is fp32."
    ]
    for name, what, place in _PRECISIONS:
        variant = config.variants.get(name)
        if variant is not None and variant.agreement is not None:
            used = (
                f"They are what runs on a {place}." if variant.accepted else f"They run with `--variant {name}` only."
            )
            agreed = _agreed(variant.agreement, judged=config.scorer is not None)
            text.append(f"The `{name}` files {what}: on the sentences of the parity check {agreed}. {used}")
    if config.fp32.weights is not None:
        text.append("Graphs read their weights in the `.bin` files.")
    if config.scorer is not None:
        text.append(
            "`candidates.*` search or sample several rewrites; `scorer.onnx`, the training's own style classifier, "
            "ranks them."
        )
    if config.language_models:
        text.append(
            "`language.*.npz` are 3-gram models of each class's text; a rewrite that they find less probable than its "
            "source ranks lower."
        )
    shortlist = config.shortlist or {}
    if shortlist.get("accepted"):
        agreement = shortlist["agreement"]
        text.append(
            f"A decoder's vocabulary is a shortlist of up to {shortlist['tokens']} tokens and those of the source: "
            f"{100 * agreement['identical']:.1f} % of the rewrites are the same; {_changes(agreement, judged=True)}."
        )
    if config.beam > 1:
        text.append(
            f"The answer is the best of a beam of {config.beam} by default; `--beam 1` decodes greedily and is faster."
        )
    return f"## Sizes\n\n{paragraph(' '.join(text))}\n{size_table(config)}"


def _ranked_by(config: ExportConfig) -> str:
    """Return by what the candidates of a model that edits are ranked."""
    if config.ranking is None:
        return "by `scorer.onnx` among others, the training's own style classifier"
    weights = ", ".join(f"{name} {weight:g}" for name, weight in config.ranking.items())
    return f"by these scores and weights: {weights}"


def _editing_sizes(config: ExportConfig) -> str:
    sizes = config.sizes
    text = (
        f"{sizes['parameters']:,} parameters in encoder and decoder; {sizes['vocabulary']:,} tokens; "
        f"{_number(sizes['encoder_layers'], 'layer')} of {sizes['code_size']} dimensions with "
        f"{sizes['attention_heads']} attention heads; LSTM states of {sizes['hidden']}. One decoder serves all classes."
    )
    for name, variant in config.variants.items():
        if name == "fp32":
            text += f" The files without `int8` store matrices as {variant.storage}; their arithmetic is fp32."
        elif variant.agreement is not None:
            agreement = variant.agreement
            text += (
                " The `int8` files hold 8-bit integers and multiply them; each row of what they read has a scale of "
                "its own, so that no answer depends on its batch. On the sentences of the parity check "
                f"{_agreed(agreement, judged=True)}."
            )
    text += (
        f" {_number(config.beam, 'rewrite')} of a line are searched and ranked by default, {_ranked_by(config)}. A "
        f"line stays as it is if the decoder finds with a probability above {config.copy_above:g} that nothing is to "
        "change."
    )
    if config.words:
        text += f" Rewrites with a word that neither the line nor the corpus has, by `{config.words}`, are rejected."
    return f"## Sizes\n\n{paragraph(text)}\n{size_table(config)}"


def _training(config: ExportConfig, note: str, meanings: Mapping[str, str]) -> str:
    facts = training_facts(config.training)
    text = f"{facts}. " if facts else ""
    parts = ["## Training\n", paragraph(f"{text}The resolved recipe is in `config.json`.")]
    scores = {name: value for name, value in config.scores.items() if isinstance(value, int | float)}
    if scores:
        rows = [(name, figure(scores[name]), meanings.get(name, "")) for name in _ordered(scores)]
        parts += [paragraph(note), markdown_table(("score", "value", "meaning"), rows)]
    return "\n".join(parts)


def _agreed(agreement: Mapping[str, Any], *, judged: bool) -> str:
    """Describe how the answers of another precision agree with the trained model's."""
    share = f"{100 * agreement['identical']:.1f} % of the rewrites are the trained model's, token by token"
    return f"{share}; {_changes(agreement, judged=judged)}"


def _changes(agreement: Mapping[str, Any], *, judged: bool) -> str:
    """Describe how much the graphs of another precision change style and BLEU."""
    bleu = f"BLEU to the source changes by {_difference(-agreement['self_bleu_cost'])}"
    if not judged:
        return bleu
    style = _difference(-agreement["style_cost"])
    return f"style by the training's own classifier changes by {style} points, {bleu}"


def _difference(value: float) -> str:
    """Format a difference with its sign; zero has no sign."""
    text = f"{value:+.2f}"
    return text if float(text) else "0.00"


def _parity(config: ExportConfig) -> str:
    parity = config.parity
    files = "these files" if "fp32" in config.variants else "graphs in fp32 that are not among these files"
    text = (
        f"Before this folder was written, {parity['probe_lines']:,} held-out sentences and "
        f"{parity['random_lines']:,} random sequences went through {files} (onnxruntime {parity['onnxruntime']}, "
        f"CPU) and through the trained model (torch {parity['torch']}), to every class, in batches of "
        f"{', '.join(map(str, parity['batch_sizes']))}. Of {parity['compared']:,} rewrites {parity['identical']:,} are "
        f"identical token by token, {parity['near_ties']:,} part at a near tie of two tokens, "
        f"{parity['different']:,} differ; codes differ by at most {parity['code_difference']:.1g}. Rounding the "
        f"weights to what the files store leaves {100 * parity['unrounded_identical']:.1f} % of the rewrites as they "
        "were."
    )
    return f"## Parity\n\n{paragraph(text)}"


def _limits(config: ExportConfig) -> str:
    form = config.form
    traits = []
    if form.get("lower_case"):
        traits.append("in lower case")
    if form.get("tokens", "plain") != "plain":
        traits.append(f"with words and punctuation separated as in {form['tokens']}")
    if form.get("number"):
        traits.append(f"with `{form['number']}` for numbers")
    items = [
        f"It rewrites one sentence at a time, of up to {config.maximum_tokens - 1} tokens; longer lines are cut "
        "there, and counted.",
        "It knows the subjects and the language of its training text. Elsewhere it answers too, but not well.",
        "It changes what a sentence claims. It may drop or invent details, and may leave a sentence in its old style.",
        "It has no filter: what the training text says about people and places, it may say too.",
    ]
    if traits:
        items.insert(
            1,
            f"The training text is written {', '.join(traits)}. `arae transfer` brings ordinary writing to that form "
            "and back, as well as it can.",
        )
    return "## Limits\n\n" + "".join(f"- {item}\n" for item in items)


def _ordered(scores: Mapping[str, Any]) -> list[str]:
    return [name for name in _SCORES if name in scores] + [name for name in scores if name not in _SCORES]


def _number(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
