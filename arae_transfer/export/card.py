"""The model card: what a stranger must know about an exported model, as Markdown with YAML front matter."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arae_transfer.export.hub_metadata import BINDING, NO_SOURCE, front_matter
from arae_transfer.runtime.model_folder import GENERATION

# Between these marks stands the evaluation; `arae export --scores` fills it, and other tools may replace it.
EVALUATION_BEGIN = "<!-- evaluation: begin -->"
EVALUATION_END = "<!-- evaluation: end -->"

_SCORES = {
    "score": "geometric mean of `style` and `self_bleu`; it chose the checkpoint",
    "style": "% of rewrites that the training's own scorer takes for the wished class",
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
# Of a model of one kind of text.
_GENERATION_SCORES = {**_SCORES, "score": "1,000 over `reverse_perplexity`; it chose the checkpoint"}


@dataclass(frozen=True)
class Card:
    """What a card is made of.

    Attributes:
        config: The content of the model's ``config.json``.
        sizes: The bytes of each file, by file name.
        description: What the model is for.
        data_source: Where its data come from and under which terms.
        evaluation: The report of an evaluation as Markdown; empty: none was made.
        languages: The language codes of its text.
    """

    config: Mapping[str, Any]
    sizes: Mapping[str, int]
    description: str
    data_source: str
    evaluation: str = ""
    languages: Sequence[str] = ()


def render_card(card: Card) -> str:
    """Return the card's text. It names no path of the machine that it was made on."""
    config = card.config
    generates = config.get("task") == GENERATION
    sections = [
        front_matter(
            "text-generation",
            [*([] if generates else ["text-style-transfer"]), *TAGS],
            card.languages,
        ),
        f"# {_plain(config['name'])}\n",
        *([_paragraph(card.description)] if card.description else []),
        _paragraph(
            "An adversarially regularized autoencoder (Zhao et al., 2018) "
            + (
                "of one kind of text: its generator makes codes out of noise, its decoder writes them as sentences, "
                "its encoder finds the code of a sentence. "
                if generates
                else "that rewrites a line of text to one of the classes below and keeps what the line is about. It "
                "learned from unpaired text. "
            )
            + "The graphs run in onnxruntime and need no PyTorch."
        ),
        _generation_usage(config) if generates else _usage(config),
        *([] if generates else [_classes(config)]),
        _data(card),
        _sizes(card),
        _training(config),
        _evaluation(card.evaluation),
        _parity(config),
        *([] if generates else [_limits(config)]),
    ]
    return "\n".join(sections)


def _usage(config: Mapping[str, Any]) -> str:
    name, target = config["name"], config["classes"][-1]
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


def _generation_usage(config: Mapping[str, Any]) -> str:
    name = shlex.quote(config["name"])
    sample = f"$ arae sample --model {name} -n 20\n" if config["generator"] is not None else ""
    return f"""## Use

```console
$ pip install arae-transfer
{sample}$ arae interpolate --model {name} "a sentence ." "another one ."
```

`--model` takes the name of a folder in `exported/`, or a path to this folder.
"""


def _classes(config: Mapping[str, Any]) -> str:
    rows = [(label, config["decoders"][label]) for label in config["classes"]]
    return f"## Classes\n\n{_table(('class (`--to`)', 'decoder'), rows)}"


def _data(card: Card) -> str:
    source = card.data_source or NO_SOURCE
    terms = f"{BINDING} The software is under its own licence."
    return f"## Data and terms\n\n{_paragraph(source)}\n{_paragraph(terms)}"


def _sizes(card: Card) -> str:
    sizes, stored = card.config["sizes"], card.config["variants"]["fp32"]
    code = _CODES[sizes["code"]]
    directions = "both directions" if sizes["bidirectional"] else "one direction"
    rows = [(name, f"{size / 1e6:.2f} MB") for name, size in card.sizes.items()]
    rows.append(("together", f"{sum(card.sizes.values()) / 1e6:.2f} MB"))
    text = (
        f"{sizes['parameters']:,} parameters in encoder and decoders; {sizes['vocabulary']:,} pieces; embeddings of "
        f"{sizes['embedding']}, LSTM states of {sizes['hidden']}; {_number(sizes['encoder_layers'], 'encoder layer')}, "
        f"reading in {directions}; {_number(sizes['decoder_layers'], 'layer')} in each decoder. The code is {code}, of "
        f"{sizes['code_size']} dimensions. Matrices are stored as {stored['weights']}; arithmetic is "
        f"{stored['arithmetic']}."
    )
    for name, what, place in (
        ("int8", "hold the same model with matrix products in 8-bit integers", "CPU"),
        (
            "fp16",
            "are graphs for the same weights with matrix products in fp16, measured on a CPU that rounds so",
            "GPU",
        ),
    ):
        variant = card.config["variants"].get(name)
        if variant is None:
            continue
        agreement = variant["agreement"]
        style = f"style by the training's own judge is {-agreement['style_cost']:+.2f} points, "
        text += (
            f" The `{name}` files {what}: on the sentences of the "
            f"parity check {100 * agreement['identical']:.1f} % of the rewrites are the trained model's, token by "
            f"token, {'' if card.config['scorer'] is None else style}BLEU to the source is "
            f"{-agreement['self_bleu_cost']:+.2f}. "
            + (
                f"They are what runs on a {place}."
                if variant["accepted"]
                else f"They run with `--variant {name}` only."
            )
        )
    if card.config["scorer"] is not None:
        text += (
            " `candidates.*` search or draw several rewrites with the weights of the decoders' files; `scorer.onnx` "
            "is the training's own judge of style, by which they are ranked."
        )
    if card.config.get("language_models"):
        text += (
            " `language.*.npz` are 3-gram models of each class's text; a candidate that they find less likely than the "
            "source is ranked lower."
        )
    shortlist = card.config.get("shortlist") or {}
    if shortlist.get("accepted"):
        agreement = shortlist["agreement"]
        text += (
            f" A decoder chooses among up to {shortlist['tokens']} tokens that its class likes and those of the "
            f"source, not among all: {100 * agreement['identical']:.1f} % of the rewrites are the same, style by the "
            f"training's own judge is {-agreement['style_cost']:+.2f} points, BLEU to the source is "
            f"{-agreement['self_bleu_cost']:+.2f}."
        )
    if card.config.get("beam", 1) > 1:
        text += (
            f" Where nobody says otherwise, the best of a beam of {card.config['beam']} candidates is the answer; "
            "`--beam 1` writes one, greedily, and is faster."
        )
    return f"## Sizes\n\n{_paragraph(text)}\n{_table(('file', 'size'), rows)}"


def _training(config: Mapping[str, Any]) -> str:
    training = config["training"]
    facts = []
    if "sentences" in training:
        facts.append(f"{training['sentences']:,} sentences seen")
    if "minutes" in training:
        facts.append(f"{training['minutes']:,.0f} minutes")
    text = f"{', '.join(facts)}. " if facts else ""
    parts = ["## Training\n", _paragraph(f"{text}The resolved recipe is in `config.json`.")]
    scores = {name: value for name, value in config["scores"].items() if isinstance(value, int | float)}
    if scores:
        generates = config.get("task") == GENERATION
        meanings = _GENERATION_SCORES if generates else _SCORES
        note = "Validation scores, on held-out sentences while training"
        if generates:
            note += ":"
        else:
            note += ". The judge of style is the training's own, so read them as optimistic:"
        rows = [(name, _figure(scores[name]), meanings.get(name, "")) for name in _ordered(scores)]
        parts += [_paragraph(note), _table(("score", "value", "meaning"), rows)]
    return "\n".join(parts)


def _evaluation(report: str) -> str:
    content = _without_folders(report).strip() or (
        "Not evaluated yet: `arae evaluate --json` writes a report, `arae export --scores` puts it here."
    )
    return f"## Evaluation\n\n{EVALUATION_BEGIN}\n\n{content}\n\n{EVALUATION_END}\n"


def _parity(config: Mapping[str, Any]) -> str:
    parity = config["parity"]
    text = (
        f"Before this folder was written, {parity['probe_lines']:,} held-out sentences and "
        f"{parity['random_lines']:,} random sequences went through these files (onnxruntime {parity['onnxruntime']}, "
        f"CPU) and through the trained model (torch {parity['torch']}), to every class, in batches of "
        f"{', '.join(map(str, parity['batch_sizes']))}. Of {parity['compared']:,} rewrites {parity['identical']:,} are "
        f"identical token by token, {parity['near_ties']:,} part at a near tie of two tokens, "
        f"{parity['different']:,} differ; codes differ by at most {parity['code_difference']:.1g}. Rounding the "
        f"weights to what the files store leaves {100 * parity['unrounded_identical']:.1f} % of the rewrites as they "
        "were."
    )
    return f"## Parity\n\n{_paragraph(text)}"


def _limits(config: Mapping[str, Any]) -> str:
    form = config["form"]
    traits = []
    if form.get("lower_case"):
        traits.append("in lower case")
    if form.get("tokens", "plain") != "plain":
        traits.append(f"with words and punctuation separated as in {form['tokens']}")
    if form.get("number"):
        traits.append(f"with `{form['number']}` for numbers")
    items = [
        f"It rewrites one sentence at a time, of up to {config['maximum_tokens'] - 1} tokens; longer lines are cut "
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


def _figure(value: float) -> str:
    return f"{value:.2f}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value).lower()


def _ordered(scores: Mapping[str, Any]) -> list[str]:
    return [name for name in _SCORES if name in scores] + [name for name in scores if name not in _SCORES]


def _number(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _plain(text: str) -> str:
    """Join a text into one line, so that it cannot end its paragraph."""
    return re.sub(r"\s+", " ", text).strip()


def _paragraph(text: str) -> str:
    """Break a text into lines of a readable length."""
    return textwrap.fill(_plain(text), 110, break_long_words=False, break_on_hyphens=False) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_plain(cell).replace("|", r"\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


_IMAGE_SCORES = {
    "nll": "negative log-likelihood of reconstruction, nats per image",
    "pixels": "% of pixels whose most likely level is theirs",
    "code_distance": "Fréchet distance between held-out and generated codes; 0 is the least, 4 the most",
    "score": "geometric mean of `pixels` and the closeness of the codes; it chose the checkpoint",
}


def render_image_card(card: Card) -> str:
    """Return the card of an image model. It names no path of the machine that it was made on."""
    config = card.config
    image, sizes, parity = config["image"], config["sizes"], config["parity"]
    generated = config["generator"] is not None
    name = shlex.quote(config["name"])
    rows = [(file, f"{size / 1e6:.2f} MB") for file, size in card.sizes.items()]
    rows.append(("together", f"{sum(card.sizes.values()) / 1e6:.2f} MB"))
    use = [f"$ arae sample --model {name} -n 64 -o grid.png"] if generated else []
    use.append(f"$ arae interpolate --model {name} FILE:0 FILE:1 -o path.png")
    facts = ", ".join(f"{key} {value:g}" for key, value in config["training"].items() if isinstance(value, int | float))
    scores = [
        (key, _figure(value), _IMAGE_SCORES.get(key, ""))
        for key, value in config["scores"].items()
        if isinstance(value, int | float)
    ]
    layers = f"{sizes['encoder_layers']} units to the code, {sizes['decoder_layers']} back"
    return "\n".join(
        [
            front_matter("unconditional-image-generation", TAGS),
            f"# {_plain(config['name'])}\n",
            *([_paragraph(card.description)] if card.description else []),
            _paragraph(
                f"An adversarially regularized autoencoder (Zhao et al., 2018) of images of {image['height']} x "
                f"{image['width']} pixels in {image['levels']} levels of brightness. The graphs run in onnxruntime and "
                "need no PyTorch."
            ),
            "## Use\n\n```console\n$ pip install arae-transfer\n" + "\n".join(use) + "\n```\n",
            _data(card),
            "## Sizes\n",
            _paragraph(
                f"{sizes['parameters']:,} parameters in encoder and decoders; {layers}; a code of {sizes['code_size']} "
                "dimensions. Weights and arithmetic are fp32."
            ),
            _table(("file", "size"), rows),
            "## Training\n",
            _paragraph(f"{facts}. The resolved recipe is in `config.json`."),
            _table(("score", "value", "meaning"), scores),
            _evaluation(card.evaluation),
            "## Parity\n",
            _paragraph(
                f"Before this folder was written, {parity['images']:,} images went through these files (onnxruntime "
                f"{parity['onnxruntime']}, CPU) and through the trained model (torch {parity['torch']}); codes and "
                f"probabilities differ by at most {parity['difference']:.1g}."
            ),
        ]
    )
