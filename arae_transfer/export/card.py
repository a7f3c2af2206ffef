"""The model card: what a stranger must know about an exported model, as Markdown with YAML front matter."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from arae_transfer.export.hub_metadata import BINDING, NO_SOURCE, front_matter
from arae_transfer.export_config import ExportConfig

# Between these marks stands the evaluation; `arae export --scores` fills it, and other tools may replace it.
EVALUATION_BEGIN = "<!-- evaluation: begin -->"
EVALUATION_END = "<!-- evaluation: end -->"

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
TAGS = ("adversarially-regularized-autoencoder", "onnx")
# What model.code of a recipe means.
_CODES = {
    "single": "one vector",
    "superposed": "one vector, in which those of all tokens lie over each other",
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


@dataclass(frozen=True)
class Card(ABC):
    """The card of one model, and what it is made of.

    Attributes:
        config: The content of the model's ``config.json``.
        description: What the model is for.
        data_source: Where its data come from and under which terms.
        evaluation: The report of an evaluation as Markdown; empty: none was made.
        languages: The language codes of its text.
    """

    pipeline: ClassVar[str]
    """The task by the Hugging Face Hub's name of it."""

    tags: ClassVar[Sequence[str]] = TAGS
    """Further words to find the model by there."""

    config: ExportConfig
    description: str
    data_source: str
    evaluation: str = ""
    languages: Sequence[str] = ()

    @abstractmethod
    def sections(self) -> list[str]:
        """Return what stands below the title and the description."""

    def render(self) -> str:
        """Return the card's text. It names no path of the machine that it was made on."""
        description = [paragraph(self.description)] if self.description else []
        head = [front_matter(self.pipeline, self.tags, self.languages), f"# {plain(self.config.name)}\n", *description]
        return "\n".join([*head, *self.sections()])


class RewritingCard(Card):
    """The card of a model that rewrites."""

    pipeline = "text-generation"
    tags = ("text-style-transfer", *TAGS)

    def sections(self) -> list[str]:
        """Return how to use it, what it is of, how it was trained, and where it ends."""
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
                "Validation scores, on held-out sentences while training. The judge of style is the training's own, so "
                "read them as optimistic:",
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
        """Return how to use it, what it is of, how it was trained, and where it ends."""
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
            _training(
                config,
                "Validation scores, on held-out sentences and examples while training. The judge of style is the "
                "training's own, so read them as optimistic:",
                _EDITING_SCORES,
            ),
            evaluation_section(self.evaluation),
            _parity(config),
            _limits(config),
        ]


class GenerationCard(Card):
    """The card of a model that writes one kind of text."""

    pipeline = "text-generation"

    def sections(self) -> list[str]:
        """Return how to use it, what it is of, and how it was trained."""
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


def data_section(card: Card) -> str:
    """Say where the data come from and under which terms."""
    source = card.data_source or NO_SOURCE
    terms = f"{BINDING} The software is under its own licence."
    return f"## Data and terms\n\n{paragraph(source)}\n{paragraph(terms)}"


def _sizes(card: Card) -> str:
    sizes, stored = card.config.sizes, card.config.fp32
    code = _CODES[sizes["code"]]
    directions = "both directions" if sizes["bidirectional"] else "one direction"
    text = (
        f"{sizes['parameters']:,} parameters in encoder and decoders; {sizes['vocabulary']:,} pieces; embeddings of "
        f"{sizes['embedding']}, LSTM states of {sizes['hidden']}; {_number(sizes['encoder_layers'], 'encoder layer')}, "
        f"reading in {directions}; {_number(sizes['decoder_layers'], 'layer')} in each decoder. The code is {code}, of "
        f"{sizes['code_size']} dimensions. Matrices are stored as {stored.storage}; arithmetic is "
        "fp32."
    )
    for name, what, place in (
        ("int8", "hold the same model with matrix products in 8-bit integers", "CPU"),
        (
            "fp16",
            "are graphs for the same weights with matrix products in fp16, measured on a CPU that rounds so",
            "GPU",
        ),
    ):
        variant = card.config.variants.get(name)
        if variant is None or variant.agreement is None:
            continue
        agreement = variant.agreement
        text += (
            f" The `{name}` files {what}: on the sentences of the "
            f"parity check {100 * agreement['identical']:.1f} % of the rewrites are the trained model's, token by "
            f"token; {_changes(agreement, judged=card.config.scorer is not None)}. "
            + (f"They are what runs on a {place}." if variant.accepted else f"They run with `--variant {name}` only.")
        )
    if card.config.scorer is not None:
        text += (
            " `candidates.*` search or draw several rewrites with the weights of the decoders' files; `scorer.onnx` "
            "is the training's own judge of style, by which they are ranked."
        )
    if card.config.language_models:
        text += (
            " `language.*.npz` are 3-gram models of each class's text; a candidate that they find less likely than the "
            "source is ranked lower."
        )
    shortlist = card.config.shortlist or {}
    if shortlist.get("accepted"):
        agreement = shortlist["agreement"]
        text += (
            f" A decoder chooses among up to {shortlist['tokens']} tokens that its class likes and those of the "
            f"source, not among all: {100 * agreement['identical']:.1f} % of the rewrites are the same; "
            f"{_changes(agreement, judged=True)}."
        )
    if card.config.beam > 1:
        text += (
            f" Where nobody says otherwise, the best of a beam of {card.config.beam} candidates is the answer; "
            "`--beam 1` writes one, greedily, and is faster."
        )
    return f"## Sizes\n\n{paragraph(text)}\n{size_table(card.config)}"


def _editing_sizes(config: ExportConfig) -> str:
    sizes = config.sizes
    text = (
        f"{sizes['parameters']:,} parameters in encoder and decoder; {sizes['vocabulary']:,} pieces; "
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
                f"{100 * agreement['identical']:.1f} % of the rewrites are the trained model's, token by token; "
                f"{_changes(agreement, judged=True)}."
            )
    text += (
        f" Where nobody says otherwise, {_number(config.beam, 'rewrite')} of a line are searched and ranked, by "
        "`scorer.onnx` among others, the training's own judge of style. A line stays as it is where the decoder finds "
        f"with a probability above {config.copy_above:g} that nothing is to change."
    )
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


def training_facts(training: Mapping[str, Any]) -> str:
    """Say what a training took, all of its runs together; nothing where nobody knows."""
    noun = next((noun for noun in ("sentences", "images") if noun in training), None)
    facts = []
    if noun is not None:
        facts.append(f"{training[noun]:,} {noun} seen")
    if "minutes" in training:
        facts.append(f"{training['minutes']:,.0f} minutes")
    if not facts:
        return ""
    text = ", ".join(facts)
    runs = training.get("runs", 1)
    if runs > 1:
        text += f", in {runs} runs of which each went on from the one before"
    return text if training.get("complete", True) else f"at least {text}; what came before is not known"


def size_table(config: ExportConfig) -> str:
    """Return the sizes of a model's files as a table."""
    sizes = {name: record.size for name, record in config.files.items()}
    rows = [(name, f"{size / 1e6:.2f} MB") for name, size in sizes.items()]
    return markdown_table(("file", "size"), [*rows, ("together", f"{sum(sizes.values()) / 1e6:.2f} MB")])


def _changes(agreement: Mapping[str, Any], *, judged: bool) -> str:
    """Say what other graphs change in rewrites."""
    bleu = f"BLEU to the source changes by {_difference(-agreement['self_bleu_cost'])}"
    if not judged:
        return bleu
    style = _difference(-agreement["style_cost"])
    return f"style by the training's own judge changes by {style} points, {bleu}"


def _difference(value: float) -> str:
    """Write a difference with its sign; one that rounds to nothing has none."""
    text = f"{value:+.2f}"
    return text if float(text) else "0.00"


def evaluation_section(report: str) -> str:
    """Put the report of an evaluation between its marks."""
    content = _without_folders(report).strip() or (
        "Not evaluated yet: `arae evaluate --json` writes a report, `arae export --scores` puts it here."
    )
    return f"## Evaluation\n\n{EVALUATION_BEGIN}\n\n{content}\n\n{EVALUATION_END}\n"


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


def _without_folders(text: str) -> str:
    """Cut absolute paths to their last part: folders of the machine that a card was made on tell nobody anything."""
    return re.sub(r"(?<![\w./\\])(?:[A-Za-z]:\\|/)(?:[^\s/\\|:]+[/\\])+", "", text)


def figure(value: float) -> str:
    """Write a score."""
    return f"{value:.2f}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value).lower()


def _ordered(scores: Mapping[str, Any]) -> list[str]:
    return [name for name in _SCORES if name in scores] + [name for name in scores if name not in _SCORES]


def _number(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def plain(text: str) -> str:
    """Join a text into one line, so that it cannot end its paragraph."""
    return re.sub(r"\s+", " ", text).strip()


def paragraph(text: str) -> str:
    """Break a text into lines of a readable length."""
    return textwrap.fill(plain(text), 110, break_long_words=False, break_on_hyphens=False) + "\n"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as Markdown."""
    lines = [head, ["---"] * len(head), *([plain(cell).replace("|", r"\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
