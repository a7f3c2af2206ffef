"""One step of an LSTM as ONNX nodes, for the loops of decoder and encoder."""

from __future__ import annotations

from arae_transfer.export.graph import Graph


def append_lstm_step(
    body: Graph, name: str, gates: str, cell: str, hidden_size: int, outputs: tuple[str, str]
) -> tuple[str, str]:
    """Append one step of an LSTM layer whose gates are computed already.

    Args:
        body: The loop's body.
        name: The layer.
        gates: (batch, 4 x hidden) before their activations, in ONNX's order: input, output, forget, candidate.
        cell: (batch, hidden) the layer's cell state.
        hidden_size: The size of a state.
        outputs: The names for the next hidden and cell states.

    Returns:
        The names of the next hidden and cell states, (batch, hidden) each.
    """
    hidden_next, cell_next = outputs
    parts = [f"{name}.{part}" for part in ("input.gate", "output.gate", "forget.gate", "candidate")]
    body.nodes("Split", [gates, body.constant("gates.sizes", [hidden_size] * 4)], parts, axis=1)
    for part in ("input", "output", "forget"):
        body.node("Sigmoid", [f"{name}.{part}.gate"], f"{name}.{part}")
    candidate = body.node("Tanh", [f"{name}.candidate"], f"{name}.candidate.tanh")
    new = body.node("Mul", [f"{name}.input", candidate], f"{name}.new")
    kept = body.node("Mul", [f"{name}.forget", cell], f"{name}.kept")
    body.node("Add", [kept, new], cell_next)
    shown = body.node("Tanh", [cell_next], f"{name}.cell.tanh")
    body.node("Mul", [f"{name}.output", shown], hidden_next)
    return hidden_next, cell_next
