"""Templates for principles that come without: written from the principle's own words and numbered directives."""

from __future__ import annotations

from solon.constitution.types import Directive, Principle


def _listed(directives: tuple[Directive, ...]) -> str:
    return "\n".join(f"- {d.id}: {d.text}" for d in directives)


def critique_template(title: str, text: str, directives: tuple[Directive, ...]) -> str:
    """A question whether a reply keeps the principle."""
    question = f'Does the reply keep the principle "{title}"? Name the passage that falls short of it, if any.'
    if directives:
        return f"{question} Consider each directive:\n{_listed(directives)}"
    return f"{question} The principle says: {text}" if text and text != title else question


def revision_guideline(title: str, text: str, directives: tuple[Directive, ...]) -> str:
    """A request to rewrite a reply so that it keeps the principle."""
    request = f'Rewrite the reply so that it keeps the principle "{title}" and still answers as far as the principle allows.'
    if directives:
        return f"{request} Follow these directives:\n{_listed(directives)}"
    return f"{request} The principle says: {text}" if text and text != title else request


def completed(principle: Principle) -> Principle:
    """The principle with its missing templates written and named in `synthesised`."""
    new: dict[str, object] = {}
    for name, write in (("critique_template", critique_template), ("revision_guideline", revision_guideline)):
        if not getattr(principle, name):
            new[name] = write(principle.title, principle.text, principle.directives)
    if not new:
        return principle
    return principle.model_copy(update={**new, "synthesised": tuple(new)})
