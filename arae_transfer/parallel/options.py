"""Recipe sections for mined and generated pseudo-parallel data."""

from __future__ import annotations

from dataclasses import dataclass

from arae_transfer.recipe_sections import setting


@dataclass(frozen=True)
class ParallelData:
    """Pseudo-parallel examples: rewrites of training sentences, mined before training by exchanging phrases."""

    sentences: int = setting(
        0, "The number of training sentences, over all classes, to mine a rewrite for; 0: none.", minimum=0
    )
    back: float = setting(1.0, "The weight of reconstructing a sentence from its rewrite.", minimum=0)
    forward: float = setting(0.5, "The weight of generating the rewrite from its sentence.", minimum=0)
    known_sentences: int = setting(
        300_000,
        "The maximum number of sentences of a class that language models and phrase tables learn from; more "
        "hardly improve them.",
        minimum=1,
    )
    minimum_word_count: int = setting(3, "Words that occur less often are unknown to them.", minimum=1)
    maximum_words: int = setting(50_000, "The maximum size of their vocabulary.", minimum=1)
    language_model_order: int = setting(4, "The order of the n-gram models that mining uses.", minimum=2, maximum=6)
    folds: int = setting(
        3,
        "The number of cross-fitting folds: each fold is scored by language models that learned from the "
        "others, because a model overrates a sentence that it has seen.",
        minimum=2,
        maximum=20,
    )


@dataclass(frozen=True)
class PhraseTable:
    """Mining: which phrases of one class can stand for phrases of another."""

    minimum_counts: tuple[int, ...] = setting(
        (8, 25, 30), "How often a phrase of one, two and three words must occur, in all classes together."
    )
    minimum_target_count: int = setting(
        15, "How often a phrase must occur in a class to be inserted into its sentences.", minimum=1
    )
    maximum_filler_pairs: int = setting(
        40_000, 'Contexts with more pairs of fillers, such as "the _ .", are ignored.', minimum=1
    )
    shrinkage: float = setting(
        15.0, "Pseudo-count added to each phrase's occurrences, to discount phrases with few contexts.", minimum=0
    )
    minimum_expected: float = setting(
        0.3, "The minimum number of expected shared occurrences of two phrases.", minimum=0
    )
    minimum_gain: float = setting(
        1.2, "The minimum difference in style between a phrase and its replacement, in nats.", minimum=0
    )
    minimum_style: float = setting(
        0.4,
        "The minimum style of a replaced phrase, in nats, unless the replacement only adds words to it.",
        minimum=0,
    )
    function_words: int = setting(120, "The number of most frequent words that count as function words.", minimum=0)
    content_style: float = setting(0.7, "Content words with more style than this, in nats, count as style.", minimum=0)
    invented_word: float = setting(1.5, "The cost of each content word that a replacement adds, in nats.", minimum=0)
    lost_word: float = setting(3.0, "The cost of each content word that it drops.", minimum=0)
    lost_function_word: float = setting(0.8, "The cost of each function word that it drops.", minimum=0)
    function_style: float = setting(
        0.3, "Dropping function words with more style than this, in nats, costs nothing.", minimum=0
    )
    longer: float = setting(0.5, "The cost of each word by which a replacement is longer.", minimum=0)
    expected_weight: float = setting(
        0.3, "The weight of the log of expected occurrences in the ranking of replacements.", minimum=0
    )
    gain_weight: float = setting(0.3, "The weight of the gain in style in the ranking of replacements.", minimum=0)
    maximum_gain: float = setting(
        4.0, "The gain in style, in nats, beyond which the ranking does not improve.", minimum=0
    )
    candidates: int = setting(30, "The maximum number of replacements per phrase.", minimum=1)


@dataclass(frozen=True)
class PhraseSearch:
    """Mining: the beam search that rewrites a sentence by exchanging phrases."""

    beam: int = setting(6, "The beam width at each position.", minimum=1)
    options: int = setting(14, "The number of replacements to try per phrase.", minimum=1)
    threshold: float = setting(
        8.0, "Hypotheses this many nats below the best one at their position are pruned.", minimum=0
    )
    maximum_cost: float = setting(16.0, "Replacements with a higher cost, in nats, are ignored.", minimum=0)
    replacement_cost: float = setting(2.5, "The cost of each replacement, in nats.", minimum=0)
    fit_weight: float = setting(2.0, "The weight of how well a replacement fits its position.", minimum=0)
    style_weights: tuple[float, ...] = setting(
        (0.0, 0.15, 0.3, 0.5, 0.75, 1.0, 1.4),
        "The weights of the target class's language model relative to the source class's; each gives "
        "candidates. Low weights favour fluency, high ones style.",
    )
    candidates: int = setting(3, "The number of candidates to take per weight.", minimum=1)


@dataclass(frozen=True)
class RewriteScores:
    """Mining: the score of a rewrite in nats, by style, fluency and closeness to its sentence."""

    minimum_style: float = setting(0.7, "The minimum probability of the target class.", minimum=0, maximum=1)
    enough_style: float = setting(
        0.97,
        "Probability above this adds nothing, so that style is not gained at the cost of content.",
        minimum=0,
        maximum=1,
    )
    maximum_lost_fluency: float = setting(10.0, "The maximum loss of log-probability of a rewrite.", minimum=0)
    style: float = setting(3.0, "The weight of the log-probability of the target class.", minimum=0)
    fluency: float = setting(0.7, "The weight of lost fluency; gained fluency adds nothing.", minimum=0)
    lost: float = setting(8.0, "The cost of each dropped content word.", minimum=0)
    added: float = setting(3.0, "The cost of each added content word.", minimum=0)
    shorter: float = setting(2.0, "The cost of each word by which a rewrite is shorter.", minimum=0)
    style_from: float = setting(
        0.8, "The log frequency ratio between classes from which a word counts as partly style, in nats.", minimum=0
    )
    style_to: float = setting(2.0, "The ratio from which it counts as entirely style, in nats.", minimum=0)
    minimum_price: float = setting(
        0.1, "The minimum share of its cost that a word of style keeps.", minimum=0, maximum=1
    )
    rarity: float = setting(8.0, "The log-rarity, in nats, by which the cost of a word doubles.", minimum=0.1)
    common_price: float = setting(0.2, "The minimum cost of a word.", minimum=0)
    rare_price: float = setting(1.4, "The maximum cost of a word.", minimum=0)
    forward: float = setting(0.3, "The weight of an earlier model's log-probability of the rewrite.", minimum=0)
    back: float = setting(
        0.3, "The weight of an earlier model's log-probability of the sentence, given the rewrite.", minimum=0
    )
    repeated: float = setting(
        2.0, "The cost of each repeated word of the target style, which models tend to repeat.", minimum=0
    )
    reranked: int = setting(
        3, "The number of best rewrites of a sentence for an earlier model to choose from.", minimum=1
    )
    dropped: float = setting(
        0.07,
        "The share of chosen rewrites to leave out because an earlier model finds them least likely.",
        minimum=0,
        maximum=0.9,
    )


@dataclass(frozen=True)
class SelfTraining:
    """Self-training: an earlier model generates rewrites in addition to mined ones."""

    rewrites: int = setting(
        0,
        "The number of rewrites per sentence that the model of the --from run generates in addition to mined "
        "ones; 0: reuse that run's parallel examples.",
        minimum=0,
        maximum=100,
    )
    amplifications: tuple[float, ...] = setting(
        (0.0, 0.5, 1.0),
        "The contrast strengths of the greedy rewrites: one rewrite for each, with the source class's decoder "
        "subtracted by this weight; then one rewrite of the sentence without its style-bearing tokens.",
    )
    sample_amplification: float = setting(0.5, "The contrast strength of sampled rewrites.", minimum=0)
    temperature: float = setting(0.6, "The temperature of sampling.", minimum=0.01)
    delete: float = setting(
        0.9,
        "The probability that an entirely style-bearing token is removed from a damaged sentence.",
        minimum=0,
        maximum=1,
    )
    extra_tokens: int = setting(
        4, "The maximum number of tokens by which a rewrite is longer than its sentence.", minimum=0
    )
