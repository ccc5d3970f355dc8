"""Results in a file with a line of JSON for each, so that a run that was cut short goes on."""

import json
from pathlib import Path


class Results:
    """Results by what was measured.

    Parameters
    ----------
    path : path-like
        The file; it may not exist yet. Of lines with the same key the last one counts.

    Attributes
    ----------
    known : dict of (table, seed, model) to dict
    """

    def __init__(self, path):
        self.path = Path(path)
        self.known = {}
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        for line in lines:
            result = json.loads(line)
            self.known[result["table"], result["seed"], result["model"]] = result

    def add(self, table, seed, model, **values):
        """Keep a result, and append it to the file at once."""
        result = {"table": table, "seed": seed, "model": model, **values}
        self.known[table, seed, model] = result
        with self.path.open("a") as file:
            file.write(json.dumps(result) + "\n")

    def of(self, *tables):
        """Results of some tables, as a list."""
        return [result for key, result in self.known.items() if key[0] in tables]
