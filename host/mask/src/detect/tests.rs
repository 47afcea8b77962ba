use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn detector() -> Detector {
    Detector::new().unwrap()
}

/// Texts with their identifiers written as `{KIND:value}`; what is not marked must stay.
fn check(texts: &[&str]) {
    let detector = detector();
    for marked in texts {
        let (mut text, mut wanted) = (String::new(), String::new());
        let mut rest = *marked;
        while let Some((before, after)) = rest.split_once("{{") {
            let (hit, after) = after.split_once("}}").unwrap();
            let (kind, value) = hit.split_once(':').unwrap();
            text.extend([before, value]);
            wanted.push_str(&format!("{before}[{kind}]"));
            rest = after;
        }
        text.push_str(rest);
        wanted.push_str(rest);
        let mut masked = String::new();
        detector.mask(&text, &mut masked);
        assert_eq!(masked, wanted);
    }
}

#[test]
fn finds_what_labels_announce() {
    check(&[
        "Med Rec No. {{MRN:55-12-908}}   Date of Birth: {{DATE:7-Nov-1948}}",
        "Chart # {{MRN:A1029384}}; Hosp. No. {{MRN:0099123}}; MR NO: {{MRN:4471-882}}",
        "Social: {{SSN:123456789}}, SS# {{SSN:123-45-6789}}, Taxpayer ID {{SSN:912-70-1234}}",
        "Subscriber #: {{HEALTH_PLAN:W123456789-01}}; Humana ID {{HEALTH_PLAN:H12345678}}",
        "DEA # {{LICENSE:AB1234563}}; State license {{LICENSE:MD123456}}; Certificate # {{LICENSE:RN-883920}}",
        "Bank acct: {{ACCOUNT:000123456789}}, ABA {{ACCOUNT:021000021}}",
        "tag number {{VEHICLE:7ABC123}}; SN: {{DEVICE:PJN482910K}}, Lot 88A",
        "Passport No. {{OTHER_ID:533380006}}; Accession No: {{OTHER_ID:S23-10234}}; study id {{OTHER_ID:NCT01234567}}",
        "Retinal scan id {{BIOMETRIC:RS-0099AABBCC11223344}}; voiceprint {{BIOMETRIC:vp_8f3e9a7b6c5d4e3f}}",
        "admitted on {{DATE:3/14}}; lat: {{GEO:40.7128}}; user {{OTHER_ID:jdoe42}}; fax {{FAX:555-0199}}",
        "Key (mrn)=({{MRN:00812345}}) already exists.",
    ]);
}

#[test]
fn finds_shapes() {
    check(&[
        "{{DATE:2023-01-14}}; {{DATE:2023/01/14 08:30}}; {{DATE:14.01.2023}}; {{DATE:JUN-03-2022}}; {{DATE:March 1955}}",
        "{{AGE90:97}}-year-old; {{AGE90:93}} yo; {{AGE90:91}}F; aged {{AGE90:101}} years; 89 yo; 65 years old",
        "{{PHONE:617.555.0123 x45}} or {{PHONE:+44 20 7946 0958}}, tel:{{PHONE:+15085551212}}",
        "{{VEHICLE:1HGCM82633A004352}} {{ACCOUNT:GB82 WEST 1234 5698 7654 32}} {{ACCOUNT:4111-1111-1111-1111}}",
        "{{IP:203.0.113.45}} and {{IP:fe80::1ff:fe23:4567:890a}}, {{DEVICE:00-1B-44-11-3A-B7}}",
        "{{GEO:41.40338, 2.17403}}; {{GEO:40°26'46\"N}}; {{PHOTO:IMG_2041.jpg}}",
        "{{URL:https://www.facebook.com/gladys.pemberton.9}} but http://loinc.org/2345-7 and https://docs.python.org/3/",
        "{{STREET:42B Baker's Mill Lane, Apt 3C}}, {{CITY:Stow}}, Vermont {{ZIP:05672}}; {{STREET:PO Box 1182}}",
    ]);
}

#[test]
fn finds_names() {
    check(&[
        "Pt Name: {{NAME:Thornton, Beatrice L}}.   Guarantor: {{NAME:Ellsworth P. Harrington}}",
        "Mrs. {{NAME:Oyelaran}} reports that her daughter {{NAME:Funmilayo}} drives; {{NAME:Oyelaran}} agrees.",
        "cc: {{NAME:Samuel T. Whitcombe}}, DO; {{NAME:Ngozi Adichie}}, RN",
        "Crohn's disease, Foley catheter, Bell palsy; Johns Hopkins Hospital; Mayo Clinic. Will Dr. see her in March?",
        "The White House Guidelines; Green tea, Brown rice and Cherry juice advised. May be discharged.",
    ]);
}

#[test]
fn reads_keys_tables_and_messages() {
    check(&[
        r#"{"patientName":"{{NAME:Amina Yusuf}}","birthDate":"{{DATE:1971-02-03}}","memberId":"{{HEALTH_PLAN:XYZ998877}}"}"#,
        r#"<given>{{NAME:Amina}}</given><birthTime value="{{DATE:19710203}}"/><code value="10203040"/>"#,
        "last_name;birth_dt;member_no;dx\n{{NAME:Yusuf}};{{DATE:03.02.1971}};{{HEALTH_PLAN:XYZ998877}};E11.9",
        " id | city | status\n----+------+-------\n 1 | {{CITY:Tampa}} | active\n",
        "PID|1||{{MRN:7218470}}^^^HOSP^MR||{{NAME:NAKAGAWA^IBRAHIM}}||{{DATE:19720114}}|F",
        "NM1*IL*1*{{NAME:YUSUF}}*{{NAME:AMINA}}****MI*{{HEALTH_PLAN:XYZ998877}}~N4*{{CITY:CHICAGO}}*IL*{{ZIP:60614}}~",
    ]);
}

#[test]
fn masks_json_by_key_and_by_value() {
    let detector = detector();
    for (document, masked) in [
        (r#"{"ssn": 123456789, "glucose": 104, "age": 94}"#, Some(r#"{"ssn": null, "glucose": 104, "age": null}"#)),
        (
            r#"{"name":[{"family":"Ok\u00e1for","given":["Amara","Q"]}]}"#,
            Some(r#"{"name":[{"family":"[NAME]","given":["[NAME]","Q"]}]}"#),
        ),
        (
            r#"{"note": "call 617-555-0123\n\"soon\"", "in": "{\"dob\": \"1971-02-03\"}"}"#,
            Some(r#"{"note": "call [PHONE]\n\"soon\"", "in": "{\"dob\": \"[DATE]\"}"}"#),
        ),
        (
            r#"{"123-45-6789": true, "code": "E11.9", "name": "metformin"}"#,
            Some(r#"{"[SSN]": true, "code": "E11.9", "name": "metformin"}"#),
        ),
        (r#"[1, null, -2.5e3, "a"]"#, Some(r#"[1, null, -2.5e3, "a"]"#)),
        ("{\"a\": ", None),
        ("nonsense", None),
        ("", None),
    ] {
        let (mut scratch, mut out) = (Scratch::default(), Vec::new());
        let done = detector.mask_json(document.as_bytes(), &mut scratch, &mut out);
        assert_eq!(done.map(|()| String::from_utf8(out).unwrap()).as_deref(), masked, "{document}");
    }
}

#[test]
fn leaves_clinical_values_alone() {
    check(&[
        "BP 132/84, T 98.6, HR 76, RR 16, SpO2 98%. K 4.1, Na 139, WBC 7.2, Plt 245000. A1c 7.2%.",
        "ICD-10: E11.9, I10. CPT 99214, 36415. LOINC 2345-7. SNOMED CT 44054006. NDC 00093-1048-01. RxCUI 860975.",
        "Take 2 tabs 3 times daily x 14 days. Ratio 1:10. Pain 7/10. GCS 15. EF 55-60%. 5/5 strength.",
        "Section 4.3.2 of protocol v2.4.1.0; build 10.2.3.4; OID 2.16.840.1.113883.6.1; order set 4471.",
        "Guideline 2021; since 2014; n=1024; p = 0.031; 95% CI 0.82-1.14; $1,284.00; image 23 of 118; time 14:35",
        "Verified last four of SSN. SNOMED 44054006; INR 2.5; 10 units; 4.2 x 3.1 cm; seen q6h",
    ]);
}

#[test]
fn sees_through_disguises() {
    check(&[
        "ssn: {{SSN:67\u{200b}7-65-0040}}; {{SSN:６７７-６５-００４０}}; {{SSN:677‑65‑0040}}; {{SSN:677&#45;65&#45;0040}}",
        "q={{EMAIL:liam_obrien+clinic%40example.com}}&ssn={{SSN:574%2D57%2D9754}}; SSN: {{SSN:677-65-OO4O}}",
        "{{NAME:TGlhbSBPJ0JyaWVuIDU3NC01Ny05NzU0IGxpYW1fb2JyaWVuK2NsaW5pY0BleGFtcGxlLmNvbQ==}} VGhlIHF1aWNrIGJyb3duIGZveA==",
        "{{NAME:\\x4c69616d204f27427269656e203537342d35372d39373534}}",
        r#"{"ssn":"{{SSN:\u0036\u0037\u0037\u002d\u0036\u0035\u002d\u0030\u0030\u0034\u0030}}"}"#,
    ]);
}

#[test]
fn holds_the_line_on_the_notes() {
    let detector = detector();
    let mut found: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let (mut hits_right, mut hits_all, mut kept, mut keeps) = (0, 0, 0, 0);
    for line in include_str!("../../tests/golden/notes.jsonl").lines() {
        let note: Value = serde_json::from_str(line).unwrap();
        let text = note["text"].as_str().unwrap();
        let mut hits = Vec::new();
        detector.scan(text, &mut hits);
        let spans = |name: &str| -> Vec<(usize, usize, String)> {
            let place = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
            let one =
                |span: &Value| (place(&span[0]), place(&span[1]), span[2].as_str().unwrap_or_default().to_owned());
            note[name].as_array().unwrap().iter().map(one).collect()
        };
        let gold = spans("spans");
        for (start, end, kind) in &gold {
            let covered = (*start..*end).all(|at| {
                !text.as_bytes()[at].is_ascii_alphanumeric()
                    || hits.iter().any(|hit| (hit.start..hit.end).contains(&at))
            });
            let entry = found.entry(kind.clone()).or_default();
            entry.0 += u32::from(covered);
            entry.1 += 1;
        }
        for hit in &hits {
            hits_all += 1;
            hits_right += u32::from(gold.iter().any(|(start, end, _)| hit.start < *end && *start < hit.end));
        }
        for (start, end, _) in spans("keep") {
            keeps += 1;
            kept += u32::from(!hits.iter().any(|hit| hit.start < end && start < hit.end));
        }
    }
    for (kind, (right, all)) in &found {
        let floor = if matches!(kind.as_str(), "NAME" | "CITY") { 95 } else { 99 };
        assert!(right * 100 >= all * floor, "recall of {kind}: {right} of {all}");
    }
    assert!(hits_right * 100 >= hits_all * 98, "precision: {hits_right} of {hits_all}");
    assert_eq!(kept, keeps, "clinical values were touched");
}

#[test]
fn agrees_with_the_vectors() {
    let vectors: Value = serde_json::from_str(include_str!("../../tests/golden/vectors.json")).unwrap();
    let compact = |value: &str| value.replace('-', "").into_bytes();
    for (name, check) in [
        ("npi", check::npi as fn(&[u8]) -> bool),
        ("dea", check::dea),
        ("mbi", check::mbi),
        ("ssn", check::ssn),
        ("vin", check::vin),
        ("luhn_card", check::card),
        ("imei", check::imei),
        ("gtin14", check::gtin14),
    ] {
        for (list, wanted) in [("valid", true), ("invalid", false)] {
            for value in vectors[name][list].as_array().unwrap() {
                assert_eq!(check(&compact(value.as_str().unwrap())), wanted, "{name} {value}");
            }
        }
    }
    for row in vectors["date_to_year"].as_array().unwrap() {
        let year = date::year_of(row["i"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(year.to_string(), row["o"].as_str().unwrap());
    }
}

proptest! {
    #[test]
    fn any_text_is_scanned_without_a_panic(text in r"[\PC\n]{0,200}", piece in r#"[0-9 :=./"'{}<>&;%\\u@|^~*,-]{0,80}"#) {
        thread_local!(static DETECTOR: Detector = detector());
        let text = format!("{text}{piece}");
        DETECTOR.with(|detector| {
            let mut hits = Vec::new();
            detector.scan(&text, &mut hits);
            for pair in hits.windows(2) {
                assert!(pair[0].end <= pair[1].start, "hits are in order and do not overlap");
            }
            for hit in &hits {
                assert!(text.get(hit.start..hit.end).is_some_and(|hit| !hit.is_empty()), "hits are whole characters");
            }
        });
    }

    #[test]
    fn any_bytes_are_scanned_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        thread_local!(static DETECTOR: Detector = detector());
        DETECTOR.with(|detector| {
            let (mut scratch, mut out) = (Scratch::default(), Vec::new());
            detector.mask_bytes(&bytes, &mut scratch, &mut out);
            let _json = detector.mask_json(&bytes, &mut scratch, &mut out);
        });
    }
}
