"""SQL tables of the log, beside those of ase.db in the same file."""

from __future__ import annotations

LOG_FORMAT = 5
"""Version of the tables and of the posterior files; a reader refuses a larger one.

2: initial structures, final relaxations and their reports, trials with attempt 0.
3: outcomes other than the energy, and retracted trials.
4: columns, tensors and kinds of steps under the terms of the glossary. Folders of earlier formats
are read, see `legacy_formats`, and not written.
5: doubts about results and a chain of hashes. Folders of format 4 are upgraded when they are opened
for writing, see `upgrade`.
"""

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
    status TEXT NOT NULL DEFAULT 'running',  -- or finished, paused, failed, interrupted
    reason TEXT NOT NULL DEFAULT '',
    relaxations TEXT  -- JSON: reports of the final relaxation
);
CREATE TABLE bostruct_step (
    number INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES bostruct_session (number),
    kind TEXT NOT NULL
        CHECK (kind IN
            ('initial_data', 'initial_structures', 'random', 'model', 'relaxation')),
    training_trials TEXT NOT NULL,  -- JSON: trials the choice rests on, runs as [first,last]
    hyperparameters TEXT NOT NULL,  -- JSON
    planned REAL NOT NULL,  -- s since 1970
    seconds_fit REAL NOT NULL,
    seconds_search REAL NOT NULL,
    seconds_log REAL NOT NULL DEFAULT 0,
    effort INTEGER NOT NULL,  -- of the search, 0 the least
    checksum TEXT NOT NULL  -- of all columns but seconds_log
);
CREATE TABLE bostruct_posterior (
    step INTEGER PRIMARY KEY REFERENCES bostruct_step (number),
    file TEXT NOT NULL UNIQUE,  -- in the folder `posteriors`
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    content_sha256 TEXT NOT NULL DEFAULT ''  -- without the head of the chain; '' before format 5
);
CREATE TABLE bostruct_trial (
    number INTEGER PRIMARY KEY,
    step INTEGER NOT NULL REFERENCES bostruct_step (number),
    key TEXT NOT NULL UNIQUE,
    attempt INTEGER NOT NULL,  -- 0: initial data, never evaluated
    state TEXT NOT NULL
        CHECK (state IN
            ('planned', 'running', 'done', 'failed', 'abandoned', 'retracted')),
    generator TEXT NOT NULL,  -- of the candidate
    candidate_index INTEGER,  -- row in candidates.* of the posterior file
    x BLOB NOT NULL,  -- float64, little endian
    mean REAL,  -- eV, predicted before the evaluation
    latent_variance REAL,  -- eV^2, of the latent energy
    predictive_variance REAL,  -- eV^2, of an observed energy
    acquisition REAL,
    energy REAL,  -- eV
    forces BLOB,  -- float64, little endian, eV/Å
    properties TEXT NOT NULL DEFAULT '{}',  -- JSON
    provenance TEXT NOT NULL DEFAULT '{}',  -- JSON
    reason TEXT NOT NULL DEFAULT '',
    retryable INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0,  -- of the evaluation
    finished REAL,  -- s since 1970
    ase_id INTEGER,  -- id in the ase.db table `systems`
    checksum TEXT NOT NULL,
    doubt TEXT NOT NULL DEFAULT ''  -- reason of a doubt, or of its dismissal
);
CREATE INDEX bostruct_trial_state ON bostruct_trial (state);
CREATE TABLE bostruct_outcome (
    trial INTEGER NOT NULL REFERENCES bostruct_trial (number),
    position INTEGER NOT NULL,  -- in OptimizationConfig.outcome_names
    name TEXT NOT NULL,
    mean REAL NOT NULL,  -- before the evaluation; log10 for log objectives
    latent_variance REAL NOT NULL,  -- without observation noise
    predictive_variance REAL NOT NULL,  -- with observation noise
    is_exact INTEGER NOT NULL,  -- 1: known to the space exactly
    checksum TEXT NOT NULL,
    PRIMARY KEY (trial, position)
);
"""

ADDED_TABLES = """
CREATE TABLE bostruct_attempt (
    trial INTEGER NOT NULL REFERENCES bostruct_trial (number),
    attempt INTEGER NOT NULL,  -- one that another has followed
    session INTEGER NOT NULL REFERENCES bostruct_session (number),  -- that asked again
    state TEXT NOT NULL CHECK (state IN ('failed', 'died', 'interrupted')),
    cause TEXT NOT NULL  -- of the next attempt
        CHECK (cause IN ('retryable', 'resumed', 'failures in a row', 'asked by the user')),
    reason TEXT NOT NULL,  -- of the end of this one
    seconds REAL NOT NULL,
    recorded REAL NOT NULL,  -- s since 1970
    checksum TEXT NOT NULL,
    PRIMARY KEY (trial, attempt)
);
CREATE TABLE bostruct_structures (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    data BLOB NOT NULL  -- safetensors: structures of the space, where its description has a digest
);
CREATE TABLE bostruct_chain (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,  -- table of the row, without the prefix, or upgrade
    key TEXT NOT NULL,  -- primary key of the row
    content TEXT NOT NULL,  -- checksum of the row as it was written
    hash TEXT NOT NULL  -- sha256 of the hash before, kind, key and content
);
"""
"""Tables that format 4 does not have."""

ADDED_COLUMNS = {
    "bostruct_trial": {"doubt": "TEXT NOT NULL DEFAULT ''"},
    "bostruct_posterior": {"content_sha256": "TEXT NOT NULL DEFAULT ''"},
}
"""Columns that format 4 does not have, with their definitions."""
