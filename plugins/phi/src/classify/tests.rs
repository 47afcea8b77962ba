use super::*;

fn rules(profile: Profile) -> Rules {
    let columns = [
        "public.*.nickname2",
        "mart.visits.status",
        "public.patients.id",
        "s.t.born",
        "public.departments.head",
        "public.referrals.remark",
    ];
    Rules {
        profile,
        masks_providers: true,
        columns: columns.into_iter().map(Glob::new).collect(),
        keep: vec![Glob::new("public.patients.city")],
    }
}

fn said_with(rules: &Rules, column: &str, key: KeyKind, comment: &str) -> String {
    let (name, type_name) = column.split_once(' ').expect("`schema.table.column type`");
    let mut parts = name.split('.');
    let mut part = || parts.next().expect("three parts");
    let (schema, table, column) = (part(), part(), part());
    match rules.treatment(&Named { schema, table, column, type_name, key, comment }) {
        Treatment::Keep => "keep".to_owned(),
        Treatment::Transform => "transform".to_owned(),
        Treatment::Mask(masker) => {
            let parameters: Vec<&str> = masker.parameters.iter().map(|(_, value)| value.as_str()).collect();
            [vec![masker.name.as_str()], parameters].concat().join(" ")
        }
    }
}

fn said(column: &str) -> String {
    said_with(&rules(Profile::SafeHarbor), column, KeyKind::None, "")
}

#[test]
fn an_ordinary_clinic_under_safe_harbor() {
    for (column, expected) in [
        ("public.patients.mrn text", "redact"),
        ("public.patients.ssn text", "redact"),
        ("public.patients.ssn bpchar", "redact"),
        ("public.patients.ssn int4", "redact"),
        ("public.patients.first_name text", "redact"),
        ("public.patients.lastName varchar", "redact"),
        ("public.patients.name text", "redact"),
        ("public.patients.birth_date date", "year"),
        ("public.patients.dob text", "redact"),
        ("public.patients.birth_year int4", "redact"),
        ("public.patients.age int4", "age90"),
        ("public.patients.sex bpchar", "keep"),
        ("public.patients.gender text", "keep"),
        ("public.patients.blood_type text", "keep"),
        ("public.patients.phone text", "redact"),
        ("public.patients.phone_type text", "keep"),
        ("public.patients.phone_home text", "redact"),
        ("public.patients.email citext", "redact"),
        ("public.patients.email_verified bool", "keep"),
        ("public.patients.address text", "redact"),
        ("public.patients.address_line1 text", "redact"),
        ("public.patients.street text", "redact"),
        ("public.patients.state bpchar", "keep"),
        ("public.patients.country text", "keep"),
        ("public.patients.zip text", "zip3"),
        ("public.patients.zip_code varchar", "zip3"),
        ("public.patients.postal_code varchar", "zip3"),
        ("public.patients.zip int4", "redact"),
        ("public.patients.latitude float8", "redact"),
        ("public.patients.home_location point", "null"),
        ("public.patients.emergency_contact text", "redact"),
        ("public.patients.emergency_contact_phone text", "redact"),
        ("public.patients.preferred_language text", "keep"),
        ("public.patients.last_login_ip inet", "redact"),
        ("public.patients.ip_address text", "redact"),
        ("public.patients.photo bytea", "null"),
        ("public.patients.photo_url text", "redact"),
        ("public.patients.portal_url text", "redact"),
        ("public.patients.aliases _text", "redact"),
        ("public.patients.allergies _text", "keep"),
        ("public.patients.tags _text", "keep"),
        ("public.patients.insurance_id text", "redact"),
        ("public.patients.member_id text", "redact"),
        ("public.patients.extra jsonb", "redact"),
        ("public.patients.portal_user uuid", "redact"),
        ("public.encounters.batch uuid", "keep"),
        ("public.encounters.fhir_id uuid", "redact"),
        ("public.patients.preferences_options jsonb", "redact"),
        ("public.patients.deceased bool", "keep"),
        ("public.patients.created_at timestamptz", "year"),
        ("public.patients.passport_no text", "redact"),
        ("public.patients.marital_status text", "keep"),
        ("public.patients.provider_name text", "redact"),
        ("public.patients.search tsvector", "null"),
        ("public.patients.mothers_maiden_name text", "redact"),
        ("public.encounters.admitted_at timestamptz", "year"),
        ("public.encounters.status text", "keep"),
        ("public.encounters.department text", "keep"),
        ("public.encounters.department_name text", "keep"),
        ("public.encounters.diagnosis_code text", "keep"),
        ("public.encounters.icd10 text", "keep"),
        ("public.encounters.icd10_code text", "keep"),
        ("public.encounters.reason text", "scan"),
        ("public.encounters.length_of_stay int4", "keep"),
        ("public.encounters.attending_physician text", "redact"),
        ("public.encounters.device_ip inet", "redact"),
        ("public.encounters.kind text", "keep"),
        ("public.encounters.triage_level int2", "keep"),
        ("public.encounters.stay tstzrange", "null"),
        ("public.encounters.duration interval", "keep"),
        ("public.encounters.room text", "keep"),
        ("public.notes.note text", "scan"),
        ("public.notes.body text", "scan"),
        ("public.notes.note_text text", "scan"),
        ("public.notes.note_type text", "keep"),
        ("public.notes.author text", "redact"),
        ("public.clinical_notes.author_id int4", "keep"),
        ("public.billing.amount numeric", "keep"),
        ("public.billing.total_amount numeric", "keep"),
        ("public.billing.currency bpchar", "keep"),
        ("public.billing.payer text", "keep"),
        ("public.billing.payer_name text", "keep"),
        ("public.billing.account_number text", "redact"),
        ("public.billing.card_last4 text", "redact"),
        ("public.billing.card_number text", "redact"),
        ("public.billing.cpt_codes _text", "keep"),
        ("public.billing.claim_number text", "redact"),
        ("public.billing.paid bool", "keep"),
        ("public.billing.billed_on date", "year"),
        ("public.billing.policy_number text", "redact"),
        ("public.lab_results.test_name text", "keep"),
        ("public.lab_results.value numeric", "keep"),
        ("public.lab_results.unit text", "keep"),
        ("public.lab_results.ph numeric", "keep"),
        ("public.lab_results.comment text", "scan"),
        ("public.lab_results.red_cell_count int4", "keep"),
        ("public.medications.name text", "keep"),
        ("public.medications.drug_name text", "keep"),
        ("public.medications.dose text", "keep"),
        ("public.medications.started_on date", "year"),
        ("public.medications.instructions text", "scan"),
        ("public.departments.name text", "keep"),
        ("public.departments.phone text", "keep"),
        ("public.departments.description text", "keep"),
        ("public.departments.opened_on date", "keep"),
        ("public.icd10_codes.description text", "keep"),
        ("public.providers.name text", "redact"),
        ("public.providers.npi text", "redact"),
        ("public.providers.specialty text", "keep"),
        ("public.patient_contacts.name text", "redact"),
        ("public.people.name text", "redact"),
        ("public.devices.serial_number text", "redact"),
        ("public.devices.model text", "keep"),
        ("public.p.patient_id int4", "redact"),
        ("public.p.hba1c numeric", "keep"),
        ("public.p.city text", "redact"),
        ("public.tracks.title text", "keep"),
        ("public.tracks.track_id int4", "keep"),
        ("public.tracks.name text", "keep"),
        ("public.tracks.unit_price numeric", "keep"),
        ("public.p.c1 text", "keep"),
        ("public.p.c1 email_address", "redact"),
        ("public.p.status encounter_status", "keep"),
        ("pg_catalog.pg_class.relname name", "keep"),
    ] {
        assert_eq!(said(column), expected, "{column}");
    }
}

#[test]
fn keys_that_only_link_rows_stay_and_natural_keys_do_not() {
    for (column, key, expected) in [
        ("public.patients.patient_id int4", KeyKind::Primary, "keep"),
        ("public.encounters.patient_id uuid", KeyKind::Foreign, "keep"),
        ("public.billing.account_id int8", KeyKind::Foreign, "keep"),
        ("public.patients2.id uuid", KeyKind::Primary, "keep"),
        ("public.patients.mrn text", KeyKind::Primary, "redact"),
        ("public.patients.mrn int8", KeyKind::Primary, "redact"),
        ("public.patients.ssn int8", KeyKind::Primary, "redact"),
        ("public.patients.phone int8", KeyKind::Primary, "redact"),
        ("public.encounters.department_code text", KeyKind::Foreign, "keep"),
        ("public.patients.id int4", KeyKind::Primary, "redact"),
    ] {
        assert_eq!(said_with(&rules(Profile::SafeHarbor), column, key, ""), expected, "{column}");
    }
}

#[test]
fn what_the_operator_says_counts_first() {
    for (column, expected) in [
        ("public.x.nickname2 int8", "redact"),
        ("mart.visits.status text", "redact"),
        ("s.t.born date", "year"),
        ("public.departments.head text", "redact"),
        ("public.referrals.remark text", "redact"),
        ("public.visits.remark text", "scan"),
        ("public.patients.city text", "keep"),
    ] {
        assert_eq!(said(column), expected, "{column}");
    }
    let rules = rules(Profile::SafeHarbor);
    for (comment, expected) in [
        ("PHI", "redact"),
        ("tags: [pii, name]", "redact"),
        ("holds no PHI", "keep"),
        ("non-phi", "keep"),
        ("Philadelphia", "keep"),
    ] {
        assert_eq!(said_with(&rules, "public.p.c1 text", KeyKind::None, comment), expected, "{comment}");
    }
}

#[test]
fn pseudonyms_keep_joins() {
    let rules = rules(Profile::Pseudonymous);
    for (column, expected) in [
        ("public.patients.ssn text", "token ssn"),
        ("public.patients.mrn text", "token mrn"),
        ("public.patients.email text", "token email"),
        ("public.patients.first_name text", "redact"),
        ("public.patients.birth_date date", "year"),
        ("public.patients.zip text", "zip3"),
        ("public.patients.id int8", "token listed"),
        ("public.encounters.status text", "keep"),
    ] {
        assert_eq!(said_with(&rules, column, KeyKind::None, ""), expected, "{column}");
    }
}

#[test]
fn clinicians_stay_where_the_operator_says_so() {
    let rules = Rules { masks_providers: false, ..rules(Profile::SafeHarbor) };
    for (column, expected) in [
        ("public.providers.name text", "keep"),
        ("public.encounters.attending_physician text", "keep"),
        ("public.patients.name text", "redact"),
    ] {
        assert_eq!(said_with(&rules, column, KeyKind::None, ""), expected, "{column}");
    }
}
