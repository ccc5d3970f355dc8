"""What does pruning do to models that are trained on codes?

    python -m benchmarks.pruning --out pruning.jsonl --codes pruning-codes

Encoders are trained on 13 real tables, of which 30 % of the rows are for testing, once per table,
seed, width and beta. Their codes are put to 17 uses, on several scales, with all variables, with
those that each criterion keeps, with a random choice of as many, and with as many principal
components. What a use gives is measured on test rows.

Every cell (table, seed, width, beta, labels) is a line of JSON in the file ``--out``, and the codes
are kept in the folder ``--codes``; what is there is not measured again. Cells come in the order of
what they are worth: width 32 and beta 1 first. At the end, or with ``--report`` at
once, Markdown tables are printed from all lines. ``--page docs/pruning.md`` puts them into that
page, and draws its picture.

It runs on one thread.
"""

import argparse
import io
from contextlib import redirect_stdout
from pathlib import Path
from time import process_time
from zlib import crc32

import numpy as np
import torch
from sklearn.model_selection import train_test_split

from benchmarks._pruning_data import SCALINGS, TABLES, Split
from benchmarks._pruning_report import print_report
from benchmarks._pruning_uses import USES, Task, measure
from benchmarks._results import Results

# (width, beta, labels, seeds), in the order of what they are worth; None is all labels.
ORDER = [
    (32, 1, None, (0, 1, 2)),
    (32, 1, 50, (0, 1, 2)),
    (32, 1, None, (3, 4)),
    (32, 1, 50, (3, 4)),
    *((width, 1, labels, (0,)) for width in (8, 64) for labels in (None, 50)),
    *((32, 4, labels, (0,)) for labels in (None, 50)),
    *((width, 1, labels, (1, 2, 3, 4)) for width in (8, 64) for labels in (None, 50)),
    *((width, 4, labels, (0, 1, 2, 3, 4)) for width in (32, 8, 64) for labels in (None, 50)),
]
# A cell that comes twice is found measured.
CELLS = [(seed, width, beta, labels) for width, beta, labels, seeds in ORDER for seed in seeds]
# Criteria whose kept variables are compared with a random choice and with PCA.
MAIN = ("active_units", "explained_variance")
# With fewer training rows than this 50 labels are not few.
MIN_ROWS = 100
# In the page, before what is printed.
MARK = "<!-- From here on the command wrote the page. -->\n"


def name_of(width, beta, labels):
    return f"width {width}, beta {beta}, {labels or 'all'} labels"


def subsets_of(kept, width, rng):
    """Distinct subsets by name, the name of each criterion's one, and sizes to compare with.

    A criterion that keeps all or no variables has no subset.
    """
    subsets, names, sizes = {}, {}, []
    for criterion in (*MAIN, *(name for name in kept if name not in MAIN)):
        variables = kept[criterion]
        if not 0 < len(variables) < width:
            names[criterion] = "all" if variables else None
            continue
        names[criterion] = next(
            (name for name, of in subsets.items() if of == variables), criterion
        )
        subsets[names[criterion]] = variables
        if criterion in MAIN and len(variables) not in sizes:
            sizes.append(len(variables))
    for size in sizes:
        subsets[f"random {size}"] = tuple(np.sort(rng.permutation(width)[:size]).tolist())
    return subsets, names, sizes


def run_cell(split, codes, width, labels):
    """Values of all uses in one cell: scaling -> use -> subset -> (value, value with all)."""
    seed = split.seed
    rng = np.random.default_rng([seed, width, crc32(split.name.encode())])
    subsets, names, sizes = subsets_of(codes.kept, width, rng)
    values = {}
    if not subsets:
        return names, values
    labelled = np.arange(len(split.y_train))
    if labels is not None:
        labelled, _ = train_test_split(
            labelled, train_size=labels, random_state=seed, stratify=split.y_train
        )
    for scaling in SCALINGS:
        train, test = codes.scaled(scaling, seed)
        task = Task(train, test, split.y_train, split.y_test, labelled, seed)
        others = {}
        if scaling != "sampled":
            others = {
                f"PCA {size}": split.principal_components(size, scaling, seed) for size in sizes
            }
        values[scaling] = {
            use: measure(use, task, subsets, others)
            for use, what in USES.items()
            if scaling in what.scalings and (labels is None or what.needs_labels)
        }
    return names, values


def run(results, folder):
    """Measure what is not known yet."""
    left_out = set()
    for seed, width, beta, labels in CELLS:
        for table in TABLES:
            model = name_of(width, beta, labels)
            if (table, seed, model) in results.known or table in left_out:
                continue
            try:
                split = Split(table, seed)
            except ImportError as error:
                print(f"{table}: left out, {error}")
                left_out.add(table)
                continue
            if labels is not None and len(split.y_train) < MIN_ROWS:
                continue
            codes = split.codes(width, beta, folder)
            start = process_time()
            names, values = run_cell(split, codes, width, labels)
            cpu = process_time() - start
            n_kept = {name: len(variables) for name, variables in codes.kept.items()}
            results.add(
                table, seed, model,
                width=width, beta=beta, labels=labels or "all", n_kept=n_kept, subsets=names,
                values=values, cpu=cpu, cpu_of_fit=codes.cpu,
            )  # fmt: skip
            print(
                f"{table}, seed {seed}, {model}: {n_kept}, {codes.cpu:.1f} + {cpu:.1f} s",
                flush=True,
            )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default="pruning.jsonl", help="file of results")
    parser.add_argument("--codes", default="pruning-codes", help="folder of codes")
    parser.add_argument("--report", action="store_true", help="print the tables alone")
    parser.add_argument("--page", help="file that takes the tables")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = Results(arguments.out)
    if not arguments.report:
        run(results, arguments.codes)
    lines = results.of(*TABLES)
    if arguments.page is None:
        print_report(lines)
    else:
        write_page(lines, Path(arguments.page))


def write_page(lines, page):
    """Put the tables behind the mark in a page, and the picture into the folder beside it."""
    text = io.StringIO()
    with redirect_stdout(text):
        print_report(lines, page.parent / "images" / "pruning.png")
    before, _ = page.read_text().split(MARK)
    page.write_text(before + MARK + text.getvalue())


if __name__ == "__main__":
    main()
