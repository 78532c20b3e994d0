"""Looking at a model's tensors: what shares memory with what, and what the numbers look like.

Ties are found by storage, not by what the configuration or the class says; both are then compared and disagreements reported.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from typing import Any

import torch
from torch import nn

from solon.checkpoints import tensor_health
from solon.checkpoints.describe import embeddings_tied
from solon.checkpoints.errors import UnknownTensor
from solon.checkpoints.hashing import chunk_name
from solon.checkpoints.tensors import Slot, logical_bytes, model_slots, read_chunks, sharing
from solon.errors import InputError, nearest

TWIN_ELEMENTS = 64  # smaller tensors are equal by chance or by initialisation
OUTLIER_SIGMAS = 6.0
HEADED = re.compile(r"\b[qkvo]_proj\.weight$")


class WeightInspector:
    """What a model is made of.

    Args:
        model: any module of plain tensors.
        name: for people; appears in reports.
    """

    def __init__(self, model: nn.Module, name: str = "") -> None:
        self.model = model
        self.name = name or type(model).__name__

    def _slots(self) -> list[Slot]:
        return model_slots(self.model)

    def _tensor(self, name: str) -> torch.Tensor:
        for slot in self._slots():
            if name in slot.names:
                return slot.tensor.detach()
        known = {n for slot in self._slots() for n in slot.names}
        raise UnknownTensor(
            f"{self.name}: expected the name of one of its tensors, got {name!r}",
            mend=nearest(name, known) or "see `layers()` for the names",
        )

    def get_shared_weights(self) -> list[list[str]]:
        """Groups of names that are one and the same tensor, e.g. [["model.embed_tokens.weight", "lm_head.weight"]]."""
        return [list(slot.names) for slot in self._slots() if len(slot.names) > 1]

    def coupled_with(self, name: str) -> list[str]:
        """The other names whose memory an edit of `name` touches: ties and overlapping views.

        Raises:
            UnknownTensor
        """
        self._tensor(name)
        return sorted(self.couplings()[name] - {name})

    def couplings(self) -> dict[str, frozenset[str]]:
        """Every name -> the names in its memory, itself included; for many names at once."""
        return sharing(self._slots())

    def group(self, name: str) -> tuple[str, ...]:
        """All names in the same memory, sorted: the identity of a treatment."""
        return tuple(sorted({name, *self.coupled_with(name)}))

    def partial_overlaps(self) -> list[list[str]]:
        """Canonical names of different tensors in one allocation (views of one another)."""
        groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
        for slot in self._slots():
            groups[slot.storage].append(slot.name)
        return [names for names in groups.values() if len(names) > 1]

    def equal_twins(self) -> list[list[str]]:
        """Separate tensors with equal contents, as a lost tie leaves them. Small and constant tensors are left out."""
        found: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for slot in self._slots():
            if slot.tensor.numel() < TWIN_ELEMENTS:
                continue
            flat = logical_bytes(slot.tensor)
            size = slot.tensor.element_size()
            if torch.equal(flat[size:], flat[:-size]):
                continue
            key = (
                str(slot.tensor.dtype),
                str(list(slot.tensor.shape)),
                *(chunk_name(data) for _, data in read_chunks(slot.tensor)),
            )
            found[key].append(slot.name)
        return [names for names in found.values() if len(names) > 1]

    def tie_findings(self) -> list[str]:
        """Disagreements between the memory, the configuration and the class about ties; empty when they agree."""
        findings = [f"equal but separate (a lost tie?): {' = '.join(names)}" for names in self.equal_twins()]
        findings += [f"views of one memory: {', '.join(names)}" for names in self.partial_overlaps()]
        wanted = getattr(getattr(self.model, "config", None), "tie_word_embeddings", None)
        tied = embeddings_tied(self.model)
        if wanted is not None and tied is not None and tied != bool(wanted):
            findings.append(
                f"the configuration says tie_word_embeddings={bool(wanted)}, but input and output embeddings are "
                f"{'one tensor' if tied else 'separate tensors'}"
            )
        return findings

    def layers(self) -> list[dict[str, Any]]:
        """One record per tensor: name, shape, dtype, kind, elements, bytes, aliases, trainable."""
        return [
            {
                "name": slot.name,
                "shape": list(slot.tensor.shape),
                "dtype": str(slot.tensor.dtype).removeprefix("torch."),
                "kind": slot.kind,
                "elements": slot.tensor.numel(),
                "bytes": slot.nbytes,
                "aliases": slot.names[1:],
                "trainable": slot.tensor.requires_grad,
            }
            for slot in self._slots()
        ]

    def statistics(self, name: str) -> dict[str, Any]:
        """Count, NaN, Inf, mean, standard deviation, absmax, norm, share of zeros, outliers beyond 6 sigma, dead rows.

        Moments are over finite elements, in float64.

        Raises:
            UnknownTensor
        """
        tensor = self._tensor(name)
        health = tensor_health(tensor, sums=True)
        good = health.count - health.nan - health.inf
        mean = (health.sum or 0.0) / good if good else math.nan
        squares = health.square_sum or 0.0
        std = math.sqrt(max(0.0, squares / good - mean * mean)) if good else math.nan
        wide = tensor.to(torch.float32) if not tensor.is_complex() else torch.view_as_real(tensor).float()
        far = int(((wide - mean).abs() > OUTLIER_SIGMAS * std).sum()) if good and std > 0 else 0
        return {
            "name": name,
            "count": health.count,
            "nan": health.nan,
            "inf": health.inf,
            "mean": mean,
            "std": std,
            "absmax": health.absmax,
            "norm": math.sqrt(squares),
            "zeros": float((wide == 0).sum()) / health.count if health.count else 0.0,
            "outliers": far,
            "dead_rows": len(dead_rows(tensor)),
        }

    def attention_head_norms(self, name: str, heads: int | None = None) -> list[float]:
        """L2 norm of each head's block of an attention projection: rows of q, k, v, columns of o (by the module's name).

        Args:
            heads: number of blocks; default from the configuration (key and value projections use their own number).

        Raises:
            UnknownTensor. InputError: the number of heads is unknown or does not divide the tensor.
        """
        tensor = self._tensor(name).float()
        module = name.rsplit(".", 2)[-2] if "." in name else name
        config = getattr(self.model, "config", None)
        field = "num_key_value_heads" if module[:1] in ("k", "v") else "num_attention_heads"
        count = heads or getattr(config, field, None) or getattr(config, "num_attention_heads", None)
        dim = 1 if tensor.dim() > 1 and module.startswith(("o", "out", "c_proj", "dense")) else 0
        if not count or tensor.shape[dim] % int(count):
            raise InputError(f"{name}: expected a number of heads dividing {tensor.shape[dim]}, got {count}", mend="pass heads=…")
        return [float(block.norm()) for block in tensor.chunk(int(count), dim=dim)]

    def compare(self, other: nn.Module) -> list[dict[str, Any]]:
        """What differs from another live model: per tensor name, l2, relative, largest (`change` is then `values`); or a change
        of shape or dtype, a name that only one has, or a tie that only one has.
        """
        mine, theirs = self._slots(), model_slots(other)
        names = {n for slot in theirs for n in slot.names}
        ours = {n for slot in mine for n in slot.names}
        found: list[dict[str, Any]] = [{"name": n, "change": "only here"} for n in sorted(ours - names)]
        found += [{"name": n, "change": "only there"} for n in sorted(names - ours)]
        ties = [{tuple(slot.names) for slot in slots if len(slot.names) > 1} for slots in (mine, theirs)]
        found += [{"name": " = ".join(group), "change": "tied only here"} for group in sorted(ties[0] - ties[1])]
        found += [{"name": " = ".join(group), "change": "tied only there"} for group in sorted(ties[1] - ties[0])]
        tensors = {n: slot.tensor.detach() for slot in theirs for n in slot.names}
        pairs = ((slot.name, slot.tensor.detach(), tensors.get(slot.name)) for slot in mine)
        return found + [row for name, a, b in pairs if b is not None and (row := _difference(name, a, b))]

    def report(self, *, statistics: bool = True) -> dict[str, Any]:
        """Everything `solon lab inspect` shows."""
        layers = self.layers()
        return {
            "name": self.name,
            "tensors": len(layers),
            "elements": sum(layer["elements"] for layer in layers),
            "bytes": sum(layer["bytes"] for layer in layers),
            "shared": self.get_shared_weights(),
            "findings": self.tie_findings(),
            "layers": [{**layer, **(self.statistics(layer["name"]) if statistics else {})} for layer in layers],
            "heads": {layer["name"]: self.attention_head_norms(layer["name"]) for layer in layers if self._has_heads(layer)},
        }

    def _has_heads(self, layer: dict[str, Any]) -> bool:
        """Whether a tensor is an attention projection by its name (`q_proj`, `o_proj`, ...) and splits into the known heads."""
        if len(layer["shape"]) != 2 or not HEADED.search(layer["name"]):
            return False
        try:
            self.attention_head_norms(layer["name"])
        except InputError:
            return False
        return True


def _difference(name: str, a: torch.Tensor, b: torch.Tensor) -> dict[str, Any] | None:
    if a.shape != b.shape or a.dtype != b.dtype:
        return {"name": name, "change": f"{tuple(a.shape)} {a.dtype} -> {tuple(b.shape)} {b.dtype}"}
    if torch.equal(logical_bytes(a).cpu(), logical_bytes(b).cpu()):
        return None
    before, after = ((torch.view_as_real(t) if t.is_complex() else t).cpu().double() for t in (a, b))
    difference = after - before
    norm, l2, largest = float(before.norm()), float(difference.norm()), float(difference.abs().max())
    return {"name": name, "change": "values", "l2": l2, "relative": l2 / norm if norm else math.inf, "largest": largest}


def dead_rows(tensor: torch.Tensor) -> list[int]:
    """Indices of rows (first dimension, of tensors with at least two) that are all zero."""
    if tensor.dim() < 2 or tensor.numel() == 0 or tensor.is_complex():
        return []
    flat = tensor.detach().reshape(tensor.shape[0], -1)
    return torch.nonzero((flat == 0).all(dim=1)).flatten().tolist()


def as_lines(report: dict[str, Any]) -> list[str]:
    """A report for a terminal: totals, warnings, then one line per tensor."""
    size = f"{report['bytes'] / 1e6:,.2f} MB"
    lines = [f"{report['name']}: {report['tensors']} tensors, {report['elements']:,} elements, {size}"]
    lines += [f"warning: {' = '.join(group)}: one tensor, an edit of one is an edit of all" for group in report["shared"]]
    lines += [f"warning: {text}" for text in report["findings"]]
    width = max((len(layer["name"]) for layer in report["layers"]), default=6)
    lines.append(
        f"  {'tensor':<{width}} {'shape':<16} {'dtype':<9} {'std':>9} {'absmax':>9} {'>6 sd':>6} {'dead':>5}  head norms"
    )
    for layer in report["layers"]:
        norms = report["heads"].get(layer["name"])
        heads = f"{min(norms):.3g} to {max(norms):.3g}" if norms else ""
        odd = f"  NaN {layer['nan']} Inf {layer['inf']}" if layer["nan"] or layer["inf"] else ""
        lines.append(
            f"  {layer['name']:<{width}} {layer['shape']!s:<16} {layer['dtype']:<9} {layer['std']:>9.4g} {layer['absmax']:>9.4g} "
            f"{layer['outliers']:>6} {layer['dead_rows']:>5}  {heads}{odd}".rstrip()
        )
    return lines


def difference_lines(report: dict[str, Any]) -> list[str]:
    """What `compare` found, for a terminal."""
    lines = [f"{report['name']} against {report['against']}: {len(report['differences'])} tensors differ"]
    for one in report["differences"]:
        numbers = f"relative {one['relative']:.3e}  largest {one['largest']:.3e}" if "relative" in one else one["change"]
        lines.append(f"  {one['name']:<48} {numbers}")
    return lines
