BEGIN TRANSACTION;
CREATE TABLE bostruct_campaign (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    format INTEGER NOT NULL,
    description TEXT NOT NULL,  -- JSON: what identifies the campaign
    seed INTEGER NOT NULL,
    units TEXT NOT NULL,  -- JSON
    created REAL NOT NULL  -- s since 1970
);
INSERT INTO "bostruct_campaign" VALUES(1,4,'{"acquisition":{"adaptive":true,"kappa":1.3,"type":"LowerConfidenceBound"},"batch_size":1,"evaluator":{"arguments":{},"factory":"ase.calculators.emt.EMT","maximum_energy":1000000.0,"maximum_force":10000.0,"type":"Calculator","with_forces":true},"final_relaxation":{"fmax":0.05,"interval":null,"max_steps":1,"n_structures":1},"n_initial":2,"search":{"exclude":[],"fmax":0.05,"max_step":0.2,"max_steps":80,"max_time_fraction":1e-09,"min_improvement":0.001,"n_candidates":4,"n_parents":12,"n_rounds":1,"patience":2,"random_fraction":0.5,"type":"BasinHopping"},"space":{"atomic_radii":{"Cu":1.32},"formula":"Cu3","max_gap_factor":1.5,"min_distance":{"Cu-Cu":1.8479999999999999},"radius":5.290954482325391,"type":"Cluster"},"surrogate":{"approximation":"averaged_fitc","center_atom_weight":45.0,"cutoff":null,"hyperparameters":null,"inducing_tolerance":1e-06,"l_max":1,"max_inducing":4,"n_max":2,"pair_repulsion":{"range_factor":1.0,"strength":20.0},"species_similarity":null,"type":"LocalGP","zeta":3}}',3,'{"energy": "eV", "length": "\u00c5", "force": "eV/\u00c5", "time": "s"}',1.79603585695797061914e+09);
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
CREATE TABLE bostruct_posterior (
    step INTEGER PRIMARY KEY REFERENCES bostruct_step (number),
    file TEXT NOT NULL UNIQUE,  -- in the folder `posteriors`
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL
);
INSERT INTO "bostruct_posterior" VALUES(1,'step-000001.safetensors',8732,'639e73c9ff6e8a769647541db9a2bd2a6a9de30953ed2cef634ab8b220047325');
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
    relaxations TEXT  -- JSON: reports of the final relaxation
);
INSERT INTO "bostruct_session" VALUES(1,'vm',7996,'cpu',2,'WAL','{"ase":"3.29.0","bostruct":"0.1.0","botorch":"0.18.1","gpytorch":"1.15.2","linear_operator":"0.6.1","python":"3.11.7","torch":"2.13.0+cpu"}',1.79603585696628117564e+09,1.79603585858951663974e+09,'finished','4 evaluations','[{"converged":false,"energy":4.16316070023712,"max_force":1.6421897053183097,"n_evaluations":1,"relaxed_energy":4.16316070023712,"relaxed_trial":2,"state":"not converged in 1 evaluations","trial":2}]');
CREATE TABLE bostruct_step (
    number INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES bostruct_session (number),
    kind TEXT NOT NULL
        CHECK (kind IN
            ('initial_data', 'initial_structures', 'random', 'model', 'relaxation')),
    training_trials TEXT NOT NULL,  -- JSON: numbers of the trials the choice rests on
    hyperparameters TEXT NOT NULL,  -- JSON
    planned REAL NOT NULL,  -- s since 1970
    seconds_fit REAL NOT NULL,
    seconds_search REAL NOT NULL,
    seconds_log REAL NOT NULL DEFAULT 0,
    effort INTEGER NOT NULL,  -- of the search, 0 the least
    checksum TEXT NOT NULL  -- of all columns but seconds_log
);
INSERT INTO "bostruct_step" VALUES(0,1,'random','[]','{}',1.79603585700247168543e+09,0.0,0.00779120899994723,7.74820600008752080611e-03,0,'263103adffe4280687db538d1eb8641793a9478842db984400ac694664e1c9fa');
INSERT INTO "bostruct_step" VALUES(1,1,'model','[0,1]','{"calibration_factor":1.0,"calibration_tested":0.0,"cutoff_angstrom":5.016,"energy_noise_eV_per_root_atom":0.00532331318390887,"energy_per_atom_of_Z29_eV":1.499180129391128,"force_noise_eV_per_angstrom":0.14419431172187383,"inducing_environments":2.0,"kappa_factor":0.5,"log_marginal_likelihood":4.27109004772219,"signal_eV":3.1588910830224988,"species_similarity":0.0}',1.79603585854844546325e+09,6.37132176999898547364e-01,8.80669745000091097608e-01,7.26348700004564307164e-03,0,'907f0f75907e0eba6d1d05aec805ea47baa643ab600da4c782c17da0af7bb0bf');
INSERT INTO "bostruct_step" VALUES(2,1,'relaxation','[2]','{}',1.79603585857756376268e+09,0.0,1.34596420000434591202e-02,5.10230400004729744978e-03,0,'b5ded73cc18955d3b35253a3433afeb53c8249665710bb04086c541cbaaa77a9');
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
    checksum TEXT NOT NULL
);
INSERT INTO "bostruct_trial" VALUES(0,0,'8593ab57fdcee09fcff6ceaa-1',1,'done','random',NULL,X'26376CD78271B8BFDA91172F0803F73FF31A4DF0D1A5D93F5510CF299273F53FAC0671C7746BE4BF73E2B69A886CC7BFE24C58FC79ECF3BF081DBE969B9AE9BF7353E3451BDFCBBF',NULL,NULL,NULL,NULL,4.78804095400729501363e+00,X'20C3B780E555C43F3C76A482B12403C0A0E1DB240B56E5BF7E3EA78180D801C0CE2EEF41B1FCF03F3424EF9C7C7CD33F4CC29B2922930040B0BD59C3B14CF53F0C9FC8AC992FD73F','{}','{"calculator":"ase.calculators.emt.EMT"}','',0,6.14554999992833472788e-03,1.7960358570129432678e+09,1,'e674e60a7873eff3c50b9d688f63e0a5c8d472bda91b0704fced4219da721bf0');
INSERT INTO "bostruct_trial" VALUES(1,0,'ae0dced5f7666dd984de431c-1',1,'done','random',NULL,X'BD3738BCE82AF13F13F1835C714BECBF724BE6E3105CCDBF4DB58FDDAE27E8BFECAFBF784F44DF3FFD96B8B2905AF1BF5874C135455CD4BF3D3248409352D93F6B6035CF1206F53F',NULL,NULL,NULL,NULL,4.24034242627481550158e+00,X'F0AE578CF31EF3BFC064EF227D83EF3F007D0B2AD457D03FD07A64E51EE7EA3F683E61CFC969E1BF7822D98A4252F33F30C6956690ADD63FA04C1CA76633DCBFB8015C953768F7BF','{}','{"calculator":"ase.calculators.emt.EMT"}','',0,2.38274200000887503847e-03,1796035857.02359,2,'9b96cc3285b954fe5806ba51685a27ccb428d99dbe64e95ac0abe001e02ccb04');
INSERT INTO "bostruct_trial" VALUES(2,1,'b84422d9d34cabd07392b535-1',1,'done','twist',3,X'632EBF4F9454ECBF06F6197F2BFAE9BF459EB4E85C44DDBF0498E52084C5F23F48406280FDC59F3F0D2AE13FA8B4E0BF4B0318E4E76CD2BF04E41693FBFBE83F30793BB4D656EF3F',3.85699167586603053337e+00,2.90956714816692930264e-03,2.9945801379288633677e-03,-3.82193041288646551123e+00,4.16316070023712,X'609C4DC8BE0BF2BF6091759F2D78F0BFB0B61EE2A079E2BFD0A4055F8CFEF73F806BD6CCF4EFA33F8045A8E5ED60E5BFD021E05A36CBD7BF00BC1DF25BB1EF3F207EE36347EDF33F','{}','{"calculator":"ase.calculators.emt.EMT"}','',0,3.24718399997436790727e-03,1.79603585855612397199e+09,3,'e6b1d5b17b154ba7e11fb3b392cc5269d3fb435e3cb708c52825f564b3ed4639');
INSERT INTO "bostruct_trial" VALUES(3,2,'23f82f0c4cb6dd0c92d08bc6-1',1,'done','relaxation',NULL,X'DC809B4487F0EFBF807931D26745EDBF68615DF1247BE0BFB25B995DC52BF53FE92AE00764E1A13F9BCA3E3DF3D7E2BF116D2EED06CED4BFD176B3915127EC3F01164E178CA9F13F',NULL,NULL,NULL,NULL,4.45986676812078819409e+00,X'00394DB596FDF63FA835AEC85D12F53F086D3A4216BBE73FF0DBAB38F279FEBF80932C60BFBFA9BF084658C71320EB3FA88B7A0D6EF1DD3F10D1ACCD5F44F4BF8859C904956DF9BF','{}','{"calculator":"ase.calculators.emt.EMT"}','',0,2.51528799992684071185e-03,1.79603585858422017096e+09,4,'6ab177ecbe4faab02f13655962ca7d006e781ffb40fc554db0adcbc904a1ac7b');
CREATE TABLE information (
    name TEXT,
    value TEXT);
INSERT INTO "information" VALUES('version','9');
CREATE TABLE keys (
    key TEXT,
    id INTEGER,
    FOREIGN KEY (id) REFERENCES systems(id));
INSERT INTO "keys" VALUES('trial',1);
INSERT INTO "keys" VALUES('step',1);
INSERT INTO "keys" VALUES('generator',1);
INSERT INTO "keys" VALUES('is_initial_data',1);
INSERT INTO "keys" VALUES('trial',2);
INSERT INTO "keys" VALUES('step',2);
INSERT INTO "keys" VALUES('generator',2);
INSERT INTO "keys" VALUES('is_initial_data',2);
INSERT INTO "keys" VALUES('trial',3);
INSERT INTO "keys" VALUES('step',3);
INSERT INTO "keys" VALUES('generator',3);
INSERT INTO "keys" VALUES('is_initial_data',3);
INSERT INTO "keys" VALUES('trial',4);
INSERT INTO "keys" VALUES('step',4);
INSERT INTO "keys" VALUES('generator',4);
INSERT INTO "keys" VALUES('is_initial_data',4);
CREATE TABLE number_key_values (
    key TEXT,
    value REAL,
    id INTEGER,
    FOREIGN KEY (id) REFERENCES systems(id));
INSERT INTO "number_key_values" VALUES('trial',0.0,1);
INSERT INTO "number_key_values" VALUES('step',0.0,1);
INSERT INTO "number_key_values" VALUES('is_initial_data',0.0,1);
INSERT INTO "number_key_values" VALUES('trial',1.0,2);
INSERT INTO "number_key_values" VALUES('step',0.0,2);
INSERT INTO "number_key_values" VALUES('is_initial_data',0.0,2);
INSERT INTO "number_key_values" VALUES('trial',2.0,3);
INSERT INTO "number_key_values" VALUES('step',1.0,3);
INSERT INTO "number_key_values" VALUES('is_initial_data',0.0,3);
INSERT INTO "number_key_values" VALUES('trial',3.0,4);
INSERT INTO "number_key_values" VALUES('step',2.0,4);
INSERT INTO "number_key_values" VALUES('is_initial_data',0.0,4);
CREATE TABLE species (
    Z INTEGER,
    n INTEGER,
    id INTEGER,
    FOREIGN KEY (id) REFERENCES systems(id));
INSERT INTO "species" VALUES(29,3,1);
INSERT INTO "species" VALUES(29,3,2);
INSERT INTO "species" VALUES(29,3,3);
INSERT INTO "species" VALUES(29,3,4);
CREATE TABLE systems (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- ID's, timestamps and user name
    unique_id TEXT UNIQUE,
    ctime REAL,
    mtime REAL,
    username TEXT,
    numbers BLOB,  -- stuff that defines an Atoms object
    positions BLOB,
    cell BLOB,
    pbc INTEGER,
    initial_magmoms BLOB,
    initial_charges BLOB,
    masses BLOB,
    tags BLOB,
    momenta BLOB,
    constraints TEXT,  -- constraints and calculator
    calculator TEXT,
    calculator_parameters TEXT,
    energy REAL,  -- calculated properties
    free_energy REAL,
    forces BLOB,
    stress BLOB,
    dipole BLOB,
    magmoms BLOB,
    magmom REAL,
    charges BLOB,
    key_value_pairs TEXT,  -- key-value pairs and data as json
    data BLOB,
    natoms INTEGER,  -- stuff for making queries faster
    fmax REAL,
    smax REAL,
    volume REAL,
    mass REAL,
    charge REAL);
INSERT INTO "systems" VALUES(1,'21e412518bd547f7a43875f32441c623',2.69144249567118940555e+01,2.69144249567118940555e+01,NULL,X'1D0000001D0000001D000000',X'26376CD78271B8BFDA91172F0803F73FF31A4DF0D1A5D93F5510CF299273F53FAC0671C7746BE4BF73E2B69A886CC7BFE24C58FC79ECF3BF081DBE969B9AE9BF7353E3451BDFCBBF',X'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000',0,NULL,NULL,NULL,X'000000000000000000000000',NULL,NULL,'unknown','{}',4.78804095400729501363e+00,NULL,X'20C3B780E555C43F3C76A482B12403C0A0E1DB240B56E5BF7E3EA78180D801C0CE2EEF41B1FCF03F3424EF9C7C7CD33F4CC29B2922930040B0BD59C3B14CF53F0C9FC8AC992FD73F',NULL,NULL,NULL,NULL,NULL,'{"trial": 0, "step": 0, "generator": "random", "is_initial_data": false}',X'08000000000000007B7D',3,2.48917237040556882377e+00,NULL,NULL,190.638,0.0);
INSERT INTO "systems" VALUES(2,'b0112a28fed0409ab8637d757d43a3ff',2.69144249570462790188e+01,2.69144249570462790188e+01,NULL,X'1D0000001D0000001D000000',X'BD3738BCE82AF13F13F1835C714BECBF724BE6E3105CCDBF4DB58FDDAE27E8BFECAFBF784F44DF3FFD96B8B2905AF1BF5874C135455CD4BF3D3248409352D93F6B6035CF1206F53F',X'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000',0,NULL,NULL,NULL,X'000000000000000000000000',NULL,NULL,'unknown','{}',4.24034242627481550158e+00,NULL,X'F0AE578CF31EF3BFC064EF227D83EF3F007D0B2AD457D03FD07A64E51EE7EA3F683E61CFC969E1BF7822D98A4252F33F30C6956690ADD63FA04C1CA76633DCBFB8015C953768F7BF',NULL,NULL,NULL,NULL,NULL,'{"trial": 1, "step": 0, "generator": "random", "is_initial_data": false}',X'08000000000000007B7D',3,1.56945908937990252773e+00,NULL,NULL,190.638,0.0);
INSERT INTO "systems" VALUES(3,'c1505612894144efb1fc69740b826f34',2.69144250056239897617e+01,2.69144250056239897617e+01,NULL,X'1D0000001D0000001D000000',X'632EBF4F9454ECBF06F6197F2BFAE9BF459EB4E85C44DDBF0498E52084C5F23F48406280FDC59F3F0D2AE13FA8B4E0BF4B0318E4E76CD2BF04E41693FBFBE83F30793BB4D656EF3F',X'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000',0,NULL,NULL,NULL,X'000000000000000000000000',NULL,NULL,'unknown','{}',4.16316070023712,NULL,X'609C4DC8BE0BF2BF6091759F2D78F0BFB0B61EE2A079E2BFD0A4055F8CFEF73F806BD6CCF4EFA33F8045A8E5ED60E5BFD021E05A36CBD7BF00BC1DF25BB1EF3F207EE36347EDF33F',NULL,NULL,NULL,NULL,NULL,'{"trial": 2, "step": 1, "generator": "twist", "is_initial_data": false}',X'08000000000000007B7D',3,1.64218970531830965597e+00,NULL,NULL,190.638,0.0);
INSERT INTO "systems" VALUES(4,'a80d9dbf3beb4586b75cb7e6c46bda2c',2.69144250065095462791e+01,2.69144250065095462791e+01,NULL,X'1D0000001D0000001D000000',X'DC809B4487F0EFBF807931D26745EDBF68615DF1247BE0BFB25B995DC52BF53FE92AE00764E1A13F9BCA3E3DF3D7E2BF116D2EED06CED4BFD176B3915127EC3F01164E178CA9F13F',X'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000',0,NULL,NULL,NULL,X'000000000000000000000000',NULL,NULL,'unknown','{}',4.45986676812078819409e+00,NULL,X'00394DB596FDF63FA835AEC85D12F53F086D3A4216BBE73FF0DBAB38F279FEBF80932C60BFBFA9BF084658C71320EB3FA88B7A0D6EF1DD3F10D1ACCD5F44F4BF8859C904956DF9BF',NULL,NULL,NULL,NULL,NULL,'{"trial": 3, "step": 2, "generator": "relaxation", "is_initial_data": false}',X'08000000000000007B7D',3,2.08547901661753476432e+00,NULL,NULL,190.638,0.0);
CREATE TABLE text_key_values (
    key TEXT,
    value TEXT,
    id INTEGER,
    FOREIGN KEY (id) REFERENCES systems(id));
INSERT INTO "text_key_values" VALUES('generator','random',1);
INSERT INTO "text_key_values" VALUES('generator','random',2);
INSERT INTO "text_key_values" VALUES('generator','twist',3);
INSERT INTO "text_key_values" VALUES('generator','relaxation',4);
CREATE INDEX unique_id_index ON systems(unique_id);
CREATE INDEX ctime_index ON systems(ctime);
CREATE INDEX username_index ON systems(username);
CREATE INDEX calculator_index ON systems(calculator);
CREATE INDEX species_index ON species(Z);
CREATE INDEX key_index ON keys(key);
CREATE INDEX text_index ON text_key_values(key);
CREATE INDEX number_index ON number_key_values(key);
CREATE INDEX bostruct_trial_state ON bostruct_trial (state);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('systems',4);
COMMIT;
