"""What ships and what is written fits the schemas that `solon schema` prints, and a slip in it does not."""

from __future__ import annotations

import copy
import csv
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from solon.constitution import check_report, library_names, load, source_file, template, template_kinds
from solon.constitution.keys import DOCUMENTED
from solon.run.schemas import schema_names, schema_of
from tests.run.small import finish

ROOT = Path(__file__).parents[2]


def complaints(name: str, value: Any) -> list[str]:
    """What the schema finds wrong with a value."""
    checker = jsonschema.Draft202012Validator(schema_of(name), format_checker=jsonschema.FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in checker.iter_errors(value)]


def front_matter(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text.split("---\n")[1])


@pytest.mark.parametrize("name", schema_names())
def test_every_schema_is_one(name: str) -> None:
    schema = schema_of(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize(
    ("said", "meant"), [("pairs.jsonl", "pair"), ("evaluation/base.jsonl", "evaluation"), ("Summary.json", "summary")]
)
def test_a_file_may_be_named_as_it_lies(said: str, meant: str) -> None:
    assert schema_of(said) == schema_of(meant)


@pytest.mark.parametrize("name", library_names())
def test_library_constitutions_fit(name: str) -> None:
    found = front_matter(source_file(name).read_text())
    assert complaints("constitution", found) == []
    assert complaints("check", check_report(load(name))) == []
    assert complaints("constitution", found | {"limitz": {}}) and complaints("constitution", found | {"version": 0})


@pytest.mark.parametrize("kind", template_kinds())
def test_templates_fit(kind: str) -> None:
    assert complaints("constitution", front_matter(template(kind))) == []


def test_limits_fit_flat_and_grouped_and_out_of_range_does_not() -> None:
    value = YAML(typ="safe", pure=True).load
    flat = {key.name: value(key.default) for key in DOCUMENTED if key.group not in ("governance", "meta_learning", "emergency")}
    grouped: dict[str, Any] = {}
    for key in DOCUMENTED:
        grouped.setdefault(key.group, {})[key.name] = value(key.default)
    assert len(DOCUMENTED) == 30
    assert complaints("constitution", {"limits": flat}) == complaints("constitution", {"limits": grouped}) == []
    for name, bad in {"max_leverage": -1, "stop_loss_required": "yes", "margin_buffer": 30, "mx_leverage": 2}.items():
        assert complaints("constitution", {"limits": flat | {name: bad}}), name
    assert complaints("constitution", {"limits": {"max_leverage": "2x", "margin_buffer": "30 %"}}) == []


def example(name: str) -> Any:
    return json.loads((ROOT / "examples/agent_budget" / name).read_text())


def test_the_example_action_and_state_fit() -> None:
    action, state = example("action.json"), example("state.json")
    assert complaints("action", action) == complaints("state", state) == []
    assert complaints("constitution", front_matter((ROOT / "examples/agent_budget/constitution.md").read_text())) == []
    words = {"id": "t1", "agent": "x", "kind": "text", "text": "May I?", "ts": "2026-11-20T15:30:00Z"}
    assert (
        complaints("action", words) == []
        and complaints("action", words | {"qty": "1"})
        and complaints("action", words | {"text": ""})
    )
    for name in ("action", "state"):
        assert complaints(name, json.loads((ROOT / f"examples/trading_desk/{name}.json").read_text())) == []
    assert complaints("constitution", front_matter((ROOT / "examples/trading_desk/constitution.md").read_text())) == []
    assert complaints("action", action | {"qty": 1.5}) and complaints("action", {k: v for k, v in action.items() if k != "side"})
    assert complaints("action", action | {"ts": "yesterday"}) and complaints("action", action | {"ts": "2026-11-20T15:30:00"})
    broken = copy.deepcopy(state)
    broken["cash"] = 100.0
    assert complaints("state", broken)


@pytest.mark.slow
def test_records_of_the_policy_fit() -> None:
    """What the policy itself writes, and what `solon decide` prints."""
    from solon.policy.parsing import action_record, parse_action, parse_state, state_record

    action, state = parse_action(example("action.json")), parse_state(example("state.json"))
    assert complaints("action", action_record(action)) == complaints("state", state_record(state)) == []
    here = ROOT / "examples/agent_budget"
    words = ["decide", str(here / "action.json"), "--state", str(here / "state.json"), "--constitution"]
    verdict = json.loads(finish(*words, str(here / "constitution.md"), "--json").stdout)
    assert complaints("decision", verdict) == []
    assert complaints("decision", verdict | {"outcome": "perhaps"})


def test_rows_of_replay_files_fit(tmp_path: Path) -> None:
    rows = "ts,proposal_id,voter,role,decision,proposed_action,confidence_pct\n2026-11-20T10:00:00Z,p1,ann,risk_manager,yes,,80\n"
    for row in csv.DictReader(rows.splitlines()):
        assert complaints("votes", row) == [] and complaints("votes", row | {"decision": "maybe"})
    states = "ts,symbol,currency,cash,qty,mark\n2026-11-20T10:00:00Z,ABC,USD,100.5,1,\n"
    for row in csv.DictReader(states.splitlines()):
        assert complaints("states", row) == [] and complaints("states", row | {"cash": "1e3"})


@pytest.mark.slow
def test_data_files_fit(tmp_path: Path) -> None:
    """Rows, card and manifest of a generated file, and what a split writes."""
    from solon.data.files import manifest_of
    from solon.data.generate import generate_file
    from solon.data.splitting import split_file

    generate_file("laws", tmp_path / "laws.jsonl", n=60)
    rows = [json.loads(line) for line in (tmp_path / "laws.jsonl").read_text().splitlines()]
    assert rows and all(complaints("laws", row) == [] for row in rows)
    assert complaints("data_manifest", manifest_of(tmp_path / "laws.jsonl")) == []
    split_file(tmp_path / "laws.jsonl", tmp_path / "split", test=0.3)
    assert complaints("split", json.loads((tmp_path / "split/split.json").read_text())) == []


@pytest.mark.parametrize("path", sorted((ROOT / "examples/presets").glob("*.yaml")), ids=lambda path: path.stem)
def test_presets_fit_whichever_yaml_reads_them(path: Path) -> None:
    """YAML 1.1 readers take `2e-4` for text; a preset writes its rates so that every reader sees a number."""
    import yaml

    assert complaints("config", yaml.safe_load(path.read_text())) == []
