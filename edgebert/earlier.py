"""A finished run that another one goes on from: `--init RUN` with a schedule of quantized stages.

Its last stage is start and teacher of the new run's first stage, as if the schedule went on. Where
the schedule begins with w32a32, a run is an encoder to start from (edgebert/init.py), of any task.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from edgebert.config import TRAINING_ONLY, parse_schedule
from edgebert.encoder_folder import FULL
from edgebert.errors import UserError
from edgebert.inputs import Inputs
from edgebert.model import BinaryBert
from edgebert.rundir import Earlier, RunFolder, is_run


@dataclass(frozen=True)
class Start:
    """The last stage's model, with the arithmetic of the run that goes on, and its record."""

    model: BinaryBert
    record: Earlier


def load_start(init: str | None, inputs: Inputs) -> Start | None:
    """Load the run `init`, whose sizes and labels have to be those of `inputs`.

    None where it is no run, or one to start anew from.
    Raises UserError, naming the first difference.
    """
    if init is None or not is_run(Path(init)):
        return None
    folder, ours = RunFolder(Path(init)), inputs.config
    if parse_schedule(ours.train.schedule)[0] == FULL:
        return None
    info, config = folder.read_info(), folder.read_config()
    sizes = {f"model.{name}": value for name, value in asdict(config.model).items()}
    for name in TRAINING_ONLY:
        del sizes[f"model.{name}"]
    for what, theirs, here in (
        *(
            (key, value, getattr(ours.model, key.removeprefix("model.")))
            for key, value in sizes.items()
        ),
        ("labels", ", ".join(info.labels), ", ".join(inputs.task.labels)),
    ):
        if theirs != here:
            raise UserError(
                f"--init {init}: expected {what} = {theirs} as it was trained with, got {here}; "
                "choose the same --config and --task, another --init, or a schedule that begins "
                "with w32a32, which takes its encoder alone"
            )
    done = parse_schedule(config.train.schedule)
    stages = {bits.name: folder.read_stage(bits) for bits in done}
    before = info.earlier.stages if info.earlier else {}
    seconds = info.earlier.seconds if info.earlier else 0.0
    record = Earlier(
        checkpoint_sha256=stages[done[-1].name].checkpoint_sha256,
        stages={**before, **{name: result.metrics for name, result in stages.items()}},
        seconds=round(seconds + folder.seconds(), 3),
    )
    return Start(folder.load_stage(done[-1], ours, info), record)
