-- The made-up clinic. Everything belongs to clinic_owner, which cannot log in; the gateway's own logins are members
-- of nothing but what they need.
SET client_min_messages = warning;

GRANT CREATE, USAGE ON SCHEMA public TO clinic_owner;
SET ROLE clinic_owner;

CREATE TABLE providers (
    id              integer PRIMARY KEY,
    npi             text NOT NULL,
    display_name    text NOT NULL,
    department      text NOT NULL
);

CREATE TABLE patients (
    id              bigint NOT NULL,
    mrn             text NOT NULL,
    first_name      text NOT NULL,
    last_name       text NOT NULL,
    birth_date      date NOT NULL,
    sex             text NOT NULL,
    ssn             text NOT NULL,
    phone           text,
    email           text,
    street          text,
    city            text,
    state           text,
    zip             text,
    portal_user     uuid,
    last_login_ip   inet,
    contact         jsonb,
    allergies       text[] NOT NULL,
    balance         numeric(10,2) NOT NULL,
    status          text NOT NULL,
    reminder_opt_in boolean NOT NULL,
    created_at      timestamptz NOT NULL
);

CREATE TABLE encounters (
    id              bigint NOT NULL,
    patient_id      bigint NOT NULL,
    provider_id     integer NOT NULL,
    department      text NOT NULL,
    kind            text NOT NULL,
    admitted_at     timestamptz NOT NULL,
    discharged_at   timestamptz,
    icd10           text NOT NULL,
    reason          text NOT NULL,
    heart_rate      smallint,
    temperature_c   numeric(4,1)
);

CREATE TABLE clinical_notes (
    id              bigint NOT NULL,
    encounter_id    bigint NOT NULL,
    patient_id      bigint NOT NULL,
    note_type       text NOT NULL,
    written_at      timestamptz NOT NULL,
    body            text NOT NULL
);

CREATE TABLE billing (
    id              bigint NOT NULL,
    encounter_id    bigint NOT NULL,
    patient_id      bigint NOT NULL,
    cpt_code        text NOT NULL,
    amount          numeric(10,2) NOT NULL,
    insurer         text NOT NULL,
    member_id       text,
    billed_on       date NOT NULL,
    paid            boolean NOT NULL
);
