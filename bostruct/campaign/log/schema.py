"""The tables of the log, beside those of ase.db in the same file."""

from __future__ import annotations

LOG_FORMAT = 4
"""Of the tables and the posterior files. A reader refuses a larger one.

2: steps of the kinds given, start and check, trials with attempt 0, and what a check
found with its session. A folder of format 1 has none of these and goes on.
3: outcomes other than the energy, and trials that were retracted. A folder of format 2
has neither and goes on; retracting is refused there.
4: columns, tensors and kinds of steps under the names of the glossary. A folder of an
earlier format is read, not written.
"""

FIRST_FORMAT_WITH_OUTCOMES = 3
"""The first format with a table of outcomes, and with trials that can be retracted."""

UNITS = {"energy": "eV", "length": "Å", "force": "eV/Å", "time": "s"}


TABLE_DEFINITIONS = """
CREATE TABLE bostruct_campaign (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    format INTEGER NOT NULL,
    description TEXT NOT NULL,  -- JSON: what identifies the campaign
    seed INTEGER NOT NULL,
    units TEXT NOT NULL,  -- JSON
    created REAL NOT NULL  -- s since 1970
);
CREATE TABLE bostruct_session (
    number INTEGER PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    device TEXT NOT NULL,
    threads INTEGER NOT NULL,  -- torch's; another number may change the last digits
    journal TEXT NOT NULL,  -- SQLite's journal mode, and why
    versions TEXT NOT NULL,  -- JSON: package to version
    started REAL NOT NULL,
    ended REAL,  -- NULL while it runs, and where it was killed
    status TEXT NOT NULL DEFAULT 'running',  -- running, finished, paused, failed
    reason TEXT NOT NULL DEFAULT '',
    relaxations TEXT  -- JSON: how far the final check is
);
CREATE TABLE bostruct_step (
    number INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES bostruct_session (number),
    kind TEXT NOT NULL
        CHECK (kind IN
            ('initial_data', 'initial_structures', 'random', 'model', 'relaxation')),
    training_trials TEXT NOT NULL,  -- JSON: the trials that the choice was made from
    hyperparameters TEXT NOT NULL,  -- JSON
    planned REAL NOT NULL,  -- s since 1970
    seconds_fit REAL NOT NULL,
    seconds_search REAL NOT NULL,
    seconds_log REAL NOT NULL DEFAULT 0,
    effort INTEGER NOT NULL,  -- how thorough the search was, 0 the least
    checksum TEXT NOT NULL  -- of what does not change
);
CREATE TABLE bostruct_posterior (
    step INTEGER PRIMARY KEY REFERENCES bostruct_step (number),
    file TEXT NOT NULL UNIQUE,  -- in the folder `posteriors`
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL
);
CREATE TABLE bostruct_trial (
    number INTEGER PRIMARY KEY,
    step INTEGER NOT NULL REFERENCES bostruct_step (number),
    key TEXT NOT NULL UNIQUE,
    attempt INTEGER NOT NULL,  -- 0: given with its energy, never asked for
    state TEXT NOT NULL
        CHECK (state IN
            ('planned', 'running', 'done', 'failed', 'abandoned', 'retracted')),
    generator TEXT NOT NULL,  -- the generator that proposed it
    candidate_index INTEGER,  -- its row among the candidates of the step
    x BLOB NOT NULL,  -- float64, little endian
    mean REAL,  -- eV, predicted before the energy was asked for
    latent_variance REAL,  -- eV^2, of the latent energy
    predictive_variance REAL,  -- eV^2, of the energy as it would be observed
    acquisition REAL,
    energy REAL,  -- eV
    forces BLOB,  -- float64, little endian, eV/Å
    properties TEXT NOT NULL DEFAULT '{}',  -- JSON
    provenance TEXT NOT NULL DEFAULT '{}',  -- JSON
    reason TEXT NOT NULL DEFAULT '',
    retryable INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0,  -- the evaluator's
    finished REAL,  -- s since 1970
    ase_id INTEGER,  -- id in the ase.db table `systems`
    checksum TEXT NOT NULL
);
CREATE INDEX bostruct_trial_state ON bostruct_trial (state);
CREATE TABLE bostruct_outcome (
    trial INTEGER NOT NULL REFERENCES bostruct_trial (number),
    position INTEGER NOT NULL,  -- among the outcomes of the goals
    name TEXT NOT NULL,
    mean REAL NOT NULL,  -- log10 where its objective is; before it was evaluated
    latent_variance REAL NOT NULL,  -- of what would be without noise
    predictive_variance REAL NOT NULL,  -- of what would be measured
    is_exact INTEGER NOT NULL,  -- 1: known from the space, at no cost
    checksum TEXT NOT NULL,
    PRIMARY KEY (trial, position)
);
"""
