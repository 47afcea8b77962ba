-- Keys and indexes after the load: building them once is faster than keeping them up for half a million rows.
ALTER TABLE patients ADD PRIMARY KEY (id);
ALTER TABLE patients ADD UNIQUE (mrn);
ALTER TABLE encounters ADD PRIMARY KEY (id);
ALTER TABLE encounters ADD FOREIGN KEY (patient_id) REFERENCES patients (id);
ALTER TABLE encounters ADD FOREIGN KEY (provider_id) REFERENCES providers (id);
ALTER TABLE clinical_notes ADD PRIMARY KEY (id);
ALTER TABLE clinical_notes ADD FOREIGN KEY (patient_id) REFERENCES patients (id);
ALTER TABLE billing ADD PRIMARY KEY (id);
ALTER TABLE billing ADD FOREIGN KEY (patient_id) REFERENCES patients (id);
CREATE INDEX ON encounters (patient_id);
CREATE INDEX ON clinical_notes (patient_id);
CREATE INDEX ON patients (city);

COMMENT ON COLUMN patients.mrn IS 'medical record number';
COMMENT ON COLUMN clinical_notes.body IS 'free text as dictated';

CREATE VIEW patient_overview AS
SELECT p.id, p.mrn, p.first_name || ' ' || p.last_name AS full_name, p.birth_date, p.ssn, p.phone, p.city, p.status,
       count(e.id) AS encounters
FROM patients p LEFT JOIN encounters e ON e.patient_id = p.id
GROUP BY p.id;

CREATE MATERIALIZED VIEW encounters_by_department AS
SELECT department, kind, count(*) AS encounters, avg(heart_rate)::numeric(5,1) AS mean_heart_rate
FROM encounters GROUP BY department, kind;

CREATE FUNCTION patients_by_city(wanted text)
RETURNS TABLE (id bigint, mrn text, first_name text, last_name text, birth_date date, ssn text, phone text)
LANGUAGE sql STABLE AS $$
    SELECT p.id, p.mrn, p.first_name, p.last_name, p.birth_date, p.ssn, p.phone
    FROM public.patients p WHERE p.city = wanted
$$;

-- The clinic's front-end writes here; the gateway's own login owns it, so that nothing but Grille stands before a DROP.
CREATE TABLE intake_drafts (
    id              integer PRIMARY KEY,
    desk            text NOT NULL,
    received_on     date NOT NULL,
    state           text NOT NULL
);
INSERT INTO intake_drafts
SELECT n, 'desk ' || n % 7, date '2026-01-05' + n, CASE WHEN n % 3 = 0 THEN 'open' ELSE 'filed' END
FROM generate_series(1, 300) AS n;
RESET ROLE;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO grille_app, grille_dba;
GRANT clinic_owner TO grille_dba;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO grille_app, grille_dba;
ALTER DEFAULT PRIVILEGES FOR ROLE grille_dba IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO grille_app;
ALTER TABLE intake_drafts OWNER TO grille_app;
