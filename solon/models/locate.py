"""What a MODEL argument names: folders of weights and adapters on this machine, or servers. Nothing is loaded here."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from solon.errors import ModelError

NANO = Path(__file__).parent / "nano"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
HUB_FILES = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
GRAMMAR = "a MODEL is `nano`, a folder, a hub id, `http://host:port/v1#name`, `runs/NAME` or `BASE+ADAPTER_DIR`"


@dataclass(frozen=True)
class Located:
    """Where a model is: either `folder` (and perhaps `adapter`), or `urls` and the name `served` there."""

    spec: str
    folder: Path = Path()
    adapter: Path | None = None
    urls: tuple[str, ...] = ()
    served: str = ""

    def weights_only(self) -> Path:
        """The folder, when there is one and no adapter lies over it.

        Raises:
            ModelError: a server, or a base with an adapter.
        """
        if self.urls:
            raise ModelError(
                f"{self.spec}: expected a folder of weights, got a server",
                mend="name a local model to train with --train-model",
            )
        if self.adapter is not None:
            raise ModelError(
                f"{self.spec}: expected a folder of full weights, got a base with the adapter {self.adapter}",
                mend="merge the adapter first, or name the base",
            )
        return self.folder


def locate(spec: str, *, adapter: str | None = None) -> Located:
    """Read a MODEL argument. A hub id is downloaded into the hub cache unless it is there already.

    Raises:
        ModelError: nothing of that name; the message says what was looked for.
    """
    if not spec.strip():
        raise ModelError("MODEL: expected the name of a model, got an empty one", mend=GRAMMAR)
    if spec.startswith(("http://", "https://")):
        if adapter:
            raise ModelError(f"{spec}: an adapter cannot be laid over a served model", mend="load it in the server instead")
        return _servers(spec)
    base, over = _split_adapter(spec)
    if over is None and adapter:
        over = _adapter_folder(Path(adapter).expanduser())
    if over is not None:
        folder = _folder(base).weights_only()
        return Located(spec, folder=folder, adapter=over)
    return _folder(spec)


def _servers(spec: str) -> Located:
    addresses, _, name = spec.partition("#")
    urls = tuple(part.strip().rstrip("/") for part in addresses.split(",") if part.strip())
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ModelError(f"{url}: expected http://host:port/v1, got no address of a server", mend=GRAMMAR)
    if not name:
        raise ModelError(
            f"{spec}: expected http://host:port/v1#NAME, got no name of a model",
            mend=f"write {addresses}#NAME, as the server lists it under /models",
        )
    return Located(spec, urls=urls, served=name)


def _split_adapter(spec: str) -> tuple[str, Path | None]:
    """`BASE+ADAPTER_DIR` into its parts. A `+` inside a path is a plain character where the whole path exists."""
    if "+" not in spec or Path(spec).expanduser().exists():
        return spec, None
    for at in [m.start() for m in re.finditer(r"\+", spec)]:
        over = Path(spec[at + 1 :]).expanduser()
        if over.is_dir():
            return spec[:at], _adapter_folder(over)
    raise ModelError(
        f"{spec}: expected an adapter folder after +, got {spec.rpartition('+')[2]!r}",
        mend="BASE+ADAPTER_DIR needs an existing PEFT adapter folder",
    )


def _adapter_folder(path: Path) -> Path:
    if (path / "adapter_config.json").is_file():
        return path.resolve()
    if (path / "adapter" / "adapter_config.json").is_file():  # a run folder
        return (path / "adapter").resolve()
    raise ModelError(f"{path}: expected a PEFT adapter folder with adapter_config.json", mend=f"it {_seen(path)}")


def _folder(spec: str) -> Located:
    """A local folder, a run, `nano`, or a hub id, in this order."""
    if spec == "scripted":
        raise ModelError(
            "scripted: expected a model, got the test double", mend=f"use it from Python (solon.models.Scripted); {GRAMMAR}"
        )
    if spec == "nano":
        return Located(spec, folder=_full(NANO, spec))
    path = Path(spec).expanduser()
    if path.is_file():
        raise ModelError(f"{spec}: expected a model folder, got a file", mend=GRAMMAR)
    if path.is_dir():
        return _run(path, spec) or Located(spec, folder=_full(path, spec))
    if _looks_local(spec) or not HUB_ID.fullmatch(spec):
        raise ModelError(f"{spec}: expected a model folder, got nothing there", mend=f"{_nearby(path)}{GRAMMAR}")
    return Located(spec, folder=_full(_from_hub(spec), spec))


def _looks_local(spec: str) -> bool:
    return spec.startswith((".", "/", "~", "runs/")) or spec.endswith("/") or spec.count("/") > 1


def _run(path: Path, spec: str) -> Located | None:
    """The chosen checkpoint of a run folder: its `model/`, else its `adapter/` over the base that the adapter names."""
    if (path / "config.json").is_file():
        return None
    if (path / "model" / "config.json").is_file():
        return Located(spec, folder=_full(path / "model", spec))
    if (path / "adapter" / "adapter_config.json").is_file():
        over = (path / "adapter").resolve()
        return Located(spec, folder=_base_of(over), adapter=over)
    if (path / "adapter_config.json").is_file():
        return Located(spec, folder=_base_of(path), adapter=path.resolve())
    if (path / "config.yaml").is_file() or (path / "manifest.json").is_file():
        raise ModelError(
            f"{spec}: expected a run with model/ or adapter/, got one without",
            mend="let the run finish: solon run with the same --out continues it",
        )
    return None


def _base_of(adapter: Path) -> Path:
    """The base that an adapter says it was trained on."""
    try:
        base = str(json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{adapter}/adapter_config.json: names no base model", mend="write the model as BASE+ADAPTER_DIR"
        ) from error
    near = adapter / base
    if not Path(base).is_absolute() and near.is_dir():
        return _full(near, str(near))
    try:
        return locate(base).weights_only()
    except ModelError as error:
        raise ModelError(
            f"{adapter}: its base {base!r} cannot be opened ({error.what})", mend="write the model as BASE+ADAPTER_DIR"
        ) from error


def _full(path: Path, spec: str) -> Path:
    """`path`, when it holds a configuration and weights that `from_pretrained` would load."""
    if not (path / "config.json").is_file():
        raise ModelError(f"{spec}: expected a model folder with config.json, {path} {_seen(path)}", mend=GRAMMAR)
    if not any(path.glob("*.safetensors")) and not any(path.glob("pytorch_model*.bin")):
        raise ModelError(
            f"{spec}: expected weights (*.safetensors) in {path}, got config.json without them",
            mend="save or download the model again",
        )
    if not any(
        (path / name).is_file()
        for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tokenizer_config.json")
    ):
        raise ModelError(
            f"{spec}: expected tokenizer files in {path}, got none", mend="copy tokenizer.json and tokenizer_config.json into it"
        )
    return path.resolve()


def _from_hub(spec: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(spec, allow_patterns=HUB_FILES))
    except GatedRepoError as error:
        raise ModelError(
            f"{spec}: the hub wants you to accept this model's terms", mend="accept them there and log in with `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelError(
            f"{spec}: expected a folder or a model of the hub, got neither",
            mend=f"{_nearby(Path(spec))}{GRAMMAR}",
        ) from error
    except (OSError, ValueError, RuntimeError) as error:  # every other hub and network failure derives from one of these
        raise ModelError(
            f"{spec}: expected a folder or a model of the hub, got neither: "
            f"the hub could not be reached ({type(error).__name__})",
            mend="check the network, or download the model elsewhere and give its folder",
        ) from error


def _seen(path: Path) -> str:
    if not path.is_dir():
        return "does not exist"
    names = sorted(child.name for child in path.iterdir())
    return "is empty" if not names else f"holds {', '.join(names[:6])}{' …' if len(names) > 6 else ''}"


def _nearby(path: Path) -> str:
    from solon.errors import nearest

    parent = path.parent
    known = [child.name for child in parent.iterdir() if child.is_dir()] if parent.is_dir() else []
    guess = nearest(path.name, known)
    return f"{guess} " if guess else ""
