"""One training batch: the right rows, every target among the token_subset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from arae_transfer.corpus.batches import TokenizedSentences
from arae_transfer.parallel.examples import ParallelExample
from arae_transfer.recipe import InputNoise, ParallelData
from arae_transfer.tokenizer import END_ID, PAD_ID, Tokenizer
from arae_transfer.training.batch import (
    Batch,
    SoftmaxSampler,
    make_batch,
    make_parallel_batch,
    parallel_sentences,
    stack_classes,
)

VOCABULARY = 300
CPU = torch.device("cpu")


def corpus(first: int, count: int, seed: int) -> TokenizedSentences:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 9, count)
    ids = generator.integers(first, first + 80, int(lengths.sum())).astype(np.int32)
    return TokenizedSentences(ids, np.concatenate([[0], np.cumsum(lengths)]))


CORPORA = [corpus(10, 30, 1), corpus(100, 40, 2), corpus(200, 50, 3)]
CHOSEN = [np.array([3, 1, 4, 1]), np.array([5, 9, 2, 6]), np.array([5, 3, 5, 8])]


def build(noise: InputNoise | None = None, sampler: SoftmaxSampler | None = None, seed: int = 5) -> Batch:
    generator = np.random.default_rng(seed)
    return make_batch(CORPORA, CHOSEN, noise or InputNoise(), None, generator, CPU, sampler)


def test_rows_stand_class_by_class_with_end_ids() -> None:
    batch = build()
    assert batch.classes.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert batch.token_subset is None
    for index, (sentences, chosen) in enumerate(zip(CORPORA, CHOSEN, strict=True)):
        rows = batch.rows_of(index)
        assert rows == slice(4 * index, 4 * index + 4)
        for row, length, number in zip(batch.tokens[rows], batch.lengths[rows], chosen, strict=True):
            sentence = sentences.ids[sentences.starts[number] : sentences.starts[number + 1]].tolist()
            padding = batch.tokens.size(1) - len(sentence) - 1
            assert row.tolist() == [*sentence, END_ID] + [PAD_ID] * padding
            assert int(length) == len(sentence) + 1
    assert batch.tokens.size(1) == int(batch.lengths.max())


def test_without_noise_the_encoder_reads_the_sentences() -> None:
    batch = build()
    assert torch.equal(batch.noised_tokens, batch.tokens)
    assert torch.equal(batch.noised_lengths, batch.lengths)


def test_noise_damages_what_the_encoder_reads_and_leaves_the_targets() -> None:
    whole, batch = build(), build(InputNoise(drop=0.5))
    assert torch.equal(batch.tokens, whole.tokens)
    assert torch.equal(batch.lengths, whole.lengths)
    assert int(batch.noised_lengths.sum()) < int(batch.lengths.sum())
    last = batch.noised_tokens.gather(1, batch.noised_lengths[:, None] - 1)
    assert last.flatten().tolist() == [END_ID] * 12
    assert torch.equal((batch.noised_tokens != PAD_ID).sum(1), batch.noised_lengths)


def test_stacking_pads_to_the_longest() -> None:
    tokens, lengths = stack_classes(
        [(np.array([[5, 6]]), np.array([2])), (np.array([[7, 8, 9], [4, 0, 0]]), np.array([3, 1]))]
    )
    assert tokens.tolist() == [[5, 6, PAD_ID], [7, 8, 9], [4, PAD_ID, PAD_ID]]
    assert lengths.tolist() == [2, 3, 1]


# --- parts


def test_a_short_batch_is_its_only_part() -> None:
    batch = build()
    [part] = batch.parts(batch.positions)
    assert part.batch is batch
    assert part.places.tolist() == list(range(12))


@pytest.mark.parametrize("most", [1, 30, 60, 100])
def test_parts_are_bounded_and_make_the_whole(most: int) -> None:
    batch = replace(build(InputNoise(drop=0.2)), weights=torch.arange(12.0))
    parts = batch.parts(most)
    assert len(parts) > 1
    assert sorted(torch.cat([part.places for part in parts]).tolist()) == list(range(12))
    for part in parts:
        own = part.batch
        assert own.positions <= most or len(own.tokens) == 3, "a row of each class at least"
        assert own.classes.tolist() == sorted(own.classes.tolist())
        assert own.classes.bincount().tolist() == [len(own.tokens) // 3] * 3
        for name in ("tokens", "lengths", "noised_tokens", "noised_lengths", "classes", "weights"):
            assert torch.equal(getattr(own, name), getattr(batch, name)[part.places]), name
    assert sum(part.batch.row_share for part in parts) == pytest.approx(1.0)
    shares = np.array([part.batch.token_shares for part in parts])
    assert shares.sum(0).tolist() == pytest.approx([1.0, 1.0, 1.0])
    lengths = batch.lengths[parts[0].places].view(3, -1).sum(1) / batch.lengths.view(3, -1).sum(1)
    assert shares[0].tolist() == pytest.approx(lengths.tolist())


def test_parts_of_a_share_count_as_their_share_of_it() -> None:
    batch = replace(build(), token_shares=(0.5, 1.0, 2.0))
    shares = np.array([part.batch.token_shares for part in batch.parts(40)])
    assert shares.sum(0).tolist() == pytest.approx([0.5, 1.0, 2.0])


# --- token_subset


@pytest.mark.parametrize("size", [1, 20, 100, VOCABULARY])
def test_candidates_hold_every_target_and_the_end_id_and_no_other_special(size: int) -> None:
    sampler = SoftmaxSampler(CORPORA, VOCABULARY, size)
    for seed in range(20):
        batch = build(sampler=sampler, seed=seed)
        assert batch.token_subset is not None
        token_subset = batch.token_subset.tolist()
        assert token_subset == sorted(set(token_subset))
        assert token_subset[0] == END_ID
        assert token_subset[-1] < VOCABULARY
        assert set(batch.tokens.flatten().tolist()) - {PAD_ID} <= set(token_subset)


def test_half_of_the_candidates_are_the_most_frequent_tokens() -> None:
    counts = sum(np.bincount(sentences.ids, minlength=VOCABULARY) for sentences in CORPORA)
    frequent = set(np.argsort(-np.asarray(counts), kind="stable")[:50].tolist())
    sampler = SoftmaxSampler(CORPORA, VOCABULARY, 100)
    drawn = sampler.draw(np.array([[299, 0]]), np.random.default_rng(1))[0].tolist()
    assert frequent <= set(drawn)
    assert {299, END_ID} <= set(drawn)


@pytest.mark.parametrize("size", [60, 100, VOCABULARY, 2 * VOCABULARY])
def test_every_step_has_as_many_candidates(size: int) -> None:
    sampler = SoftmaxSampler(CORPORA, VOCABULARY, size)
    for seed in range(20):
        targets = np.random.default_rng(seed).integers(0, VOCABULARY, (2, 1 + seed % 9))
        token_subset, offsets = sampler.draw(targets, np.random.default_rng(seed))
        assert len(token_subset) == len(offsets) == min(size, VOCABULARY - END_ID)


def test_every_other_token_takes_its_turn() -> None:
    sampler = SoftmaxSampler(CORPORA, VOCABULARY, 100)
    generator = np.random.default_rng(1)
    seen: set[int] = set()
    for _ in range(80):
        seen.update(sampler.draw(np.array([[10]]), generator)[0].tolist())
    assert seen == set(range(END_ID, VOCABULARY))


def test_the_sum_over_candidates_estimates_that_over_the_vocabulary() -> None:
    sampler = SoftmaxSampler(CORPORA, VOCABULARY, 100)
    generator = np.random.default_rng(2)
    shares = np.random.default_rng(3).exponential(size=VOCABULARY)
    sums = []
    for _ in range(2000):
        token_subset, offsets = sampler.draw(np.array([[10]]), generator)
        assert (offsets[token_subset == 10] == 0).all()
        sums.append(float((shares[token_subset] * np.exp(offsets)).sum()))
    assert np.mean(sums) == pytest.approx(shares[END_ID:].sum(), rel=0.01)


def test_without_random_candidates_nothing_is_added_to_scores() -> None:
    sampler = SoftmaxSampler(CORPORA, VOCABULARY, 4)
    _, offsets = sampler.draw(np.arange(END_ID, VOCABULARY)[None], np.random.default_rng(2))
    assert not offsets.any()


# --- pairs

PAIRS = [
    ParallelExample("bad", "the soup was cold", "good", "the soup was warm"),
    ParallelExample("bad", "rude waiter", "good", "friendly waiter"),
    ParallelExample("good", "we love it here", "bad", "we hate it"),
    ParallelExample("good", "too long " * 9, "bad", "short"),
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([text for pair in PAIRS for text in (pair.sentence, pair.rewrite)] * 9, 300)


def decoded(tokenizer: Tokenizer, sentences: TokenizedSentences) -> list[str]:
    tokens, lengths = sentences.padded(np.arange(len(sentences)))
    return [tokenizer.decode(row[:length]) for row, length in zip(tokens.tolist(), lengths.tolist(), strict=True)]


def test_pairs_teach_each_decoder_in_both_directions(tokenizer: Tokenizer) -> None:
    parallel = parallel_sentences(PAIRS, ("bad", "good"), tokenizer, 12, ParallelData(back=1.0, forward=0.25))
    bad, good = parallel["bad"], parallel["good"]
    assert decoded(tokenizer, bad.inputs) == ["the soup was warm", "friendly waiter", "we love it here"]
    assert decoded(tokenizer, bad.targets) == ["the soup was cold", "rude waiter", "we hate it"]
    assert bad.noised.tolist() == [True, True, False]
    assert bad.weights.tolist() == [1.0, 1.0, 0.25]
    assert decoded(tokenizer, good.targets) == ["the soup was warm", "friendly waiter", "we love it here"]
    assert good.noised.tolist() == [False, False, True]


def test_a_direction_of_no_weight_is_left_out(tokenizer: Tokenizer) -> None:
    back = parallel_sentences(PAIRS, ("bad", "good"), tokenizer, 12, ParallelData(back=1.0, forward=0.0))
    assert decoded(tokenizer, back["bad"].targets) == ["the soup was cold", "rude waiter"]
    forward = parallel_sentences(PAIRS, ("bad", "good"), tokenizer, 12, ParallelData(back=0.0, forward=1.0))
    assert decoded(tokenizer, forward["bad"].targets) == ["we hate it"]


def test_only_rewrites_are_damaged_and_never_a_target(tokenizer: Tokenizer) -> None:
    parallel = list(parallel_sentences(PAIRS, ("bad", "good"), tokenizer, 12, ParallelData(forward=0.5)).values())
    indices = [np.array([0, 1, 2]), np.array([2, 1, 0])]
    noise = InputNoise(drop=0.9, style_share=1.0, style_drop=1.0)
    sampler = SoftmaxSampler([own.targets for own in parallel], 300, 40)
    batch = make_parallel_batch(parallel, indices, noise, np.random.default_rng(3), CPU, sampler)
    assert batch.classes.tolist() == [0, 0, 0, 1, 1, 1]
    assert batch.weights is not None
    assert batch.weights.tolist() == [1.0, 1.0, 0.5, 1.0, 0.5, 0.5]
    assert batch.token_subset is not None
    assert set(batch.tokens.flatten().tolist()) - {PAD_ID} <= set(batch.token_subset.tolist())
    for index, (own, chosen) in enumerate(zip(parallel, indices, strict=True)):
        rows = batch.rows_of(index)
        for row, read, length, number in zip(
            batch.tokens[rows], batch.noised_tokens[rows], batch.noised_lengths[rows], chosen, strict=True
        ):
            one = np.array([number])
            target, source = own.targets.padded(one)[0][0].tolist(), own.inputs.padded(one)[0][0].tolist()
            assert [token for token in row.tolist() if token != PAD_ID] == [*target, END_ID]
            whole = read[: int(length)].tolist()
            assert whole[-1] == END_ID
            if own.noised[number]:
                assert len(whole) < len(source) + 1
            else:
                assert whole == [*source, END_ID]
