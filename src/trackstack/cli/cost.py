"""What runs have cost: `trackstack runs cost`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from trackstack import UserError
from trackstack.cli.printing import Json, print_json, print_table, warn

commands = typer.Typer()


@commands.command()
def cost(
    by: Annotated[str, typer.Option(help="sweep, user, stage or name: a row for each.")] = "sweep",
    advice: Annotated[
        bool, typer.Option("--advice", help="What to write under meta: slurm: of each stage, from its finished runs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Hours, cores, memory, GPUs, energy, waiting and waste of all runs; and what to ask Slurm for next time."""
    from trackstack.records.cost import advise, bills_of, sum_up
    from trackstack.records.index.index import read_index
    from trackstack.tracking.environment import home

    index = read_index(home())
    warn(index.damage())
    bills = bills_of(index)
    if not bills:
        raise UserError("no run is recorded yet; type: dvc repro")
    found = advise(bills) if advice else sum_up(bills, by)
    if as_json:
        print_json(found)
    elif advice:
        for stage in found:
            typer.echo(_in_words(stage))
        if not found:
            typer.echo("no finished run says what it used; runs from before this version did not")
    else:
        print_table([by, *COLUMNS], [[row[by], *_cells(row)] for row in found])


COLUMNS = ("runs", "hours", "core hours", "cores busy", "memory", "GPU hours", "kWh", "hours queued", "hours wasted")


def _cells(row: dict[str, Any]) -> list[Any]:
    efficiency = row["cpu_efficiency"]
    busy = None if efficiency is None else f"{100 * efficiency:.0f} % of {_short(row['allocated_core_hours'])}"
    memory = row["memory_gib"] and f"{row['memory_gib']:.1f} GiB"
    hours = [_short(row[name]) for name in ("gpu_hours", "kwh", "queued_hours", "wasted_hours")]
    return [row["runs"], _short(row["hours"]), _short(row["core_hours"]), busy, memory, *hours]


def usage_rows(spent: list[dict[str, Any]]) -> list[list[str]]:
    """Rows of `runs show`: what each stage used, and what its jobs held."""
    rows = []
    for one in spent:
        attempts = f"{one['attempts']} attempts, " if one["attempts"] > 1 else ""
        rows.append([f"used by {one['stage']}", attempts + _used(one)])
        rows += [[f"held by job {job}", _job(one, of_job)] for job, of_job in one["jobs"].items() if of_job]
    return rows


def _used(one: dict[str, Any]) -> str:
    if one["cpu_seconds"] is None:
        return f"{one['seconds']:.1f} s; nobody measured more"
    cores = f" ({one['cpu_seconds'] / one['seconds']:.1f} cores)" if one["seconds"] else ""
    memory = f", {one['memory_peak_mb'] / 1024:.2f} GiB at most" if one["memory_peak_mb"] else ""
    gpus = "; ".join(map(_gpu, one["gpus"])) or "no GPU"
    return f"{one['cpu_seconds']:.1f} s of CPU in {one['seconds']:.1f} s{cores}{memory}; {gpus}"


def _gpu(gpu: dict[str, Any]) -> str:
    use = "use unknown" if gpu["percent"] is None else f"{gpu['percent']:.0f} % busy"
    memory = f", {gpu['memory_peak_mb'] / 1024:.1f} GiB" if gpu["memory_peak_mb"] else ""
    energy = "" if gpu["energy_joules"] is None else f", {gpu['energy_joules'] / 3600:.1f} Wh"
    return f"{gpu['name'] or 'GPU'} {use}{memory}{energy}"


def _job(one: dict[str, Any], held: dict[str, Any]) -> str:
    """What Slurm held for it, with how much of that was used as seff counts it."""
    parts = []
    if cpus := held.get("cpus"):
        busy = 100 * (one["cpu_seconds"] or 0) / (one["seconds"] * cpus) if one["seconds"] else 0
        parts.append(f"{cpus} cores ({busy:.0f} % busy)")
    if memory := held.get("memory_mb"):
        parts.append(f"{memory / 1024:.3g} GiB ({100 * (one['memory_peak_mb'] or 0) / memory:.0f} % used)")
    parts += [f"{held['gpus']} GPUs"] if held.get("gpus") else []
    parts += [f"limit {held['limit_seconds'] / 60:.0f} min"] if "limit_seconds" in held else []
    parts += [f"waited {held['queued_seconds']:.0f} s"] if "queued_seconds" in held else []
    return ", ".join(parts)


def _short(value: float | None) -> str:
    """Three digits, 0, or nothing where nobody measured it."""
    return "" if value is None else f"{value:.3g}"


def _in_words(stage: dict[str, Any]) -> str:
    gpu = "no GPU" if stage["gpu_percent"] is None else f"its GPU {stage['gpu_percent']:.0f} % busy"
    held = [f"{stage['held']['cpus']} cores" if stage["held"]["cpus"] else ""]
    held += [f"{stage['held']['memory_mb'] / 1024:.3g} GiB" if stage["held"]["memory_mb"] else ""]
    jobs = f"; its jobs held {' and '.join(filter(None, held))}" if any(held) else ""
    return (
        f"{stage['stage']}: {stage['runs']} finished, at most {stage['cores']:.1f} cores busy, "
        f"{stage['memory_mb'] / 1024:.1f} GiB and {stage['seconds']:.0f} s; {gpu}{jobs}\n"
        "  meta:\n    slurm:\n"
        + "\n".join(
            f"      {name}: {value if name != 'time' else chr(34) + value + chr(34)}"
            for name, value in stage["slurm"].items()
        )
    )
