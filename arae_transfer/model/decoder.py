"""Decoder of one class: from a code to a sentence, by teacher forcing or greedily."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from arae_transfer.model.superposition import Superposition
from arae_transfer.recipe import Model
from arae_transfer.tokenizer import BEGIN_ID, END_ID, PAD_ID, UNKNOWN_ID

# In contrastive decoding, tokens less likely than the likeliest by more than this factor are never chosen.
PLAUSIBLE = 0.1
# What the vector attended to is multiplied by on its way to the output layer, before anything is learnt; the logit of
# the word that it stands for is then so far above the others' that it is the likeliest of thousands.
RESIDUAL_SCALE = 10.0
# Places between a position of the sentence and a vector of its code, beyond which they count as equally far.
FARTHEST = 8
# The number of positions whose scores are computed is rounded up to a multiple of this.
ROWS = 64


def mean_of_code(code: Tensor, mask: Tensor) -> Tensor:
    """Average the real vectors of a code: (batch, vectors, size) and (batch, vectors) to (batch, size)."""
    if code.size(1) == 1:
        return code[:, 0]  # every sentence has one
    weights = mask.to(code.dtype)  # (batch, vectors)
    return (code * weights[:, :, None]).sum(1) / weights.sum(1, keepdim=True)


class Decoder(nn.Module):
    """An LSTM language model that reads the code at each step (paper, Section 4: p_psi(x | c, y), one psi per y).

    The first layer reads the preceding token and the mean of the code. With a code of several vectors, the states of
    the first layer then attend to them, and further layers and the output read the context; attention does not feed
    back into the first layer, so that training runs over whole sentences at once. With a single code vector there is no
    attention, and further layers read that vector; a superposed code is unbound at each position.
    """

    first: nn.LSTM
    upper: nn.ModuleList
    query: nn.Linear | None
    nearness: nn.Parameter | None
    bridge: nn.Module
    output: nn.Linear

    def __init__(
        self,
        vocabulary_size: int,
        model: Model,
        embedding: nn.Embedding | None = None,
        superposition: Superposition | None = None,
        other: Decoder | None = None,
    ) -> None:
        """Build the decoder of a class.

        Args:
            vocabulary_size: The number of ids.
            model: The sizes.
            embedding: The table that it shares with the encoder; None: one of its own.
            superposition: The encoder's binding of a superposed code; None: another code.
            other: Another class's decoder, whose output layer is this one's, too.
        """
        super().__init__()
        self.attends = model.code != "single"
        self.superposition = superposition
        size = model.attended_size
        self.residual = model.residual
        self.embedding = embedding or nn.Embedding(vocabulary_size, model.embedding_size, padding_idx=PAD_ID)
        self.dropout = nn.Dropout(model.dropout)
        self.first = nn.LSTM(model.embedding_size + size, model.hidden_size, batch_first=True)
        self.upper = nn.ModuleList(
            nn.LSTM(model.hidden_size + size, model.hidden_size, batch_first=True)
            for _ in range(1, model.decoder_layers)
        )
        self.query, self.nearness = None, None
        if self.attends:
            self.query = nn.Linear(model.hidden_size, size, bias=False)
            # A rewrite runs along its source, so attention starts out looking at the same place; it learns to look
            # elsewhere. Without this, finding the alignment is most of the early training.
            away = torch.arange(-FARTHEST, FARTHEST + 1).abs().float()
            self.nearness = nn.Parameter(-away)  # (2 x FARTHEST + 1,)
        read_size = model.hidden_size + (size if self.attends else 0)
        self.bridge = nn.Identity()
        if model.shared_embeddings:
            # Logits are products with the embeddings; the states are first brought to their size.
            self.bridge = nn.Linear(read_size, model.embedding_size)
            read_size = model.embedding_size
        self.output = other.output if other is not None else nn.Linear(read_size, vocabulary_size)
        if model.shared_embeddings:
            self.output.weight = self.embedding.weight

    def start_residual(self) -> None:
        """Initialize the output layer to copy the attended vector, so that its token is the most probable."""
        assert isinstance(self.bridge, nn.Linear)
        size = self.bridge.out_features
        with torch.no_grad():
            self.bridge.weight[:, -size:] = RESIDUAL_SCALE * torch.eye(size)

    def read_code(self, code: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the inputs of the layers from a code.

        Args:
            code: (batch, vectors, code_size).
            mask: (batch, vectors), true at real vectors.

        Returns:
            (batch, size) a summary, and the vectors for attention: (batch, positions, size) with their mask (batch,
            positions).
        """
        if self.superposition is None:
            return mean_of_code(code, mask), code, mask
        summary, places = self.superposition.unbind(code)
        # Where the sentence had ended stands noise; the code does not say where that is but by its end id.
        return summary, places, mask.expand(-1, places.size(1))

    def attend(self, states: Tensor, code: Tensor, mask: Tensor, start: int = 0) -> Tensor:
        """Attend to the code from each position of the sentence.

        Args:
            states: (batch, time, hidden) of the first layer.
            code: (batch, vectors, size).
            mask: (batch, vectors).
            start: The position of the first state in the sentence.

        Returns:
            (batch, time, size); for a single code vector, that vector.
        """
        if self.query is None or self.nearness is None:
            return code.expand(-1, states.size(1), -1)
        scores: Tensor = self.query(states) @ code.transpose(1, 2)  # (batch, time, vectors)
        places = torch.arange(start, start + states.size(1), device=code.device)
        vectors = torch.arange(code.size(1), device=code.device)
        distance = (vectors - places[:, None]).clamp(-FARTHEST, FARTHEST)  # (time, vectors)
        scores = scores + self.nearness[distance + FARTHEST]
        scores = scores.masked_fill(~mask[:, None, :], torch.finfo(scores.dtype).min)
        return scores.softmax(2) @ code  # (batch, time, size)

    def features(self, previous: Tensor, code: Tensor, mask: Tensor) -> Tensor:
        """Return the input of the output layer at every position of given sentences.

        Args:
            previous: (batch, time) the token before each position; the first is the begin id.
            code: (batch, vectors, size).
            mask: (batch, vectors), true at real vectors.

        Returns:
            (batch, time, features).
        """
        embedded = self.dropout(self.embedding(previous))  # (batch, time, embedding)
        summary, code, mask = self.read_code(code, mask)
        everywhere = summary[:, None, :].expand(-1, previous.size(1), -1)  # (batch, time, size)
        states, _ = self.first(torch.cat([embedded, everywhere], dim=2))  # (batch, time, hidden)
        context = self.attend(states, code, mask)  # (batch, time, size)
        for layer in self.upper:
            higher, _ = layer(torch.cat([self.dropout(states), context], dim=2))  # (batch, time, hidden)
            states = states + higher  # residual: the upper layer refines what the first one knows
        read = torch.cat([states, context], dim=2) if self.attends else states
        result: Tensor = self.bridge(self.dropout(read))
        return result

    def forward(
        self,
        targets: Tensor,
        code: Tensor,
        mask: Tensor,
        word_dropout: float = 0.0,
        token_subset: Tensor | None = None,
        subset_offsets: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return logits of given sentences (teacher forcing), at real positions only.

        Args:
            targets: (batch, time) ids with the end id, padded at the right.
            code: (batch, vectors, size).
            mask: (batch, vectors).
            word_dropout: The probability that a preceding token is hidden.
            token_subset: (subset,) sorted ids that hold every target; only they get logits. None: all ids.
            subset_offsets: (subset,) added to their logits. None: nothing.

        Returns:
            Logits (real positions, vocabulary or subset) and the columns of their targets (real positions,), row
            by row.
        """
        begin = torch.full_like(targets[:, :1], BEGIN_ID)
        previous = torch.cat([begin, targets[:, :-1]], dim=1)  # (batch, time)
        if word_dropout > 0:
            hidden = torch.rand(previous.shape, device=previous.device) < word_dropout
            previous = previous.masked_fill(hidden & (previous != BEGIN_ID), UNKNOWN_ID)
        features = self.features(previous, code, mask)  # (batch, time, features)
        real = targets != PAD_ID  # (batch, time)
        wanted = targets[real]  # (real positions,)
        read = _filled_up(features[real])
        if token_subset is None:
            logits: Tensor = self.output(read)  # (filled up, vocabulary)
        else:
            # The gradient of a choice among rows without repetition is summed faster than that of any indexing.
            if self.embedding.sparse:
                weight = functional.embedding(token_subset, self.output.weight, sparse=True)
            else:
                weight = self.output.weight.index_select(0, token_subset)
            bias = self.output.bias.index_select(0, token_subset)
            if subset_offsets is not None:
                bias = bias + subset_offsets
            logits = functional.linear(read, weight, bias)  # (filled up, subset)
            wanted = torch.searchsorted(token_subset, wanted)
        return logits[: len(wanted)], wanted

    @torch.no_grad()
    def greedy(self, code: Tensor, mask: Tensor, maximum_length: int, token_subset: Tensor | None = None) -> Tensor:
        """Decode greedily: take the most probable token at each step; see ``sample``."""
        return self.sample(code, mask, maximum_length, token_subset, temperature=0.0)

    @torch.no_grad()
    def sample(
        self,
        code: Tensor,
        mask: Tensor,
        maximum_length: int,
        token_subset: Tensor | None = None,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        against: Decoder | None = None,
        amplification: float = 0.0,
    ) -> Tensor:
        """Decode by sampling: draw each token from its distribution.

        Args:
            code: (batch, vectors, size).
            mask: (batch, vectors).
            maximum_length: The length limit in tokens, with the end id.
            token_subset: (subset,) the ids to choose among, with the end id and no other special id. None: all ids with
                text.
            temperature: The divisor of the logits; 0: the most probable token.
            generator: The random generator; None: the device's default one.
            against: The decoder of another class, for contrastive decoding; None: none.
            amplification: The weight of the difference of their log-probabilities.

        Returns:
            (batch, steps) ids; each row is padded after its end id, and ``steps`` is the length of the longest row.
        """
        batch = code.size(0)
        token = torch.full((batch,), BEGIN_ID, dtype=torch.long, device=code.device)
        ended = torch.zeros(batch, dtype=torch.bool, device=code.device)
        own = _Steps(self, code, mask, token_subset)
        other = None if against is None else _Steps(against, code, mask, token_subset)
        steps: list[Tensor] = []
        for place in range(maximum_length):
            logits = own.advance(token, place)  # (batch, vocabulary)
            if other is not None:
                logits = _amplify(logits, other.advance(token, place), amplification)
            best = _draw(logits, temperature, generator) if temperature > 0 else logits.argmax(1)  # (batch,)
            if token_subset is not None:
                best = token_subset[best]
            token = best.masked_fill(ended, PAD_ID)
            steps.append(token)
            ended = ended | (token == END_ID)
            if bool(ended.all()):
                break
        return torch.stack(steps, dim=1)  # (batch, steps)


class _Steps:
    """Incremental decoder of a batch of codes, one token per step."""

    def __init__(self, decoder: Decoder, code: Tensor, mask: Tensor, token_subset: Tensor | None) -> None:
        self._decoder = decoder
        # (batch, size), (batch, places, size), (batch, places)
        self._summary, self._code, self._mask = decoder.read_code(code, mask)
        self._layers = [decoder.first, *decoder.upper]
        self._hidden = [code.new_zeros(code.size(0), layer.hidden_size) for layer in self._layers]
        self._cell = [code.new_zeros(code.size(0), layer.hidden_size) for layer in self._layers]
        self._whole = token_subset is None
        self._weight: Tensor = decoder.output.weight
        self._bias: Tensor = decoder.output.bias
        if token_subset is not None:
            self._weight, self._bias = self._weight[token_subset], self._bias[token_subset]

    def advance(self, token: Tensor, place: int) -> Tensor:
        """Read the preceding tokens (batch,) and return the next logits (batch, vocabulary or subset)."""
        decoder, hidden, cell = self._decoder, self._hidden, self._cell
        embedded = decoder.dropout(decoder.embedding(token))  # (batch, embedding)
        hidden[0], cell[0] = _lstm_step(decoder.first, torch.cat([embedded, self._summary], dim=1), hidden[0], cell[0])
        states = hidden[0]  # (batch, hidden)
        context = decoder.attend(states[:, None, :], self._code, self._mask, start=place)[:, 0]  # (batch, size)
        for number, layer in enumerate(decoder.upper, start=1):
            read = torch.cat([decoder.dropout(states), context], dim=1)
            hidden[number], cell[number] = _lstm_step(layer, read, hidden[number], cell[number])
            states = states + hidden[number]
        read = torch.cat([states, context], dim=1) if decoder.attends else states
        logits = functional.linear(decoder.bridge(decoder.dropout(read)), self._weight, self._bias)
        if self._whole:
            # Never produced: padding, the unknown id and the begin id have no text.
            logits[:, [PAD_ID, UNKNOWN_ID, BEGIN_ID]] = torch.finfo(logits.dtype).min
        return logits


def _filled_up(rows: Tensor) -> Tensor:
    """Pad rows with zeros to a multiple of ``ROWS``: (rows, size) to (padded, size).

    The number of real positions differs in each batch, and the processor's library compiles a kernel for each new size
    of a matmul, which takes longer than the matmul.
    """
    return functional.pad(rows, (0, 0, 0, -len(rows) % ROWS))


def _amplify(own: Tensor, other: Tensor, amplification: float) -> Tensor:
    """Contrast a decoder's logits with another's (contrastive decoding, Li et al. 2023).

    Only tokens that are plausible to the decoder itself stay: at least ``PLAUSIBLE`` times as probable as the most
    probable one.
    """
    # Differences of logits are those of log-probabilities but for one number a row, which changes no choice.
    plausible = own >= own.amax(1, keepdim=True) + math.log(PLAUSIBLE)
    return (own + amplification * (own - other)).masked_fill(~plausible, torch.finfo(own.dtype).min)


def _draw(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """Draw one column for each row of (batch, columns) logits, (batch,)."""
    mass = (logits.float() / temperature).softmax(1).cumsum(1)  # (batch, columns)
    # One random number a row: noise on every logit would cost more than the decoder.
    point = torch.rand(len(mass), 1, device=mass.device, generator=generator) * mass[:, -1:]
    return torch.searchsorted(mass, point, right=True)[:, 0].clamp(max=mass.size(1) - 1)


def _lstm_step(layer: nn.Module, read: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Advance a one-layer LSTM by one step on (batch, size) inputs, without the overhead for sequences."""
    assert isinstance(layer, nn.LSTM)
    from_read, from_hidden, read_bias, hidden_bias = layer.all_weights[0]
    gates = functional.linear(read, from_read, read_bias) + functional.linear(
        hidden, from_hidden, hidden_bias
    )  # (batch, 4 x hidden)
    into, forget, candidate, out = gates.chunk(4, dim=1)
    cell = forget.sigmoid() * cell + into.sigmoid() * candidate.tanh()
    return out.sigmoid() * cell.tanh(), cell
