"""Plant faults in the RTL, one at a time, and show that the tests catch each.

    python -m tests.mutations [NAME ...] [--list]

Each fault is planted in a copy of the sources, whose tests then run. A fault that no test notices
is a hole in the tests; the exit status is 1 if there is one.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).parents[1]
COPIED = ("edgebert", "export", "hw", "tests", "pyproject.toml")
TIMEOUT_S = 900


@dataclass(frozen=True)
class Mutation:
    """A fault: `old`, which stands once in hw/rtl/`file`, becomes `new`; `test` must fail."""

    name: str
    file: str
    old: str
    new: str
    test: str


MUTATIONS: tuple[Mutation, ...] = (
    Mutation(
        "a majority of mismatches is inverted",
        "popcount_majority.sv",
        "m[1] == m[2] ? m[1] : !m[0];",
        "m[1] == m[2] ? m[1] : m[0];",
        "test_rtl_binary_lane.py::test_lane_adds_up_matches[5]",
    ),
    Mutation(
        "the carry into a counter is lost",
        "popcount_slice.sv",
        "assign start = taken[4];",
        "assign start = 1'b0;",
        "test_rtl_binary_lane.py::test_lane_adds_up_matches[64]",
    ),
    Mutation(
        "a dot product goes on from the one before",
        "binary_lane.sv",
        "carried <= begins[LATENCY-2] ? '0 : sum;",
        "carried <= sum;",
        "test_rtl_binary_lane.py::test_lane_adds_up_matches[8]",
    ),
    Mutation(
        "the fold counter stops one fold early",
        "binary_mvu.sv",
        "localparam bit [FOLD_BITS-1:0] LAST_FOLD = FOLD_BITS'(SF - 1);",
        "localparam bit [FOLD_BITS-1:0] LAST_FOLD = FOLD_BITS'(SF - (SF > 1 ? 2 : 1));",
        "test_rtl_binary_mvu.py",
    ),
    Mutation(
        "the results of two tokens change places",
        "mvu_output.sv",
        ".s_axis_tdata (results[t]),",
        ".s_axis_tdata (results[TOKENS-1-t]),",
        "test_rtl_binary_mvu.py",
    ),
    Mutation(
        "a probability at the limit counts",
        "attention_softmax.sv",
        "compared[l][EXP-1:0])) > limit;",
        "compared[l][EXP-1:0])) >= limit;",
        "test_rtl_attention.py::test_probability_thresholds_at_their_ends_and_at_ties",
    ),
    Mutation(
        "the distance to a key counts from the other end",
        "attention_relative.sv",
        "PLACE_BITS'(RELATIVE) - PLACE_BITS'(token)",
        "PLACE_BITS'(RELATIVE) + PLACE_BITS'(token)",
        "test_rtl_attention.py::test_distances_below_and_beyond_the_largest_of_the_bias",
    ),
    Mutation(
        "a difference beyond the table of exponentials wraps around",
        "attention_softmax.sv",
        "saturates ? COUNT_BITS'(HEAD_WIDTH) : difference",
        "difference",
        "test_rtl_attention.py::test_distances_below_and_beyond_the_largest_of_the_bias",
    ),
    Mutation(
        "a slot of few keys reads what the one before has not written yet",
        "attention_rows.sv",
        "2 / FOLDS < GROUPS ? 2 / FOLDS : GROUPS - 1",
        "0",
        "test_rtl_attention.py::test_a_few_keys_directly_after_many_find_their_own_scores",
    ),
    Mutation(
        "the last token of a sentence is lost",
        "attention_value.sv",
        "        done <= token == load_last;",
        "        done <= token >= load_last - 1'b1;",
        "test_rtl_attention.py::test_sentences_of_any_length_equal_the_reference",
    ),
    Mutation(
        "the last key of a group is lost",
        "attention_rows.sv",
        "group == row_group && row_lane >= LANE_BITS'(l)",
        "group == row_group && row_lane > LANE_BITS'(l)",
        "test_rtl_attention.py::test_sentences_of_any_length_equal_the_reference",
    ),
    Mutation(
        "a word at its threshold gives 0",
        "channel_threshold.sv",
        "<= (WORD_BITS + 1)'(x) >= (WORD_BITS + 1)'(threshold);",
        "<= (WORD_BITS + 1)'(x) > (WORD_BITS + 1)'(threshold);",
        "test_rtl_channel_threshold.py::test_bits_tell_words_at_or_above_the_threshold",
    ),
    Mutation(
        "a sum wraps round where it should saturate",
        "saturate.sv",
        "assign out = fits ? in[OUT_BITS-1:0]",
        "assign out = 1'b1 || fits ? in[OUT_BITS-1:0]",
        "test_rtl_requantize.py::test_sums_equal_the_reference",
    ),
    Mutation(
        "the mean is rounded down",
        "norm_moments.sv",
        "(firsts[WAIT] ? SUM_BITS'(HIDDEN / 2) : running)",
        "(firsts[WAIT] ? SUM_BITS'(HIDDEN / 2 - 1) : running)",
        "test_rtl_layer_norm.py::test_extreme_tokens_equal_the_reference",
    ),
    Mutation(
        "the variance is normalized by half a step",
        "norm_statistics.sv",
        "else if (is_fine && step) variance <= variance << 2;",
        "else if (is_fine && step) variance <= variance << 1;",
        "test_rtl_layer_norm.py::test_extreme_tokens_equal_the_reference",
    ),
    Mutation(
        "a fork forgets who took the beat",
        "stream_fork.sv",
        "s_axis_tready ? '0 : taken | m_axis_tready",
        "s_axis_tready ? '0 : m_axis_tready",
        "test_rtl_stream_fork.py",
    ),
    Mutation(
        "a FIFO keeps its last beat",
        "stream_fifo.sv",
        "if (!valid || m_axis_tready) valid <= count != 0;",
        "if (!valid || m_axis_tready) valid <= count > 1;",
        "test_rtl_stream_fifo.py",
    ),
    Mutation(
        "a reorder writes into a sentence that is still read",
        "head_reorder.sv",
        "assign s_axis_tready = s_axis_length_tvalid && !full[write_bank];",
        "assign s_axis_tready = s_axis_length_tvalid;",
        "test_rtl_head_reorder.py",
    ),
    Mutation(
        "a skid buffer forgets that its spare register is full",
        "skid_buffer.sv",
        "      spare_valid <= 1'b1;",
        "      spare_valid <= 1'b0;",
        "test_rtl_skid_buffer.py",
    ),
)


def plant(mutation: Mutation, root: Path) -> None:
    """Change the file under `root`; ValueError unless `old` stands there exactly once."""
    path = root / "hw" / "rtl" / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise ValueError(
            f"{mutation.file}: expected {mutation.old!r} once, found it {text.count(mutation.old)} "
            "times"
        )
    path.write_text(text.replace(mutation.old, mutation.new))


def copy_sources(root: Path) -> None:
    """What the tests need, in an empty folder."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=ignore)
        else:
            shutil.copy(source, root / name)


def run_test(root: Path, test: str) -> tuple[bool, str]:
    """Run a test of the copy: whether it passed, and the last line of what it printed."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"tests/{test}"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    # 0: passed, 1: a test failed; anything else means that the test could not be run.
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{test} could not run: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    return done.returncode == 0, next(
        (line for line in done.stdout.splitlines() if line.startswith("E  ")), ""
    )


def caught(mutation: Mutation) -> tuple[bool, str]:
    """Plant one fault in a fresh copy: whether its test fails, and with what."""
    with tempfile.TemporaryDirectory(prefix="edgebert-mutation-") as scratch:
        root = Path(scratch)
        copy_sources(root)
        plant(mutation, root)
        passed, message = run_test(root, mutation.test)
        return not passed, message


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="part of a fault's name; all if none is given")
    parser.add_argument("--list", action="store_true", help="print the faults and stop")
    options = parser.parse_args()
    chosen = [
        m for m in MUTATIONS if not options.names or any(name in m.name for name in options.names)
    ]
    if options.list:
        print("\n".join(f"{m.name} ({m.file}, {m.test})" for m in chosen))
        return 0
    missed = 0
    for mutation in tqdm(chosen, desc="faults", unit="fault"):
        found, message = caught(mutation)
        missed += not found
        tqdm.write(f"{'caught' if found else 'MISSED'}: {mutation.name}  {message[:120]}")
    print(f"{len(chosen) - missed} of {len(chosen)} faults caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
