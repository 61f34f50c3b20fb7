BEGIN TRANSACTION;
CREATE TABLE bostruct_campaign (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    format INTEGER NOT NULL,
    description TEXT NOT NULL,  -- JSON: what identifies the campaign
    seed INTEGER NOT NULL,
    units TEXT NOT NULL,  -- JSON
    created REAL NOT NULL  -- s since 1970
);
INSERT INTO "bostruct_campaign" VALUES(1,3,'{"acquisition":{"adaptive":true,"kappa":1.3,"kind":"LowerConfidenceBound"},"batch":1,"check":{"best":1,"every":null,"steps":1,"tolerance":0.05},"evaluator":{"arguments":{},"factory":"ase.calculators.emt.EMT","kind":"Calculator","maximum_energy":1000000.0,"maximum_force":10000.0,"with_forces":true},"initial":2,"search":{"candidates":4,"fresh":0.5,"gain":0.001,"parents":12,"patience":2,"rounds":1,"search":"basin hopping","share":1e-09,"step":0.2,"steps":80,"tolerance":0.05,"without":[]},"space":{"formula":"Cu3","gap":1.5,"kind":"cluster","minimum_distance":{"Cu-Cu":1.8479999999999999},"radii":{"Cu":1.32},"radius":5.290954482325391},"surrogate":{"alchemy":null,"angular":1,"center":45.0,"cutoff":null,"hyperparameters":null,"inducing":4,"power":3,"radial":2,"repulsion":{"reach":1.0,"strength":20.0},"surrogate":"LocalGP","tolerance":1e-06,"variance":"pooled"}}',3,'{"energy": "eV", "length": "\u00c5", "force": "eV/\u00c5", "time": "s"}',1.79601674219430637365e+09);
CREATE TABLE bostruct_outcome (
    trial INTEGER NOT NULL REFERENCES bostruct_trial (number),
    place INTEGER NOT NULL,  -- among the outcomes of the goals
    name TEXT NOT NULL,
    mean REAL NOT NULL,  -- log10 where its objective is; before it was evaluated
    variance REAL NOT NULL,  -- of what would be without noise
    observed REAL NOT NULL,  -- of what would be measured
    exact INTEGER NOT NULL,  -- 1: known from the space, at no cost
    checksum TEXT NOT NULL,
    PRIMARY KEY (trial, place)
);
CREATE TABLE bostruct_posterior (
    step INTEGER PRIMARY KEY REFERENCES bostruct_step (number),
    file TEXT NOT NULL UNIQUE,  -- in the folder `posteriors`
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL
);
INSERT INTO "bostruct_posterior" VALUES(1,'step-000001.safetensors',8620,'756c4433c3c23bd70dd2a988aacff177346abdd63626045bed95d228e75fdeb4');
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
    checked TEXT  -- JSON: how far the final check is
);
INSERT INTO "bostruct_session" VALUES(1,'a-host',1,'cpu',1,'WAL','{"ase":"3.29.0","bostruct":"0.1.0","botorch":"0.18.1","gpytorch":"1.15.2","linear_operator":"0.6.1","python":"3.11.7","torch":"2.13.0+cpu"}',1796016742.37474,1.79601675476028537752e+09,'finished','4 evaluations','[{"converged":false,"energy":4.163160700237354,"evaluations":1,"force":1.6421897053200722,"relaxed":2,"relaxed_energy":4.163160700237354,"state":"not converged in 1 evaluations","trial":2}]');
CREATE TABLE bostruct_step (
    number INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES bostruct_session (number),
    kind TEXT NOT NULL
        CHECK (kind IN ('given', 'start', 'random', 'model', 'check')),
    known TEXT NOT NULL,  -- JSON: the trials that the choice was made from
    hyperparameters TEXT NOT NULL,  -- JSON
    planned REAL NOT NULL,  -- s since 1970
    seconds_fit REAL NOT NULL,
    seconds_search REAL NOT NULL,
    seconds_log REAL NOT NULL DEFAULT 0,
    level INTEGER NOT NULL,  -- how thorough the search was, 0 the least
    checksum TEXT NOT NULL  -- of what does not change
);
INSERT INTO "bostruct_step" VALUES(0,1,'random','[]','{}',1.79601674288067865371e+09,0.0,1.07827971999995497753e-01,9.56882660002520424313e-02,0,'2d1f977465c6022587ad115b7cac50e569538f48d923aa7ddb0af0fe4043d187');
INSERT INTO "bostruct_step" VALUES(1,1,'model','[0,1]','{"alchemy":0.0,"boldness":0.5,"calibration_factor":1.0,"calibration_tested":0.0,"cutoff_angstrom":5.016,"energy_noise_eV_per_root_atom":0.005323313183816243,"energy_per_atom_of_Z29_eV":1.499180129391128,"force_noise_eV_per_angstrom":0.14419431172165972,"inducing_environments":2.0,"log_marginal_likelihood":4.271090047749944,"signal_eV":3.1588910830511545}',1.79601675434217572212e+09,5.57883692399991559796e+00,5.55561092100015230244e+00,1.41011907000120118027e-01,0,'c5838e98179a357a035b423243ea85fc2659012bd7d14550e56c16b220a52c9c');
INSERT INTO "bostruct_step" VALUES(2,1,'check','[2]','{}',1.79601675463822197916e+09,0.0,1.20584133999727782793e-01,5.93692879997433919925e-02,0,'60540057cb87cd83e886631e0e1912647dd49c618af776839fe767b981179d88');
CREATE TABLE bostruct_trial (
    number INTEGER PRIMARY KEY,
    step INTEGER NOT NULL REFERENCES bostruct_step (number),
    key TEXT NOT NULL UNIQUE,
    attempt INTEGER NOT NULL,  -- 0: given with its energy, never asked for
    state TEXT NOT NULL
        CHECK (state IN
            ('planned', 'running', 'done', 'failed', 'abandoned', 'retracted')),
    origin TEXT NOT NULL,  -- the generator that proposed it
    candidate INTEGER,  -- its row among the candidates of the step
    x BLOB NOT NULL,  -- float64, little endian
    mean REAL,  -- eV, predicted before the energy was asked for
    variance REAL,  -- eV^2, of the latent energy
    observed REAL,  -- eV^2, of the energy as it would be observed
    acquisition REAL,
    energy REAL,  -- eV
    forces BLOB,  -- float64, little endian, eV/Å
    properties TEXT NOT NULL DEFAULT '{}',  -- JSON
    provenance TEXT NOT NULL DEFAULT '{}',  -- JSON
    reason TEXT NOT NULL DEFAULT '',
    retryable INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0,  -- the evaluator's
    finished REAL,  -- s since 1970
    row INTEGER,  -- id in the ase.db table `systems`
    checksum TEXT NOT NULL
);
INSERT INTO "bostruct_trial" VALUES(0,0,'6f08d91c30b7cd55930fa856-1',1,'done','random',NULL,X'26376CD78271B8BFDA91172F0803F73FF31A4DF0D1A5D93F5510CF299273F53FAC0671C7746BE4BF73E2B69A886CC7BFE24C58FC79ECF3BF081DBE969B9AE9BF7353E3451BDFCBBF',NULL,NULL,NULL,NULL,4.78804095400729501363e+00,X'20C3B780E555C43F3C76A482B12403C0A0E1DB240B56E5BF7E3EA78180D801C0CE2EEF41B1FCF03F3424EF9C7C7CD33F4CC29B2922930040B0BD59C3B14CF53F0C9FC8AC992FD73F','{}','{"calculator":"ase.calculators.emt.EMT"}','',0,2.7820628000426950166e-02,1.79601674296828126911e+09,1,'e02d60ae33346745cc40b3bbc48c0aa2e6a58445546aa2d75a1ffac28bb1b9de');
INSERT INTO "bostruct_trial" VALUES(1,0,'e00c1dc1ef78bf93a96de69d-1',1,'done','random',NULL,X'BD3738BCE82AF13F13F1835C714BECBF724BE6E3105CCDBF4DB58FDDAE27E8BFECAFBF784F44DF3FFD96B8B2905AF1BF5874C135455CD4BF3D3248409352D93F6B6035CF1206F53F',NULL,NULL,NULL,NULL,4.24034242627481550158e+00,X'F0AE578CF31EF3BFC064EF227D83EF3F007D0B2AD457D03FD07A64E51EE7EA3F683E61CFC969E1BF7822D98A4252F33F30C6956690ADD63FA04C1CA76633DCBFB8015C953768F7BF','{}','{"calculator":"ase.calculators.emt.EMT"}','',0,2.95414099991830880753e-03,1.79601674307894682881e+09,2,'8a485fbdbe8645ef91b02b0f24005ac669e3b2ed319db1ba093eeccaa51813a3');
INSERT INTO "bostruct_trial" VALUES(2,1,'3e2f7b1a9c3ac8d7874fc16d-1',1,'done','twist',3,X'A72DBF4F9454ECBFE5F4197F2BFAE9BF839CB4E85C44DDBF7097E52084C5F23F64476280FDC59F3F4529E13FA8B4E0BF730218E4E76CD2BFAAE21693FBFBE83F86773BB4D656EF3F',3.85699167586591062928e+00,2.90956714811008588378e-03,2.99458013786906137795e-03,-3.82193041288668799992e+00,4.16316070023735385063e+00,X'70B04DC8BE0BF2BF70A6759F2D78F0BF20D11EE2A079E2BF80C0055F8CFEF73F804CD6CCF4EFA33FC061A8E5ED60E5BF3040E05A36CBD7BF20E81DF25BB1EF3F7099E36347EDF33F','{}','{"calculator":"ase.calculators.emt.EMT"}','',0,1.8423213000005489448e-02,1.79601675441470074647e+09,3,'091434c32231eb6e06382d7d86250f81806ee8a1a8759f4913aed6d13a0026a6');
INSERT INTO "bostruct_trial" VALUES(3,2,'6e2c20758356b9be3ef3216b-1',1,'done','check',NULL,X'24849B4487F0EFBF957C31D26745EDBF2B635DF1247BE0BFE35D995DC52BF53F582BE00764E1A13FA5CC3E3DF3D7E2BF456F2EED06CED4BFE079B3915127EC3FE8174E178CA9F13F',NULL,NULL,NULL,NULL,4.45986676812165594441e+00,X'2C4B4DB596FDF63F5046AEC85D12F53FB87F3A4216BBE73FF0F3AB38F279FEBF80A82C60BFBFA9BF685B58C71320EB3F20A37A0D6EF1DD3F10E1ACCD5F44F4BF906DC904956DF9BF','{}','{"calculator":"ase.calculators.emt.EMT"}','',0,2.25368999999773222953e-02,1.79601675468380212784e+09,4,'ad4469d0464b19325fd2e39858c92bcab58d562856aaf530ae77f81467fc7726');
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
INSERT INTO "keys" VALUES('origin',1);
INSERT INTO "keys" VALUES('given',1);
INSERT INTO "keys" VALUES('trial',2);
INSERT INTO "keys" VALUES('step',2);
INSERT INTO "keys" VALUES('origin',2);
INSERT INTO "keys" VALUES('given',2);
INSERT INTO "keys" VALUES('trial',3);
INSERT INTO "keys" VALUES('step',3);
INSERT INTO "keys" VALUES('origin',3);
INSERT INTO "keys" VALUES('given',3);
INSERT INTO "keys" VALUES('trial',4);
INSERT INTO "keys" VALUES('step',4);
INSERT INTO "keys" VALUES('origin',4);
INSERT INTO "keys" VALUES('given',4);
CREATE TABLE number_key_values (
    key TEXT,
    value REAL,
    id INTEGER,
    FOREIGN KEY (id) REFERENCES systems(id));
INSERT INTO "number_key_values" VALUES('trial',0.0,1);
INSERT INTO "number_key_values" VALUES('step',0.0,1);
INSERT INTO "number_key_values" VALUES('given',0.0,1);
INSERT INTO "number_key_values" VALUES('trial',1.0,2);
INSERT INTO "number_key_values" VALUES('step',0.0,2);
INSERT INTO "number_key_values" VALUES('given',0.0,2);
INSERT INTO "number_key_values" VALUES('trial',2.0,3);
INSERT INTO "number_key_values" VALUES('step',1.0,3);
INSERT INTO "number_key_values" VALUES('given',0.0,3);
INSERT INTO "number_key_values" VALUES('trial',3.0,4);
INSERT INTO "number_key_values" VALUES('step',2.0,4);
INSERT INTO "number_key_values" VALUES('given',0.0,4);
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
INSERT INTO "systems" VALUES(1,'a0a0d26dbf694d948d1944ab57e59871',2.69138192692013937805e+01,2.69138192692013937805e+01,NULL,X'1D0000001D0000001D000000',X'26376CD78271B8BFDA91172F0803F73FF31A4DF0D1A5D93F5510CF299273F53FAC0671C7746BE4BF73E2B69A886CC7BFE24C58FC79ECF3BF081DBE969B9AE9BF7353E3451BDFCBBF',X'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000',0,NULL,NULL,NULL,X'000000000000000000000000',NULL,NULL,'unknown','{}',4.78804095400729501363e+00,NULL,X'20C3B780E555C43F3C76A482B12403C0A0E1DB240B56E5BF7E3EA78180D801C0CE2EEF41B1FCF03F3424EF9C7C7CD33F4CC29B2922930040B0BD59C3B14CF53F0C9FC8AC992FD73F',NULL,NULL,NULL,NULL,NULL,'{"trial": 0, "step": 0, "origin": "random", "given": false}',X'08000000000000007B7D',3,2.48917237040556882377e+00,NULL,NULL,190.638,0.0);
INSERT INTO "systems" VALUES(2,'5539cfccd3394c559ee584ccb3bf8898',2.69138192727085083792e+01,2.69138192727085083792e+01,NULL,X'1D0000001D0000001D000000',X'BD3738BCE82AF13F13F1835C714BECBF724BE6E3105CCDBF4DB58FDDAE27E8BFECAFBF784F44DF3FFD96B8B2905AF1BF5874C135455CD4BF3D3248409352D93F6B6035CF1206F53F',X'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000',0,NULL,NULL,NULL,X'000000000000000000000000',NULL,NULL,'unknown','{}',4.24034242627481550158e+00,NULL,X'F0AE578CF31EF3BFC064EF227D83EF3F007D0B2AD457D03FD07A64E51EE7EA3F683E61CFC969E1BF7822D98A4252F33F30C6956690ADD63FA04C1CA76633DCBFB8015C953768F7BF',NULL,NULL,NULL,NULL,NULL,'{"trial": 1, "step": 0, "origin": "random", "given": false}',X'08000000000000007B7D',3,1.56945908937990252773e+00,NULL,NULL,190.638,0.0);
INSERT INTO "systems" VALUES(3,'157e1682e3d04a78888dc85a7c499181',2.69138196319230686985e+01,2.69138196319230686985e+01,NULL,X'1D0000001D0000001D000000',X'A72DBF4F9454ECBFE5F4197F2BFAE9BF839CB4E85C44DDBF7097E52084C5F23F64476280FDC59F3F4529E13FA8B4E0BF730218E4E76CD2BFAAE21693FBFBE83F86773BB4D656EF3F',X'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000',0,NULL,NULL,NULL,X'000000000000000000000000',NULL,NULL,'unknown','{}',4.16316070023735385063e+00,NULL,X'70B04DC8BE0BF2BF70A6759F2D78F0BF20D11EE2A079E2BF80C0055F8CFEF73F804CD6CCF4EFA33FC061A8E5ED60E5BF3040E05A36CBD7BF20E81DF25BB1EF3F7099E36347EDF33F',NULL,NULL,NULL,NULL,NULL,'{"trial": 2, "step": 1, "origin": "twist", "given": false}',X'08000000000000007B7D',3,1.64218970532007224605e+00,NULL,NULL,190.638,0.0);
INSERT INTO "systems" VALUES(4,'d72422174dfe481997eb716e993becd8',2.69138196404531200296e+01,2.69138196404531200296e+01,NULL,X'1D0000001D0000001D000000',X'24849B4487F0EFBF957C31D26745EDBF2B635DF1247BE0BFE35D995DC52BF53F582BE00764E1A13FA5CC3E3DF3D7E2BF456F2EED06CED4BFE079B3915127EC3FE8174E178CA9F13F',X'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000',0,NULL,NULL,NULL,X'000000000000000000000000',NULL,NULL,'unknown','{}',4.45986676812165594441e+00,NULL,X'2C4B4DB596FDF63F5046AEC85D12F53FB87F3A4216BBE73FF0F3AB38F279FEBF80A82C60BFBFA9BF685B58C71320EB3F20A37A0D6EF1DD3F10E1ACCD5F44F4BF906DC904956DF9BF',NULL,NULL,NULL,NULL,NULL,'{"trial": 3, "step": 2, "origin": "check", "given": false}',X'08000000000000007B7D',3,2.08547901661902823633e+00,NULL,NULL,190.638,0.0);
CREATE TABLE text_key_values (
    key TEXT,
    value TEXT,
    id INTEGER,
    FOREIGN KEY (id) REFERENCES systems(id));
INSERT INTO "text_key_values" VALUES('origin','random',1);
INSERT INTO "text_key_values" VALUES('origin','random',2);
INSERT INTO "text_key_values" VALUES('origin','twist',3);
INSERT INTO "text_key_values" VALUES('origin','check',4);
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
