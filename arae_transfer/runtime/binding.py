"""An encoder and a decoder that run one after the other, with the code between them on their device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnxruntime import InferenceSession

from arae_transfer.runtime.device import Device

Int64 = npt.NDArray[np.int64]


def run_bound(
    encoder: InferenceSession,
    decoder: InferenceSession,
    device: Device,
    tokens: Int64,
    lengths: Int64,
    prefix: str,
    inputs: Mapping[str, npt.NDArray[Any]],
    outputs: Sequence[str],
) -> list[npt.NDArray[Any]]:
    """Run an encoder and a decoder, and return the decoder's outputs.

    Args:
        encoder: The encoder's session.
        decoder: The decoder's session.
        device: Where both run.
        tokens: Padded ids with end ids, of shape (batch, time).
        lengths: The number of ids of each row, of shape (batch,).
        prefix: What the decoder's names of the code, its mask and the source begin with.
        inputs: Further inputs of the decoder by name.
        outputs: The names of the decoder's outputs.
    """
    encoding = encoder.io_binding()
    encoding.bind_cpu_input("tokens", tokens)
    encoding.bind_cpu_input("lengths", lengths)
    encoding.bind_output("code", device.kind, device.index)
    encoding.bind_output("code_mask", device.kind, device.index)
    encoder.run_with_iobinding(encoding)
    code, mask = encoding.get_outputs()
    decoding = decoder.io_binding()
    decoding.bind_ortvalue_input(f"{prefix}code", code)
    decoding.bind_ortvalue_input(f"{prefix}code_mask", mask)
    if any(each.name == f"{prefix}source" for each in decoder.get_inputs()):
        # What may be written depends on what is rewritten.
        inputs = {**inputs, f"{prefix}source": tokens}
    for name, values in inputs.items():
        decoding.bind_cpu_input(name, values)
    for name in outputs:
        decoding.bind_output(name, "cpu")
    decoder.run_with_iobinding(decoding)
    return [found.numpy() for found in decoding.get_outputs()]
