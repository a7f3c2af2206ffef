"""One step of an LSTM as ONNX nodes, for the loops of decoder and encoder."""

from __future__ import annotations

from collections.abc import Sequence

from arae_transfer.export.graph import GATES, Graph


def append_lstm_step(
    body: Graph, name: str, gates: Sequence[str], cell: str, outputs: tuple[str, str]
) -> tuple[str, str]:
    """Append one step of an LSTM layer from its gates.

    Args:
        body: The loop's body.
        name: The layer.
        gates: The gates of ``Graph.gates``: (batch, hidden) each before its activation.
        cell: (batch, hidden) the layer's cell state.
        outputs: The names for the next hidden and cell states.

    Returns:
        The names of the next hidden and cell states, (batch, hidden) each.
    """
    hidden_next, cell_next = outputs
    for part, gate in zip(GATES, gates, strict=True):
        body.node("Tanh" if part == "candidate" else "Sigmoid", [gate], f"{name}.{part}")
    new = body.node("Mul", [f"{name}.input", f"{name}.candidate"], f"{name}.new")
    kept = body.node("Mul", [f"{name}.forget", cell], f"{name}.kept")
    body.node("Add", [kept, new], cell_next)
    shown = body.node("Tanh", [cell_next], f"{name}.cell.tanh")
    body.node("Mul", [f"{name}.output", shown], hidden_next)
    return hidden_next, cell_next
