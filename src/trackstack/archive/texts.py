"""What people and other systems read of an archive: README.md, CITATION.cff, .zenodo.json and croissant.json."""

from __future__ import annotations

import json
from typing import Any

import yaml

from trackstack.archive.crate import RunFacts, day

CROISSANT_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def readme(facts: RunFacts, has_data: bool) -> str:
    """What to type, for somebody who has only the archive."""
    figures = "\n".join(f"| {name} | {value:.6g} |" for name, value in sorted(facts.figures.items()))
    data = (
        "The data are in `data/`."
        if has_data
        else "The data are not in it: `source/` has DVC's pointers to them, which name each by its digest."
    )
    return f"""# Run {facts.key}: {facts.name}

{facts.description}

| figure | value |
|---|---|
{figures}

`source/` is the exact code, `record/` all that was recorded, with the model, `requirements.txt` every package, and
`model-card.md` what the model is for. {data} `ro-crate-metadata.json` describes it all for machines.

Is each file as it was written? Without any other program, in the unpacked folder:

    head -n -1 manifest-sha256.txt | sha256sum --check --quiet

Does it come out again? With trackstack installed (`source/src/trackstack`, where it is a part of the source):

    trackstack runs verify {facts.key}.zip
    trackstack reproduce {facts.key}.zip --fresh-env
"""


def citation(facts: RunFacts, project: dict[str, Any]) -> str:
    """CITATION.cff of the run; authors and license are the project's, where its own file says them.

    Args:
        project: the content of the source's CITATION.cff.
    """
    content = {
        "cff-version": "1.2.0",
        "message": "If you use this result, please cite it as below.",
        "title": f"Run {facts.key} of {project.get('title', facts.name)}",
        "type": "software",
        "authors": project.get("authors") or [{"name": facts.user}],
        "version": facts.key,
        "date-released": day(facts.ended),
    }
    if facts.license:
        content["license"] = facts.license
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def zenodo(facts: RunFacts, project: dict[str, Any]) -> str:
    """What Zenodo reads of an upload: .zenodo.json."""
    authors = project.get("authors") or [{"name": facts.user}]
    content: dict[str, Any] = {
        "title": f"Run {facts.key}: {facts.name}",
        "upload_type": "software",
        "description": facts.description,
        "creators": [{"name": _name(author)} for author in authors],
        "publication_date": day(facts.ended),
        "version": facts.key,
        "keywords": ["reproducibility", "RO-Crate", "DVC"],
    }
    if facts.license:
        content["license"] = facts.license
    return to_json(content)


def croissant(facts: RunFacts, data: dict[str, Any], items: dict[str, str], about: dict[str, Any]) -> str:
    """The dataset of the run as Croissant 1.0.

    Args:
        data: what the run's record says of it: name, version, description.
        items: MD5 by path of what DVC tracks of it.
        about: what the project says of it: `fields` (name, description, dataType), license, RAI's properties.
    """
    distribution = []
    for path, md5 in sorted(items.items()):
        kind = "cr:FileSet" if md5.endswith(".dir") else "cr:FileObject"
        entry: dict[str, Any] = {"@type": kind, "@id": path, "name": path.replace("/", "-")}
        if kind == "cr:FileSet":
            entry |= {"encodingFormat": "text/csv", "includes": f"data/{path}/**"}
        else:
            entry |= {"contentUrl": f"data/{path}", "encodingFormat": "text/csv", "md5": md5}
        distribution.append(entry)
    fields = about.get("fields") or []
    name = str(data.get("name") or facts.name)
    content: dict[str, Any] = {
        "@context": CROISSANT_CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": str(data.get("description") or f"The data of run {facts.key}"),
        "version": "1.0.0",
        "datePublished": day(facts.ended),
        "license": about.get("license") or facts.license or "not stated: ask the author",
        "distribution": distribution,
    }
    content |= {name: value for name, value in about.items() if name not in ("fields", "license")}
    if fields and distribution:
        source = distribution[0]
        content["recordSet"] = [
            {
                "@type": "cr:RecordSet",
                "@id": "rows",
                "name": "rows",
                "field": [_field(field, source) for field in fields],
            }
        ]
    return to_json(content)


def _field(field: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
    place = "fileSet" if source["@type"] == "cr:FileSet" else "fileObject"
    return {
        "@type": "cr:Field",
        "@id": f"rows/{field['name']}",
        "name": field["name"],
        "description": field.get("description", ""),
        "dataType": field.get("dataType", "sc:Text"),
        "source": {place: {"@id": source["@id"]}, "extract": {"column": field["name"]}},
    }


def _name(author: dict[str, Any]) -> str:
    if "family-names" in author:
        return f"{author['family-names']}, {author.get('given-names', '')}".rstrip(", ")
    return str(author.get("name", ""))


def to_json(value: Any) -> str:
    """JSON for people: indented, in the given order of keys."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
