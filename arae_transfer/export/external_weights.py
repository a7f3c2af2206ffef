"""Weights in files beside the graphs, as ONNX's external data; equal weights are stored once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from arae_transfer.packing import read_weights
from arae_transfer.runtime.model_folder import ModelFolder

# Bytes that a weight must have to leave its graph.
_LEAST = 1 << 10
# Weights begin at multiples of so many bytes, whatever reads them: a cache line.
_ALIGNMENT = 64


@dataclass
class WeightsFile:
    """The concatenated weights of several graphs; equal ones are stored once.

    Attributes:
        name: The name of the file, which must be in the folder of the graphs.
    """

    name: str
    _offsets: dict[bytes, int] = field(default_factory=dict)
    _size: int = 0

    def hold(self, tensor: onnx.TensorProto) -> None:
        """Store the values of a tensor, unless they are stored already, and let the tensor refer to them."""
        values = tensor.raw_data
        if values not in self._offsets:
            self._offsets[values] = self._size
            self._size += len(values) + -len(values) % _ALIGNMENT
        refer(tensor, self.name, self._offsets[values], len(values))

    @property
    def content(self) -> bytes:
        """The content of the file."""
        return b"".join(values + bytes(-len(values) % _ALIGNMENT) for values in self._offsets)


@dataclass(frozen=True)
class WeightsFiles:
    """The weights of a model's graphs: a file that all classes share, and one for each class.

    Rewriting to one class reads no weights of another.

    Attributes:
        shared: The weights of the encoder, and those of the decoders of several classes.
        by_class: The weights that only the graphs of one class read.
    """

    shared: WeightsFile
    by_class: Mapping[str, WeightsFile]

    def take(
        self,
        encoder: onnx.ModelProto,
        decoders: Mapping[str, Sequence[onnx.ModelProto]],
        least: int = _LEAST,
    ) -> None:
        """Move weights out of graphs; weights that are in the files already, from another precision, stay there.

        Args:
            encoder: The encoder; it is changed.
            decoders: The graphs of each class; they are changed.
            least: The bytes of the smallest weight that moves.
        """
        readers: dict[bytes, set[str]] = {}
        large = {
            label: [each for graph in graphs for each in graph.graph.initializer if len(each.raw_data) >= least]
            for label, graphs in [("", [encoder]), *((f" {label}", graphs) for label, graphs in decoders.items())]
        }
        for label, tensors in large.items():
            for tensor in tensors:
                readers.setdefault(tensor.raw_data, set()).add(label)
        for label, tensors in large.items():
            for tensor in tensors:
                alone = readers[tensor.raw_data] == {label} and label
                (self.by_class[label[1:]] if alone else self.shared).hold(tensor)


def refer(tensor: onnx.TensorProto, file: str, offset: int, length: int) -> None:
    """Let a tensor refer to its values in a file."""
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, text in (("location", file), ("offset", str(offset)), ("length", str(length))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, text


def share_weights(graphs: Sequence[onnx.ModelProto], file: str, least: int = 1 << 16) -> bytes:
    """Move the weights that several graphs share into one file, as ONNX's external data.

    Args:
        graphs: The graphs; they are changed.
        file: The name of the file, which must be in their folder.
        least: The bytes of the smallest weight that moves.

    Returns:
        The content of the file; empty: the graphs share no weights, and are unchanged.
    """
    first, *others = ({tensor.name: tensor for tensor in graph.graph.initializer} for graph in graphs)
    content = b""
    for name, tensor in first.items():
        alike = [tensor, *(other[name] for other in others if name in other)]
        if len(alike) < len(graphs) or len(tensor.raw_data) < least or any(each != tensor for each in alike):
            continue
        where = (len(content), len(tensor.raw_data))
        content += tensor.raw_data
        for each in alike:
            refer(each, file, *where)
    return content


def move_int8_weights(graphs: Sequence[onnx.ModelProto], file: str, multiple: int = 8) -> bytes:
    """Move all int8 weights of some graphs into one file, equal ones once; see ``share_weights``.

    The length of the file is a multiple of ``multiple`` bytes.
    """
    places: dict[tuple[str, bytes], int] = {}
    parts: list[bytes] = []
    size = 0
    for graph in graphs:
        for tensor in graph.graph.initializer:
            if tensor.data_type != onnx.TensorProto.INT8:
                continue
            weights = tensor.raw_data
            key = (tensor.name, weights)
            if key not in places:
                places[key] = size
                parts.append(weights)
                size += len(weights)
            refer(tensor, file, places[key], len(weights))
    return b"".join([*parts, bytes(-size % multiple)])


def load_whole_graph(folder: ModelFolder, file: str) -> onnx.ModelProto:
    """Return an exported graph with all of its weights inside.

    Raises:
        AraeError: A file is missing or damaged.
    """
    graph = onnx.load_model_from_string(folder.read_file(file))
    contents: dict[str, bytes] = {}
    for tensor in graph.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            where = {entry.key: entry.value for entry in tensor.external_data}
            location = where["location"]
            if location not in contents:
                contents[location] = read_weights(location, folder.read_file(location))
            start = int(where["offset"])
            tensor.raw_data = contents[location][start : start + int(where["length"])]
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]
    return graph
