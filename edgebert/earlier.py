"""A finished run that another one goes on from: `--init RUN` with a schedule of quantized stages.

Its last stage is start and teacher of the new run's first stage, as if the schedule went on. Where
it has that very stage, this is trained longer: it is the start, and the stage before it teaches.
Where the schedule begins with w32a32, a run is an encoder to start from (edgebert/init.py), of any
task.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from edgebert.config import BINARY_ONLY, TRAINING_ONLY, parse_schedule
from edgebert.encoder_folder import FULL
from edgebert.errors import UserError
from edgebert.inputs import Inputs
from edgebert.model import BinaryBert
from edgebert.rundir import Earlier, RunFolder, is_run


@dataclass(frozen=True)
class Start:
    """Models of the first stage to come, with the arithmetic of the run that goes on.

    model: where it starts; teacher: what teaches it. They are two where the earlier run has that
    stage, and one before it.
    """

    model: BinaryBert
    teacher: BinaryBert
    record: Earlier

    def describe(self, name: str) -> str:
        """How the stage of that name begins, in words."""
        ours, theirs = self.model.bits.name, self.teacher.bits.name
        if ours == theirs == name:
            return f"{name} goes on from --init, taught by itself: no stage before it is there"
        return f"{name} starts from {ours} of --init, taught by its {theirs}"


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
    done, first = parse_schedule(config.train.schedule), parse_schedule(ours.train.schedule)[0]
    at = done.index(first) if first in done else len(done) - 1
    free = TRAINING_ONLY if done[at].binary else (*TRAINING_ONLY, *BINARY_ONLY)
    sizes = {f"model.{k}": v for k, v in asdict(config.model).items() if k not in free}
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
    stages = {bits.name: folder.read_stage(bits) for bits in done}
    before = info.earlier.stages if info.earlier else {}
    seconds = info.earlier.seconds if info.earlier else 0.0
    record = Earlier(
        checkpoint_sha256=stages[done[-1].name].checkpoint_sha256,
        stages={**before, **{name: result.metrics for name, result in stages.items()}},
        seconds=round(seconds + folder.seconds(), 3),
    )
    model = folder.load_stage(done[at], ours, info)
    before_it = first in done and at > 0
    teacher = folder.load_stage(done[at - 1], ours, info) if before_it else model
    return Start(model, teacher, record)
