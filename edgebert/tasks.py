"""The tasks by name, and where each one's data comes from."""

import difflib
from pathlib import Path

from edgebert import data_csv, data_glue
from edgebert.data import TaskData
from edgebert.data_imdb import load_imdb
from edgebert.errors import UserError

TASK_NAMES = ("reviews", "imdb", "csv", *data_glue.TASKS)


def load_task(task: str, data: str | Path | None = None) -> TaskData:
    """Load a task's examples.

    task: `reviews` or `imdb` (which need no data), `csv`, or a GLUE task's name.
    data: a folder; for GLUE tasks also `hub` (nyu-mll/glue) or `hub:ID` (another data set
        with the same columns). For `imdb` a GLUE folder, whose tasks' dev sentences it leaves out.

    Raises UserError of one line, naming the file and line at fault.
    """
    if task not in TASK_NAMES:
        near = difflib.get_close_matches(task, TASK_NAMES, n=1)
        advice = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"--task: expected one of {', '.join(TASK_NAMES)}, got {task!r}{advice}")
    if task == "reviews":
        if data is not None:
            raise UserError(
                f"--data: expected none, since task reviews reads an installed package, "
                f"got {str(data)!r}; --task csv reads your own files"
            )
        return data_csv.load_reviews()
    if task == "imdb":
        return load_imdb(() if data is None else _dev_sentences(Path(data)))
    if data is None:
        kind = "the folder of train.csv and dev.csv" if task == "csv" else "a GLUE folder or hub"
        raise UserError(f"--data: expected {kind} for task {task}, got none")
    if task == "csv":
        return data_csv.load_csv(Path(data))
    source, colon, hub_id = str(data).partition(":")
    if source == "hub":
        if colon and not hub_id:
            raise UserError("--data: expected hub or hub:ID, got 'hub:'")
        return data_glue.load_hub(task, hub_id or data_glue.HUB_ID)
    return data_glue.load_folder(task, Path(data))


def _dev_sentences(glue: Path) -> list[str]:
    names = data_glue.found_tasks(glue)
    if not names:
        raise UserError(
            f"--data {glue}: expected a folder of GLUE tasks, whose dev sentences task imdb leaves "
            "out, got none; without --data it leaves out none"
        )
    tasks = [data_glue.load_folder(name, glue) for name in names]
    return [part for t in tasks for e in (*t.dev, *t.dev_mm) for part in e.parts]
