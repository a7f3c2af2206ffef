"""The sections of a recipe that decide what pseudo-parallel data are mined and generated, and how they count."""

from __future__ import annotations

from dataclasses import dataclass

from arae_transfer.recipe_sections import setting


@dataclass(frozen=True)
class ParallelData:
    """Rewrites of training sentences, searched before training by exchanging phrases, as a first parallel corpus."""

    sentences: int = setting(
        0, "The number of training sentences, classes together, for which a rewrite is searched; 0: none.", minimum=0
    )
    back: float = setting(1.0, "The weight of reconstructing a sentence from its rewrite.", minimum=0)
    forward: float = setting(0.5, "The weight of producing the rewrite from its sentence.", minimum=0)
    known_sentences: int = setting(
        300_000,
        "The most sentences of a class that language models and phrase tables learn from; more make them larger, and "
        "hardly better.",
        minimum=1,
    )
    minimum_word_count: int = setting(3, "Rarer words are unknown to them.", minimum=1)
    maximum_words: int = setting(50_000, "The most words that they know.", minimum=1)
    language_model_order: int = setting(4, "The order of the n-gram models that mining uses.", minimum=2, maximum=6)
    folds: int = setting(
        3,
        "The parts of the sentences: a language model that has seen a sentence finds it far likelier than any rewrite, "
        "so that each part is scored by models of the others.",
        minimum=2,
        maximum=20,
    )


@dataclass(frozen=True)
class PhraseTable:
    """Mining: which phrases of one class can stand for phrases of another."""

    minimum_counts: tuple[int, ...] = setting(
        (8, 25, 30), "How often a phrase of one, two, three words must occur, in both classes together."
    )
    minimum_target_count: int = setting(
        15, "How often it must occur in a class to be put into sentences of that class.", minimum=1
    )
    maximum_filler_pairs: int = setting(
        40_000, 'Contexts with more pairs of fillers, such as "the _ .", say little and are left out.', minimum=1
    )
    shrinkage: float = setting(
        15.0, "Added to each phrase's occurrences, so that one of few contexts is not trusted fully.", minimum=0
    )
    minimum_expected: float = setting(0.3, "The fewest shared occurrences that are expected of two phrases.", minimum=0)
    minimum_gain: float = setting(
        1.2, "How much more a phrase must belong to its class than its replacement does, in nats.", minimum=0
    )
    minimum_style: float = setting(
        0.4,
        "How much a phrase must belong to its class at all, in nats, unless the replacement only adds words to it.",
        minimum=0,
    )
    function_words: int = setting(
        120, "The number of the most frequent words, which count as function words.", minimum=0
    )
    content_style: float = setting(0.7, "Content words of more style than this, in nats, count as style.", minimum=0)
    invented_word: float = setting(1.5, "The price of each content word that a replacement adds, in nats.", minimum=0)
    lost_word: float = setting(3.0, "The price of each content word that it loses.", minimum=0)
    lost_function_word: float = setting(0.8, "The price of each function word that it loses.", minimum=0)
    function_style: float = setting(
        0.3, "Function words of more style than this, in nats, are lost for free.", minimum=0
    )
    longer: float = setting(0.5, "The price of each word by which a replacement is longer.", minimum=0)
    expected_weight: float = setting(
        0.3, "The weight of the logarithm of expected occurrences in the order.", minimum=0
    )
    gain_weight: float = setting(0.3, "The weight of the gain in style in the order of replacements.", minimum=0)
    maximum_gain: float = setting(4.0, "More gain than this, in nats, puts no replacement further ahead.", minimum=0)
    candidates: int = setting(30, "The replacements that are kept for each phrase.", minimum=1)


@dataclass(frozen=True)
class PhraseSearch:
    """Mining: the beam search that rewrites a sentence by exchanging phrases."""

    beam: int = setting(6, "The hypotheses that go on from each place.", minimum=1)
    options: int = setting(14, "The replacements of a phrase that are tried.", minimum=1)
    threshold: float = setting(
        8.0, "A hypothesis so many nats behind the best one at its place is given up.", minimum=0
    )
    maximum_cost: float = setting(16.0, "Replacements that cost more, in nats, are not tried.", minimum=0)
    replacement_cost: float = setting(2.5, "What each replacement costs, in nats.", minimum=0)
    fit_weight: float = setting(2.0, "The weight of how well a replacement fits its place.", minimum=0)
    style_weights: tuple[float, ...] = setting(
        (0.0, 0.15, 0.3, 0.5, 0.75, 1.0, 1.4),
        "The weights of the target class's language model over the source class's, each of which gives candidates: the "
        "first ask for a fluent sentence, the last for style.",
    )
    candidates: int = setting(3, "The sentences that are taken of the search with each of these weights.", minimum=1)


@dataclass(frozen=True)
class RewriteScores:
    """Mining: what makes a rewrite good, in nats: style, fluency, and closeness to its sentence."""

    minimum_style: float = setting(0.7, "The least probability of the target class.", minimum=0, maximum=1)
    enough_style: float = setting(
        0.97, "More probability than this adds nothing, so that style is not bought with content.", minimum=0, maximum=1
    )
    maximum_lost_fluency: float = setting(10.0, "The most log-probability that a rewrite may lose.", minimum=0)
    style: float = setting(3.0, "The weight of the log-probability of the target class.", minimum=0)
    fluency: float = setting(0.7, "The weight of lost fluency; gained fluency counts nothing.", minimum=0)
    lost: float = setting(8.0, "The price of each lost content word.", minimum=0)
    added: float = setting(3.0, "The price of each added content word.", minimum=0)
    shorter: float = setting(2.0, "The price of each word by which a rewrite is shorter.", minimum=0)
    style_from: float = setting(
        0.8, "A word begins to carry style where it is so much more frequent in its class, in nats.", minimum=0
    )
    style_to: float = setting(2.0, "Where it is so much more frequent, it carries hardly any content.", minimum=0)
    minimum_price: float = setting(
        0.1, "The least share of its price that a word of style keeps.", minimum=0, maximum=1
    )
    rarity: float = setting(8.0, "The price of a word rises with its rarity, in units of so many nats.", minimum=0.1)
    common_price: float = setting(0.2, "The least price of a word.", minimum=0)
    rare_price: float = setting(1.4, "The greatest price of a word.", minimum=0)
    forward: float = setting(0.3, "The weight of an earlier model's log-probability of the rewrite.", minimum=0)
    back: float = setting(0.3, "The weight of its log-probability of the sentence, given the rewrite.", minimum=0)
    repeated: float = setting(
        2.0, "The price of each word of the target style that stands there again, which models like.", minimum=0
    )
    reranked: int = setting(3, "The best rewrites of a sentence that an earlier model chooses among.", minimum=1)
    dropped: float = setting(
        0.07,
        "The share of chosen rewrites that an earlier model finds least likely, which is left out.",
        minimum=0,
        maximum=0.9,
    )


@dataclass(frozen=True)
class SelfTraining:
    """Self-training: an earlier model generates rewrites beside those that are mined."""

    rewrites: int = setting(
        0,
        "The number of rewrites that the model of a run generates for each sentence, beside those mined, when "
        "training starts --from that run (self-training); 0: the run's own pairs are taken over.",
        minimum=0,
        maximum=100,
    )
    amplifications: tuple[float, ...] = setting(
        (0.0, 0.5, 1.0),
        "The first rewrites are greedy: for each of these, the decoder of the target class moves so far away from that "
        "of the sentence's own; after them comes one of a sentence without its style-bearing tokens.",
    )
    sample_amplification: float = setting(0.5, "How far it moves away where rewrites are sampled.", minimum=0)
    temperature: float = setting(0.6, "The temperature of samples.", minimum=0.01)
    delete: float = setting(
        0.9, "The probability that a fully style-bearing token is left out of a damaged sentence.", minimum=0, maximum=1
    )
    extra_tokens: int = setting(4, "A rewrite may be this many tokens longer than its sentence.", minimum=0)
