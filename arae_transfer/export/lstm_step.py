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
    three_and_one = body.constant("gates.sizes", [3 * hidden_size, hidden_size])
    body.nodes("Split", [gates, three_and_one], [f"{name}.valves", f"{name}.candidate"], axis=1)
    opened = body.node("Sigmoid", [f"{name}.valves"], f"{name}.opened")  # (batch, 3 x hidden)
    valves = [f"{name}.input", f"{name}.output", f"{name}.forget"]
    body.nodes("Split", [opened, body.constant("valves.sizes", [hidden_size] * 3)], valves, axis=1)
    candidate = body.node("Tanh", [f"{name}.candidate"], f"{name}.candidate.tanh")
    new = body.node("Mul", [f"{name}.input", candidate], f"{name}.new")
    kept = body.node("Mul", [f"{name}.forget", cell], f"{name}.kept")
    body.node("Add", [kept, new], cell_next)
    shown = body.node("Tanh", [cell_next], f"{name}.cell.tanh")
    body.node("Mul", [f"{name}.output", shown], hidden_next)
    return hidden_next, cell_next
