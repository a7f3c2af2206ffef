"""Exported models on the Hugging Face Hub: from its cache, or downloaded file by file.

Only ``--model hf://owner/name`` leads here, so that nothing else imports the Hub's client or touches the network.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from arae_transfer import __version__
from arae_transfer.errors import AraeError
from arae_transfer.folders import HUB_PREFIX
from arae_transfer.layout import ExportLayout

if TYPE_CHECKING:
    from arae_transfer.export_config import FileRecord

_ADDRESS = re.compile(re.escape(HUB_PREFIX) + r"(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^@]+))?")
_COMPANIONS = ("README.md", "LICENSE")
"""What tells the terms; downloaded where the repository has it."""


def _to_standard_error(message: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"arae: {message}\n")


tell: Callable[[str], None] = _to_standard_error
"""Called with one line before anything is downloaded; commands put their own in its place."""


@dataclass(frozen=True)
class HubAddress:
    """The address of a model on the Hub.

    Attributes:
        repository: ``owner/name``.
        revision: A branch, a tag or a commit; None: the main branch.
    """

    repository: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> HubAddress:
        """Read ``hf://owner/name[@revision]``.

        Raises:
            AraeError: The address is malformed.
        """
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise AraeError(f"{text} is no address of a model on the Hub", f"write {HUB_PREFIX}owner/name[@revision].")
        return cls(match["repository"], match["revision"])

    def __str__(self) -> str:
        return HUB_PREFIX + self.repository + (f"@{self.revision}" if self.revision else "")


def find_on_hub(text: str) -> tuple[Path, str]:
    """Find the description of a model in the cache or on the Hub.

    A branch means the commit that the cache has for it, so a cached model needs no network.

    Args:
        text: ``hf://owner/name[@revision]``.

    Returns:
        The folder of the commit in the cache, which may hold only the description, and the address with the commit.

    Raises:
        AraeError: The address is malformed, the Hub's client is not installed, or there is no such model.
    """
    address = HubAddress.parse(text)
    config = _cached(address, ExportLayout.CONFIG) or _download(address, ExportLayout.CONFIG)
    return config.parent, str(HubAddress(address.repository, config.parent.name))


def fetch(text: str, records: Mapping[str, FileRecord], names: Iterable[str]) -> None:
    """Download those of a model's files that the cache lacks, and check them.

    Args:
        text: The address with the commit.
        records: What each file must be.
        names: The names of the files to download.

    Raises:
        AraeError: A file cannot be downloaded, or differs from the exported one.
    """
    address = HubAddress.parse(text)
    missing = [name for name in dict.fromkeys(names) if _cached(address, name) is None]
    if not missing:
        return
    if not _offline():
        megabytes = sum(records[name].size for name in missing) / 1e6
        files = f"{len(missing)} file{'s' * (len(missing) != 1)}"
        tell(f"downloading {files}, {megabytes:.1f} MB, of {address}")
    for name in missing:
        _check(_download(address, name), records[name], address)
    for name in _COMPANIONS:
        _download_if_there(address, name)


def _check(path: Path, record: FileRecord, address: HubAddress) -> None:
    """Check a downloaded file against its SHA-256, and remove a wrong one from the cache."""
    import hashlib

    content = path.read_bytes()
    if len(content) == record.size and hashlib.sha256(content).hexdigest() == record.sha256:
        return
    content_path = path.resolve()
    path.unlink()
    content_path.unlink(missing_ok=True)
    raise AraeError(
        f"{path.name} of {address} is not the file that was exported: its SHA-256 or size is not that in "
        f"{ExportLayout.CONFIG}",
        "try again; if it stays so, tell the owner of the repository to upload the whole folder at once.",
    )


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _cached(address: HubAddress, name: str) -> Path | None:
    """Return the path of a file in the cache, without using the network."""
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError as error:
        raise AraeError(
            f"{address} needs huggingface-hub, which the base install leaves out",
            f"type: pip install 'arae-transfer[hub]' (or: hf download {address.repository} --local-dir X, and give "
            "--model X)",
        ) from error
    try:
        found = try_to_load_from_cache(address.repository, name, revision=address.revision)
    except HFValidationError as error:
        raise AraeError(f"{address} is no address of a model on the Hub: {_first_line(error)}") from error
    return Path(found) if isinstance(found, str) else None


def _download_if_there(address: HubAddress, name: str) -> None:
    """Download an optional file; without it the model can still be used."""
    try:
        if _cached(address, name) is None:
            _download(address, name)
    except AraeError:
        return


def _download(address: HubAddress, name: str) -> Path:
    from huggingface_hub import constants, errors, hf_hub_download

    if _offline():
        raise AraeError(
            f"{address} lacks {name} in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE forbids the network",
            f"unset HF_HUB_OFFLINE once, or fill the cache elsewhere: hf download {address.repository}",
        )
    try:
        with _reticent_client():
            path = hf_hub_download(
                address.repository,
                name,
                revision=address.revision,
                library_name="arae-transfer",
                library_version=__version__,
            )
        return Path(path)
    except errors.GatedRepoError as error:
        raise AraeError(
            f"{address} asks its users to agree to its terms", "agree on its page, then type: hf auth login"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise AraeError(
            f"the Hub has no model {address.repository}, or shows it to nobody who is not logged in",
            "check the name; for a private model type: hf auth login",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise AraeError(f"{address.repository} has no revision {address.revision!r}") from error
    except errors.LocalEntryNotFoundError as error:
        raise _unreachable(address, name, error.__cause__ or error) from error
    except errors.EntryNotFoundError as error:
        raise AraeError(
            f"{address} has no {name}",
            "give the repository of an exported model: a folder that `arae export` wrote.",
        ) from error
    except Exception as error:  # each version of the client has its own HTTP library, and that its own exceptions
        raise _unreachable(address, name, error) from error


@contextmanager
def _reticent_client() -> Iterator[None]:
    """Keep the Hub's client from drawing progress bars, and from sending more than the name of the file."""
    from huggingface_hub import constants
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    shown, telemetry = not are_progress_bars_disabled(), constants.HF_HUB_DISABLE_TELEMETRY
    disable_progress_bars()
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = telemetry
        if shown:
            enable_progress_bars()


def _unreachable(address: HubAddress, name: str, error: BaseException) -> AraeError:
    return AraeError(
        f"cannot download {name} of {address}: {_first_line(error)}",
        f"check the connection; or download it elsewhere, hf download {address.repository} --local-dir X, and give "
        "--model X",
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
