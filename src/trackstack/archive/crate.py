"""The metadata of an archive as RO-Crate 1.1, by the Workflow Run profile: each stage an action of its own.

https://www.researchobject.org/workflow-run-crate/profiles/provenance_run_crate/
"""

from __future__ import annotations

import datetime
import json
from typing import Any, NamedTuple

from trackstack.tracking.params import flatten

PROFILES = (
    "https://w3id.org/ro/wfrun/process/0.5",
    "https://w3id.org/ro/wfrun/workflow/0.5",
    "https://w3id.org/ro/wfrun/provenance/0.5",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
)
CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
WORKFLOW = "source/dvc.yaml"
Entity = dict[str, Any]


class RunFacts(NamedTuple):
    """What the metadata of a run say."""

    key: str
    name: str
    user: str
    started: float
    """Seconds since 1970."""
    ended: float
    stages: dict[str, dict[str, Any]]
    """Entries of dvc.lock by the addresses of the stages, in order."""
    figures: dict[str, float]
    license: str | None
    """As SPDX has it."""
    description: str


def day(seconds: float) -> str:
    """A day of UTC, as metadata have it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d")


def time_of(seconds: float) -> str:
    """A time of UTC to the second, as metadata have it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def ro_crate(facts: RunFacts, files: dict[str, int], pipeline: str) -> dict[str, Any]:
    """The content of ro-crate-metadata.json.

    Args:
        files: size in bytes by name, of everything else in the archive.
        pipeline: the name of the dvc.yaml in it.
    """
    paths = {
        item["path"]: item
        for entry in facts.stages.values()
        for kind in ("deps", "outs")
        for item in entry.get(kind, [])
    }
    listed = [name for name in files if not name.startswith(("source/", "data/"))]
    folders = sorted({f"{name.partition('/')[0]}/" for name in files if name.startswith(("source/", "data/"))})
    root: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Run {facts.key}: {facts.name}",
        "description": facts.description,
        "datePublished": day(facts.ended),
        "license": {"@id": f"https://spdx.org/licenses/{facts.license}"}
        if facts.license
        else "not stated: ask the author",
        "author": {"@id": "#author"},
        "conformsTo": [_ref(profile) for profile in PROFILES],
        "mainEntity": _ref(pipeline),
        "mentions": [_ref("#run")],
        "hasPart": [_ref(name) for name in [pipeline, *folders, *listed]],
    }
    descriptor = {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "about": _ref("./"),
        "conformsTo": [
            _ref("https://w3id.org/ro/crate/1.1"),
            _ref("https://w3id.org/workflowhub/workflow-ro-crate/1.0"),
        ],
    }
    graph = [descriptor, root, {"@id": "#author", "@type": "Person", "name": facts.user}]
    graph += [
        {
            "@id": profile,
            "@type": "CreativeWork",
            "name": profile.rsplit("/", 2)[1],
            "version": profile.rsplit("/", 1)[1],
        }
        for profile in PROFILES
    ]
    if facts.license:
        graph.append(
            {"@id": f"https://spdx.org/licenses/{facts.license}", "@type": "CreativeWork", "name": facts.license}
        )
    graph += [{"@id": folder, "@type": "Dataset", "name": folder.rstrip("/")} for folder in folders]
    graph += [{"@id": name, "@type": "File", "name": name, "contentSize": str(files[name])} for name in listed]
    graph += _workflow(facts, pipeline)
    graph += [_data(path, item) for path, item in sorted(paths.items())]
    graph += [entity for stage, entry in facts.stages.items() for entity in _stage(stage, entry)]
    return {"@context": CONTEXT, "@graph": graph}


def _ref(identity: Any) -> Entity:
    return {"@id": identity}


def _workflow(facts: RunFacts, pipeline: str) -> list[Entity]:
    made = {out["path"] for entry in facts.stages.values() for out in entry.get("outs", [])}
    read = {dep["path"] for entry in facts.stages.values() for dep in entry.get("deps", [])} - made
    figures = [
        {"@id": f"#figure-{name}", "@type": "PropertyValue", "name": name, "value": value}
        for name, value in sorted(facts.figures.items())
    ]
    workflow = {
        "@id": pipeline,
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
        "name": "dvc.yaml",
        "programmingLanguage": _ref("#dvc"),
        "step": [_ref(f"#step-{stage}") for stage in facts.stages],
        "hasPart": [_ref(f"#tool-{stage}") for stage in facts.stages],
    }
    dvc = {"@id": "#dvc", "@type": "ComputerLanguage", "name": "DVC pipeline", "url": "https://dvc.org/"}
    run = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"Run {facts.key}",
        "instrument": _ref(pipeline),
        "agent": _ref("#author"),
        "startTime": time_of(facts.started),
        "endTime": time_of(facts.ended),
        "actionStatus": "http://schema.org/CompletedActionStatus",
        "object": [_ref(f"#{path}") for path in sorted(read)],
        "result": [_ref(f"#{path}") for path in sorted(made)] + [_ref(figure["@id"]) for figure in figures],
    }
    engine = {"@id": "#engine", "@type": "SoftwareApplication", "name": "dvc repro", "url": "https://dvc.org/"}
    organized = {
        "@id": "#organize",
        "@type": "OrganizeAction",
        "name": "dvc repro",
        "instrument": _ref("#engine"),
        "object": [_ref(f"#control-{stage}") for stage in facts.stages],
        "result": _ref("#run"),
    }
    return [workflow, dvc, run, engine, organized, *figures]


def _data(path: str, item: Entity) -> Entity:
    """A file or folder that a stage read or wrote, as dvc.lock names it."""
    value = item.get("md5", "")
    entity = {"@id": f"#{path}", "@type": "Dataset" if value.endswith(".dir") else "CreativeWork", "name": path}
    return entity | ({"identifier": f"md5:{value}"} if value else {})


def _stage(stage: str, entry: Entity) -> list[Entity]:
    params = flatten(entry.get("params", {}))
    values = [
        {
            "@id": f"#{stage}-{name}",
            "@type": "PropertyValue",
            "name": name,
            "value": json.dumps(value) if isinstance(value, list | dict) or value is None else value,
            "exampleOfWork": _ref(f"#parameter-{stage}-{name}"),
        }
        for name, value in sorted(params.items())
    ]
    formal = [
        {
            "@id": f"#parameter-{stage}-{name}",
            "@type": "FormalParameter",
            "name": name,
            "additionalType": "Text"
            if isinstance(value, str)
            else "Number"
            if isinstance(value, int | float)
            else "Thing",
        }
        for name, value in sorted(params.items())
    ]
    tool = {
        "@id": f"#tool-{stage}",
        "@type": "SoftwareApplication",
        "name": str(entry.get("cmd", stage)),
        "input": [_ref(parameter["@id"]) for parameter in formal],
    }
    step = {"@id": f"#step-{stage}", "@type": "HowToStep", "name": stage, "workExample": _ref(tool["@id"])}
    action = {
        "@id": f"#action-{stage}",
        "@type": "CreateAction",
        "name": stage,
        "instrument": _ref(tool["@id"]),
        "object": [_ref(f"#{dep['path']}") for dep in entry.get("deps", [])]
        + [_ref(value["@id"]) for value in values],
        "result": [_ref(f"#{out['path']}") for out in entry.get("outs", [])],
    }
    control = {
        "@id": f"#control-{stage}",
        "@type": "ControlAction",
        "name": f"run of {stage}",
        "instrument": _ref(step["@id"]),
        "object": _ref(action["@id"]),
    }
    return [tool, step, action, control, *formal, *values]
