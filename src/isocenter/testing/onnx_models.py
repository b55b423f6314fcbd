"""Small ONNX models for tests, written as the protocol buffers that they are (onnx.proto, IR version 8)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_FLOAT, _INT64 = 1, 7


def dominant_colour(size: int | None = 8) -> bytes:
    """Classifies: the means of red, green and blue as (1, 3); `size` None takes any."""
    sides: list[int | str] = [1, 3, *((size, size) if size else ("rows", "columns"))]
    nodes = [_node("GlobalAveragePool", ["image"], ["mean"]), _node("Flatten", ["mean"], ["scores"])]
    return _model(nodes, [], [_value("image", _FLOAT, sides)], [_value("scores", _FLOAT, [1, 3])])


def fixed_boxes(corners: Sequence[Sequence[float]], scores: Sequence[float], labels: Sequence[int], size: int) -> bytes:
    """Detects: always these boxes, in pixels of an image of (1, size, size, 3)."""
    given = {
        "boxes": np.asarray(corners, "<f4").reshape(-1, 4),
        "scores": np.asarray(scores, "<f4"),
        "labels": np.asarray(labels, "<i8"),
    }
    nodes = [_node("Identity", [f"fixed_{name}"], [name]) for name in given]
    tensors = [_tensor(f"fixed_{name}", values) for name, values in given.items()]
    outputs = [_value(n, _INT64 if v.dtype.kind == "i" else _FLOAT, list(v.shape)) for n, v in given.items()]
    return _model(nodes, tensors, [_value("image", _FLOAT, [1, size, size, 3])], outputs)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _node(kind: str, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    names = b"".join(_field(1, name) for name in inputs) + b"".join(_field(2, name) for name in outputs)
    return names + _field(4, kind)


def _tensor(name: str, values: npt.NDArray[np.generic]) -> bytes:
    dims = b"".join(_field(1, size) for size in values.shape)
    kind = _INT64 if values.dtype.kind == "i" else _FLOAT
    return dims + _field(2, kind) + _field(8, name) + _field(9, values.tobytes())


def _value(name: str, kind: int, sides: Sequence[int | str]) -> bytes:
    dims = b"".join(_field(1, _field(1, side) if isinstance(side, int) else _field(2, side)) for side in sides)
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, dims)))


def _model(
    nodes: Sequence[bytes], tensors: Sequence[bytes], inputs: Sequence[bytes], outputs: Sequence[bytes]
) -> bytes:
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, "test")
    graph += b"".join(_field(5, tensor) for tensor in tensors)
    graph += b"".join(_field(11, value) for value in inputs) + b"".join(_field(12, value) for value in outputs)
    return _field(1, 8) + _field(8, _field(1, "") + _field(2, 13)) + _field(7, graph)
