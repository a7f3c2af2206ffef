"""What a training sets in its process: products elsewhere, never other numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from arae_transfer.training import processor

SETTINGS: Any = getattr(torch.backends.mkldnn, "matmul")  # noqa: B009 - unknown to the type checker


@pytest.fixture(autouse=True)
def settings_as_before() -> Iterator[None]:
    before = SETTINGS.fp32_precision
    yield
    SETTINGS.fp32_precision = before


def pretend(monkeypatch: pytest.MonkeyPatch, **capabilities: Any) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


def test_products_stay_in_single_precision() -> None:
    left, right = torch.randn(200, 300), torch.randn(300, 100)
    exact = left.double() @ right.double()
    processor.use_onednn_products()
    assert float((left @ right - exact).abs().max()) < 1e-4


def test_only_amd_processors_with_avx512_and_without_amx_change(monkeypatch: pytest.MonkeyPatch) -> None:
    SETTINGS.fp32_precision = "none"
    for others in (
        {"cpu_name": "Intel Xeon", "avx512_f": True},
        {"cpu_name": "AMD EPYC", "avx512_f": False},
        {"cpu_name": "AMD EPYC", "avx512_f": True, "amx_bf16": True},
        {},
    ):
        pretend(monkeypatch, **others)
        assert not processor.use_onednn_products()
        assert SETTINGS.fp32_precision == "none"


def test_a_library_that_rounds_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, cpu_name="AMD EPYC", avx512_f=True)
    plain = torch.eye
    SETTINGS.fp32_precision = "none"
    monkeypatch.setattr(torch, "eye", lambda size: plain(size) * (1 + 2.0**-8))
    assert not processor.use_onednn_products()
    assert SETTINGS.fp32_precision == "none"


def test_torchs_own_products_are_for_a_while() -> None:
    SETTINGS.fp32_precision = "bf16"
    with pytest.raises(KeyError), processor.torchs_own_products():
        assert SETTINGS.fp32_precision == "none"
        raise KeyError
    assert SETTINGS.fp32_precision == "bf16"


def test_native_bf16_is_read_off_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, avx512_bf16=True)
    assert processor.multiplies_bf16()
    pretend(monkeypatch, avx512_bf16=False, amx_bf16=False)
    assert not processor.multiplies_bf16()
